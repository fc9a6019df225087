"""Can a reader of all pages of groups, of two versions, compute what fewer patients than the floor have?

The attacker gets every figure that the pages and exports of both versions hold, knows the rules by which they were made
and the model, and asks an integer solver for the fewest and the most patients that a group can have. A group of fewer
than the floor is told when that leaves fewer possible counts than "fewer than the floor" does.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from httpx import Client
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from tests.html_pages import Page
from tests.pages_hospital import PLAN_HASH, secret_of, served
from tests.pages_hospital import hospital as pages_hospital

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.cohort_view import dependence, risk_groups, strongest_markers
from oncofed.client.pages.disclosure import Disclosure, Share
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.interaction_view import strongest_interactions
from oncofed.client.pages.outcome_parts import fewest_for_parts
from oncofed.client.pages.preparation import prepare
from oncofed.client.pages.published import Published, renewal
from oncofed.client.pages.recalibration import Fitted
from oncofed.client.pages.units import REST, Units
from oncofed.client.pages.usual_values import usual_values
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import network_with, parameter_count
from oncofed.words.names import plain_name
from oncofed.words.numbers import hazard_ratio, number, percent

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 12.0, 60.0))
TUMOURS = ("lung", "skin", "colon", "rare", "rarest")
DRUGS = ("none", "first", "second", "third")
SCHEMA = StudySchema(
    name="attacked",
    patient_id="id",
    markers=(
        Marker("entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=TUMOURS, reference_category="lung"),
        Marker("smoker", Modality.CLINICAL, Kind.BINARY),
        Marker("drug", Modality.TREATMENT, Kind.CATEGORICAL, categories=DRUGS, reference_category="none"),
    ),
    endpoints=(Endpoint("overall_survival", "months", "death"),),
    grid=GRID,
    baseline_hazard=(0.02,),
    tumour_entity="entity",
)
ATTACKED = {"smoker": 2, "drug": len(DRUGS)}
ROUNDING = 1e-6
NUMBER = r"\d+(?:[.,]\d+)*"


def cohort_of(values: FloatArray) -> Cohort:
    shape = (len(values), 1)
    ids = tuple(str(row) for row in range(len(values)))
    months = 1.0 + 50.0 * np.random.default_rng(len(values)).random(shape)
    return Cohort(SCHEMA, ids, values, np.zeros(shape), months, months < 30)


def drawn(rng: np.random.Generator, patients: int) -> FloatArray:
    """Shares as they are hard to protect: most have one value, few another, some none."""

    def some(levels: int) -> FloatArray:
        shares = rng.dirichlet(np.full(levels, rng.choice([0.15, 0.6, 3.0])))
        found = rng.choice(levels, patients, p=shares).astype(np.float64)
        found[rng.random(patients) < rng.choice([0.0, 0.0, 0.02, 0.3])] = np.nan
        return found

    entity = rng.choice(len(TUMOURS), patients, p=rng.dirichlet((4, 2, 1, 0.3, 0.1))).astype(np.float64)
    return np.column_stack([entity, some(2), some(len(DRUGS))])


def hospital_of(cohort: Cohort, published: Published, floor: int) -> HospitalPrognosis:
    spec = ModelSpec(len(columns(SCHEMA)), ("overall_survival",), GRID, SCHEMA.baseline_hazard)
    weights = np.linspace(0.2, 0.9, parameter_count(spec))
    network = network_with(spec, weights)
    return HospitalPrognosis("b", "s", "", network, cohort, smallest_group=floor, published=published.units)


@dataclass(frozen=True)
class Shown:
    """All that one version's pages and exports hold of one marker's values.

    at_least  of each unit shown, and under None of all: patients, as told.
    levels    of each, which values have a dot. shares: of each unit, as patients' pages tell them.
    """

    at_least: dict[int | None, int]
    levels: dict[int | None, frozenset[int]]
    shares: dict[int, Mapping[float, Share | None]]


def probes(units: Units) -> Cohort:
    """Patients of whom no figure is told, one for each value in each unit: what any patient's page could tell."""
    rows = [
        (float(unit), float(level % 2), float(level)) for unit in units.numbers() for level in range(len(DRUGS))
    ] or [(0.0, 0.0, 0.0)]
    return cohort_of(np.array(rows))


def shown(hospital: HospitalPrognosis, folder: Path) -> dict[str, Shown]:
    """By marker: read from what is served, pages, pictures, tables and exports alike."""
    with served(folder, shown=hospital) as here, here.signed_in(Role.ANALYST) as analyst:
        units: list[int | None] = [None, *hospital.entities_shown()]
        offered = re.findall(
            r'<option value="(\d*)"', _between(analyst.get("/cohort").text, 'id="entity"', "</select>")
        )
        assert [int(each) for each in offered if each] == units[1:]
        with here.signed_in(Role.CLINICIAN) as clinician:
            secret = secret_of(clinician.get("/patients"))
            usual = {
                unit: [
                    _opened(clinician, hospital.cohort.patient_ids[row], secret)
                    for row in np.flatnonzero(hospital.cohort.values[:, 0] == unit).tolist()
                ]
                for unit in units[1:]
            }
        return {marker: _of_marker(hospital, marker, analyst, units, usual) for marker in ATTACKED}


def _opened(clinician: Client, patient: str, secret: str) -> str:
    """The text of a patient's page."""
    found = clinician.post("/patients/find", data={"form_secret": secret, "patient_id": patient})
    text = re.sub(r"<[^>]*>", " ", clinician.get(found.headers["location"]).text)
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def _of_marker(
    hospital: HospitalPrognosis,
    marker: str,
    analyst: Client,
    units: list[int | None],
    usual: Mapping[int | None, list[str]],
) -> Shown:
    place = [each.name for each in SCHEMA.markers].index(marker)
    names = ["no", "yes"] if marker == "smoker" else list(DRUGS)
    at_least: dict[int | None, int] = {}
    levels: dict[int | None, frozenset[int]] = {}
    shares: dict[int, Mapping[float, Share | None]] = {}
    for unit in units:
        asked = {"marker": marker, "entity": "" if unit is None else str(unit)}
        html = analyst.get("/cohort", params=asked).text
        lead = re.search(r'class="lead">(?:At least ([\d,]+)|Too few) ', html)
        assert lead is not None
        at_least[unit] = int((lead[1] or "0").replace(",", ""))
        rows = csv.DictReader(io.StringIO(analyst.get("/cohort/dependence.csv", params=asked).text.lstrip("\ufeff")))
        levels[unit] = frozenset(names.index(row["value"]) for row in rows)
        drawn = _between(html, 'data-name="dependence"', "</svg>")
        assert drawn.count("<circle") == len(levels[unit]), "the picture tells what the export does"
        if unit is None:
            continue
        # A page tells whole per cent. Who knows the rules finds the multiples of which they are.
        exact = usual_values(hospital, hospital.of_entity(unit))[place].shares
        for level, name in enumerate(names):
            of_level = f"{name} in {exact[float(level)]}".replace("\N{NO-BREAK SPACE}", " ")
            told = any(of_level in text for text in usual[unit])
            assert told == (exact[float(level)] is not None)
            assert told or not any(re.search(rf"\b{name} in (at most|more than|\d+ to)", text) for text in usual[unit])
        shares[unit] = exact
    return Shown(at_least, levels, shares)


def _between(text: str, begin: str, end: str) -> str:
    """Empty where it does not begin."""
    return text.partition(begin)[2].partition(end)[0]


@dataclass(frozen=True)
class Stratum:
    """What follows from the pages about those of a unit who came in one version.

    many, few  values that at least, and fewer than, twice the floor of them have. shares: (low, high) by value.
    """

    unit: int
    version: int
    at_least: int
    many: frozenset[int]
    few: frozenset[int]
    shares: dict[int, tuple[float, float]]


def strata(versions: list[Shown], levels: int) -> Iterator[Stratum]:
    """What the first version holds of a unit, and by how much the second differs from it."""
    everything = frozenset(range(levels))
    before: dict[int, tuple[int, frozenset[int], dict[int, tuple[float, float]]]] = {}
    for version, told in enumerate(versions):
        in_units = {unit: least for unit, least in told.at_least.items() if unit is not None}
        in_units[REST] = told.at_least[None] - sum(in_units.values())
        for unit, least in list(in_units.items()):
            dots = told.levels[None] - frozenset().union(*(told.levels[each] for each in in_units if each != REST))
            dots = dots if unit == REST else told.levels[unit]
            shares = {int(level): share for level, share in told.shares[unit].items()} if unit != REST else {}
            sums = {level: (share.low * least, share.high * least) for level, share in shares.items() if share}
            least_before, dots_before, sums_before = before.get(
                unit, (0, frozenset(), dict.fromkeys(range(levels), (0.0, 0.0)))
            )
            before[unit] = least, dots, sums
            if least > least_before:
                of_these = {
                    level: (
                        (low - sums_before[level][0]) / (least - least_before),
                        (high - sums_before[level][1]) / (least - least_before),
                    )
                    for level, (low, high) in sums.items()
                    if level in sums_before
                }
                # Of the rest no page of its own says what is below.
                few = everything - (told.levels[None] if unit == REST else dots)
                yield Stratum(unit, version, least - least_before, dots - dots_before, few, of_these)


class Attack:
    """Integer unknowns: how many patients of each stratum have each value of a marker, and none that is known."""

    def __init__(self, floor: int, levels: int, versions: list[Shown], *, exact: bool = False, crowd: int = 0) -> None:
        """exact, crowd: what the attacker knows of the rules where a test takes one of them out."""
        crowd, unknown = crowd or 2 * floor, 0 if exact else floor - 1
        self.levels = levels
        self.solved: dict[tuple[int, tuple[float, ...], int], int] = {}
        self.strata = list(strata(versions, levels))
        self.cells = [(stratum, level) for stratum in range(len(self.strata)) for level in range(levels + 1)]
        self.at, self.value = np.array(self.cells).T
        self.rows: list[FloatArray] = []
        self.low: list[float] = []
        self.high: list[float] = []
        for place, told in enumerate(self.strata):
            patients = self.of(self.at == place)
            self.know(patients, told.at_least, told.at_least + unknown)
            for level in range(levels):
                count = self.of((self.at == place) & (self.value == level))
                if level in told.many:
                    self.know(count, crowd, np.inf)
                if level in told.few:
                    self.know(count, 0, crowd - 1)
                if level in told.shares:
                    low, high = told.shares[level]
                    self.know(count - low * patients, ROUNDING if low > ROUNDING else 0, np.inf)
                    self.know(count - high * patients, -np.inf, ROUNDING)

    def of(self, chosen: NDArray[np.bool_]) -> FloatArray:
        """1 for each cell (stratum `at`, value) that is chosen."""
        return chosen.astype(np.float64)

    def know(self, row: FloatArray, low: float, high: float) -> None:
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def counts(self, group: FloatArray) -> tuple[int, int]:
        """The fewest and the most that agree with everything: nothing that is known is of two strata at once."""
        fewest, most = 0, 0
        for place in range(len(self.strata)):
            asked = tuple(group[place * (self.levels + 1) : (place + 1) * (self.levels + 1)].tolist())
            if any(asked):
                fewest += self._extreme(place, asked, 1)
                most += self._extreme(place, asked, -1)
        return fewest, most

    def _extreme(self, place: int, asked: tuple[float, ...], sign: int) -> int:
        if (place, asked, sign) not in self.solved:
            here = slice(place * (self.levels + 1), (place + 1) * (self.levels + 1))
            rows = np.array([row[here] for row in self.rows])
            about = np.flatnonzero(rows.any(axis=1))
            known = LinearConstraint(rows[about], np.array(self.low)[about], np.array(self.high)[about])
            found = milp(
                sign * np.array(asked),
                constraints=known,
                integrality=np.ones(len(asked), dtype=np.int64),
                bounds=Bounds(0, 500),
            )
            assert found.success, "the truth agrees with what is told"
            self.solved[place, asked, sign] = round(sign * found.fun)
        return self.solved[place, asked, sign]


def groups_to_try(attack: Attack, rng: np.random.Generator) -> Iterator[tuple[str, FloatArray]]:
    """Cells, what several units have of a value, all that lack one, some at random; those of one version, or of all."""
    places, levels, at, each = range(len(attack.strata)), range(attack.levels + 1), attack.at, attack.value
    for place in places:
        yield f"stratum {place}", attack.of(at == place)
    for level in levels:
        yield f"all with {level}", attack.of(each == level)
        yield f"all without {level}", attack.of(each != level)
        for place in places:
            here = f"{level} in stratum {place}"
            yield here, attack.of((at == place) & (each == level))
            yield f"all but {here}", attack.of((at == place) & (each != level))
            yield f"not {here}", attack.of((at != place) & (each == level))
    for _ in range(6):
        some = rng.random(len(attack.cells)) < 0.25
        yield f"some: {np.flatnonzero(some).tolist()}", attack.of(some)


def truth(attack: Attack, units: Units, marker: str) -> FloatArray:
    """The patients of each cell."""
    values = units.cohort.marker_values(marker)
    batches = np.unique(units.batch).tolist()
    found = []
    for place, level in attack.cells:
        stratum = attack.strata[place]
        rows = (units.of == stratum.unit) & (units.batch == batches[stratum.version])
        same = np.isnan(values[rows]) if level == attack.levels else values[rows] == level
        found.append(float(same.sum()))
    return np.array(found)


def told_too_much(seed: int, *, versions: int = 1, exact: bool = False, crowd: int = 0) -> list[str]:
    """Groups below the floor about which more than that is told, of one random table and its next version."""
    rng = np.random.default_rng(seed)
    floor = int(rng.choice([5, 10]))
    values = drawn(rng, int(rng.integers(15, 260)))
    publications = [renewal(None, cohort_of(values), floor=floor).published]
    if versions == 2:
        values = np.concatenate([values, drawn(rng, int(rng.choice([1, 2, floor - 1, 2 * floor, 3 * floor, 80])))])
        publications.append(renewal(publications[0], cohort_of(values), floor=floor).published)
    found = []
    with tempfile.TemporaryDirectory() as name:
        told: list[dict[str, Shown]] = []
        for each in publications:
            folder = Path(name) / str(len(told))
            folder.mkdir()
            told.append(shown(hospital_of(probes(each.units), each, floor), folder))
    for marker, levels in ATTACKED.items():
        attack = Attack(floor, levels, [each[marker] for each in told], exact=exact, crowd=crowd)
        true = truth(attack, publications[-1].units, marker)
        assert true.sum() == len(publications[-1].units.of)
        for name, group in groups_to_try(attack, rng) if attack.strata else ():
            number = round(float(group @ true))
            if group.any() and number < floor:
                fewest, most = attack.counts(group)
                assert fewest <= number <= most, f"the attacker knows what is not so: {name}"
                if most - fewest + 1 < floor:
                    found.append(f"{marker}: {name}: {fewest} to {most} (floor {floor})")
    return found


@pytest.mark.parametrize("seed", range(3))
def test_no_figure_and_no_difference_of_figures_tells_a_group_below_the_floor(seed: int) -> None:
    assert told_too_much(seed) == []


@pytest.mark.parametrize("seed", range(100, 103))
def test_no_two_versions_tell_a_group_below_the_floor(seed: int) -> None:
    assert told_too_much(seed, versions=2) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 400))
def test_no_figure_of_200_tables_and_their_next_versions_tells_a_group_below_the_floor(seed: int) -> None:
    """Who has both versions has the first one, too."""
    assert told_too_much(seed, versions=2) == []


def test_without_rounding_of_counts_groups_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disclosure, "count", lambda self, number: number)
    assert any(told_too_much(seed, exact=True) for seed in range(9, 12))


def test_with_narrow_shares_groups_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(self: Disclosure, number: int, of: int) -> Share:
        return Share(max(number / of - 1e-4, 0.0), min(number / of + 1e-4, 1.0))

    monkeypatch.setattr(Disclosure, "share", narrow)
    assert told_too_much(0) != []


def test_with_shares_that_begin_at_the_next_multiple_groups_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that meet leave nothing between them for who is not told."""

    def meeting(self: Disclosure, number: int, of: int) -> Share:
        step = self.floor / self.count(of)
        above = max(math.ceil(round(number / of / step, 9)) - 1, 0)
        return Share(above * step, min((above + 1) * step, 1.0))

    monkeypatch.setattr(Disclosure, "share", meeting)
    assert told_too_much(9) != []


def test_when_a_value_of_one_patient_is_shown_groups_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disclosure, "told", lambda self, patients: patients > 0)
    assert any(told_too_much(seed, crowd=1) for seed in range(4))


def everything(shown_now: HospitalPrognosis, folder: Path) -> dict[str, str]:
    """Every page and export of groups."""
    with served(folder, shown=shown_now) as here:
        analyst = here.signed_in(Role.ANALYST)
        asked = [""] + [str(unit) for unit in shown_now.entities_shown()]
        found = {}
        for entity, marker in itertools.product(asked, (each.name for each in shown_now.schema.markers)):
            for file in ("", "/strongest.csv", "/dependence.csv", "/interactions.csv", "/risk-groups.csv"):
                answer = analyst.get(f"/cohort{file}", params={"entity": entity, "marker": marker})
                assert answer.status_code == 200
                found[f"{file}{entity}{marker}"] = re.sub(r'form_secret" value="[^"]+"|\d\d:\d\d', "", answer.text)
        return found


def test_a_newcomer_changes_nothing_until_enough_have_come_and_a_person_publishes(tmp_path: Path) -> None:
    after = pages_hospital(430, seed=3).cohort
    network, nights = pages_hospital(10).network, [after.subset(range(400)), after.subset(range(401))]
    first = renewal(None, nights[0], floor=10).published
    told = []
    for night, cohort in enumerate(nights):
        unpublished = renewal(first, cohort, floor=10).published if night else first
        for kind, units in (("kept", first.units), ("published", unpublished.units), ("as it is now", None)):
            shown_now = HospitalPrognosis("Bonn", "lung", PLAN_HASH, network, cohort, published=units)
            folder = tmp_path / f"{night}{kind}"
            folder.mkdir()
            told.append(everything(shown_now, folder))
    assert told[3] == told[0], "another night"
    assert told[4] == told[1], "and a person has published"
    assert told[5] != told[2], "the check must be able to fail"


def test_no_page_says_how_many_patients_there_are_exactly(tmp_path: Path) -> None:
    said: list[str] = []
    here = pages_hospital(407)
    prepare(here, say=said.append)
    with served(tmp_path, shown=here) as pages:
        clinician, analyst = pages.signed_in(Role.CLINICIAN), pages.signed_in(Role.ANALYST)
        answers = [clinician.get("/patients"), clinician.get(pages.opened(clinician)), analyst.get("/cohort")]
        said += [Page(answer.text).text for answer in answers]
    assert re.search(r"At least (390|400) patients", said[-3])
    exact = {len(here.cohort), len(here.units.of), *(len(here.of_entity(each)) for each in here.entities_shown())}
    for text in said:
        assert not {f"{each:,}" for each in exact} & set(re.findall(NUMBER, text))


def test_the_cohort_page_has_no_number_that_is_not_of_the_layer(tmp_path: Path) -> None:
    """What stands on it in words and tables are texts of the template and figures that tests above attack."""
    here = pages_hospital(400)
    endpoint, everybody = here.endpoint(0), here.everybody
    template = files("oncofed.client.pages").joinpath("templates")
    said = "".join(template.joinpath(f"{name}.html.j2").read_text() for name in ("cohort", "macros", "page"))
    said += (
        " "
        + " ".join(f"{each.name} {plain_name(each.name)}" for each in here.schema.markers)
        + " ".join(here.entity_names)
    )
    said += (
        f" {here.at_least(everybody)} {here.smallest_group} {here.disclosure.crowd} {fewest_for_parts(here.disclosure)}"
    )
    strongest = strongest_markers(here, endpoint, everybody)
    said += f" {len(strongest)} " + " ".join(f"{percent(each.share)} {each.label}" for each in strongest)
    said += " " + " ".join(map(str, range(len(strongest) + 1)))
    found = dependence(here, endpoint, everybody, source="age_years")
    assert found is not None
    said += " " + " ".join(number(each, 3) for each in found.at.tolist())
    ends = [end for spread in found.spreads if spread for end in (spread.low, spread.high)]
    said += " " + " ".join(hazard_ratio(each) for each in (*found.middle.tolist(), *ends))
    said += " " + " ".join(
        hazard_ratio(each.strength) for each in strongest_interactions(here, endpoint, everybody) or ()
    )
    for group in risk_groups(here, endpoint, everybody):
        shares = [group.at(float(moment)) for moment in range(61)]
        said += f" {group.median_words('months')} " + " ".join(percent(each) for each in shares if each is not None)
    said += " " + " ".join(f"{moment:g}" for moment in range(61))
    assert endpoint.recalibration is not None
    fitted = Fitted.of(endpoint.recalibration, here.disclosure)
    deviation = float(endpoint.recalibration.covariance[-1, -1]) ** 0.5
    limits = [endpoint.recalibration.slope + times * deviation for times in (-1.96, 0, 1.96)]
    said += f" {fitted.patients} {fitted.events} {fitted.expected} " + " ".join(f"{each:.2f}" for each in limits)
    with served(tmp_path, shown=here) as pages:
        page = pages.signed_in(Role.ANALYST).get("/cohort?marker=age_years").text
        said += f" {pages.desk.now():%Y %m %d %H %M} " + " ".join(f"{hour:02}" for hour in range(24))
        said += " " + " ".join(f"{minute:02}" for minute in range(60))
    page = re.sub(r"<svg.*?</svg>|<footer.*?</footer>|<header.*?</header>", "", page, flags=re.DOTALL)
    assert set(re.findall(NUMBER, Page(page).text)) - set(re.findall(NUMBER, said)) == set()
    assert "397" not in said, "how many patients there are is not told"
