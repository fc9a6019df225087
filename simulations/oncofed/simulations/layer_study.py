"""How near do the values of a trained model come to those of the true hazard?

`python -m oncofed.simulations.layer_study`: for each seed a layered consortium is made (`synthetic.layered`), a fourth
of its patients set aside, a linear network trained on the others with its layers taken away by turns, without privacy,
and its values on those set aside are written beside the values of the true hazard on the same patients. z is the
difference in standard errors of the first: it has the model's error in it and no chance of who was set aside. With
--repeats the same is done for so many small consortia, of which only the layer that says nothing is looked at: how
often its intervals hold 0. With --released the same model's values are told as hospitals would release them, on those
set aside and on everybody (as a validation would), at epsilon 3 with shared noise: how far the model is held, by how
much that changes them, and how much of their standard error is noise.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from oncofed.client.patients.summaries import KINDS, cut
from oncofed.privacy.policy import WantedSummary, calibrated_together
from oncofed.privacy.releases import summary_release
from oncofed.protocol.gain_layout import gain_layout, layout_of
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, SharedNoise
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.evaluation.gains import Sums, endpoint_values, sums_of
from oncofed.simulations.lab.patients import Patients, read_cohort, split
from oncofed.simulations.lab.privacy import no_privacy
from oncofed.simulations.lab.strategies import FedAdam, prognosis
from oncofed.simulations.lab.training import Run, train
from oncofed.simulations.layer_value import gains_by_layers
from oncofed.simulations.synthetic.layered import LAYERS, SAYS_NOTHING, LayeredConsortium, generate_layered
from oncofed.simulations.synthetic.layered_truth import true_gains
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.layer_values import LayerValue, LayerValues, Value, layer_values
from oncofed.survival.likelihood import PatientTensors, patient_tensors
from oncofed.survival.network import parameter_vector

_KINDS = ("share", "alone", "last")


_NAMES = [layer.value for layer in LAYERS]


def trained_on(consortium: LayeredConsortium, *, rounds: int, learning_rate: float) -> tuple[Run, Patients, Patients]:
    """On three fourths; and the others, and everybody."""
    cohort = read_cohort(consortium.table, consortium.schema)
    hospitals, test = split(cohort, test=0.25, seed=consortium.seed)
    run = train(
        hospitals,
        privacy=no_privacy(),
        network=prognosis(hidden=[]),
        strategy=FedAdam(learning_rate=learning_rate),
        layers=_NAMES,
        rounds=rounds,
        progress=False,
    )
    return run, test, cohort


def both_values(consortium: LayeredConsortium, run: Run, test: Patients) -> tuple[LayerValues, LayerValues]:
    """Of the model, and of the true hazard, on those set aside of whom all is measured."""
    names = _NAMES
    place = pd.Index(consortium.table["patient_id"]).get_indexer(list(test.cohort.patient_ids))
    whole = consortium.patients.measured[place].all(axis=1)
    compared = test.cohort.subset(np.flatnonzero(whole))
    gains = gains_by_layers(run.model.network, run.model.spec.layers, compared, 0)
    true = true_gains(consortium.patients.rows(place[whole]))
    return (
        layer_values(gains, names, rng=np.random.default_rng([consortium.seed, 5])),
        layer_values(true, names, rng=np.random.default_rng([consortium.seed, 6])),
    )


WITHIN = (1.0, 1.5, 2.5)
_FREELY = 1e3
"""So much that nobody is held."""


def released_table(run: Run, patients: Patients, *, hospitals: int) -> pd.DataFrame:
    """One row a bound and layer: shares on these patients, and standard errors of one release.

    share  of the model as it is; held_share: as held within the bound, before any noise. error: of a release, of which
           noise_error is the noise's part. The noise is that of epsilon 3 in mode `distributed`, 2 hospitals may be
           absent and 2 collude, a fifth of the budget beside 60 rounds.
    """
    tensors, weights = patient_tensors(patients.cohort), parameter_vector(run.model.network)
    rows = []
    freely, _ = _sums(run, tensors, weights, within=_FREELY)
    for within in WITHIN:
        sums, noise = _sums(run, tensors, weights, within=within, hospitals=hospitals)
        values, exact = (endpoint_values(each, _NAMES, fewest=0.0) for each in (sums, freely))
        assert values.values is not None
        assert exact.values is not None
        for layer, as_it_is in zip(values.values.layers, exact.values.layers, strict=True):
            of_noise = noise / values.compared.patients
            rows.append(
                {
                    "within": within,
                    "compared": values.compared.patients,
                    "held": values.held,
                    "layer": layer.name,
                    "share": as_it_is.share.mean,
                    "held_share": layer.share.mean,
                    "error": math.hypot(layer.share.standard_error, of_noise),
                    "noise_error": of_noise,
                }
            )
    return pd.DataFrame(rows)


def _sums(
    run: Run, patients: PatientTensors, weights: FloatArray, *, within: float, hospitals: int = 20
) -> tuple[Sums, float]:
    """The sums of a release, as if they had no noise; and the noise, in nats, of a share's."""
    cells = layout_of(SummaryKind.VALUE, len(LAYERS), endpoints=1, within=within).cells
    spec = SummarySpec("value", SummaryKind.VALUE, cells, 1.0, edges=(within,))
    shared = PrivacySpec(PrivacyMode.DISTRIBUTED, 3.0, 1e-6, 0.0, 1.0, shares=SharedNoise(hospitals, 2, 2))
    asked = replace(run.plan.training, rounds=60)
    privacy, (noised,) = calibrated_together(
        asked, shared, [WantedSummary(spec, 0.2)], parameters=run.plan.model.parameters
    )
    layout = gain_layout(run.plan, spec)
    noise = summary_release(noised, privacy).noise_of_sum(hospitals=hospitals) / layout.weights[0]
    added = cut(torch.as_tensor(KINDS[spec.kind].rows(run.plan, spec, weights, patients)), usable=patients.usable)
    (sums,) = sums_of(layout, added.sum(dim=0).numpy(), noise_of_sum=0.0)
    return sums, noise


def table_of(found: LayerValues, true: LayerValues) -> pd.DataFrame:
    """One row a layer: found, true and z of each kind."""
    rows = []
    for ours, theirs in zip(found.layers, true.layers, strict=True):
        row: dict[str, object] = {"layer": ours.name}
        for kind in _KINDS:
            mine, truth = _of(ours, kind), _of(theirs, kind)
            row |= {kind: mine.mean, f"{kind}_true": truth.mean, f"{kind}_se": mine.standard_error}
            row |= {f"{kind}_z": (mine.mean - truth.mean) / mine.standard_error}
        rows.append(row)
    return pd.DataFrame(rows)


def _of(layer: LayerValue, kind: str) -> Value:
    value = getattr(layer, kind)
    assert isinstance(value, Value)
    return value


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncofed.simulations.layer_study")
    parser.add_argument("--seeds", default="1", help="separated by commas")
    parser.add_argument("--patients", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=192)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--hospitals", type=int, default=8)
    parser.add_argument("--released", action="store_true", help="as hospitals would release them")
    parser.add_argument("--repeats", type=int, default=0, help="small consortia from seed 1000 on, in place of seeds")
    asked = parser.parse_args()
    write = sys.stdout.write
    held = dict.fromkeys(_KINDS, 0)
    for seed in range(1000, 1000 + asked.repeats):
        consortium = generate_layered(patients=asked.patients, hospitals=2, seed=seed)
        run, test, _ = trained_on(consortium, rounds=asked.rounds, learning_rate=asked.learning_rate)
        found, _ = both_values(consortium, run, test)
        (nothing,) = (each for each in found.layers if each.name == SAYS_NOTHING.value)
        for kind in _KINDS:
            held[kind] += _of(nothing, kind).low <= 0 <= _of(nothing, kind).high
        write(f"{seed - 999} consortia, intervals that hold 0: {held}\n")
        sys.stdout.flush()
    for seed in [] if asked.repeats else map(int, asked.seeds.split(",")):
        consortium = generate_layered(patients=asked.patients, hospitals=asked.hospitals, seed=seed)
        run, test, everybody = trained_on(consortium, rounds=asked.rounds, learning_rate=asked.learning_rate)
        found, true = both_values(consortium, run, test)
        told = table_of(found, true).round(4).to_string(index=False)
        write(f"seed {seed}: {found.patients} patients compared\n{told}\n")
        for whom, some in {"set aside": test, "everybody": everybody}.items() if asked.released else ():
            told = released_table(run, some, hospitals=asked.hospitals).round(4).to_string(index=False)
            write(f"seed {seed}, released, {whom}\n{told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
