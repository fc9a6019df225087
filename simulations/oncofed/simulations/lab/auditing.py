"""Would an attack on the hospitals of a run succeed? `oncofed audit` on its plan and patients."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from oncofed.client.guard.one_thread import one_thread
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import TrainingMode
from oncofed.simulations.audit.audit import CHECKS, FULL, QUICK, audited
from oncofed.simulations.audit.study_target import target_from
from oncofed.simulations.lab.arguments import instance, maybe, refuse_wrong, several, word, yes_or_no
from oncofed.simulations.lab.patients import SEED, Patients, same_schema, somebody
from oncofed.simulations.lab.training import Run
from oncofed.survival.network import PrognosisNetwork


def audit(
    run: Run,
    test: Patients | None = None,
    *,
    only: Sequence[str] | None = None,
    thorough: bool = False,
    seed: int = 1,
) -> pd.DataFrame:
    """Attack the guards that a run's hospitals had; docs/audit.md says what each check tries.

    test      patients of the same kind whom the attacker knows: nobody who was trained on. None: the run's `set_aside`.
    only      names of checks; None: all of them, which takes minutes.
    thorough  with the samples of `oncofed audit`, else with those of its --quick.
    seed      of the attacks' own choices.
    returns   one row a check: `outcome`, what was `measured`, the `threshold`, and the `defect` that it would notice.
    raises    InvalidInput for a run that promises nothing, has local steps or another network: these are not attacked.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=200, hospitals=3), test=0.25)
    >>> run = of.train(hospitals, privacy=of.local(epsilon=3), rounds=2, progress=False)
    >>> of.audit(run, test, only=["ledger"])["outcome"].to_list()
    ['passed']
    """
    refuse_wrong(
        run=(run, instance(Run, words="a run", remedy="Give what of.train returns.")),
        test=(test, maybe(somebody)),
        only=(only, maybe(several(word(*CHECKS), words="a list of checks", remedy='Write ["ledger"] for one.'))),
        thorough=(thorough, yes_or_no),
        seed=(seed, SEED),
    )
    faults = []
    if not run.releases:
        faults.append(Fault("run", "promises nothing that could be audited", "Train with of.local or of.distributed."))
    if run.plan.training.mode is not TrainingMode.FULL_BATCH:
        faults.append(Fault("run", "has local steps", "Only sums over all patients can be attacked here."))
    if not isinstance(run.model.network, PrognosisNetwork):
        faults.append(Fault("run", "trained another network than a hospital's guard runs", "Use of.prognosis()."))
    test = run.set_aside if test is None else test
    if test is None:
        what = "is left out, and the run set nobody aside whom the attacker could know"
        faults.append(Fault("test", what, "Give them: of.audit(run, test)."))
    if faults:
        raise InvalidInput(faults)
    assert test is not None
    same_schema(run.plan.schema_hash, test=test)
    cohorts = {name: patients.cohort for name, patients in run.hospitals.items()}
    target = target_from(run.plan, cohorts, test.cohort)
    with one_thread():
        verdicts = audited(
            target, effort=FULL if thorough else QUICK, seed=int(seed), only=CHECKS if only is None else tuple(only)
        )
    return pd.DataFrame(
        [
            {
                "check": each.check,
                "outcome": each.outcome.value,
                "measured": each.measured,
                "threshold": each.threshold,
                "defect": each.power.defect,
            }
            for each in verdicts
        ]
    )
