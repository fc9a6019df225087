"""Is the report one safe, complete page, whatever a run has or lacks?"""

from __future__ import annotations

import importlib.resources
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.html_pages import HOSTILE, Page, unsafe
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Modality
from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.left_out import across_left_out
from oncofed.simulations.report import page as module
from oncofed.simulations.report.page import render_report, write_report
from oncofed.simulations.results import (
    Baselines,
    Compared,
    EndpointResult,
    LayersCompared,
    LeftOut,
    LeftOutHospital,
    ModelFigures,
    Relevance,
    RunResult,
    SomePatients,
    Subgroup,
    Subgroups,
    WithLimits,
)
from oncofed.simulations.study import Part
from oncofed.simulations.subgroups import HOSPITAL
from oncofed.study.value_settings import ValueRequest
from oncofed.survival.bootstrap import BootstrapInterval
from oncofed.survival.decision_curve import Benefit
from oncofed.survival.layer_values import LayerValue, LayerValues, Value
from oncofed.survival.likelihood_gain import LikelihoodGain
from oncofed.words.numbers import whole

NAN = float("nan")
REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def result() -> RunResult:
    return fake_result(sites=12, patients=900)


@pytest.fixture(scope="module")
def page(result: RunResult) -> str:
    return render_report(result)


def test_a_page_runs_nothing_and_loads_nothing(page: str) -> None:
    assert unsafe(page) == []
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    "planted",
    [
        "<script>1</script>",
        '<a href="https://example.org">x</a>',
        "<p onclick=x>",
        '<g style="fill: url(https://example.org/x)">',
        "<style>@import 'x.css'</style>",
    ],
)
def test_the_search_for_unsafe_markup_finds_it(page: str, planted: str) -> None:
    assert unsafe(page.replace("<main>", f"<main>{planted}"))


def test_a_browser_is_told_to_run_and_load_nothing(page: str) -> None:
    policies = [value for tag, name, value in Page(page).attributes if tag == "meta" and name == "content"]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policies


def test_ids_are_distinct_and_every_reference_finds_one(page: str) -> None:
    found = Page(page)
    ids = Counter(found.values("id"))
    assert [each for each, count in ids.items() if count > 1] == []
    references = set(re.findall(r"(?:href=\"|url\()#([\w.-]+)", page))
    assert len(references) > 5
    assert references <= set(ids)


def test_every_figure_has_an_alternative_text(page: str) -> None:
    found = Page(page)
    labels = [value for tag, name, value in found.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == found.tags["svg"] == found.tags["figure"] == 12
    assert all(len(label) > 40 for label in labels)
    assert found.values("role").count("img") == 12


def test_a_hostile_name_is_only_ever_text(page: str) -> None:
    hostile = fake_result(
        sites=3,
        patients=300,
        names=HOSTILE[:2],
        site_names=(HOSTILE[2], HOSTILE[3], HOSTILE[4]),
        title=HOSTILE[0],
    )
    main = replace(hostile.main, name="<script>end</script>", notes=("<script>note</script>",))
    html = render_report(replace(hostile, endpoints={main.name: main, **hostile.endpoints}))
    assert unsafe(html) == []
    shown = Page(html)
    assert set(shown.tags) == set(Page(page).tags)
    for name in (*HOSTILE, *main.notes, main.name):
        assert " ".join(name.replace("_", " ").split()) in shown.text
    assert "49" not in {text.strip() for text in shown.texts}


def test_no_patient_is_named(result: RunResult, page: str) -> None:
    cohorts = [*result.hospitals.values(), result.test]
    ids = [patient for cohort in cohorts for patient in cohort.patient_ids]
    assert len(ids) > 900
    # A word that no number and no path of a figure can hold: what is found below is not found by chance.
    assert all(patient.startswith("RECORD-") for patient in ids)
    assert [patient for patient in ids if patient in page] == []
    # Nor when the explanations carry them along; and the search finds one that is planted.
    explained = result.hospitals[result.relevance.site].patient_ids
    by_patient = result.relevance.table.set_axis(list(explained), axis="index")
    careless = replace(
        result,
        relevance=replace(result.relevance, table=by_patient),
        study=replace(result.study, title=f"About {ids[0]}"),
    )
    html = render_report(careless)
    assert [patient for patient in ids if patient in html] == [ids[0]]


def test_no_folder_of_the_machine_is_named(page: str) -> None:
    assert "patients.csv" in page
    assert "somebody" not in page


def test_the_same_result_gives_the_same_bytes(result: RunResult, page: str) -> None:
    assert render_report(result) == page


def test_text_in_figures_is_text_and_the_page_is_small(result: RunResult, page: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert re.search(r"<text[^>]*>sarcopenia index</text>", drawn)
    assert len(drawn) < 1_500_000


def test_the_first_sentence_answers(result: RunResult, page: str) -> None:
    main, beside = result.main, result.baselines
    assert beside is not None
    answer = re.search(r'<p class="answer">(.*?)</p>', page, flags=re.DOTALL)
    assert answer is not None
    for figure in (
        main.c_index,
        main.c_index_ci95.low,
        main.c_index_ci95.high,
        beside.local_only_mean,
        beside.pooled_ridge_cox,
    ):
        assert f"{figure:.3f}" in answer[1]
    assert f"epsilon {max(result.epsilons.values()):.2f}" in answer[1]
    assert page.index("Research software, not a treatment recommendation") < page.index("<main>")
    beaten = sum(main.c_index > alone for alone in beside.local_only)
    assert f"above that of {beaten} of 12 hospitals alone" in Page(page).text


def test_sections_stand_in_order(page: str) -> None:
    places = [
        page.index(f'<section id="{name}"')
        for name in (
            "privacy",
            "cohort",
            "training",
            "comparison",
            "survival",
            "calibration",
            "usefulness",
            "markers",
            "settings",
        )
    ]
    assert places == sorted(places)


def test_settings_name_the_run(result: RunResult, page: str) -> None:
    for identity in (result.study.hash, result.plan.hash, result.plan.schema_hash):
        assert identity in page
    assert "not privately released" in Page(page).text


def test_a_run_without_privacy_and_on_validation_patients_says_so() -> None:
    result = fake_result(sites=3, patients=300, mode=PrivacyMode.NONE)
    evaluation = replace(result.study.evaluation, part=Part.VALIDATION)
    shown = Page(render_report(replace(result, study=replace(result.study, evaluation=evaluation)))).text
    assert shown.count("Nothing in this run is private.") == 2
    assert "without any privacy" in shown
    assert "epsilon 3" not in shown
    assert "validation patients" in shown
    assert "test patients" not in shown


def _without_measures(result: RunResult) -> RunResult:
    def bare(endpoint: EndpointResult) -> EndpointResult:
        return replace(
            endpoint,
            c_index=NAN,
            c_index_ci95=replace(endpoint.c_index_ci95, low=NAN, high=NAN),
            c_index_within_type=NAN,
            uno_c_index=NAN,
            integrated_brier=NAN,
            calibration=None,
            auc=None,
            decisions=None,
        )

    return replace(result, endpoints={name: bare(each) for name, each in result.endpoints.items()})


def _without_follow_up_to_the_horizon(result: RunResult) -> RunResult:
    main = result.main
    assert main.calibration is not None
    groups = tuple(replace(group, observed=NAN, low=NAN, high=NAN) for group in main.calibration.groups)
    unknown = replace(
        main.calibration, groups=groups, slope=NAN, slope_low=NAN, slope_high=NAN, expected_to_observed=NAN
    )
    assert main.decisions is not None
    nothing = np.full(len(main.decisions.thresholds), NAN)
    decisions = replace(main.decisions, model=Benefit(nothing, nothing, nothing))
    return replace(result, endpoints={main.name: replace(main, calibration=unknown, auc=None, decisions=decisions)})


def _no_tumour_entity(result: RunResult) -> RunResult:
    schema = replace(result.test.schema, tumour_entity=None)
    return replace(result, test=replace(result.test, schema=schema))


def _nobody_set_aside(result: RunResult) -> RunResult:
    empty = _without_measures(result)
    main = empty.main
    nobody = np.zeros(0)
    bare = replace(
        main,
        log_hazard_ratio=nobody,
        risk_at_horizon=nobody,
        survival_times=nobody,
        survival=np.zeros((0, 0)),
    )
    return replace(empty, test=result.test.subset([]), endpoints={main.name: bare})


def _an_empty_hospital(result: RunResult) -> RunResult:
    emptied: dict[str, Cohort] = dict(result.hospitals)
    site = next(site for site in emptied if site != result.relevance.site)
    emptied[site] = emptied[site].subset([])
    return replace(result, hospitals=emptied)


def _explained_hospital_empty(result: RunResult) -> RunResult:
    emptied = {**result.hospitals, result.relevance.site: result.hospitals[result.relevance.site].subset([])}
    nothing = Relevance(result.relevance.site, result.relevance.table.iloc[:0], np.zeros(0))
    return replace(result, hospitals=emptied, relevance=nothing)


def _equal_predictions(result: RunResult) -> RunResult:
    main = result.main
    flat = np.zeros(len(result.test))
    return replace(result, endpoints={main.name: replace(main, log_hazard_ratio=flat)})


def _extreme_relevance(result: RunResult) -> RunResult:
    table = result.relevance.table * 1000
    return replace(result, relevance=Relevance(result.relevance.site, table, table.to_numpy().sum(axis=1)))


def _nothing_ran(result: RunResult) -> RunResult:
    without = replace(result, baselines=None, rounds=result.rounds.iloc[:0], releases={}, left_out=0)
    main = replace(result.main, calibration=None)
    return replace(without, endpoints={main.name: main})


def _nothing_is_defined(result: RunResult) -> RunResult:
    unknown = replace(
        result,
        baselines=Baselines(NAN, NAN, (NAN,) * len(result.hospitals)),
        rounds=result.rounds.assign(test_c_index=NAN),
    )
    return _explained_hospital_empty(_no_tumour_entity(_without_measures(unknown)))


def _everything_is_odd(result: RunResult) -> RunResult:
    assert result.baselines is not None
    odd = replace(
        result,
        rounds=result.rounds.assign(answered=11, rejected="b: late"),
        baselines=replace(result.baselines, local_only=(NAN, *result.baselines.local_only[1:])),
    )
    return _extreme_relevance(_an_empty_hospital(_equal_predictions(_without_follow_up_to_the_horizon(odd))))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            _nothing_ran,
            (
                "the study asks for no baselines",
                "each hospital alone and pooled data were not computed",
                "no round has finished",
                "No ledger holds a charge",
                "Every patient of the table",
                "one endpoint, overall survival",
                "Calibration was not computed.",
            ),
        ),
        (
            _nothing_is_defined,
            (
                "an unknown figure (not computed)",
                "interval not computed",
                "the schema names no tumour entity",
                "this hospital has no patient",
            ),
        ),
        (
            _everything_is_odd,
            (
                "no group of patients was followed to 36 months",
                "it is not defined on this follow-up; the notes of section 9 say why",
                "nobody was followed to 36 months",
                "Fewer than three groups",
                "not reached",
                "above 1000",
                "In 60 rounds fewer than all hospitals answered; in 60 rounds an answer was not admitted",
            ),
        ),
        (_nobody_set_aside, ("nobody was set aside",)),
    ],
)
def test_what_is_missing_is_said_and_never_fails(
    result: RunResult, change: Callable[[RunResult], RunResult], says: tuple[str, ...]
) -> None:
    shown = Page(render_report(change(result)))
    labels = " ".join(shown.values("aria-label"))
    for words in says:
        assert words in shown.text
    assert not re.search(r"\b(nan|NaN|None|inf)\b", f"{shown.text} {labels}")


def compared(*, name: str = "all_scores", brier: float = 0.081) -> Compared:
    decisions = fake_result(sites=1, patients=200).main.decisions
    assert decisions is not None
    score = ModelFigures(
        c_index=0.712, c_index_within_type=NAN, brier_gain=brier, calibration_slope=1.11, observed_to_expected=0.97
    )
    network = replace(score, c_index=0.763, brier_gain=brier + 0.05)
    interval = BootstrapInterval(0.035, 0.068, 0.95, 200, 0)
    gain = LikelihoodGain(107.4, 75.7, 139.1)
    return Compared(name, 1_140, 512, score, network, gain, interval, decisions, decisions.above_everybody)


def test_scores_in_use_stand_beside_the_network_on_the_same_patients(result: RunResult) -> None:
    assert "Against scores in use" not in Page(render_report(result)).text
    main = result.main.name
    beside = {main: (compared(), compared(name="stage", brier=NAN)), "another": (compared(name="never_shown"),)}
    text = Page(render_report(replace(result, compared=beside))).text
    assert "Against scores in use" in text
    for words in (
        "all scores",
        "stage",
        f"{whole(1_140)}, 512",
        "0.712, 0.763",
        "0.051",
        "0.035 to 0.068",
        "107.4",
        "75.7 to 139.1",
    ):
        assert words in text
    assert "never shown" not in text
    assert not re.search(r"\b(nan|NaN|None|inf)\b", text)


def layers_compared(*, trained_for: bool = True) -> LayersCompared:
    rna = LayerValue("rna_expression", Value(0.036, 0.004, 0.026, 0.046), Value(0.051, 0.005, 0.04, 0.06), NOTHING)
    cnv = LayerValue("dna_copy_number", NOTHING, NOTHING, NOTHING)
    values = LayerValues(934, (rna, cnv), Value(0.052, 0.006, 0.041, 0.064))
    compared, others = SomePatients(934, 611, 2.14, -0.2), SomePatients(206, 150, 3.33, 0.3)
    return LayersCompared(values, {"rna_expression": 1_001, "dna_copy_number": 990}, compared, others, trained_for)


NOTHING = Value(-0.001, 0.001, -0.004, 0.002)


def asked_for_layers(result: RunResult) -> RunResult:
    value = ValueRequest((Modality.RNA_EXPRESSION, Modality.DNA_COPY_NUMBER))
    settings = replace(result.study.settings, value=value)
    return replace(result, study=replace(result.study, settings=settings))


def test_what_each_layer_is_worth_stands_there_with_who_was_compared(result: RunResult) -> None:
    title = "What each kind of data is worth"
    assert title not in Page(render_report(result)).text
    asked = asked_for_layers(result)
    assert "Not computed: of none of the" in Page(render_report(asked)).text
    page = Page(render_report(replace(asked, layers={result.main.name: layers_compared()})))
    for words in (
        title,
        "RNA expression",
        "DNA copy numbers",
        "0.036",
        "0.026 to 0.046",
        "0.052",
        f"{whole(934)} of {whole(1_140)} patients",
        "611 events",
        "2.1 times in 100 months",
        "3.3 times",
        "0.61 times the hazard",
        whole(1_001),
    ):
        assert words in page.text
    assert "was not trained to do without" not in page.text
    labels = " ".join(page.values("aria-label"))
    assert "RNA expression share 0.036 (0.026 to 0.046), alone 0.051, last \N{MINUS SIGN}0.001" in labels
    assert not re.search(r"\b(nan|NaN|None|inf)\b", f"{page.text} {labels}")
    untrained = replace(asked, layers={result.main.name: layers_compared(trained_for=False)})
    assert "was not trained to do without" in Page(render_report(untrained)).text


def test_where_everybody_has_all_layers_nobody_is_selected(result: RunResult) -> None:
    nobody = SomePatients(0, 0, NAN, NAN)
    found = {result.main.name: replace(layers_compared(), others=nobody)}
    text = Page(render_report(replace(asked_for_layers(result), layers=found))).text
    assert "That is everybody." in text
    assert "selected" not in text.partition("What each kind of data is worth")[2].partition("Survival by risk")[0]


def test_a_comparator_with_a_hostile_name_is_only_text(result: RunResult) -> None:
    page = render_report(replace(result, compared={result.main.name: (compared(name=HOSTILE[0]),)}))
    assert not unsafe(page)


def with_benefit(result: RunResult, *, low: float, above_low: float) -> str:
    """At every threshold the same."""
    decisions = result.main.decisions
    assert decisions is not None
    same = np.ones(len(decisions.thresholds))
    told = replace(
        decisions,
        treated=0.25 * same,
        model=Benefit(0.0712 * same, low * same, 0.1 * same),
        everybody=Benefit(-0.05 * same, -0.1 * same, 0 * same),
        above_everybody=Benefit(0.1212 * same, above_low * same, 0.2 * same),
    )
    main = replace(result.main, decisions=told)
    return render_report(replace(result, endpoints={main.name: main}))


def test_net_benefit_is_told_of_100_patients_and_is_bold_where_it_is_better_than_treating_all_and_nobody(
    result: RunResult,
) -> None:
    row = '<td class="num">25\N{NO-BREAK SPACE}%</td>'
    row += '<td class="num">{}7.1{} <span class="small">(3.0 to 10.0)</span></td>'
    row += '<td class="num">−5.0</td><td class="num">12.1 <span class="small">({} to 20.0)</span></td>'
    assert row.format("<strong>", "</strong>", "1.0") in with_benefit(result, low=0.03, above_low=0.01)
    assert row.format("", "", "−1.0") in with_benefit(result, low=0.03, above_low=-0.01)
    assert "<strong>7.1" not in with_benefit(result, low=-0.03, above_low=0.01)


def test_calibration_is_told_beside_the_area_and_each_score_has_a_curve_of_its_own(result: RunResult) -> None:
    both = (compared(name="frailty"), compared(name="stage"))
    found = Page(render_report(replace(result, compared={result.main.name: both})))
    assert "It says nothing of how high risks are: see section 6." in " ".join(found.text.split())
    drawn = {text.strip() for text in found.texts}
    assert {"frailty", "stage", "nobody", "by the network, 95 % interval"} <= drawn


def group(by: str, name: str, *, ratio: tuple[float, float, float], slope: tuple[float, float, float]) -> Subgroup:
    return Subgroup(by, name, 310, 95, WithLimits(0.684, 0.611, 0.748), WithLimits(*ratio), WithLimits(*slope))


def test_groups_of_patients_are_told_with_calibration_beside_each_c_index(result: RunResult) -> None:
    assert "Groups of patients" not in Page(render_report(result)).text
    groups = (
        group("sex", "female", ratio=(1.41, 1.07, 1.86), slope=(0.96, 0.71, 1.21)),
        group("sex", HOSTILE[0], ratio=(1.02, 0.88, 1.19), slope=(0.72, 0.51, 0.93)),
        group(HOSPITAL, "Bonn", ratio=(0.94, NAN, NAN), slope=(NAN, NAN, NAN)),
    )
    told = replace(result, subgroups={result.main.name: Subgroups(groups, {"sex": 1, HOSPITAL: 2})})
    page = render_report(told)
    assert not unsafe(page)
    text = " ".join(Page(page).text.split())
    for words in ("female 310, 95 0.684 0.611 to 0.748 1.41 1.07 to 1.86 0.96 0.71 to 1.21", "Bonn", "Hospital"):
        assert words in text
    assert "3 groups of fewer than 30 patients are not told of" in text
    assert not re.search(r"\b(nan|NaN|None|inf)\b", text)
    assert "<strong>1.41</strong>" in page
    assert "<strong>0.72</strong>" in page
    assert not re.search("<strong>(0.96|1.02|0.684|0.94)</strong>", page)
    many = fake_result(sites=150, patients=1500)
    many = replace(many, subgroups={many.main.name: Subgroups(groups, {})})
    assert "<caption>Hospital</caption>" not in render_report(many)


def left_out(names: Sequence[str]) -> LeftOut:
    return across_left_out(
        [
            LeftOutHospital(
                name, 100 + place, 40, 35.0 + place, (0.8, 1.5), (0.9, 0.6, 1.2 + 0.1 * place), (0.7, 0.61, 0.78)
            )
            for place, name in enumerate(names)
        ]
    )


def test_hospitals_that_did_not_train_have_a_section_of_their_own(result: RunResult) -> None:
    assert "took no part in training" not in Page(render_report(result)).text
    beside = {result.main.name: left_out(["north", "south", "west", HOSTILE[0]])}
    page = render_report(replace(result, left_out_hospitals=beside))
    text = Page(page).text
    told = beside[result.main.name].ratio
    for words in (
        "In hospitals that took no part in training",
        "leaves 4 hospitals out",
        "north (100 patients, 40 events",
        f"{told.prediction[0]:.2f} to {told.prediction[1]:.2f}",
    ):
        assert words in text
    assert not re.search(r"\b(nan|NaN|None|inf)\b", text)
    assert not unsafe(page)


def test_hundreds_of_hospitals_find_room() -> None:
    many = render_report(fake_result(sites=150, patients=1500))
    assert "91 smaller hospitals together" in many
    assert len(many) < 1_500_000


def test_one_hospital_with_names_in_another_script_draws_without_a_warning() -> None:
    shown = Page(render_report(fake_result(sites=1, patients=200, names=("白蛋白",), site_names=("医院",)))).text
    assert "1 simulated hospital on one machine" in shown
    assert shown.count("医院") >= 3
    assert shown.count("白蛋白") >= 1


def test_a_failed_report_leaves_the_old_one(result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(module, "render_report", lambda _, **_say: "new")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(result, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_replaces_the_old_one(
    result: RunResult, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(module, "render_report", lambda _, **_say: page)
    write_report(result, path)
    assert path.read_text(encoding="utf-8") == page
    assert list(tmp_path.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_the_template_is_found_as_package_data() -> None:
    folder = importlib.resources.files("oncofed.simulations.report") / "templates"
    assert (folder / "report.html.j2").is_file()
