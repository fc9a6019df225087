"""How is a model's card written for programs? As XML of the Applied Model Card's public schema, v0.2.

Source: https://mc.chai.org/v0.2/schema.xsd (github.com/coalition-for-health-ai/mc-schema), which allows Markdown in
each text. Of `ValueJson` the schema says no more than that it is a text; its forms here are those of the examples that
come with it. Promises: the same card gives the same bytes; numbers are those of metrics.json, not rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as Tree

from oncofed.server.card.model_card import NAMESPACE, Entry, KeyMetrics, ModelCard
from oncofed.server.card.results import Figure
from oncofed.server.card.statement import NOT_STATED

_LEVEL = 95
"""Per cent, as the examples have it."""


def card_xml(card: ModelCard) -> bytes:
    """The document, UTF-8."""
    root = Tree.Element("AppliedModelCard", xmlns=NAMESPACE)
    for entry in card.entries:
        _put(root, entry)
        if entry.place == ("ModelSummary", "Summary"):
            words = Tree.SubElement(_inside(root, ("ModelSummary",)), "Keywords")
            for word in card.keywords:
                Tree.SubElement(words, "Keyword").text = word
    for group in card.metrics:
        _put_metrics(root, group)
    for entry in card.rest:
        _put(root, entry)
    Tree.indent(root, "\t")
    document: bytes = Tree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _put(root: Tree.Element, entry: Entry) -> None:
    Tree.SubElement(_inside(root, entry.place[:-1]), entry.place[-1]).text = entry.said.as_text()


def _inside(root: Tree.Element, place: Sequence[str]) -> Tree.Element:
    """The element at this place, made where it is not there yet."""
    for name in place:
        found = root.find(name)
        root = Tree.SubElement(root, name) if found is None else found
    return root


def _put_metrics(root: Tree.Element, group: KeyMetrics) -> None:
    for entry in group.before:
        _put(root, entry)
    results = Tree.SubElement(_inside(root, ("KeyMetrics", group.name)), "Results")
    for label, value in [each for figure in group.figures for each in _values(figure)] or [("Figures", NOT_STATED)]:
        result = Tree.SubElement(results, "MetricResult")
        Tree.SubElement(result, "Label").text = label
        Tree.SubElement(result, "ValueJson").text = json.dumps(value)
    for entry in group.after:
        _put(root, entry)


def _values(figure: Figure) -> Iterator[tuple[str, object]]:
    if figure.expected is not None:
        yield f"{figure.label}: events", {"kind": "single", "value": figure.value, "unit": "events"}
        yield f"{figure.label}: expected events", {"kind": "single", "value": figure.expected, "unit": "events"}
    elif figure.ci95 is None:
        yield figure.label, {"kind": "single", "value": figure.value}
    else:
        low, high = figure.ci95
        interval = {"kind": "estimate_ci", "estimate": figure.value, "lower": low, "upper": high, "level": _LEVEL}
        yield figure.label, interval
