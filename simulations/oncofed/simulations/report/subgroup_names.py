"""What are groups of patients called in a report's language, whom `subgroups` named in English?

A name that is a number with a word about it is told anew; one that the schema gives stays as it is. Categories are told
by the schema's labels where it has them.
"""

from __future__ import annotations

import re

from oncofed.cohort.schema import StudySchema
from oncofed.simulations.results import Subgroup
from oncofed.simulations.subgroups import GROUPED_BY, MISSING
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import category_label, marker_label
from oncofed.words.names import plain_name

_NAMES = (
    later("no"),
    later("yes"),
    later("not recorded"),
    later("nothing"),
    later("up to a tenth"),
    later("more"),
    later("no whole kind of data"),
    later("Hospital"),
    later("What is missing"),
)
_BETWEEN = (
    (re.compile(r"below ([\d.,]+)"), later("below %(low)s")),
    (re.compile(r"([\d.,]+) to below ([\d.,]+)"), later("%(low)s to below %(high)s")),
    (re.compile(r"([\d.,]+) and above"), later("%(low)s and above")),
)


def group_heading(by: str, schema: StudySchema, *, say: Language = ENGLISH) -> str:
    """What the groups of one table have in common."""
    if by in GROUPED_BY:
        return say(GROUPED_BY[by])
    marker = next((each for each in schema.markers if each.name == by), None)
    label = "" if marker is None or not marker.label_in(say.code) else marker_label(marker, say=say)
    return label or plain_name(by)


def group_name(group: Subgroup, schema: StudySchema, *, say: Language = ENGLISH) -> str:
    """Of one line."""
    marker = next((each for each in schema.markers if each.name == group.by), None)
    for category in () if marker is None else marker.categories:
        if plain_name(category) == group.name:
            return category_label(marker, category, say=say) if marker is not None else group.name
    if group.name in _NAMES:
        return say(group.name)
    for shape, text in _BETWEEN:
        if found := shape.fullmatch(group.name):
            low, high = (say.figures(each) for each in (found[1], found[shape.groups]))
            return say(text, low=low, high=high)
    kinds = group.name.split(" and ")
    return say(" and ").join(map(say, kinds)) if group.by == MISSING else group.name
