"""Why is this patient's prognosis what it is? A table, from the delivered model.

The model is verified again (signature, plan, size) before it is used. Relevances are log hazard ratios relative to the
reference patient and add up to the patient's own; the curve is the model's survival for this patient. Nothing leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import OfferedPlan, offered_plans, refuse_unread
from oncofed.client.patients.sources import read_source_cohort
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Marker
from oncofed.errors import Fault, InvalidInput, SignatureInvalid
from oncofed.explanation.relevance import marker_relevance
from oncofed.plain_file import plain_bytes
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan_hash import refuse_short
from oncofed.protocol.study_document import schema_of
from oncofed.protocol.wire_form import LARGEST_MESSAGE
from oncofed.secret_files import LARGEST_SECRET
from oncofed.survival.curves import NOT_REACHED, median_survival
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_count
from oncofed.words.time_shapes import when_words


def explain_patient(folder: NodeFolder, *, beginning: str | None, patient_id: str, most_markers: int) -> Iterator[str]:
    """The lines of the table. Raises InvalidInput for an unknown study or patient; the message names neither value."""
    plan = plan_with_model(folder, beginning)
    network = released_network(folder, plan)
    cohort = present_cohort(folder, plan)
    if patient_id not in cohort.patient_ids:
        remedy = f"Identifiers stand in the column {cohort.schema.patient_id} of the data source."
        raise InvalidInput([Fault("--patient", "no patient of the data source has this identifier", remedy)])
    patient = cohort.subset([cohort.patient_ids.index(patient_id)])
    x = torch.as_tensor(encode(patient))
    yield f"Study {plan.document.plan.study}, patient {patient_id}"
    for number, endpoint in enumerate(plan.document.plan.model.endpoints):
        yield from _of_endpoint(network, patient, x, number=number, endpoint=endpoint, most_markers=most_markers)
    if told := when_words(plan.document.plan.model):
        yield told
    yield "A log hazard ratio above 0 means a worse prognosis than the reference patient's. Research use only."


def _of_endpoint(
    network: PrognosisNetwork, patient: Cohort, x: torch.Tensor, *, number: int, endpoint: str, most_markers: int
) -> Iterator[str]:
    names, by_marker = marker_relevance(network, x, columns(patient.schema), endpoint=number)
    relevance, total = by_marker[0], float(by_marker[0].sum())
    grid = network.spec.grid
    baseline = network.log_baseline_hazard(x)[0, number]
    median = median_survival(np.array([total]), log_baseline_hazard=baseline, grid=grid)[0]
    told = "not reached" if median == NOT_REACHED else f"{median:.0f} {grid.unit}"
    ratio = f"log hazard ratio {total:+.2f} (hazard ratio {np.exp(total):.2f})"
    yield f"\n{endpoint.replace('_', ' ')}: {ratio}, median {told}"
    markers = {marker.name: marker for marker in patient.schema.markers}
    values = dict(zip(markers, patient.values[0], strict=True))
    strongest = np.argsort(-np.abs(relevance))[:most_markers]
    for place in strongest:
        name = names[place]
        marker = markers.get(name)
        value = "" if marker is None else _value(marker, values[name])
        yield f"  {relevance[place]:+7.3f}  {name:32s} {value}"
    rest = total - float(relevance[strongest].sum())
    yield f"  {rest:+7.3f}  all other markers"


def _value(marker: Marker, value: float) -> str:
    if np.isnan(value):
        return "not measured"
    if marker.categories:
        return marker.categories[int(value)]
    return f"{value:g} {marker.unit}".rstrip()


def has_model(folder: NodeFolder) -> bool:
    """Whether a model of any study here has come."""
    return any(folder.models.glob("*.safetensors"))


def plan_with_model(folder: NodeFolder, beginning: str | None) -> OfferedPlan:
    """The one plan with a delivered model whose hash begins so; None: the only one.

    Raises InvalidInput; RecordDamaged: its document.
    """
    if beginning is not None:
        refuse_short(beginning, where="--plan")

    def is_meant(plan_hash: str) -> bool:
        return plan_hash.startswith(beginning or "") and (folder.models / f"{plan_hash}.safetensors").exists()

    plans = offered_plans(folder)
    found = [plan for plan in plans.read if is_meant(plan.plan_hash)]
    unread = [plan for plan in plans.unread if is_meant(plan.plan_hash)]
    if not found:
        refuse_unread(unread)
    if len(found) + len(unread) != 1:  # one that cannot be read is no reason to show another one
        what = "no study here has a model yet" if not found else "several studies have a model"
        remedy = "Name one with --plan; `oncofed site plans NODE` lists them."
        raise InvalidInput([Fault("--plan", what, remedy)])
    return found[0]


def released_network(folder: NodeFolder, plan: OfferedPlan) -> PrognosisNetwork:
    """The delivered model, verified again. Raises SignatureInvalid."""
    agreed = plan.document.plan
    stem = folder.models / agreed.hash
    model = SignedModel(
        plain_bytes(stem.with_suffix(".safetensors"), most=LARGEST_MESSAGE),
        plain_bytes(stem.with_suffix(".signature"), most=LARGEST_SECRET),
    )
    try:
        weights = verified_weights(
            model,
            public_key=plan.coordinator,
            plan_hash=agreed.hash,
            parameters=parameter_count(agreed.model),
        )
    except (SignatureInvalid, InvalidInput):
        raise SignatureInvalid(
            f"the model in {folder.models} is not the one that the coordinator signed: it was changed here. "
            "Remove both of its files and ask the coordinator to deliver it again."
        ) from None
    return network_with(agreed.model, weights)


def present_cohort(folder: NodeFolder, plan: OfferedPlan) -> Cohort:
    """The patients as they are now: explaining one is the hospital's own affair and needs no approval."""
    source = "" if plan.decision is None else plan.decision.data_source
    if not source:
        what, remedy = (
            "was never approved for a data source here",
            "Approve it first; the model came with its approval.",
        )
        raise InvalidInput([Fault("--plan", what, remedy)])
    return read_source_cohort(read_policy(folder.policy).source(source).source, schema_of(plan.document))
