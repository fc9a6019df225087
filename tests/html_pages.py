"""What would a browser make of a page, and does anything in it run or load?"""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "$\\frac{broken",
    "</text></svg><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
)


class Page(HTMLParser):
    """Tags, attributes and visible text, as a browser's parser would find them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._hidden += tag == "style"
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def unsafe(html: str) -> list[str]:
    """Everything by which a page runs code or loads something."""
    found = Page(html)
    loading = {
        "script",
        "link",
        "img",
        "image",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "video",
        "audio",
        "feimage",
    }
    problems = [f"<{tag}>" for tag in found.tags if tag in loading]
    for tag, name, value in found.attributes:
        if name.startswith("on") or name in ("src", "srcset", "action", "background", "poster"):
            problems.append(f"{tag} {name}")
        if name.endswith("href") and not value.startswith("#"):
            problems.append(f"{tag} {name}={value}")
        if re.search(r"url\((?!#)", value):
            problems.append(f"{tag} {name}={value}")
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL))
    problems += [word for word in ("@import", "url(", "http") if word in styles]
    return problems
