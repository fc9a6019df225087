"""What does drift look like at a node: its delivered model as the pages show it, and its table with days?

A study's table has durations and no days. So a column of the same table, which no schema names, tells each patient's
time zero; it is read here, on the hospital's machine, and goes nowhere.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.fit.adoption import NOBODY_DECIDED, Adoption, adoption_of
from oncofed.client.fit.drift import Drift, drift_of
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.importing.outcomes import DAYS
from oncofed.client.importing.readings import Column
from oncofed.client.install.explaining import plan_with_model, released_network
from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import OfferedPlan
from oncofed.client.pages.recalibration import Decided
from oncofed.client.patients.sources import SourceSpec, read_source
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import StudySchema, TimeUnit
from oncofed.cohort.validation import named_columns, validate
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.study_document import schema_of
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

_SEED_DIGITS = 16


def drift_at(
    folder: NodeFolder, *, plan: str | None, zero_column: str, since: date | None, until: date | None
) -> Drift:
    """
    zero_column  of the data source, with the day of time zero.
    since        the first day that counts; None: that of the adoption.
    until        the last; None: today, or the last day on which the table knows of anybody: time that nobody was
                 watched in would make the model look right.

    Raises InvalidInput, SignatureInvalid, RecordFailure.
    """
    found = plan_with_model(folder, plan)
    plan_hash = found.document.plan.hash
    network = released_network(folder, found)
    adoption = adoption_of(folder, plan_hash, endpoints=network.spec.endpoints)
    start, end = _watched(adoption, since, until)
    schema = schema_of(found.document)
    cohort, zero_days = dated_patients(_source(folder, found), schema, zero_column)
    if until is None:
        end = min(end, last_day(cohort, zero_days, DAYS[TimeUnit(schema.grid.unit)]))
        if end <= start:
            what, remedy = "lies after the last day of which the table knows", "Give an earlier day, or a newer table."
            raise InvalidInput([Fault("--since", what, remedy)])
    decided = NOBODY_DECIDED if adoption is None else adoption.decided()
    shown, deviations = as_shown(network, encode(cohort), decided)
    return drift_of(
        cohort,
        zero_days,
        shown,
        deviations=deviations,
        days_per_unit=DAYS[TimeUnit(schema.grid.unit)],
        start=start,
        end=end,
        rng=np.random.default_rng(int(plan_hash[:_SEED_DIGITS], 16)),  # the same table, the same thresholds
    )


def _watched(adoption: Adoption | None, since: date | None, until: date | None) -> tuple[float, float]:
    """The day before the first, and the last."""
    begin = since or (None if adoption is None else date.fromisoformat(adoption.day))
    if begin is None:
        what = "is not given, and no adoption says from which day on the model was to be right"
        raise InvalidInput([Fault("--since", what, "Give the first day to watch, such as when the model came.")])
    end = until or datetime.now(UTC).date()
    if end <= begin:
        what = "does not lie before the last day to watch"
        raise InvalidInput([Fault("--since", what, "Give an earlier day, or a later --until.")])
    return begin.toordinal() - 1.0, float(end.toordinal())


def _source(folder: NodeFolder, plan: OfferedPlan) -> SourceSpec:
    source = "" if plan.decision is None else plan.decision.data_source
    if not source:
        what, remedy = "was never approved for a data source here", "Approve it first."
        raise InvalidInput([Fault("--plan", what, remedy)])
    return read_policy(folder.policy).source(source).source


def dated_patients(source: SourceSpec, schema: StudySchema, zero_column: str) -> tuple[Cohort, FloatArray]:
    """The patients, and (patients,) ordinals of time zero, NaN where the cell is empty. Raises InvalidInput."""
    where = f"data source {source.name}"
    table = read_source(source, columns=[*named_columns(schema), zero_column])
    places = [place for place, name in enumerate(table.columns) if plain(str(name)) == plain(zero_column)]
    about = f'{where}: column "{zero_column}"'
    if len(places) != 1:
        remedy = "Name the column with the day of time zero; a statement on a database has to select it."
        raise InvalidInput([Fault(about, "is missing from the table, or there twice", remedy)])
    cohort = validate(table, schema, where=where)
    days, malformed = Column(table.iloc[:, places[0]]).days("YYYY-MM-DD", [])
    faults = []
    if count := int(malformed.sum()):
        faults.append(Fault(about, "holds what is no day", "Write YYYY-MM-DD, or leave the cell empty.", count))
    elif np.isnan(days).all():
        faults.append(Fault(about, "is empty", "Name the column with the day of time zero."))
    if faults:
        raise InvalidInput(faults)
    return cohort, days


def last_day(cohort: Cohort, zero_days: FloatArray, days_per_unit: float) -> float:
    """The ordinal of the last day of anybody's follow-up, of whom time zero is known."""
    return float(np.nanmax(np.floor(zero_days + cohort.exit.max(axis=1) * days_per_unit)))


def as_shown(network: PrognosisNetwork, encoded: FloatArray, decided: Decided) -> tuple[FloatArray, list[float]]:
    """(patients, endpoints, intervals) log hazards as patients' pages show them, and of each endpoint how exactly the
    adopted level is known: the standard deviation of its log, for the middle of these patients.
    """
    x = torch.as_tensor(encoded)
    with torch.no_grad():
        ratio = network(x).numpy()
    shown, deviations = np.array(network.log_baseline_hazard(x), dtype=np.float64), []
    for number in range(shown.shape[1]):
        fit, of_all = decided.fits.get(number), ratio[:, number]
        if fit is None:
            shown[:, number] += of_all[:, None]
            deviations.append(0.0)
            continue
        shown[:, number] += fit.slope * of_all[:, None] + fit.corrections
        intervals = len(fit.corrections)
        middle = np.append(np.full(intervals, 1 / intervals), of_all.mean())
        deviations.append(float(np.sqrt(middle @ fit.covariance @ middle)))
    return shown, deviations
