"""What does a run say by itself of what came out? TRIPOD+AI items 20 to 27, and the figures of a model card.

Pure functions of what is known; a number is taken from the figures and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from oncofed.cohort.schema import DeathPolicy
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.card.known import Known, Origin, interval
from oncofed.server.evaluation.calibration import RIGHT_SLOPE
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, whole

_FEW_EVENTS = 100
"""What an evaluation needs at least (Vergouwe et al., Journal of Clinical Epidemiology 58, 2005)."""


@dataclass(frozen=True)
class Figure:
    """One number with its name, and its 95 % interval where there is one.

    expected  of a count of events: how many the model expected.
    """

    label: str
    value: float
    ci95: tuple[float, float] | None = None
    expected: float | None = None

    @property
    def shown(self) -> str:
        if self.expected is None:
            return interval(self.value, self.ci95)
        return f"{whole(self.value)} events, {decimals(self.expected, 1)} expected"


def results_said(known: Known) -> Mapping[str, str]:
    """By number of the item."""
    return {
        "20a": _flow(known),
        "20b": _characteristics(known),
        "21": participants(known),
        "22": files(known),
        "23a": "\n".join(
            _listed(
                [
                    *discrimination(known),
                    *calibration(known),
                    *comparisons(known),
                    *gains(known),
                    *by_type(known),
                    *by_group(known),
                ]
            )
        )
        or "No figure was computed or released.",
        "23b": "\n".join(_listed([*left_out(known), *by_hospital(known)]))
        or "Not examined: no hospital tells figures of its own.",
        "24": "No model was updated.",
        "26": "\n".join(f"- {each}" for each in limitations(known)),
        "27a": input_quality(known),
        "27b": (
            "Markers are given in the units and codes of schema.toml. Nobody needs to impute, scale or choose anything."
        ),
    }


def _listed(figures: Sequence[Figure]) -> list[str]:
    return [f"- {each.label}: {each.shown}" for each in figures]


def _flow(known: Known) -> str:
    told = participants(known)
    notes = [str(each) for each in known.value("notes") or ()]
    return " ".join([told, *notes])


def _characteristics(known: Known) -> str:
    if known.simulated:
        return "The report (report.html) tells patients, events, follow-up and missing values of each hospital."
    return "No hospital released the characteristics of its patients."


def participants(known: Known) -> str:
    """Patients and events of each analysis, as far as anybody tells."""
    main = plain_name(known.plan.model.endpoints[0])
    if known.simulated:
        trained = (
            f"{known.whole('training', 'patients')} patients ({known.whole('training', 'events')} events of {main})"
        )
        test, events = known.value("test", "patients"), known.value("test", "events")
        return f"Trained on {trained}; measured on {whole(test)} others ({whole(events)} events). No other analysis."
    counted = [
        f"{plain_name(name)}: {interval(told['value'], _ci95(told), 0)} patients set aside, as counted with noise"
        for name in known.plan.model.endpoints
        if (told := known.value("privately_released", "endpoints", name, "patients")) is not None
    ]
    return f"How many patients were trained on, no hospital tells. {'; '.join(counted) or 'Nor who was set aside'}."


def files(known: Known) -> str:
    """The model package, by hash."""
    listed = "; ".join(f"{name} (SHA-256 {digest})" for name, digest in known.files.items())
    return (
        "The model package holds the weights, the same model in ONNX form with all that comes before the weights, "
        f"and the schema: {listed or 'no file yet'}. Plan {known.described('plan_hash')}."
    )


def discrimination(known: Known) -> tuple[Figure, ...]:
    """Who is at higher risk: exact figures of a simulation, then released ones."""
    found: list[Figure | None] = []
    for name in known.plan.model.endpoints:
        exact, what = known.value("endpoints", name) or {}, plain_name(name)
        found += [
            _figure(f"{what}: C-index", exact.get("c_index"), exact.get("c_index_ci95")),
            _figure(f"{what}: C-index within tumour types", exact.get("c_index_within_type")),
            _figure(f"{what}: Uno's C-index", exact.get("uno_c_index")),
            _figure(f"{what}: integrated Brier score", exact.get("integrated_brier")),
            _figure(f"{what}: gain of the Brier score over one curve for all", exact.get("brier_gain")),
        ]
        told = known.value("privately_released", "endpoints", name) or {}
        found += [
            _released(f"{what}: C-index, released with noise", told.get("c_index")),
            _released(f"{what}: integrated Brier score, released with noise", told.get("integrated_brier_to_horizon")),
        ]
    return tuple(each for each in found if each is not None)


def calibration(known: Known) -> tuple[Figure, ...]:
    """Whether risks are right."""
    found: list[Figure | None] = []
    for name in known.plan.model.endpoints:
        exact, what = known.value("endpoints", name) or {}, plain_name(name)
        found += [
            _figure(f"{what}: calibration slope", exact.get("calibration_slope"), exact.get("calibration_slope_ci95")),
            _figure(f"{what}: expected over observed risk at the horizon", exact.get("expected_to_observed")),
        ]
        told = known.value("calibration_privately_released", "endpoints", name) or {}
        overall = told.get("all") or {}
        found += [
            _released(f"{what}: calibration slope, released with noise", told.get("slope")),
            _released(
                f"{what}: observed over expected events, released with noise", overall.get("observed_to_expected")
            ),
        ]
    return tuple(each for each in found if each is not None)


def by_type(known: Known) -> tuple[Figure, ...]:
    """Events and expected ones of each tumour type, of the first endpoint."""
    name = known.plan.model.endpoints[0]
    counted = known.value("endpoints", name, "events_and_expected") or {}
    exact = _windows(counted.get("by_type") or {}, counted, known)
    released = known.value("calibration_privately_released") or {}
    told = known.value("calibration_privately_released", "endpoints", name, "by_type") or {}
    spans = [*_spans(released.get("window_bounds") or (), known), "all along"]
    return exact + tuple(
        figure
        for entity, windows in told.items()
        for span, window in zip(spans, windows, strict=False)
        if (
            figure := _released(f"{plain_name(entity)}, {span}: observed over expected", window["observed_to_expected"])
        )
    )


def comparisons(known: Known) -> tuple[Figure, ...]:
    """Each score in use, and what the network adds to it on the patients of whom it is recorded; a simulation's alone.

    Beside a score's C-index stands whether its risks are right.
    """
    found: list[Figure | None] = []
    for name in known.plan.model.endpoints:
        for each in known.value("comparators", name) or ():
            whom, score = f"{whole(each['patients'])} patients", each["comparator"]
            what = f"{plain_name(name)}, against {plain_name(each['name'])}, {whom} of whom it is recorded"
            more, gain = each["c_index_gain"], each["log_likelihood_gain"]
            found += [
                _figure(f"{what}: C-index of the score", score["c_index"]),
                _figure(f"{what}: calibration slope of the score", score["calibration_slope"]),
                _figure(f"{what}: observed over expected events of the score", score["observed_to_expected"]),
                _figure(f"{what}: C-index of the network above it", more["value"], more["ci95"]),
                _figure(f"{what}: gain in log likelihood", gain["value"], gain["ci95"]),
            ]
    return tuple(each for each in found if each is not None)


def gains(known: Known) -> tuple[Figure, ...]:
    """What the network adds to each comparator, and what each layer of data is worth to it, as released with noise."""
    found: list[Figure | None] = []
    for name in known.plan.model.endpoints:
        what = plain_name(name)
        over = known.value("gains_privately_released", "over_comparators", "endpoints", name, "gains") or {}
        layers = known.value("gains_privately_released", "values_of_layers", "endpoints", name, "layers") or {}
        found += [
            _released(f"{what}, against {plain_name(each)}: gain in log likelihood a patient, with noise", told["gain"])
            for each, told in over.items()
        ]
        found += [
            _released(f"{what}, {plain_name(each)} {when}: gain in log likelihood a patient, with noise", told[key])
            for each, told in layers.items()
            for key, when in (("share", "averaged over all orders"), ("alone", "alone"), ("last", "as the last"))
        ]
    return tuple(each for each in found if each is not None)


def by_group(known: Known) -> tuple[Figure, ...]:
    """Of groups of people, of the first endpoint: how many, C-index, and beside it whether risks are right."""
    found: list[Figure | None] = []
    for each in _groups(known):
        what = f"{plain_name(each['by'])}, {each['group']}, {whole(each['patients'])} patients"
        for label, key in (
            ("C-index", "c_index"),
            ("observed over expected events", "observed_to_expected"),
            ("calibration slope", "calibration_slope"),
        ):
            told = each[key]
            found.append(_figure(f"{what}: {label}", told["value"], told["simultaneous_ci95"]))
    return tuple(each for each in found if each is not None)


def looked_at(known: Known) -> tuple[str, ...]:
    """What groups of people have in common of whom there are figures, in words."""
    return tuple(map(plain_name, dict.fromkeys(each["by"] for each in _groups(known))))


def _groups(known: Known) -> Sequence[Mapping[str, Any]]:
    return known.value("endpoints", known.plan.model.endpoints[0], "subgroups") or ()


def by_hospital(known: Known) -> tuple[Figure, ...]:
    """Events and expected ones of each hospital, of the first endpoint; a simulation's alone."""
    counted = known.value("endpoints", known.plan.model.endpoints[0], "events_and_expected") or {}
    return _windows(counted.get("by_hospital") or {}, counted, known)


def left_out(known: Known) -> tuple[Figure, ...]:
    """Over hospitals that did not train, of the first endpoint, and one more of their kind; a simulation's alone."""
    told = known.value("left_out_hospitals", known.plan.model.endpoints[0]) or {}
    found: list[Figure | None] = []
    for name, what in (
        ("observed_to_expected", "observed over expected events"),
        ("calibration_slope", "calibration slope"),
        ("c_index", "C-index"),
    ):
        figure = told.get(name) or {}
        low, high = figure.get("prediction95") or (None, None)
        found += [
            _figure(f"Hospitals that did not train, mean {what}", figure.get("mean"), figure.get("ci95")),
            _figure(f"One more hospital, {what}, 95 % prediction from", low),
            _figure(f"One more hospital, {what}, 95 % prediction to", high),
        ]
    return tuple(each for each in found if each is not None)


def _windows(
    groups: Mapping[str, Sequence[Sequence[float]]], counted: Mapping[str, Any], known: Known
) -> tuple[Figure, ...]:
    spans = _spans(counted.get("window_bounds") or (), known)
    return tuple(
        Figure(f"{plain_name(name)}, {span}", came, expected=expected)
        for name, windows in groups.items()
        for span, (came, expected) in zip(spans, windows, strict=True)
    )


def _spans(bounds: Sequence[float], known: Known) -> list[str]:
    unit = known.plan.model.grid.unit
    return [f"{begin:g} to {end:g} {unit}" for begin, end in pairwise(bounds)]


def _ci95(told: Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = told["ci95"]
    return None if low is None or high is None else (low, high)


def _figure(label: str, value: float | None, ci95: Sequence[float | None] | None = None) -> Figure | None:
    if value is None:
        return None
    low, high = ci95 or (None, None)
    return Figure(label, value, None if low is None or high is None else (low, high))


def _released(label: str, told: Mapping[str, Any] | None) -> Figure | None:
    return None if told is None or told["value"] is None else Figure(label, told["value"], _ci95(told))


def limitations(known: Known) -> tuple[str, ...]:
    """What the run itself knows to be one."""
    return tuple(_limits(known))


def _limits(known: Known) -> Iterator[str]:
    plan = known.plan
    if known.origin is Origin.INVENTED:
        yield "The patients are invented: no figure says anything of people."
    if known.origin is Origin.TABLE:
        yield "Hospitals are simulated: real ones differ more, and some would not answer."
    if known.simulated and known.value("part") == "validation":
        yield "Measured on validation patients, on whom settings may have been chosen: figures are too good."
    if left_out(known):
        yield "Hospitals that did not train are of the same table: others may differ more from it."
    elif discrimination(known) or calibration(known):
        yield "No hospital was left out of the training: nothing is known of hospitals that took no part."
    else:
        yield "The model was not measured."
    if plan.privacy.mode.private:
        yield "Noise of privacy is in every weight; a single marker's part of a prognosis may be nothing else."
    else:
        yield "Nothing protects the patients who were trained on: treat the model like their table."
    events = known.value("test", "events")
    if events is not None and events < _FEW_EVENTS:
        yield "Fewer than a hundred events were there to measure on; intervals are wide."
    yield from _wrong_slopes(known)
    yield from _entries_unseen(known)
    groups = looked_at(known)
    if groups:
        yield (
            f"Figures of groups of people are by {' and by '.join(groups)}, and by nothing else, such as origin; a "
            "group that is not told of may be treated worse."
        )
    else:
        yield (
            "No figure by sex, age, origin or other group of people is computed here; who is treated worse is not "
            "known."
        )
    if any(
        each.death_event_column is not None and each.death is DeathPolicy.CENSORING for each in known.schema.endpoints
    ):
        yield "Where death ends a follow-up, the risk told is that of a world without death, and too high in this one."
    yield (
        f"Beyond {known.plain('last_bound')} {plan.model.grid.unit} the model says nothing. It shows who has which "
        "prognosis, not causes, and not what a treatment would do."
    )


def _entries_unseen(known: Known) -> Iterator[str]:
    """Of a plan from before time at risk was released."""
    late = any(each.entry_column is not None for each in known.schema.endpoints)
    if late and any(each.kind is SummaryKind.EVALUATION for each in known.plan.summaries):
        yield (
            "Released counts of held-out patients leave out who came under observation after the first time interval, "
            "and take who came during it as followed from its beginning: observed risks, and with them the Brier "
            "score, are wrong where many come late."
        )


def _wrong_slopes(known: Known) -> Iterator[str]:
    for each in calibration(known):
        if "calibration slope" not in each.label or RIGHT_SLOPE[0] <= each.value <= RIGHT_SLOPE[1]:
            continue
        if each.ci95 is not None and (each.ci95[1] < 1 or each.ci95[0] > 1):
            what = "too extreme" if each.value < 1 else "too timid"
            yield f"Risks are {what}: {each.label} {each.shown}, where one is right."


def input_quality(known: Known) -> str:
    """What the model does with a marker that is missing or odd."""
    return (
        "A marker that is missing may be left empty: the model was trained with such patients. A number beyond its "
        "plausible range is refused by the program as a fault; model.onnx does not refuse it, but cuts it at "
        f"{known.plain('largest_input')} scales from the reference value."
    )


_MEASURED = ("privately_released", "calibration_privately_released")
_GAINS = ("over_comparators", "values_of_layers")


def quality_of_release(known: Known) -> str:
    """What of the figures may be told, and how exact they are."""
    if known.simulated:
        return (
            "Computed exactly, on patients of the simulated hospitals who were set aside; such figures are as "
            "private as the table."
        )
    releases = (*map(known.value, _MEASURED), *(known.value("gains_privately_released", kind) for kind in _GAINS))
    hospitals = next((each["hospitals"] for each in releases if each is not None), None)
    if hospitals is None:
        return "The study released no figures of its model."
    return f"Released with noise by {whole(hospitals)} hospitals, of patients whom they had set aside."
