"""What is each kind of data worth to a prognosis? For one's own patients, exactly, and without a charge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from oncofed.cohort.schema import Modality, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.lab.arguments import a_text, maybe, refuse_wrong, several
from oncofed.simulations.lab.model import MODEL, Model
from oncofed.simulations.lab.patients import SEED, Patients, same_schema, somebody
from oncofed.simulations.layer_value import compared_layers
from oncofed.study.value_settings import ValueRequest, layers_of
from oncofed.survival.layer_values import MOST_LAYERS

LAYERS = several(a_text, words="a list of modalities", remedy='Write layers=["rna_expression"], say.')


def value_request(layers: Sequence[str], schema: StudySchema) -> ValueRequest:
    """Of names of modalities. Raises InvalidInput."""
    known = {marker.modality for marker in schema.markers}
    possible = f"Possible: {', '.join(each for each in Modality if each in known)}."
    faults = [Fault("layers", "name a modality that the schema does not have", possible)] * (not {*layers} <= {*known})
    if len(set(layers)) < len(layers):
        faults.append(Fault("layers", "name one more than once", "Name each once."))
    if len(layers) > MOST_LAYERS:
        faults.append(Fault("layers", f"are more than {MOST_LAYERS}", "Each set of them is asked for: name fewer."))
    if faults:
        raise InvalidInput(faults)
    return ValueRequest(tuple(Modality(each) for each in layers))


def value(model: Model, test: Patients, *, layers: Sequence[str] | None = None, seed: int = 1) -> pd.DataFrame:
    """What each layer of data adds to the prognosis, in nats a patient: by itself, as the last one, and its fair share.

    test     patients who were not trained on. Only those of whom something of every layer is recorded are compared.
    layers   modalities of the schema; None: those that the model was trained to do without (`train(layers=...)`).
    seed     of the intervals' simulated quantile.
    returns  one row an endpoint and layer: `share` (Shapley's; shares add up to `together`), `alone` and `last`, each
             with its 95 % interval `*_low`, `*_high`, which hold for all layers of an endpoint at once; `together`, of
             all layers; `patients` that are compared, of `of`; how many have the layer (`measured`); `events` per 100
             units of time among the compared and the `others`; and whether the model was `trained_for` it. A model
             that was not says of patients without a layer what it has never seen. Empty where nobody has all layers.
    raises   InvalidInput.

    A gain is that in log likelihood over what is always known: order and level of risks both count (docs/study.md).

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic_layers(patients=600, hospitals=3), test=0.3)
    >>> layers = ["laboratory", "rna_expression"]
    >>> run = of.train(hospitals, privacy=of.no_privacy(), layers=layers, rounds=30, progress=False)
    >>> found = of.value(run.model, test)
    >>> found["layer"].tolist(), bool((found["share_low"] < found["share"]).all())
    (['laboratory', 'rna_expression'], True)
    """
    refuse_wrong(model=(model, MODEL), test=(test, somebody), layers=(layers, maybe(LAYERS)), seed=(seed, SEED))
    same_schema(model.metadata["schema_hash"], test=test)
    if layers is None:
        asked = model.spec.layers
        if not asked:
            what = "are not said, and the model was trained with everything that there is"
            raise InvalidInput([Fault("layers", what, "Name some, or train with layers=[...].")])
    else:
        asked = layers_of(value_request(layers, test.schema).layers, test.schema)
        if not asked:
            raise InvalidInput([Fault("layers", "are none", "Name at least one.")])
    found = compared_layers(
        model.network, asked, test.cohort, trained_for=model.spec.layers, rng=np.random.default_rng(int(seed))
    )
    rows = []
    for endpoint, each in found.items():
        for one in each.values.layers:
            numbers: dict[str, object] = {"endpoint": endpoint, "layer": one.name}
            for name, number in (("share", one.share), ("alone", one.alone), ("last", one.last)):
                numbers |= {name: number.mean, f"{name}_low": number.low, f"{name}_high": number.high}
            numbers |= {
                "together": each.values.together.mean,
                "patients": each.compared.patients,
                "of": each.compared.patients + each.others.patients,
                "measured": each.measured[one.name],
                "events": each.compared.rate,
                "others": each.others.rate,
                "trained_for": each.trained_for,
            }
            rows.append(numbers)
    return pd.DataFrame(rows)
