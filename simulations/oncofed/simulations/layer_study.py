"""How near do the values of a trained model come to those of the true hazard?

`python -m oncofed.simulations.layer_study`: for each seed a layered consortium is made (`synthetic.layered`), a fourth
of its patients set aside, a linear network trained on the others with its layers taken away by turns, without privacy,
and its values on those set aside are written beside the values of the true hazard on the same patients. z is the
difference in standard errors of the first: it has the model's error in it and no chance of who was set aside. With
--repeats the same is done for so many small consortia, of which only the layer that says nothing is looked at: how
often its intervals hold 0.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd

from oncofed.simulations.lab.patients import read_cohort, split
from oncofed.simulations.lab.privacy import no_privacy
from oncofed.simulations.lab.strategies import FedAdam, prognosis
from oncofed.simulations.lab.training import train
from oncofed.simulations.layer_value import gains_by_layers
from oncofed.simulations.synthetic.layered import LAYERS, SAYS_NOTHING, LayeredConsortium, generate_layered
from oncofed.simulations.synthetic.layered_truth import true_gains
from oncofed.survival.layer_values import LayerValue, LayerValues, Value, layer_values

_KINDS = ("share", "alone", "last")


def both_values(consortium: LayeredConsortium, *, rounds: int, learning_rate: float) -> tuple[LayerValues, LayerValues]:
    """Of a model that is trained on three fourths, and of the true hazard, on the others of whom all is measured."""
    cohort = read_cohort(consortium.table, consortium.schema)
    hospitals, test = split(cohort, test=0.25, seed=consortium.seed)
    names = [layer.value for layer in LAYERS]
    run = train(
        hospitals,
        privacy=no_privacy(),
        network=prognosis(hidden=[]),
        strategy=FedAdam(learning_rate=learning_rate),
        layers=names,
        rounds=rounds,
        progress=False,
    )
    place = pd.Index(consortium.table["patient_id"]).get_indexer(list(test.cohort.patient_ids))
    whole = consortium.patients.measured[place].all(axis=1)
    compared = test.cohort.subset(np.flatnonzero(whole))
    gains = gains_by_layers(run.model.network, run.model.spec.layers, compared, 0)
    true = true_gains(consortium.patients.rows(place[whole]))
    return (
        layer_values(gains, names, rng=np.random.default_rng([consortium.seed, 5])),
        layer_values(true, names, rng=np.random.default_rng([consortium.seed, 6])),
    )


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
    parser.add_argument("--repeats", type=int, default=0, help="small consortia from seed 1000 on, in place of seeds")
    asked = parser.parse_args()
    write = sys.stdout.write
    held = dict.fromkeys(_KINDS, 0)
    for seed in range(1000, 1000 + asked.repeats):
        consortium = generate_layered(patients=asked.patients, hospitals=2, seed=seed)
        found, _ = both_values(consortium, rounds=asked.rounds, learning_rate=asked.learning_rate)
        (nothing,) = (each for each in found.layers if each.name == SAYS_NOTHING.value)
        for kind in _KINDS:
            held[kind] += _of(nothing, kind).low <= 0 <= _of(nothing, kind).high
        write(f"{seed - 999} consortia, intervals that hold 0: {held}\n")
        sys.stdout.flush()
    for seed in [] if asked.repeats else map(int, asked.seeds.split(",")):
        consortium = generate_layered(patients=asked.patients, seed=seed)
        found, true = both_values(consortium, rounds=asked.rounds, learning_rate=asked.learning_rate)
        told = table_of(found, true).round(4).to_string(index=False)
        write(f"seed {seed}: {found.patients} patients compared\n{told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
