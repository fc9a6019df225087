"""What does [explanations] of a study file ask for: are key markers released, and how much may that cost?

The summaries are of kinds `key_markers` and `interactions` (`protocol.vote_layout`), about the patients whom hospitals
train on. What does not fit schema or model raises InvalidInput when the plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.policy import WantedSummary
from oncofed.protocol.plan import ModelSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.protocol.vote_layout import cells_of

KEY_MARKERS, INTERACTIONS = "key_markers", "interactions"
"""The names of the summaries."""


@dataclass(frozen=True)
class ExplanationRequest:
    """How hospitals release what carries the prognosis. budget_share 0: they do not."""

    budget_share: float = 0.0
    """How much of what the plan's noise lets through goes to this; with that of `[held_out]` it must stay below 1.
    `0.0`: nothing is released. In mode `none`, any number above 0 asks for it."""
    pairs: bool = False
    """Whether pairs of markers that act together are released too, for half of the share. Needs one hidden layer, and a
    model that little noise went into."""
    smallest_shown: float = 500.0
    """Nothing is shown of a group (everybody, one tumour entity) of fewer patients, as counted with their noise."""
    most_votes: int = 10
    """of one patient; at most as many as the schema has markers."""
    largest_effect: float = 0.5
    """In log hazard ratio: a patient's relevance of a marker is cut there before it counts."""
    attempts: int = 1
    """How often hospitals may be asked afresh when an answer was lost; the share pays for all of them."""


def wanted_explanations(
    request: ExplanationRequest, schema: StudySchema, model: ModelSpec
) -> tuple[WantedSummary, ...]:
    """The summaries, if any are asked for. Raises InvalidInput where schema or model has nothing to vote for."""
    if not request.budget_share:
        return ()
    faults = []
    if request.most_votes > len(schema.markers) or len(schema.markers) < 2:
        what = f"is above the {len(schema.markers)} markers of the schema, or there are not even two"
        faults.append(Fault("[explanations], most_votes", what, "Lower it, or leave the section out."))
    if request.pairs and len(model.hidden_units) != 1:
        remedy = "Give [model] hidden_units one number, such as [16], or set pairs = false."
        faults.append(Fault("[explanations], pairs", "needs a model with one hidden layer", remedy))
    if faults:
        raise InvalidInput(faults)
    specs = vote_summaries(schema, request)
    return tuple(WantedSummary(spec, request.budget_share / len(specs)) for spec in specs)


def vote_summaries(schema: StudySchema, request: ExplanationRequest) -> tuple[SummarySpec, ...]:
    """Of the schema's markers and, if asked for, of their pairs; noise and shares are still to be found."""

    def spec(name: str, kind: SummaryKind, votes: VoteSpec) -> SummarySpec:
        return SummarySpec(
            name,
            kind,
            cells_of(kind, votes),
            0.0,
            attempts=request.attempts,
            smallest_shown=request.smallest_shown,
            votes=replace(votes, most_votes=request.most_votes, largest_effect=request.largest_effect),
        )

    markers = spec(KEY_MARKERS, SummaryKind.KEY_MARKERS, vote_spec(schema, with_modalities=True))
    if not request.pairs:
        return (markers,)
    return markers, spec(INTERACTIONS, SummaryKind.INTERACTIONS, vote_spec(schema, with_modalities=False))


def vote_spec(schema: StudySchema, *, with_modalities: bool) -> VoteSpec:
    """with_modalities  whether a modality's missing flag can be voted for, as a marker can."""
    names, encoded = voted_names(schema), columns(schema)
    place = {name: index for index, name in enumerate(names)}
    return VoteSpec(
        column_markers=tuple(place[column.source] for column in encoded),
        markers=len(names) if with_modalities else len(schema.markers),
        entity_columns=entity_columns(schema) if with_modalities else (),
    )


def entity_columns(schema: StudySchema) -> tuple[int, ...]:
    """Of the categories of the tumour entity after the reference one, as `entity_names` has them."""
    return tuple(
        index
        for index, column in enumerate(columns(schema))
        if column.source == schema.tumour_entity and column.role is Role.CATEGORY
    )


def voted_names(schema: StudySchema) -> tuple[str, ...]:
    """Of the places in a vote: the markers, then the modalities that have a flag of their own."""
    markers = tuple(marker.name for marker in schema.markers)
    return tuple(dict.fromkeys((*markers, *(column.source for column in columns(schema)))))


def entity_names(schema: StudySchema) -> tuple[str, ...]:
    """Of the entities in a vote. The first holds the patients of unknown entity, too."""
    marker = next((each for each in schema.markers if each.name == schema.tumour_entity), None)
    if marker is None:
        return ()
    others = [category for category in marker.categories if category != marker.reference_category]
    return (marker.reference_category, *others)
