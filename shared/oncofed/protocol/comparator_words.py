"""Which markers do a plan's comparators look at, by the schema, and of which does nothing tell that one is missing?

A marker is told as missing by a flag of its own (`missing_flags = "marker"`) that weighs more than 0. Whoever lacks
another one looks to a comparator as if it were the usual value, and counts as recorded. Imports no torch.
"""

from __future__ import annotations

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.survival.comparators import Comparator
from oncofed.words.language import ENGLISH, Language

REMEDY = 'Give their modality missing_flags of "marker" and a missing_weight above 0.'
_MOST_MARKERS = 8


def markers_of(comparator: Comparator, schema: StudySchema) -> tuple[str, ...]:
    """In the order of its columns, each once."""
    inputs = columns(schema)
    return tuple(dict.fromkeys(inputs[place].source for place in comparator.columns if place < len(inputs)))


def untold_markers(comparator: Comparator, schema: StudySchema) -> tuple[str, ...]:
    """Those of them of which no column differs between who lacks it and who has the usual value."""
    inputs = columns(schema)
    flags = [inputs[place] for place in comparator.missing_columns if place < len(inputs)]
    told = {each.source for each in flags if each.weight}
    return tuple(name for name in markers_of(comparator, schema) if name not in told)


def comparator_words(comparator: Comparator, schema: StudySchema, *, say: Language = ENGLISH) -> str:
    """Its name is a text of the plan, its markers are the schema's."""
    return f"{comparator.name} ({_listed(markers_of(comparator, schema), schema, say)})"


def untold_words(plan: StudyPlan, schema: StudySchema, *, say: Language = ENGLISH) -> str:
    """A sentence; empty where each comparison of the plan is of those whose markers are all recorded."""
    if all(each.kind is not SummaryKind.COMPARISON for each in plan.summaries):
        return ""
    untold = [(each.name, untold_markers(each, schema)) for each in plan.model.comparators]
    found = "; ".join(
        say("%(markers)s of %(name)s", markers=_listed(names, schema, say), name=name)
        for name, names in untold
        if names
    )
    if not found:
        return ""
    return say(
        "Nothing tells of these markers that one is missing, so who lacks it counts as recorded: %(found)s.",
        found=found,
    )


def _listed(names: tuple[str, ...], schema: StudySchema, say: Language) -> str:
    labels = {each.name: each.label_in(say.code) for each in schema.markers}
    shown = ", ".join(labels.get(name) or name for name in names[:_MOST_MARKERS])
    more = len(names) - _MOST_MARKERS
    return say("%(names)s and %(more)s more", names=shown, more=say.figures(f"{more:,}")) if more > 0 else shown
