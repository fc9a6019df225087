"""What was published of a marker's effect, as a schema says it, and which linear weights does that make?

A published effect is public knowledge: a model that starts from it, and whose weights decay to it instead of zero,
costs no patient anything. It is of the schema's first endpoint. Bounds and noise do not look at where weights come
from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import Kind, StudySchema
from oncofed.errors import Fault
from oncofed.file_model import Known, Wrong
from oncofed.ranges import RANGES, told
from oncofed.toml_file import closest


def expected_weights(schema: StudySchema) -> tuple[float, ...]:
    """(columns,): linear weights that give each marker its published effect on the first endpoint; 0 where none is.

    Empty where the schema has none at all. A column that is multiplied by 0 says nothing, and has 0.
    """
    effects: dict[tuple[str, str], float] = {}
    for marker in schema.markers:
        names = marker.categories if marker.kind is Kind.CATEGORICAL else ("",)
        effects |= zip(((marker.name, name) for name in names), marker.expected_log_hazard_ratios, strict=False)
    found = tuple(
        effects.get((column.source, column.category), 0.0) / column.weight
        if column.role is not Role.MISSING and column.weight
        else 0.0
        for column in columns(schema)
    )
    return found if any(found) else ()


def effect_faults(schema: StudySchema, *, where: str) -> list[Fault]:
    """Effects that make a linear weight which no plan may have: it is the effect over the column's public weight."""
    span, of_column = RANGES["ModelSpec.expected_weights"], dict[str, float]()
    for column, expected in zip(columns(schema), expected_weights(schema), strict=False):
        if expected not in span:
            of_column.setdefault(column.source, column.weight)
    remedy = "Raise weight of the marker or of its modality, or leave the effect out."
    what = f"is over a public weight of {{:g}} more than a model may start from ({told(span.most)})"
    return [
        Fault(f'{where}: [[marker]] "{name}", expected_log_hazard_ratio', what.format(weight), remedy)
        for name, weight in of_column.items()
    ]


def expected_ratios(
    of_scale: float | None, of_category: Mapping[str, float] | None, categories: Sequence[str]
) -> tuple[float, ...]:
    """As `Marker.expected_log_hazard_ratios` has them. of_scale, of_category: one of them, or neither."""
    if of_category is not None:
        return tuple(of_category.get(category, 0.0) for category in categories)
    return () if of_scale is None else (of_scale,)


def of_categories(expected: Mapping[str, float] | None, known: Known) -> Mapping[str, float] | None:
    """The rule of effects by category. Before it: `kind`, `categories`, `reference_category`."""
    if expected is None or known.before.get("kind") is not Kind.CATEGORICAL:
        return expected
    categories, reference = known.before.get("categories", ()), known.before.get("reference_category")
    others = [category for category in categories if category != reference]
    if not expected:
        raise Wrong("names no category", "Name one, or leave it out.")
    if reference in expected:
        raise Wrong("names the reference category, against which the others are told", "Remove it.")
    if unknown := [category for category in expected if category not in others]:
        raise Wrong(f'names "{unknown[0]}", which is none of the categories', closest(unknown[0], others))
    return expected


def with_an_effect(source: str | None, known: Known) -> str | None:
    """The rule of a source. Before it: either kind of effect, of which a marker's kind allows one."""
    keys = ("expected_log_hazard_ratio", "expected_log_hazard_ratios")
    if not all(key in known.before for key in keys):  # its own fault is told
        return source
    told = [known.before[key] is not None for key in keys]
    if any(told) and not source:
        raise Wrong("is missing", "Say who published the effect, such as an author, journal and year.")
    if source and not any(told):
        raise Wrong("is the source of no effect", "Write expected_log_hazard_ratio, or remove it.")
    return source
