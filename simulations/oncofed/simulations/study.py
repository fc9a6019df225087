"""What does a study file ask a simulation to do?

`read_study` reads ``study.toml`` with its overrides and reports every fault at once; a misspelt setting fails. Paths in
the file are relative to the file. Everything a run depends on is in the frozen `Study`, so its hash names the run.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

from oncofed.cohort.schema import Modality
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import ABSENT, As, Known, Rule, Wrong, needed_where
from oncofed.file_reading import read_declared
from oncofed.protocol.plan import TrainingMode, TrainingSpec
from oncofed.study.assay_settings import AssaySection
from oncofed.study.budget_part import the_rest
from oncofed.study.chosen_settings import left_open
from oncofed.study.panel_settings import PanelRequest
from oncofed.study.plan_settings import PlanSections, PlanSettings, PrivacyRequest
from oncofed.study.reporting import NOTHING_SAID, Reporting
from oncofed.study.target_trial_settings import TargetTrialSection, beside_the_rest
from oncofed.study.value_settings import ValueRequest
from oncofed.toml_file import read_toml


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
    HOSPITALS = "hospitals"
    """Whole hospitals, which take no part in training: fold number `fold` of `folds`, cut from
    default_rng(seed).permutation(their names, sorted)."""


class Part(StrEnum):
    """Which patients a run is measured on."""

    TEST = "test"
    VALIDATION = "validation"
    """For choosing settings: patients of the training part who are in no reserved seed's test part."""


def _existing(path: Path | None, known: Known) -> Path | None:
    if path is None:
        return None
    found = (known.folder / path).resolve()
    if not found.is_file():
        raise Wrong(f'"{path}" is not a file', "Check the path; it is relative to the study file.")
    return found


def _unless_synthetic(path: Path | None, known: Known) -> Path | None:
    if known.before.get("synthetic") is None:
        if path is None and "synthetic" in known.before:
            raise Wrong(*ABSENT)
        return _existing(path, known)
    if path is not None:
        raise Wrong("stands beside a table or schema", "Keep one of the two.", key="synthetic")
    return None


T = TypeVar("T")


def _some(named: tuple[T, ...] | None, known: Known) -> tuple[T, ...] | None:
    if named == ():
        raise Wrong("is empty", "Name at least one, or leave the field out for all.")
    return named


@dataclass(frozen=True)
class SyntheticSection:
    """The section [data.synthetic]."""

    patients: Annotated[int, As("DataSpec.synthetic_patients")] = 15_726
    """Over all hospitals."""
    hospitals: Annotated[int, As("DataSpec.synthetic_hospitals")] = 12
    """Their sizes differ."""
    seed: Annotated[int, As("DataSpec.synthetic_seed")] = 1
    """Picks the patients. The seed of `[study]` does not change them."""


@dataclass(frozen=True)
class DataSection:
    """The section [data]."""

    synthetic: SyntheticSection | None = None
    """Instead of both: see below."""
    table: Annotated[Path | None, Rule(_unless_synthetic, needed=True)] = None
    """A `.csv` or `.parquet` file with one row a patient."""
    schema: Annotated[Path | None, Rule(_unless_synthetic, needed=True)] = None
    """Its [schema](schema.md)."""
    modalities: Annotated[tuple[Modality, ...] | None, As("DataSpec.modalities"), Rule(_some)] = None
    """Use the markers of these only, for asking what the others add; without it, all."""
    endpoints: Annotated[tuple[str, ...] | None, As("DataSpec.endpoints"), Rule(_some)] = None
    """Train on these endpoints of the schema only, for asking what the others cost; without it, all."""
    modality_weights: Annotated[Mapping[Modality, float], As("DataSpec.modality_weights")] = field(default_factory=dict)
    """Other public weights than the schema's, for asking what another scale would give: `{ rna_expression = 0.2 }`."""


@dataclass(frozen=True)
class DataSpec:
    """table, schema  paths. `synthetic_*` instead of a table: the synthetic consortium, with a schema of its own.

    modalities         the markers to use; None means all of the schema. For asking what the others add.
    endpoints          those to train on, likewise.
    modality_weights   public weights instead of the schema's, for asking what another scale would give.
    """

    table: Path | None
    schema: Path | None
    modalities: tuple[Modality, ...] | None = None
    endpoints: tuple[str, ...] | None = None
    modality_weights: tuple[tuple[Modality, float], ...] = ()
    synthetic_patients: int = 0
    synthetic_hospitals: int = 0
    synthetic_seed: int = 0


_HASHED = needed_where("partition", Partition.HASH)
_ASSIGNED = needed_where("partition", Partition.ASSIGNED)


def _pattern(text: str | None, known: Known) -> str | None:
    try:
        re.compile(text or "")
    except re.error:
        raise Wrong("is not a regular expression", "Correct it.") from None
    return text


def _with_one_group(text: str | None, known: Known) -> str | None:
    if text and known.before.get("partition") is Partition.ASSIGNED and re.compile(text).groups != 1:
        raise Wrong("needs exactly one group, which is the hospital", "Put brackets around that part.")
    return text


@dataclass(frozen=True)
class SitesSpec:
    """Which patients are whose."""

    partition: Partition
    """`column`: each value of the schema's `site_column` is a hospital. `hash`: crc32 of that column modulo `count`, to
    gather many tiny hospitals into a few sites; where the schema has none, of the patient's identifier, so that a table
    without hospitals is cut by chance. `assigned`: a second table says who belongs where."""
    count: Annotated[int | None, _HASHED] = None
    """Required for `hash`: the number of sites; they are called `site_` and a number."""
    assignment_table: Annotated[Path | None, _ASSIGNED, Rule(_existing)] = None
    """Required for `assigned`: a `.csv` or `.parquet` file, each patient once. Who is not in it, or in no hospital
    there, is left out; a run says how many."""
    assignment_patient_id: Annotated[str, _ASSIGNED] = ""
    """Required for `assigned`: that table's column with the patient's identifier."""
    assignment_column: Annotated[str, _ASSIGNED] = ""
    """Required for `assigned`: that table's column that says where the patient belongs."""
    site_pattern: Annotated[str, _ASSIGNED, Rule(_pattern), Rule(_with_one_group)] = ""
    """Required for `assigned`: its one group, found in `assignment_column`, is the hospital. Patients without a match
    are left out."""
    test_pattern: Annotated[str, Rule(_pattern)] = ""
    """Who is a test patient: those in whose `assignment_column` it is found. Used by `split = "assigned"`."""
    quorum: int | None = None
    """How many hospitals must answer for a round to count; without it, all. More than there are means all. Leave it out
    in mode `distributed`: there it is all but `dropouts`."""


def _one_of_the_folds(fold: int | None, known: Known) -> int | None:
    if fold is not None and fold >= known.before.get("folds", fold + 1):
        raise Wrong("is not one of the folds", "The first fold is 0, the last is folds - 1.")
    return fold


def _of_a_random_split(part: Part | None, known: Known) -> Part | None:
    if part is Part.VALIDATION and known.before.get("split", Split.RANDOM) is not Split.RANDOM:
        raise Wrong("validation needs the random split", 'Set split = "random".')
    return part


@dataclass(frozen=True)
class EvaluationSpec:
    """Who is set aside for testing, and what is measured on them."""

    horizon: float
    """In the schema's time unit: risk and calibration are shown there, and Uno's C counts events before it. Beyond the
    last interval bound, it is that bound."""
    split: Split = Split.RANDOM
    """`random`: the first `test_fraction` of a permutation that the seed picks. `folds`: fold number `fold` of `folds`.
    `assigned`: what `test_pattern` says. `hospitals`: whole hospitals, fold number `fold` of `folds`, take no part and
    are measured on ([how](study.md#hospitals-left-out))."""
    test_fraction: float = 0.2
    """For `random`."""
    folds: int = 5
    """For `folds` and `hospitals`. As many as there are hospitals: each of them alone is left out."""
    fold: Annotated[int, Rule(_one_of_the_folds)] = 0
    """For `folds` and `hospitals`: which one is measured on; below `folds`."""
    part: Annotated[Part, Rule(_of_a_random_split)] = Part.TEST
    """`validation`, only with `random`, is for choosing settings: patients who are in the test part of neither the
    run's seed nor any reserved seed. The run's own test part is then left out."""
    reserved_seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """The seeds whose test parts `validation` keeps clear of: those you will report."""
    bootstrap_resamples: int = 200
    """For the 95 % interval of the C-index."""
    baselines: bool = True
    """Whether each hospital alone and pooled ridge Cox are computed. They take a good part of the time."""
    subgroups: tuple[str, ...] | None = None
    """The schema's markers by whose values figures of groups of patients are told. Without it, those that are called
    sex, gender or age; `[]`: none. Tumour entities, hospitals and what is missing are always looked at."""


def _of_sums(panel: PanelRequest | None, known: Known) -> PanelRequest | None:
    """No bound is proven for two plans on the same patients where one of them draws patients by lot."""
    training, privacy = known.before.get("training"), known.before.get("privacy")
    if panel is None or not panel.is_wanted or training is None or privacy is None:  # the others are told already
        return panel
    if privacy.mode.private and training.mode is not TrainingMode.FULL_BATCH:
        what = f"trains twice on the same patients, of which no bound is proven in [training], mode {training.mode}"
        raise Wrong(what, f'Leave [panel] out, or set the mode to "{TrainingMode.FULL_BATCH}".')
    return panel


@dataclass(frozen=True, kw_only=True)
class StudyFile(PlanSections):
    """As a simulation means it: [consortium] is not looked into."""

    data: DataSection
    sites: SitesSpec
    evaluation: EvaluationSpec
    panel: Annotated[PanelRequest, Rule(_of_sums)] = field(default_factory=PanelRequest)
    assay: Annotated[Mapping[str, AssaySection], As("Study.assays")] = field(default_factory=dict)
    target_trial: Annotated[TargetTrialSection | None, Rule(beside_the_rest)] = None
    consortium: object = None

    @property
    def asks_for_held_out(self) -> bool:
        """Whether hospitals that train are to measure on patients of their own."""
        return bool(self.settings.held_out.share)


@dataclass(frozen=True)
class Study:
    """A study file, read and checked. `explain_site` is the simulated hospital whose explanations the report shows.

    panel      a second model, of some markers. assays: by name, what is bought together.
    reporting  what people say of it. It changes nothing that a run does, and so nothing of the hash.
    target_trial  two treatment options to compare beside the prognosis; None: none are.
    """

    name: str
    title: str
    explain_site: str | None
    data: DataSpec
    sites: SitesSpec
    evaluation: EvaluationSpec
    settings: PlanSettings
    seed: int
    reporting: Reporting = NOTHING_SAID
    panel: PanelRequest = field(default_factory=PanelRequest)
    assays: Mapping[str, AssaySection] = field(default_factory=dict)
    target_trial: TargetTrialSection | None = None

    @property
    def first_settings(self) -> PlanSettings:
        """Of the training with all markers: a panel, and a comparison of options, have their parts of the budget."""
        return the_rest(
            self.settings, self.panel.part, 0.0 if self.target_trial is None else self.target_trial.budget_share
        )

    @property
    def training(self) -> TrainingSpec:
        return self.settings.training

    @property
    def privacy(self) -> PrivacyRequest:
        return self.settings.privacy

    @property
    def hash(self) -> str:
        """SHA-256 over everything that the study file and its overrides ask of a run, and the seed."""
        asked = {key: value for key, value in asdict(self).items() if key != "reporting"}
        # What is not asked for is left out, so that a run that was begun before it could be may go on.
        if self.data.endpoints is None:
            del asked["data"]["endpoints"]
        if self.evaluation.subgroups is None:
            del asked["evaluation"]["subgroups"]
        if self.settings.value == ValueRequest():
            del asked["settings"]["value"]
        if not self.panel.is_wanted:
            del asked["panel"]
        elif self.panel.auto:  # its size was decided by public numbers, and not asked for
            del asked["panel"]["markers"]
        else:
            del asked["panel"]["auto"]
        if not self.assays:
            del asked["assays"]
        if self.target_trial is None:
            del asked["target_trial"]
        settings = asked["settings"]
        later = [(settings, key) for key in ("left_open", "expected_patients", "calibration_by_entity")]
        for part, key in [*later, (settings["privacy"], "mask_neighbours")]:
            if not part[key]:
                del part[key]
        for name, nothing in {"comparison_share": 0.0, "value_share": 0.0, "gains_within": 1.5}.items():
            if asked["settings"]["held_out"][name] == nothing:
                del asked["settings"]["held_out"][name]
        canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()


def _data_of(section: DataSection) -> DataSpec:
    made, weights = section.synthetic, section.modality_weights
    return DataSpec(
        section.table,
        section.schema,
        section.modalities,
        section.endpoints,
        tuple((modality, weights[modality]) for modality in Modality if modality in weights),
        *((made.patients, made.hospitals, made.seed) if made is not None else ()),
    )


def read_study(path: Path, *, overrides: Sequence[str] = (), seed: int | None = None) -> Study:
    """The study in a TOML file. Raises InvalidInput with all faults of file and overrides.

    overrides  ``section.key=value`` texts; the value is TOML, or a bare word for a text.
    seed       picks split and initialisation, never the privacy noise; None takes the study's own.
    """
    content = read_toml(path)
    faults: list[Fault] = []
    for override in overrides:
        _apply(override, content, faults)
    file = read_declared(StudyFile, content, where=path.name, faults=faults, folder=path.parent)
    if file is not None and file.evaluation.split is Split.HOSPITALS and file.asks_for_held_out:
        what = 'asks hospitals that train for patients set aside, and split = "hospitals" leaves none there'
        faults.append(Fault(f"{path.name}: [held_out]", what, "Leave [held_out] out, or choose another split."))
    if file is None or faults:
        raise InvalidInput(faults)
    return Study(
        name=file.study.name,
        title=file.study.title,
        explain_site=file.study.explain_site,
        data=_data_of(file.data),
        sites=file.sites,
        evaluation=file.evaluation,
        settings=replace(file.settings, left_open=left_open(content)),
        seed=file.study.seed if seed is None else seed,
        reporting=file.reporting,
        panel=file.panel,
        assays=file.assay,
        target_trial=file.target_trial,
    )


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
