"""How does a schema call its markers and categories in another language than that of their names?

For a hospital's pages alone: labels have no effect on a model, and schemas without them keep their hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oncofed.file_model import Known, Wrong
from oncofed.toml_file import closest


def of_one_marker(label: str | None, known: Known) -> str | None:
    """The rule of a marker's label. Before it: `names`."""
    if label and known.before.get("names"):
        raise Wrong("is one label of several markers", "Give each marker that has a label a section of its own.")
    return label


def of_some_categories(labels: Mapping[str, str] | None, known: Known) -> Mapping[str, str] | None:
    """The rule of labels by category. Before it: `categories`."""
    categories = known.before.get("categories", ())
    if labels is None or not categories:  # that there are none is told there
        return labels
    if not labels:
        raise Wrong("names no category", "Name one, or leave it out.")
    if unknown := [each for each in labels if each not in categories]:
        raise Wrong(f'names "{unknown[0]}", which is none of the categories', closest(unknown[0], list(categories)))
    return labels


def by_category(labels: Mapping[str, str] | None, categories: Sequence[str]) -> tuple[str, ...]:
    """As `Marker.category_labels_de` has them."""
    return tuple(labels.get(each, "") for each in categories) if labels else ()
