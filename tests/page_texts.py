"""Which texts do pages and reports have, and what do the catalogs lack? Found in their code and templates, unseen.

`python -m tests.page_texts de` writes what the catalog lacks, as entries to be filled in, and what nobody says any
more.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from oncofed.client.pages.rendering import templates_in
from oncofed.client.quality.page import templates_in as of_quality
from oncofed.server.pages.application import templates_in as of_coordinator
from oncofed.server.report.html_page import templates_of
from oncofed.words.catalog import Entry
from oncofed.words.language import ENGLISH
from oncofed.words.languages import catalog_entries

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "client/oncofed/client/pages"
TAKEN_FROM = (
    "client/oncofed/client/records/audit_entries.py",
    "client/oncofed/client/patients/cohort_explanation.py",
    "shared/oncofed/treatment/trial_words.py",
    "simulations/oncofed/simulations/report",
    "server/oncofed/server/pages",
    "server/oncofed/server/report",
    "server/oncofed/server/rounds/admission.py",
    "server/oncofed/server/deployment/consortium_file.py",
    "client/oncofed/client/install/peers.py",
    "shared/oncofed/ranges.py",
    "shared/oncofed/privacy/releases.py",
    *(f"shared/oncofed/protocol/{name}_words.py" for name in ("comparator", "leaving", "plan")),
    "client/oncofed/client/quality",
    *(f"shared/oncofed/{folder}" for folder in ("words", "explanation", "picture", "local_pages")),
)
"""Whose words stand on the pages, too."""


@dataclass(frozen=True)
class Text:
    """One text of a page. place: where it was found."""

    text: str
    plural: str = ""
    context: str = ""
    place: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.context, self.text


@cache
def texts() -> dict[tuple[str, str], Text]:
    """Of templates and code, by context and text. One that is told of several stands as such."""
    found: dict[tuple[str, str], Text] = {}
    for each in (*_of_templates(), *_of_code()):
        if each.key not in found or (each.plural and not found[each.key].plural):
            found[each.key] = each
    return found


def _of_templates() -> Iterator[Text]:
    reports = (templates_of(f"oncofed.{each}.report", ENGLISH) for each in ("simulations", "server"))
    for environment in (templates_in(ENGLISH), of_coordinator(ENGLISH), of_quality(ENGLISH), *reports):
        yield from _of_environment(environment)


def _of_environment(environment: jinja2.Environment) -> Iterator[Text]:
    for name in environment.list_templates(extensions=["j2"]):
        assert environment.loader is not None
        source, _, _ = environment.loader.get_source(environment, name)
        for line, function, said in environment.extract_translations(source):  # type: ignore[attr-defined]
            parts = [said] if isinstance(said, str) else [each for each in said if each is not None]
            place = f"{name}:{line}"
            if function == "ngettext":
                yield Text(parts[0], plural=parts[1], place=place)
            elif function == "pgettext":
                yield Text(parts[1], context=parts[0], place=place)
            else:
                yield Text(parts[0], place=place)


def _of_code() -> Iterator[Text]:
    folders = [PAGES, *(ROOT / each for each in TAKEN_FROM)]
    files = [path for each in folders for path in ([each] if each.is_file() else sorted(each.rglob("*.py")))]
    for path in files:
        if path == PAGES / "preparation.py":
            continue  # says to a terminal
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from _of_call(node, f"{path.name}:{node.lineno}")


def _of_call(node: ast.Call, place: str) -> Iterator[Text]:
    """Of `say("...")`, `self.say("...")`, `later("...")` and `say.several("one", "many", n)`."""
    called, given = node.func, [each.value for each in node.args if isinstance(each, ast.Constant)]
    said = [each for each in given if isinstance(each, str)]
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    if name == "several":
        yield Text(said[0], plural=said[1], place=place)
    elif name in ("say", "later", "Filled") and said:
        named = [each.value for each in node.keywords if each.arg == "context"]
        own = [str(each.value) for each in named if isinstance(each, ast.Constant)]
        contexts = own or ["", *said[1:]]
        yield from (Text(said[0], context=each, place=place) for each in contexts)


def written(text: str) -> str:
    """As a `.po` file quotes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _stub(each: Text) -> str:
    lines = [f"#: {each.place}"]
    if each.context:
        lines.append(f"msgctxt {written(each.context)}")
    lines.append(f"msgid {written(each.text)}")
    if each.plural:
        lines += [f"msgid_plural {written(each.plural)}", 'msgstr[0] ""', 'msgstr[1] ""']
    else:
        lines.append('msgstr ""')
    return "\n".join(lines)


def entries(code: str) -> dict[tuple[str, str], Entry]:
    """Of a catalog, without its header."""
    return {(each.context, each.text): each for each in catalog_entries(code) if each.text}


def main(code: str) -> None:
    there, wanted = entries(code), texts()
    for key, each in wanted.items():
        if key not in there:
            print(_stub(each), end="\n\n")
    for key in there.keys() - wanted.keys():
        print(f"# nobody says any more: {key}")


if __name__ == "__main__":
    main(sys.argv[1])
