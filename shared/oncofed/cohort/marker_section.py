"""What may a section [[marker]] of a schema file say, and which markers does it describe?

Refused: constants that a marker's kind does not use, and continuous or ordinal markers without unit range, centre and
scale: those are chosen by people from units and medical knowledge, so there is no default that a table could have
suggested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from oncofed.cohort.expected_effects import expected_ratios, of_categories, with_an_effect
from oncofed.cohort.labels import by_category, of_one_marker, of_some_categories
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.file_model import ABSENT, As, Known, Rule, Wrong, needed_where
from oncofed.toml_file import closest

_NUMERIC = (Kind.CONTINUOUS, Kind.ORDINAL)


def _used_by(*kinds: Kind, needed: Sequence[Kind] = ()) -> Rule:
    """A field that a marker's kind does not use is a misunderstanding, and worth its own words."""

    def judge(value: Any, known: Known) -> Any:
        kind = known.before.get("kind")
        if kind is not None and value is not None and kind not in kinds:
            raise Wrong(f"is not used by a {kind.value} marker", "Remove it, or change kind.")
        if value is None and kind in needed:
            raise Wrong(*ABSENT)
        return value

    return Rule(judge)


def some_names(names: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    if names == ():
        raise Wrong("names no marker", "Name at least one.")
    return names


def name_or_names(name: str | None, known: Known) -> str | None:
    names = known.before.get("names", ())
    if name is None and names is None:
        raise Wrong(*ABSENT)
    if name is not None and names:
        raise Wrong("stands beside names", "Keep one of the two.")
    return name


def _lowest_first(span: tuple[float, ...] | None, known: Known) -> tuple[float, ...] | None:
    if span is not None and not span[0] < span[1]:
        raise Wrong("is reversed or empty", "Write [lowest, highest], the lowest first.")
    return span


def _inside(centre: float | None, known: Known) -> float | None:
    span = (0.0, 1.0) if known.before.get("kind") is Kind.BINARY else known.before.get("plausible_range")
    if centre is not None and span is not None and not span[0] <= centre <= span[1]:
        raise Wrong("lies outside the plausible range", "Choose the public centre inside the range.")
    return centre


def _all_that_occur(categories: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    if categories is not None and len(categories) < 2:
        raise Wrong("has fewer than two categories", "Name all that can occur.")
    return categories


def _among_categories(reference: str | None, known: Known) -> str | None:
    categories = known.before.get("categories")
    if reference is not None and categories and reference not in categories:
        raise Wrong("is not among categories", closest(reference, list(categories)))
    return reference


@dataclass(frozen=True)
class MarkerSection:
    """A section [[marker]]: one marker, or a group under `names` that shares every other field."""

    modality: Modality
    """Which multipliers apply, and how the report groups it."""
    kind: Kind
    """What its cells are, and which other keys it needs and refuses ([table](schema.md#marker))."""
    names: Annotated[tuple[str, ...] | None, As("Marker.name"), Rule(some_names)] = None
    """Instead of `name`: several columns that share every other field of this section."""
    name: Annotated[str | None, As("Marker.name"), Rule(name_or_names, needed=True)] = None
    """The column's name in the table, exactly."""
    unit: Annotated[str, As("Marker.unit"), needed_where("kind", Kind.CONTINUOUS)] = ""
    """Required for `continuous`. Shown in faults and in the report, so a hospital knows what to deliver."""
    plausible_range: Annotated[
        tuple[float, ...] | None,
        As("Marker.plausible_range"),
        _used_by(*_NUMERIC, needed=_NUMERIC),
        Rule(_lowest_first),
    ] = None
    """Required for `continuous` and `ordinal`. A value outside is a fault: most often another unit."""
    reference_range: Annotated[
        tuple[float, ...] | None, As("Marker.reference_range"), _used_by(*_NUMERIC), Rule(_lowest_first)
    ] = None
    """Only `continuous` and `ordinal`: the usual range in health, as a laboratory states it. Shown beside a patient's
    value on a [hospital's pages](pages.md); it has no effect on the model."""
    centre: Annotated[float, As("Marker.centre"), _used_by(*_NUMERIC, Kind.BINARY, needed=_NUMERIC), Rule(_inside)] = (
        Marker.centre
    )
    """Required for `continuous` and `ordinal`: the value of the reference patient. Inside `plausible_range`; for
    `binary`, between 0 and 1."""
    scale: Annotated[float, As("Marker.scale"), _used_by(*_NUMERIC, Kind.BINARY, needed=_NUMERIC)] = Marker.scale
    """Required for `continuous` and `ordinal`: what counts as one step."""
    categories: Annotated[
        tuple[str, ...],
        As("Marker.categories"),
        _used_by(Kind.CATEGORICAL, needed=[Kind.CATEGORICAL]),
        Rule(_all_that_occur),
    ] = ()
    """Required for `categorical`: every word that may occur, spelt as in the table (capitals count), at least two."""
    reference_category: Annotated[
        str,
        As("Marker.reference_category"),
        _used_by(Kind.CATEGORICAL, needed=[Kind.CATEGORICAL]),
        Rule(_among_categories),
    ] = ""
    """Required for `categorical`: the one of the reference patient."""
    missing_codes: Annotated[tuple[str, ...] | None, As("Marker.missing_codes")] = None
    """Cells that mean "not measured" for this marker, instead of those in `[schema]`. Numbers are compared as numbers:
    `-999` is also -999.0."""
    weight: Annotated[float, As("Marker.weight")] = Marker.weight
    """Multiplies this marker's columns, beside its modality's weight."""
    expected_log_hazard_ratio: Annotated[
        float | None, As("Marker.expected_log_hazard_ratios"), _used_by(*_NUMERIC, Kind.BINARY)
    ] = None
    """The published effect of one `scale` on the first endpoint: the logarithm of its hazard ratio, beside the other
    markers of the schema. The model starts from it, and weight decay pulls to it instead of zero
    ([how](schema.md#effects-that-are-known-before)). Not for `categorical`."""
    expected_log_hazard_ratios: Annotated[
        Mapping[str, float] | None,
        As("Marker.expected_log_hazard_ratios"),
        _used_by(Kind.CATEGORICAL),
        Rule(of_categories),
    ] = None
    """The same of `categorical`: of some of its categories, each against the reference one, as in
    `{ stage_iv = 1.2 }`. Those that are not named have 0."""
    expected_source: Annotated[str, As("Marker.expected_source"), Rule(with_an_effect)] = ""
    """Required beside an expected effect: who published it. Hospitals read it in the plan."""
    label_de: Annotated[str, As("Marker.label_de"), Rule(of_one_marker)] = ""
    """How a hospital's pages call it in German, such as `Alter`. Without one: its name, in words. Not beside `names`.
    """
    category_labels_de: Annotated[
        Mapping[str, str] | None, As("Marker.category_labels_de"), _used_by(Kind.CATEGORICAL), Rule(of_some_categories)
    ] = None
    """The same of some of its categories, as in `{ lung = "Lunge" }`. Only `categorical`."""

    def markers(self, missing_codes: tuple[str, ...]) -> list[Marker]:
        """missing_codes: of the header."""
        return [
            Marker(
                name=name,
                modality=self.modality,
                kind=self.kind,
                unit=self.unit,
                plausible_range=_pair(self.plausible_range),
                centre=self.centre,
                scale=self.scale,
                categories=self.categories,
                reference_category=self.reference_category,
                missing_codes=missing_codes if self.missing_codes is None else self.missing_codes,
                weight=self.weight,
                reference_range=_pair(self.reference_range),
                expected_log_hazard_ratios=expected_ratios(
                    self.expected_log_hazard_ratio, self.expected_log_hazard_ratios, self.categories
                ),
                expected_source=self.expected_source,
                label_de=self.label_de,
                category_labels_de=by_category(self.category_labels_de, self.categories),
            )
            for name in self.names or (self.name,)
            if name is not None
        ]


def _pair(span: tuple[float, ...] | None) -> tuple[float, float] | None:
    return None if span is None else (span[0], span[1])
