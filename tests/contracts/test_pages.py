"""Does every page lead where it says: files, headings, tests?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("simulations/studies/*/README.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OF_THE_LIBRARY = {"test_fraction", "test_pattern"}
"""Settings of a study whose names begin like a test's."""


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, blanks become hyphens, other signs go."""
    headings = re.findall(r"(?m)^#+ (.*)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_site_lists_every_page_of_the_documentation() -> None:
    docs = REPOSITORY / "docs"
    listed = re.findall(r"(?m)^([\w/-]+)$", (docs / "index.md").read_text())
    pages = {str(page.relative_to(docs).with_suffix("")) for page in docs.glob("**/*.md")} - {"index"}
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_links_are_seen_at_all() -> None:
    links = [link for page in PAGES for link in LINK.findall(prose(page))]
    assert len(links) > 30
    assert any("#" in link for link in links)


def test_every_test_that_a_page_names_exists() -> None:
    existing = {
        name for path in REPOSITORY.glob("tests/**/*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    existing |= {path.stem for path in REPOSITORY.glob("tests/**/test_*.py")}
    named = {name for page in PAGES for name in re.findall(r"\b(test_\w+)", prose(page))} - OF_THE_LIBRARY
    assert len(named) > 20
    assert named - existing == set()
