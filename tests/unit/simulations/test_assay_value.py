"""Do sets of assays tell what they tell, cost what they cost, and is the frontier the best for the money?

The model is made by hand and the outcomes are drawn from it, so that what each marker says is known.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.explanation.test_panels import SCHEMA, spec_of

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Modality
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.assay_value import compared_assays, measured, on_frontier
from oncofed.simulations.panel_path import panel_path
from oncofed.simulations.report.panels import assays_picture, dropped_words, named
from oncofed.study.assay_settings import MOST_ASSAYS, Assay, AssaySection, assays_of
from oncofed.survival.network import PrognosisNetwork, network_with

PATIENTS, RATE = 3_000, 0.03
EFFECTS = {"age": 0.7, "gene": 0.35, "other_gene": 0.0}


@pytest.fixture(scope="module")
def network() -> PrognosisNetwork:
    """Of age, its flag, three columns of stage, two genes (a fifth of their value) and their flag."""
    of_columns = [EFFECTS["age"], 0, 0, 0, 0, 5 * EFFECTS["gene"], 5 * EFFECTS["other_gene"], 0]
    spec: ModelSpec = spec_of()
    level = math.log(RATE / SCHEMA.baseline_hazard[0])
    return network_with(spec, np.array([level, level, *of_columns], dtype=np.float64))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Everybody until the event, or 60 months; of a tenth no gene is measured."""
    rng = np.random.default_rng(8)
    z = rng.standard_normal((PATIENTS, 3))
    values = np.column_stack([60 + 15 * z[:, 0], rng.integers(0, 3, PATIENTS), z[:, 1], z[:, 2]])
    ratio = z @ [EFFECTS["age"], EFFECTS["gene"], EFFECTS["other_gene"]]
    until = rng.exponential(1 / (RATE * np.exp(ratio)))
    values[: PATIENTS // 10, 2:] = np.nan
    return Cohort(
        SCHEMA,
        tuple(map(str, range(PATIENTS))),
        values,
        np.zeros((PATIENTS, 1)),
        np.minimum(until, 60)[:, None],
        (until <= 60)[:, None],
    )


ASSAYS = (
    Assay("gene", ("gene",), 300.0, 10.0),
    Assay("age", ("age",), 5.0, 1.0),
    Assay("noise", ("other_gene",), 9.0, 2.0),
)


def test_what_says_more_tells_more_and_noise_tells_nothing(network: PrognosisNetwork, cohort: Cohort) -> None:
    found = compared_assays(network, ASSAYS, cohort, rng=np.random.default_rng(1))
    assert found is not None
    assert (found.patients, found.of) == (PATIENTS - PATIENTS // 10, PATIENTS)
    assert measured(cohort, ASSAYS).sum() == found.patients
    told = {each.assays: each for each in found.options}
    assert len(told) == 8
    assert told[()].told.mean == 0
    assert told["gene", "age", "noise"].price == 314
    assert told["gene", "age", "noise"].days == 10
    assert told["age",].told.low > told["gene",].told.high > told["gene",].told.low > 0
    # A gene of weight 0 changes nothing of what the model says.
    assert told["gene", "age", "noise"].told == told["gene", "age"].told
    assert [each.assays for each in found.frontier] == [(), ("age",), ("gene", "age")]
    dropped = {each.name: each for each in found.dropped}
    assert dropped["noise"].loss.mean == 0
    assert dropped["age"].loss.mean == pytest.approx(told["gene", "age"].told.mean - told["gene",].told.mean)
    assert dropped["gene"].saves == 300
    # What the information of a normal marker is worth at most: half of its variance an event that is seen.
    assert 0.25 * EFFECTS["age"] ** 2 / 2 < told["age",].told.mean < EFFECTS["age"] ** 2 / 2


def test_nobody_is_compared_of_whom_an_assay_is_not_measured(network: PrognosisNetwork, cohort: Cohort) -> None:
    rng = np.random.default_rng(1)
    assert compared_assays(network, (), cohort, rng=rng) is None
    assert compared_assays(network, ASSAYS, cohort.subset(range(20)), rng=rng) is None


def test_the_frontier_has_what_tells_more_than_all_that_is_as_cheap() -> None:
    assert on_frontier([0, 5, 5, 9, 12], [0.0, 0.1, 0.2, 0.15, 0.21]) == (True, False, True, False, True)
    assert on_frontier([3, 0], [0.1, 0.1]) == (False, True)


def test_it_is_told_in_words_and_drawn(network: PrognosisNetwork, cohort: Cohort) -> None:
    found = compared_assays(network, ASSAYS, cohort, rng=np.random.default_rng(1))
    assert found is not None
    gene = next(each for each in found.dropped if each.name == "gene")
    words = dropped_words(gene)
    assert words.startswith(f"Without gene: saves 300 a patient, loses {gene.loss.mean:.3f} (")
    assert words.endswith(" nats.")
    drawn = assays_picture(found)
    assert drawn.count("<circle") == 8
    assert "none of them 0: 0.000; age 5: 0." in drawn
    assert named(()) == "none of them"


def test_what_an_assay_may_not_be_is_told_all_at_once() -> None:
    found, faults = assays_of(
        {"rna": AssaySection(modalities=(Modality.RNA_EXPRESSION,), price=3), "one": AssaySection(markers=("age",))},
        SCHEMA,
    )
    assert (found[0], faults) == (Assay("rna", ("gene", "other_gene"), 3.0, 0.0), [])
    wrong = {
        "rna": AssaySection(modalities=(Modality.RNA_EXPRESSION,)),
        "twice": AssaySection(markers=("gene", "nothing")),
        "empty": AssaySection(),
    }
    _, faults = assays_of(wrong, SCHEMA)
    told = "\n".join(map(str, faults))
    for words in (
        '[assay.twice], markers: "nothing"',
        'shares "gene" with [assay.rna]',
        "[assay.empty]: has no marker",
    ):
        assert words in told
    many = {f"a{place}": AssaySection(markers=("age",)) for place in range(MOST_ASSAYS + 1)}
    assert "above 8" in str(assays_of(many, SCHEMA)[1][-1])


def test_the_first_panel_that_certainly_loses_little_is_told(network: PrognosisNetwork, cohort: Cohort) -> None:
    panels = (("age",), ("age", "gene"), ("age", "gene", "other_gene", "stage"))
    path = panel_path(network, panels, cohort, rng=np.random.default_rng(2))
    assert path is not None
    assert [step.markers for step in path.steps] == [1, 2]
    assert path.smallest == 2
    assert path.steps[1].loss.mean == 0
    assert path.steps[0].loss.low > path.margin * path.told.mean
    assert panel_path(network, panels, cohort.subset([]), rng=np.random.default_rng(2)) is None
