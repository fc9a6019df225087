"""How good is a model with these settings, on patients who choose settings and nothing else?

Of a study whose split is drawn, they are the validation patients of `[evaluation] part`, who are in the test part of no
reserved seed. Where a second table assigns the test patients, they are a fifth of the others, which the seed picks. A
run's own test part is looked at by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.simulations.comparison import horizon_of
from oncofed.simulations.evaluation import compared_until, entry_of
from oncofed.simulations.federation import Engine, federate
from oncofed.simulations.partition import Consortium, consortium, pooled
from oncofed.simulations.settings_study.one_place import EVERYBODY, in_one_place
from oncofed.simulations.study import Part, Split, Study
from oncofed.simulations.told import Told
from oncofed.survival.concordance import concordance_index
from oncofed.survival.network import network_with

FOLDS = 5
"""Of training patients, where test patients are assigned."""


@dataclass(frozen=True)
class Judgement:
    """Of the first endpoint. slope: at the study's horizon. events, expected: of the whole follow-up."""

    c_index: float
    slope: float
    events: int
    expected: float


def folds_of(study: Study) -> int:
    """Into how many parts those who choose settings are cut; seed modulo this number is which part a seed has."""
    if study.evaluation.split is Split.ASSIGNED:
        return FOLDS
    return max(2, len(study.evaluation.reserved_seeds))


def with_validation(study: Study, table: pd.DataFrame, schema: StudySchema, *, where: str) -> Consortium:
    """The study's hospitals, and in the place of its test patients those who choose. Raises InvalidInput."""
    evaluation = study.evaluation
    if evaluation.split is Split.RANDOM:
        evaluation = replace(evaluation, part=Part.VALIDATION)
    elif evaluation.split is not Split.ASSIGNED:
        remedy = 'Set split = "random", whose reserved seeds keep test patients apart.'
        raise InvalidInput([Fault("[evaluation], split", "leaves nobody to choose settings by", remedy)])
    cut = consortium(table, schema, where=where, sites=study.sites, evaluation=evaluation, seed=study.seed)
    if evaluation.split is Split.RANDOM:
        return cut
    everybody = pooled(cut.hospitals)
    sites = np.array([site for site, cohort in cut.hospitals.items() for _ in range(len(cohort))], dtype=np.str_)
    parts = np.array_split(np.random.default_rng(99).permutation(len(everybody)), FOLDS)
    judging = np.sort(parts[study.seed % FOLDS])
    learning = np.setdiff1d(np.arange(len(everybody)), judging)

    def by_site(rows: np.ndarray) -> dict[str, Cohort]:
        return {site: everybody.subset(rows[sites[rows] == site]) for site in cut.hospitals}

    return replace(
        cut,
        hospitals=by_site(learning),
        test=everybody.subset(judging),
        held_out=by_site(judging),
        test_sites=sites[judging],
    )


def judged(plan: StudyPlan, patients: Consortium, study: Study) -> Judgement:
    """One training, as if in one place. Noise is the operating system's, and so another each time."""
    everybody = {EVERYBODY: pooled(patients.hospitals)}
    trained = federate(
        in_one_place(plan), everybody, run_folder=None, engine=Engine.GRID, resume=False, figures=lambda *_: {}
    )
    test, horizon = patients.test, horizon_of(patients, study.evaluation)
    model = Told.of(network_with(plan.model, trained.state.weights), torch.as_tensor(encode(test)))
    counted = model.events(test, 0)
    return Judgement(
        c_index=concordance_index(
            risk=model.order(test, 0, horizon),
            time=compared_until(test, 0),
            observed=test.observed[:, 0],
            entry=entry_of(test, 0),
        ),
        slope=model.calibration(test, 0, horizon).slope,
        events=counted.observed,
        expected=counted.expected,
    )
