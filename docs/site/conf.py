"""How do the pages become a site? `make docs` hands this to Sphinx: docs/*.md, and the API by its docstrings."""

from __future__ import annotations

import posixpath
import re

project = "oncofed"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["site", "notebooks"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Federated, private, explainable prognosis",
    "page_width": "1280px",
    "body_max_width": "none",
    "code_font_size": "0.78em",  # a docstring's lines are of 120 characters
}
html_show_sphinx = False
html_show_copyright = False
myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_display_short_literal_types = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
suppress_warnings = ["misc.highlighting_failure"]


def _as_written(app, what, name, obj, options, lines: list[str]) -> None:  # type: ignore[no-untyped-def]  # Sphinx's
    """A docstring is a question or a promise, then lines whose columns say what belongs together: kept as they are."""
    end = lines.index("") if "" in lines else len(lines)
    first = re.sub(r"`+([^`]*)`+", r"``\1``", " ".join(lines[:end]))
    rest = lines[end:]
    lines[:] = [re.sub(r"([*|])", r"\\\1", first), ""]
    if any(rest):
        lines += [".. code-block:: none", "", *(f"    {line}" for line in rest), ""]


def _beyond_the_site(app, docname: str, source: list[str]) -> None:  # type: ignore[no-untyped-def]  # as above
    """A page of the repository that is no page of the site is named, and nothing else leads there."""

    def named(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(docname), link[2]))
        return f"{link[1]} (`{path.removeprefix('../')}`)" if path.startswith("..") else link[0]

    source[0] = re.sub(r"\[([^]]*)\]\(([^)\s#:]+\.md)(?:#[^)]*)?\)", named, source[0])


def setup(app) -> None:  # type: ignore[no-untyped-def]  # as above
    """Sphinx calls it."""
    app.connect("source-read", _beyond_the_site)
    app.connect("autodoc-process-docstring", _as_written)
