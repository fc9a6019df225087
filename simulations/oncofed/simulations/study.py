"""What does a study file ask a simulation to do?

`read_study` reads ``study.toml`` with its overrides and reports every fault at once; a misspelt setting fails. Paths in
the file are relative to the file. Everything a run depends on is in the frozen `Study`, so its hash names the run.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from oncofed.cohort.schema import Modality
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import TrainingSpec
from oncofed.ranges import count_of, range_of
from oncofed.study.plan_settings import SECTIONS, PlanSettings, PrivacyRequest, read_plan_settings
from oncofed.texts import text_of
from oncofed.toml_section import Section, closest, read_toml


class Partition(StrEnum):
    """How one table is cut into hospitals."""

    COLUMN = "column"
    """Each value of the schema's site column is a hospital."""
    HASH = "hash"
    """crc32(site column) modulo `count`: gathers many tiny hospitals into `count` sites."""
    ASSIGNED = "assigned"
    """A second table says which patient belongs where."""


class Split(StrEnum):
    """Who is set aside for testing."""

    RANDOM = "random"
    """The first `test_fraction` of numpy.random.default_rng(seed).permutation(patients)."""
    FOLDS = "folds"
    """Fold number `fold` of `folds`, cut from default_rng(seed).permutation(patients)."""
    ASSIGNED = "assigned"
    """As the assignment table says."""


class Part(StrEnum):
    """Which patients a run is measured on."""

    TEST = "test"
    VALIDATION = "validation"
    """For choosing settings: patients of the training part who are in no reserved seed's test part."""


@dataclass(frozen=True)
class DataSpec:
    """table, schema  paths. `synthetic_*` instead of a table: the synthetic consortium, with a schema of its own.

    modalities         the markers to use; None means all of the schema. For asking what the others add.
    modality_weights   public weights instead of the schema's, for asking what another scale would give.
    """

    table: Path | None
    schema: Path | None
    modalities: tuple[Modality, ...] | None = None
    modality_weights: tuple[tuple[Modality, float], ...] = ()
    synthetic_patients: int = 0
    synthetic_hospitals: int = 0
    synthetic_seed: int = 0


@dataclass(frozen=True)
class SitesSpec:
    """count                for `hash`.
    assignment_*         for `assigned`: a CSV, its patient column, the column whose value says where, a pattern whose
                         first group is the hospital, and a pattern that marks test patients.
    quorum               how many hospitals must answer in each round; None means all.
    """

    partition: Partition
    count: int | None = None
    assignment_table: Path | None = None
    assignment_patient_id: str = ""
    assignment_column: str = ""
    site_pattern: str = ""
    test_pattern: str = ""
    quorum: int | None = None


@dataclass(frozen=True)
class EvaluationSpec:
    """horizon           in the schema's time unit: calibration and risk are shown there.
    reserved_seeds    the seeds whose test parts `validation` keeps clear of.
    baselines         whether each site alone and pooled ridge Cox are computed beside the federation.
    """

    split: Split
    horizon: float
    test_fraction: float = 0.2
    folds: int = 5
    fold: int = 0
    part: Part = Part.TEST
    reserved_seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    bootstrap_resamples: int = 200
    baselines: bool = True


@dataclass(frozen=True)
class Study:
    """A study file, read and checked. `explain_site` is the simulated hospital whose explanations the report shows."""

    name: str
    title: str
    explain_site: str | None
    data: DataSpec
    sites: SitesSpec
    evaluation: EvaluationSpec
    settings: PlanSettings
    seed: int

    @property
    def training(self) -> TrainingSpec:
        return self.settings.training

    @property
    def privacy(self) -> PrivacyRequest:
        return self.settings.privacy

    @property
    def hash(self) -> str:
        """SHA-256 over everything the study file and its overrides say, and the seed."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_study(path: Path, *, overrides: Sequence[str] = (), seed: int | None = None) -> Study:
    """The study in a TOML file. Raises InvalidInput with all faults of file and overrides.

    overrides  ``section.key=value`` texts; the value is TOML, or a bare word for a text.
    seed       picks split and initialisation, never the privacy noise; None takes the study's own.
    """
    content = read_toml(path)
    faults: list[Fault] = []
    for override in overrides:
        _apply(override, content, faults)
    file = Section(path.name, content, faults)
    head = file.section("study", heading=f"{path.name}: [study]", required=True)
    sections = {
        name: file.section(name, heading=f"{path.name}: [{name}]", required=name in ("data", "sites", "evaluation"))
        for name in ("data", "sites", "evaluation", *SECTIONS)
    }
    file.ignore("consortium")  # what only real hospitals need, see server.consortium_file
    file.close()
    if faults and (head is None or any(sections[name] is None for name in ("data", "sites", "evaluation"))):
        raise InvalidInput(faults)
    empty = {name: section or Section(f"{path.name}: [{name}]", {}, faults) for name, section in sections.items()}
    assert head is not None
    own_seed = head.whole_number("seed", within=range_of(Study, "seed"))
    settings = read_plan_settings(**{name: empty[name] for name in SECTIONS})
    study = Study(
        name=head.required_text("name", kind=text_of(Study, "name")),
        title=head.text("title", kind=text_of(Study, "title")) or "",
        explain_site=head.text("explain_site", kind=text_of(Study, "explain_site")),
        data=_data(empty["data"], path.parent),
        sites=_sites(empty["sites"], path.parent),
        evaluation=_evaluation(empty["evaluation"]),
        settings=settings,
        seed=seed if seed is not None else own_seed if own_seed is not None else 1,
    )
    head.close()
    for section in empty.values():
        section.close()
    if faults:
        raise InvalidInput(faults)
    return study


def _apply(override: str, content: dict[str, object], faults: list[Fault]) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or len(keys) != 2 or not all(keys):
        remedy = "Write --set section.key=value, for instance --set privacy.epsilon=1."
        faults.append(Fault("--set", f'"{override}" is not an override', remedy))
        return
    section = content.setdefault(keys[0], {})
    if not isinstance(section, dict):
        faults.append(Fault("--set", f'"{keys[0]}" is not a section', "Name a section of the study file."))
        return
    section[keys[1]] = _toml_value(text.strip())


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _existing(section: Section, key: str, folder: Path, *, required: bool = False) -> Path | None:
    text = section.text(key, required=required)
    if text is None:
        return None
    path = (folder / text).resolve()
    if not path.is_file():
        section.fault(key, f'"{text}" is not a file', "Check the path; it is relative to the study file.")
    return path


def _data(section: Section, folder: Path) -> DataSpec:
    modalities, weights = _modalities(section), _modality_weights(section)
    synthetic = section.section("synthetic", heading=f"{section.where.removesuffix(']')}.synthetic]")
    if synthetic is None:
        table = _existing(section, "table", folder, required=True)
        return DataSpec(table, _existing(section, "schema", folder, required=True), modalities, weights)
    if "table" in section or "schema" in section:
        section.fault("synthetic", "stands beside a table or schema", "Keep one of the two.")
        section.ignore("table")
        section.ignore("schema")
    spec = DataSpec(
        table=None,
        schema=None,
        modalities=modalities,
        modality_weights=weights,
        synthetic_patients=synthetic.whole_number_or(
            "patients", 15_726, within=range_of(DataSpec, "synthetic_patients")
        ),
        synthetic_hospitals=synthetic.whole_number_or(
            "hospitals", 12, within=range_of(DataSpec, "synthetic_hospitals")
        ),
        synthetic_seed=synthetic.whole_number_or("seed", 1, within=range_of(DataSpec, "synthetic_seed")),
    )
    synthetic.close()
    return spec


def _modalities(section: Section) -> tuple[Modality, ...] | None:
    names = section.texts("modalities")
    if names is None:
        return None
    known = [modality.value for modality in Modality]
    for name in names:
        if name not in known:
            section.fault("modalities", f'"{name}" is not a modality', closest(name, known))
    if not names:
        section.fault("modalities", "is empty", "Name at least one, or leave the field out for all.")
    return tuple(Modality(name) for name in names if name in known)


def _modality_weights(section: Section) -> tuple[tuple[Modality, float], ...]:
    heading = f"{section.where.removesuffix(']')}.modality_weights]"
    weights = section.section("modality_weights", heading=heading)
    if weights is None:
        return ()
    within = range_of(DataSpec, "modality_weights")
    given = [(modality, weights.number(modality.value, within=within)) for modality in Modality]
    weights.close()
    return tuple((modality, weight) for modality, weight in given if weight is not None)


def _sites(section: Section, folder: Path) -> SitesSpec:
    partition = section.choice("partition", Partition, required=True) or Partition.COLUMN
    hashed, assigned = partition is Partition.HASH, partition is Partition.ASSIGNED

    def text(key: str, *, required: bool = False) -> str:
        return section.text(key, kind=text_of(SitesSpec, key), required=required) or ""

    spec = SitesSpec(
        partition=partition,
        count=section.whole_number("count", within=range_of(SitesSpec, "count"), required=hashed),
        assignment_table=_existing(section, "assignment_table", folder, required=assigned),
        assignment_patient_id=text("assignment_patient_id", required=assigned),
        assignment_column=text("assignment_column", required=assigned),
        site_pattern=text("site_pattern", required=assigned),
        test_pattern=text("test_pattern"),
        quorum=section.whole_number("quorum", within=range_of(SitesSpec, "quorum")),
    )
    for key, pattern in (("site_pattern", spec.site_pattern), ("test_pattern", spec.test_pattern)):
        try:
            groups = re.compile(pattern).groups
        except re.error:
            section.fault(key, "is not a regular expression", "Correct it.")
            continue
        if assigned and key == "site_pattern" and pattern and groups != 1:
            section.fault(key, "needs exactly one group, which is the hospital", "Put brackets around that part.")
    return spec


def _evaluation(section: Section) -> EvaluationSpec:
    default = EvaluationSpec(Split.RANDOM, 1.0)
    horizon = section.number("horizon", within=range_of(EvaluationSpec, "horizon"), required=True)
    seeds = section.numbers(
        "reserved_seeds",
        within=range_of(EvaluationSpec, "reserved_seeds"),
        count=count_of(EvaluationSpec, "reserved_seeds"),
    )
    spec = EvaluationSpec(
        split=section.choice("split", Split) or Split.RANDOM,
        horizon=1.0 if horizon is None else horizon,
        test_fraction=section.number_or(
            "test_fraction", default.test_fraction, within=range_of(EvaluationSpec, "test_fraction")
        ),
        folds=section.whole_number_or("folds", default.folds, within=range_of(EvaluationSpec, "folds")),
        fold=section.whole_number_or("fold", default.fold, within=range_of(EvaluationSpec, "fold")),
        part=section.choice("part", Part) or Part.TEST,
        reserved_seeds=default.reserved_seeds if seeds is None else tuple(int(seed) for seed in seeds),
        bootstrap_resamples=section.whole_number_or(
            "bootstrap_resamples",
            default.bootstrap_resamples,
            within=range_of(EvaluationSpec, "bootstrap_resamples"),
        ),
        baselines=section.flag("baselines", default.baselines),
    )
    if spec.fold >= spec.folds:
        section.fault("fold", "is not one of the folds", "The first fold is 0, the last is folds - 1.")
    if spec.part is Part.VALIDATION and spec.split is not Split.RANDOM:
        section.fault("part", "validation needs the random split", 'Set split = "random".')
    return spec
