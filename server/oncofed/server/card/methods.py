"""What does a run say by itself of how a study was done? TRIPOD+AI items 1 to 19, where it knows anything.

Pure functions of what is known; a number is taken from the figures and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oncofed.cohort.schema import DeathPolicy, MissingFlags, Modality
from oncofed.protocol.plan import Bounding, PrivacyMode, TrainingMode
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.card.known import Known, Origin
from oncofed.server.card.statement import named
from oncofed.words.names import MODALITY_NAMES, plain_name

_DEATH = {
    DeathPolicy.COMPOSITE: "death counts as the event",
    DeathPolicy.CENSORING: "death ends the follow-up without the event",
}
_FLAGS = {
    MissingFlags.MARKER: "one flag for each marker",
    MissingFlags.MODALITY: "one flag for all markers of that kind together",
    MissingFlags.NONE: "no flag",
}


def methods_said(known: Known) -> Mapping[str, str]:
    """By number of the item."""
    return {
        "1": title(known),
        "3b": purpose(known),
        "5a": sources(known),
        "6a": f"{known.whole('hospitals')} {_hospitals(known)}: {', '.join(map(named, known.plan.roster))}.",
        "6c": _treatments(known),
        "7": _quality(known),
        "8a": outcomes(known),
        "9b": predictors(known),
        "10": _size(known),
        "11": missing(known),
        "12a": division(known),
        "12b": _encoding(known),
        "12c": f"{kind_of_model(known)} {training(known)} {_tuning(known)}",
        "12d": (
            "All hospitals share one model; no parameter belongs to a hospital. "
            + ("Events against expected ones by hospital stand under the results." if known.simulated else "")
        ),
        "12e": _measures(known),
        "12f": f"Nothing was changed after the evaluation. {_calibration_rounds(known)}",
        "12g": (
            f"By {known.described('program')}, from the model's file; model.onnx computes the same from the markers "
            "as a table has them, without oncofed."
        ),
        "13": "None was used: the likelihood counts events and time at risk as they are.",
        "15": output(known),
        "16": _differences(known),
        "18c": _protocol(known),
        "18f": f"{known.described('program')}, under the licence {known.described('licence')}.",
    }


def _hospitals(known: Known) -> str:
    return "simulated hospitals" if known.simulated else "hospitals"


def endpoints(known: Known) -> str:
    """Names of what is predicted."""
    return " and ".join(plain_name(name) for name in known.plan.model.endpoints)


def _measured(known: Known) -> bool:
    return known.simulated or known.plan.measures


def title(known: Known) -> str:
    """What a title must say."""
    done = "Development and internal evaluation" if _measured(known) else "Development, without an evaluation,"
    return (
        f"{done} of a model that predicts {endpoints(known)} of cancer patients from {known.whole('markers')} "
        f"markers, trained over {known.whole('hospitals')} {_hospitals(known)} without moving patients' data."
    )


def purpose(known: Known) -> str:
    """What kind of prediction it is."""
    return (
        f"A prognosis of {endpoints(known)} of a cancer patient: how likely the event has come by which time, up to "
        f"{known.plain('last_bound')} {known.plan.model.grid.unit} after the schema's time zero."
    )


def sources(known: Known) -> str:
    """Where patients come from."""
    match known.origin:
        case Origin.INVENTED:
            return "The patients are invented by the program: nothing here is true of any patient."
        case Origin.TABLE:
            return (
                f"One table, cut into {known.whole('hospitals')} simulated hospitals on one machine. It stands for "
                "hospitals that keep their tables; privacy was spent as if they did."
            )
        case Origin.HOSPITALS:
            return (
                f"Tables of {known.whole('hospitals')} hospitals, each read by that hospital alone; no row left it. "
                "What this page says of patients, hospitals released with noise."
            )


def _treatments(known: Known) -> str:
    if known.described("markers_by_kind_of_data", Modality.TREATMENT.value) is None:
        return "No treatment is among the markers."
    count = known.whole("markers_by_kind_of_data", Modality.TREATMENT.value)
    return (
        f"{count} markers are treatments. Like the others they say who has which prognosis, and not what a treatment "
        "does."
    )


def _quality(known: Known) -> str:
    return (
        "Each table is checked against the study's public schema before anything is computed: columns, types, "
        "vocabularies, times of follow-up, distinct patients, and plausible ranges, which "
        f"{known.whole('markers_with_plausible_range')} of {known.whole('markers')} markers have. A table with a "
        "fault is refused as a whole. No value is corrected. This is the same for all groups of people."
    )


def outcomes(known: Known) -> str:
    """Of each endpoint, from which columns, and what a death means."""
    told = "; ".join(_outcome(number, known) for number in range(len(known.schema.endpoints)))
    return f"{told}. {_horizon(known)}"


def _outcome(number: int, known: Known) -> str:
    endpoint = known.schema.endpoints[number]
    words = (
        f"{plain_name(endpoint.name)}: {known.plan.model.grid.unit} from time zero to the event or the last contact "
        f"(column {named(endpoint.time_column)}), the event in column {named(endpoint.event_column)}"
    )
    if endpoint.death_event_column is not None:
        words += f"; {_DEATH.get(endpoint.death, endpoint.death.value)} (column {named(endpoint.death_event_column)})"
    if others := [plain_name(known.schema.endpoints[each].name) for each in known.schema.competing(number)]:
        words += f"; it competes with {' and '.join(others)}, and its risk is the cumulative incidence"
    if endpoint.entry_column is not None:
        words += f"; under observation from column {named(endpoint.entry_column)} on (delayed entry)"
    return words


def _horizon(known: Known) -> str:
    unit, last = known.plan.model.grid.unit, known.plain("last_bound")
    if known.described("horizon") is None:
        return f"Risks are predicted up to {last} {unit}."
    return f"Horizon of the evaluation: {known.plain('horizon')} {unit}; risks are predicted up to {last}."


def predictors(known: Known) -> str:
    """How many of which kind; the schema lists them."""
    kinds = ", ".join(
        f"{known.whole('markers_by_kind_of_data', name)} {MODALITY_NAMES[Modality(name)]}"
        for name in known.described("markers_by_kind_of_data")
    )
    return (
        f"{known.whole('markers')} markers ({kinds}), each with unit, plausible range and coding in schema.toml, in "
        "the model package."
    )


def _size(known: Known) -> str:
    if known.described("training") is None:
        return (
            f"The model has {known.whole('parameters')} parameters. How many patients it learned from, no hospital "
            "tells."
        )
    return (
        f"{known.whole('training', 'patients')} patients to train on, with {known.whole('training', 'events')} "
        f"events of {plain_name(known.plan.model.endpoints[0])}, for {known.whole('parameters')} parameters: "
        f"{known.described('training', 'events_per_parameter'):.2f} events for each. The program computed no size "
        "beforehand."
    )


def missing(known: Known) -> str:
    """What becomes of a marker that was not measured."""
    used = {known.schema.encoding_of(marker.modality).missing_flags for marker in known.schema.markers}
    flags = " or ".join(words for flag, words in _FLAGS.items() if flag in used)
    share = known.described("training", "share_missing")
    told = "" if share is None else f" Of all values of those trained on, a share of {share:.3f} was missing."
    return (
        f"A marker that was not measured counts as its public reference value, and the model is told so ({flags}, as "
        f"the schema says). No patient is left out for it, and nothing is imputed from other patients.{told}"
    )


def division(known: Known) -> str:
    """Who was trained on and who was not."""
    how = known.described("division")
    if known.simulated and isinstance(how, Mapping):
        words = {
            "random": "Patients were set aside by chance",
            "folds": "Patients were set aside by folds, cut by chance",
            "assigned": "Patients were set aside as a table of the study says",
            "hospitals": "Whole hospitals, chosen by chance, were left out",
        }[str(how["split"])]
        numbers = {"random": "test_fraction", "folds": "folds", "hospitals": "folds"}.get(str(how["split"]))
        share = "" if numbers is None else f" ({'a share of' if numbers == 'test_fraction' else 'number of folds'} "
        share = share and f"{share}{how[numbers or '']:g})"
        return f"{words}{share}; the model learned from the others."
    if known.plan.held_out_fraction:
        return (
            f"Each hospital set a share of {known.plain('held_out_fraction')} of its patients aside, chosen with a "
            "secret of its own; no round trained on them, and the final model was measured on them."
        )
    return "All patients were trained on; nobody was set aside."


def _encoding(known: Known) -> str:
    shapes = (
        ""
        if known.plan.model.time_shapes is None
        else " The hazard of each tumour entity may run over time in a way of its own."
    )
    return (
        "Public constants alone, from units and medical knowledge: a number less its centre, over its scale, cut at "
        f"{known.plain('largest_input')} on either side; of categories one input each beside the reference. Nothing "
        f"is standardised with, or selected by, patients' values: {known.whole('inputs')} inputs.{shapes}"
    )


def kind_of_model(known: Known) -> str:
    """In two sentences."""
    model = known.plan.model
    units = " and ".join(f"{count:g}" for count in known.described("hidden_units"))
    parts = [
        *(["a linear part"] if model.linear_branch else []),
        *([f"a network of {units} ReLU units"] if units else []),
    ]
    return (
        f"A hazard that is constant inside each of {known.whole('intervals')} public intervals of time, times the "
        f"exponential of {' plus '.join(parts)}: {known.whole('parameters')} parameters. The reference patient has a "
        "log hazard ratio of exactly zero."
    )


def training(known: Known) -> str:
    """Rounds, optimiser and privacy."""
    plan = known.plan
    each = (
        "one sum of patients' gradients"
        if plan.training.mode is TrainingMode.FULL_BATCH
        else "a model after local steps"
    )
    return (
        f"Trained in {known.whole('rounds')} rounds, {each} a hospital and round, combined by "
        f"{plan.training.strategy.value}. {f'{_calibration_rounds(known)} '.lstrip()}{privacy(known)}"
    )


def _calibration_rounds(known: Known) -> str:
    if not known.plan.training.calibration_rounds:
        return ""
    what = "level and spread of all risks"
    if known.plan.model.entity_levels is not None:
        what = "level and spread of all risks, their common course over time, and the level of each tumour entity"
    return (
        f"The last {known.whole('calibration_rounds')} rounds of training set {what} right, "
        "on patients who are trained on."
    )


def privacy(known: Known) -> str:
    """What patients are promised."""
    plan = known.plan
    if plan.privacy.mode is PrivacyMode.NONE:
        return "No privacy is promised: no noise was added."
    bound = "cut to" if plan.privacy.bounding is Bounding.CLIP else "stopped and weighted to stay within"
    whose = (
        "each hospital adds all of the noise itself"
        if plan.privacy.shares is None
        else f"hospitals share the noise under masks, up to {known.whole('dropouts')} of them absent and "
        f"{known.whole('colluding')} on the coordinator's side"
    )
    return (
        f"Differential privacy: each patient's part is {bound} a length of {known.plain('l2_norm_bound')}, and noise "
        f"of {known.described('noise_multiplier'):.3g} times that is added; {whose}. Planned epsilon "
        f"{known.plain('epsilon_planned')} at delta {known.plain('delta')}, for one patient of one hospital."
        f"{_others(known)}"
    )


def _others(known: Known) -> str:
    if known.described("epsilon_of_study") is None:
        return ""
    return f" With the study's other training: epsilon {known.plain('epsilon_of_study')}."


def _tuning(known: Known) -> str:
    part = known.value("part") == "validation"
    measured = " These are validation patients, kept for choosing settings." if part else ""
    return f"The run tuned nothing: all settings stand in the study file.{measured}"


def _measures(known: Known) -> str:
    return " ".join(_measure_words(known)) or "The study measures nothing."


def _measure_words(known: Known) -> Iterator[str]:
    if known.simulated:
        yield (
            "On patients set aside, exactly: C-index (Harrell), within tumour types, Uno's, integrated Brier score "
            "and its gain over one curve for all; calibration slope and expected over observed at the horizon; "
            "events against expected ones by window of time, tumour type and hospital. The report draws the curves."
        )
    kinds = {each.kind for each in known.plan.summaries}
    if SummaryKind.EVALUATION in kinds:
        yield "Released with noise: C-index, integrated Brier score, observed risk by group of risk."
    if SummaryKind.TIME_AT_RISK in kinds:
        yield "Released with noise: C-index and observed risk by group of risk, each patient counted from entry on."
    if SummaryKind.CALIBRATION in kinds:
        yield "Released with noise: calibration slope, observed over expected events by window of time."
    if SummaryKind.COMPARISON in kinds:
        yield "Released with noise: gain in log likelihood over each comparator, on the same patients."
    if SummaryKind.VALUE in kinds:
        yield "Released with noise: what each layer of data is worth, in log likelihood, on patients who have all."


def output(known: Known) -> str:
    """What the model says."""
    return (
        f"For {endpoints(known)}: the probability that the event has come by any time up to "
        f"{known.plain('last_bound')} {known.plan.model.grid.unit}, and the log hazard ratio against the reference "
        "patient. It classifies nobody and has no threshold."
    )


def _differences(known: Known) -> str:
    if not known.simulated:
        return (
            "Both are patients of the same hospitals, chosen by chance there: same setting, eligibility, outcome "
            "and markers."
            if known.plan.held_out_fraction
            else "There is no evaluation."
        )
    if known.described("division", "split") == "assigned":
        return "Both come from one table with one schema; a table of the study says who is in which."
    if known.described("division", "split") == "hospitals":
        return "Both come from one table with one schema; hospitals that are measured on did not train."
    return "Both come from one table by chance: same setting, eligibility, outcome and markers."


def _protocol(known: Known) -> str:
    signed = (
        "It was not signed: a simulation has no coordinator."
        if known.simulated
        else "The coordinator signed it, and each hospital approved it before it read a patient for it."
    )
    return (
        "The plan fixed model, training, privacy and evaluation before the first round. Its hash is "
        f"{known.described('plan_hash')}. {signed}"
    )
