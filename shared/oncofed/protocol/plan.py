"""What have all hospitals agreed to? A frozen plan with a hash; nothing in it comes from a table.

The plan is the contract between the two ends: the server runs it, each guard holds its own copy and refuses any
request that names another hash. Imports no torch.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

from oncofed.protocol.released_model import ReleasedModel
from oncofed.protocol.summary_spec import HELD_OUT_KINDS, SummarySpec
from oncofed.survival.comparators import Comparator
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.grid import TimeGrid
from oncofed.survival.layers import Layer
from oncofed.survival.time_shapes import TimeShapes
from oncofed.treatment.target_trial import TargetTrial


class TrainingMode(StrEnum):
    FULL_BATCH = "full_batch"
    """One gradient sum over all patients of the hospital a round; the optimiser is at the server."""
    EPOCHS = "epochs"
    """Local (DP-)SGD over several epochs; the server combines weights."""


class Strategy(StrEnum):
    """Flower's strategies, by the name of the class."""

    FEDAVG = "fedavg"
    FEDPROX = "fedprox"
    FEDADAM = "fedadam"
    FEDYOGI = "fedyogi"
    FEDADAGRAD = "fedadagrad"
    MEDIAN = "median"
    TRIMMED_AVERAGE = "trimmed_average"
    KRUM = "krum"


class PrivacyMode(StrEnum):
    NONE = "none"
    LOCAL = "local"
    """Every hospital adds the whole noise itself and trusts nobody: one hospital, one share."""
    DISTRIBUTED = "distributed"
    """Hospitals share the noise of a masked sum, and trust that enough of them are honest and answer (SharedNoise)."""

    @property
    def private(self) -> bool:
        """Is any patient promised anything?"""
        return self is not PrivacyMode.NONE


class Bounding(StrEnum):
    """What makes one patient's part of a sum no longer than `l2_norm_bound`."""

    CLIP = "clip"
    """The gradient is cut to that length. How much is cut off depends on the outcome, so risks become too extreme."""
    STOPPED = "stopped"
    """Follow-up ends at `hazard_cap`, and the covariates alone give a weight (`survival.stopped_residuals`): unbiased.
    Mode `full_batch` only."""


ABSENT_WHERE_EMPTY = {"absent_where_empty": True}
"""Marks a part of a plan that came to be later: where it is empty, 0 or None, the canonical text has no such key, so
that plans without it keep their hash."""


@dataclass(frozen=True)
class SharedNoise:
    """How the noise of a masked sum is shared. Every number is public.

    sites          K, the roster's length. dropouts: d, how many may be missing from a sum. colluding: t, how many
                   hospitals may tell the server their share of the noise. Each adds variance sigma^2 / (K - d - t).
    mask_neighbours  with how many others a hospital masks its part, at least; 0 for all (`privacy.mask_graph`).
    """

    sites: int
    dropouts: int
    colluding: int
    mask_neighbours: int = field(default=0, metadata=ABSENT_WHERE_EMPTY)

    @property
    def guaranteed_shares(self) -> int:
        """Shares of the noise that are in every sum and known to no attacker."""
        return self.sites - self.dropouts - self.colluding

    @property
    def faults(self) -> tuple[str, ...]:
        """Why nobody may trust it, in words."""
        found = []
        if not (self.dropouts >= 0 and self.colluding >= 0 and self.guaranteed_shares >= 1):
            found.append("its dropouts and colluding hospitals leave nobody whose noise counts")
        if self.sites - self.dropouts < 2:  # a masked sum of one is that one's part
            found.append("its dropouts leave a hospital by itself, with nobody to hide its part among")
        if self.mask_neighbours < 0 or 0 < self.mask_neighbours <= self.colluding:
            found.append(
                f"its hospitals mask with {self.mask_neighbours} others, and {self.colluding} may collude: too few"
            )
        return tuple(found)


@dataclass(frozen=True)
class ModelSpec:
    """hidden_units       widths of the ReLU layers; empty for a linear model.
    baseline_weight    public multiplier of the learned correction to the baseline log hazard.
    linear_branch      whether w.x stands beside the ReLU part.
    time_shapes        None: all hazards run alike over time.
    comparators        restricted models beside it, trained with it; none in most plans.
    layers             parts of the markers that rounds take away by turns, as if not measured; none in most plans.
    expected_weights   (columns,): what the first endpoint's linear weights start from and decay to; empty: zero.
    entity_levels      None: calibration rounds set one level for all patients right.
    """

    columns: int
    endpoints: tuple[str, ...]
    grid: TimeGrid
    baseline_hazard: tuple[float, ...]
    hidden_units: tuple[int, ...] = (16,)
    baseline_weight: float = 1.0
    linear_branch: bool = True
    time_shapes: TimeShapes | None = None
    comparators: tuple[Comparator, ...] = field(default=(), metadata=ABSENT_WHERE_EMPTY)
    layers: tuple[Layer, ...] = field(default=(), metadata=ABSENT_WHERE_EMPTY)
    expected_weights: tuple[float, ...] = field(default=(), metadata=ABSENT_WHERE_EMPTY)
    entity_levels: EntityLevels | None = field(default=None, metadata=ABSENT_WHERE_EMPTY)

    @property
    def baseline_parameters(self) -> int:
        """How many of the travelling parameters, the first ones, correct the baseline hazard."""
        return len(self.endpoints) * self.grid.intervals

    @property
    def shape_parameters(self) -> int:
        """How many, the next ones, are of the entities' courses over time."""
        shapes = self.time_shapes
        return 0 if shapes is None else len(self.endpoints) * shapes.functions * shapes.entities

    @property
    def ratio_begins(self) -> int:
        """Where those of the log hazard ratio begin."""
        return self.baseline_parameters + self.shape_parameters

    @property
    def parameters(self) -> int:
        """How many numbers the model has, comparators included: the length of the vector that travels."""
        return self.ratio_ends + sum(
            len(self.endpoints) * (self.grid.intervals + len(each.columns)) for each in self.comparators
        )

    @property
    def comparator_parts(self) -> tuple[tuple[slice, slice], ...]:
        """Where those of each comparator lie: of its baseline hazard, and of its log hazard ratio."""
        found, begin, endpoints = [], self.ratio_ends, len(self.endpoints)
        for each in self.comparators:
            middle = begin + endpoints * self.grid.intervals
            end = middle + endpoints * len(each.columns)
            found.append((slice(begin, middle), slice(middle, end)))
            begin = end
        return tuple(found)

    @property
    def expected_parts(self) -> tuple[tuple[int, tuple[float, ...]], ...]:
        """Where the weights lie that do not start from zero, and what they start from: of the first endpoint, in the
        linear branch and in each comparator.
        """
        if not self.expected_weights:
            return ()
        of_branch = [(self.ratio_begins, self.expected_weights)] if self.linear_branch else []
        of_comparators = [
            (of_ratio.start, tuple(self.expected_weights[column] for column in each.columns))
            for each, (_, of_ratio) in zip(self.comparators, self.comparator_parts, strict=True)
        ]
        return (*of_branch, *of_comparators)

    @property
    def expectation_fault(self) -> str:
        """Why a model of so many columns cannot have them, in words; empty where nothing is wrong."""
        fits = not self.expected_weights or len(self.expected_weights) == self.columns
        return "" if fits else f"it expects {len(self.expected_weights)} weights of {self.columns} columns"

    @property
    def ratio_ends(self) -> int:
        """How many numbers the network itself has. Comparators come after them."""
        endpoints = len(self.endpoints)
        count = self.ratio_begins + (endpoints * self.columns if self.linear_branch else 0)
        if self.hidden_units:
            sizes = (self.columns, *self.hidden_units, endpoints)
            count += sum(inputs * outputs for inputs, outputs in itertools.pairwise(sizes))
        return count


@dataclass(frozen=True)
class TrainingSpec:
    """How the model is trained. Every number is public."""

    mode: TrainingMode = TrainingMode.FULL_BATCH
    """See [Strategies and modes](study.md#strategies-and-modes)."""
    strategy: Strategy = Strategy.FEDADAM
    """How the server combines. All are Flower's."""
    rounds: int = 60
    """Fixed before training. More rounds mean more noise in each. 0 is for the plans of `[readiness]` and
    `[validation]` alone, which train nothing."""
    server_learning_rate: float = 0.03
    """The step of `fedadam`, `fedyogi` and `fedadagrad` in both modes; of the others in `full_batch` only."""
    beta_1: float = 0.9
    """`fedadam`, `fedyogi`: memory of the direction."""
    beta_2: float = 0.99
    """`fedadam`, `fedyogi`: memory of the size."""
    tau: float = 1e-8
    """`fedadam`, `fedyogi`, `fedadagrad`: keeps the division from exploding. Large values swallow small updates."""
    weight_decay: float = 0.0
    """Pull of the log hazard ratio, not of the baseline hazard, towards zero; involves no patient and costs no privacy.
    At the server in `full_batch`, in each local step in `epochs`."""
    shape_weight_decay: float = 0.0
    """The same of `entity_time_shapes`: pull of an entity's course over time towards the one of all."""
    local_learning_rate: float = 0.1
    """`epochs`: the step of local SGD."""
    local_steps: int = 10
    """`epochs`: steps in each round; times all rounds, `reserve_rounds` among them, 25,000 at most."""
    sampling_rate: float = 0.1
    """`epochs`: the probability with which each patient joins a step. A public constant, the same everywhere."""
    expected_batch_size: float = 32.0
    """`epochs`: what the sum of a step is divided by. A public constant, so that it does not tell how many patients
    there are."""
    proximal_mu: float = 0.0
    """`epochs` with `fedprox`: pull of local weights towards the global ones. Above 0, it acts in `epochs` whatever the
    strategy; in `full_batch` it does nothing, so `fedprox` is refused there."""
    trim_fraction: float = 0.2
    """`trimmed_average`: this part is cut off at each end."""
    malicious_sites: int = 0
    """`krum`: how many hospitals may send nonsense."""
    site_weights: tuple[float, ...] = ()
    """Public weight of each hospital in the average, in the order of their names; empty for equal weights. Never a
    count of patients."""
    calibration_rounds: int = 0
    """`full_batch`: the last so many of the rounds set level and spread of all risks right
    ([how](study.md#calibration-rounds)). 3 are enough. Not in `epochs`, not with `median`, `trimmed_average` or
    `krum`, not with `site_weights`."""

    def calibration_round(self, round_: int) -> int:
        """Which of the calibration rounds this round is; 0 when it is none. 1 is the first of both."""
        if self.mode is not TrainingMode.FULL_BATCH:
            return 0
        return max(0, round_ - (self.rounds - self.calibration_rounds))


@dataclass(frozen=True)
class PrivacySpec:
    """What each patient is promised. Unit: one patient of one hospital; neighbours: add or remove that patient.

    noise_multiplier  standard deviation of the noise in units of l2_norm_bound; 0 in mode `none`. Mode `local`: of
                      every hospital's own. Mode `distributed`: of the guaranteed shares in a sum together.
    shares            mode `distributed` only.
    scale_bits        of the integers that leave: one clip norm is 2**scale_bits steps. Not used in mode `none`.
    l2_norm_bound     of one patient's part of a sum; None in mode `none` means no bound.
    reserve_rounds    how many repeated rounds (after a crash, say) epsilon covers beside the planned ones.
    bounding          how the bound is kept. hazard_cap: where follow-up ends then, in events that the current weights
                      expect of the patient; not used by `clip`.
    """

    mode: PrivacyMode
    epsilon: float | None
    delta: float
    noise_multiplier: float
    l2_norm_bound: float | None
    relation: str = "add_or_remove_one_patient"
    reserve_rounds: int = 0
    shares: SharedNoise | None = None
    scale_bits: int = 20
    bounding: Bounding = Bounding.CLIP
    hazard_cap: float = 1.0

    @property
    def dropouts(self) -> int:
        """How many hospitals may be missing from a sum that opens as a whole only; else nobody is needed for it."""
        return 0 if self.shares is None else self.shares.dropouts

    @property
    def colluding(self) -> int:
        """How many hospitals may tell their noise to whom the others hide from; 0 where nobody relies on another's."""
        return 0 if self.shares is None else self.shares.colluding


@dataclass(frozen=True)
class Member:
    """A hospital and its public keys.

    node_public_key     ECDSA P-384 in OpenSSH form, by which Flower knows its node; empty in a simulation.
    answer_public_key   Ed25519, hexadecimal: whose signature stands under every answer, and under the key with which
                        the hospital masks its sums in a plan; empty in a simulation.
    """

    site: str
    node_public_key: str
    answer_public_key: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """roster  names of the hospitals, sorted, distinct. quorum  how many must answer for a round to count.

    summaries           what hospitals release beside the rounds, in this order.
    held_out_fraction   of each hospital's patients, chosen by the hospital and never trained on. 0 in a simulation,
                        which sets patients aside by itself.

    The last five say who takes part, and stay empty in a simulation:
    members                 the hospitals' keys, in the roster's order.
    coordinator_public_key  Ed25519, hexadecimal: signs this plan and the model that comes of it.
    bundle_sha256           the only Flower bundle a hospital's node may run for this plan.
    released                what will be published of the study, in words.
    patience_seconds        how long the coordinator waits, beyond the round's own limit, for hospitals it needs.

    Not in a simulation, which does not wait (`protocol.answer_times`):
    answer_seconds          a hospital's answer to a round leaves after a multiple of this time.
    summary_answer_seconds  the same for a summary.

    validates               only of a plan without rounds: the model that its summaries measure, on hospitals that did
                            not train it. Its weights are in each question, and a guard takes no others.
    target_trial            only of a plan that compares two treatment options: its rounds train models of option, death
                            and loss in place of a prognosis, and its one summary is of kind `options`.
    """

    study: str
    schema_hash: str
    model: ModelSpec
    training: TrainingSpec
    privacy: PrivacySpec
    roster: tuple[str, ...]
    quorum: int
    initialisation_seed: int = 0
    round_timeout_seconds: float = 600.0
    version: int = field(default=1)
    members: tuple[Member, ...] = ()
    coordinator_public_key: str = ""
    bundle_sha256: str = ""
    released: tuple[str, ...] = ()
    patience_seconds: float = 600.0
    summaries: tuple[SummarySpec, ...] = ()
    held_out_fraction: float = 0.0
    answer_seconds: float = 0.5
    summary_answer_seconds: float = 10.0
    validates: ReleasedModel | None = field(default=None, metadata=ABSENT_WHERE_EMPTY)
    target_trial: TargetTrial | None = field(default=None, metadata=ABSENT_WHERE_EMPTY)

    @property
    def content(self) -> dict[str, Any]:
        """As JSON values, which `plan_file.plan_from_json` reads."""
        content = asdict(self)
        shares = content["privacy"]["shares"]
        parts = [(StudyPlan, content), (ModelSpec, content["model"])]
        for kind, part in [*parts, *([] if shares is None else [(SharedNoise, shares)])]:
            for each in fields(kind):
                if each.metadata == ABSENT_WHERE_EMPTY and not part[each.name]:
                    del part[each.name]
        return content

    @property
    def canonical(self) -> str:
        """The one JSON text of this plan: keys sorted, no spaces, ASCII."""
        return json.dumps(self.content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical text."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def answer_keys(self) -> dict[str, bytes]:
        """By hospital, of those that have one: with which guard's key its answers must be signed."""
        return {each.site: bytes.fromhex(each.answer_public_key) for each in self.members if each.answer_public_key}

    @property
    def trains(self) -> bool:
        """Whether there is a round at all; a plan without one consists of its summaries, and no model comes of it."""
        return self.training.rounds > 0

    @property
    def makes_model(self) -> bool:
        """Whether its rounds make a prognosis, which is signed and given to the hospitals."""
        return self.trains and self.target_trial is None

    @property
    def measures_everybody(self) -> bool:
        """Whether summaries about patients set aside are about all there are: nobody trains on any of them."""
        return self.validates is not None and self.held_out_fraction == 0

    @property
    def needs_masking_keys(self) -> bool:
        """Whether each hospital makes one for it (`protocol.masking_keys`)."""
        return self.privacy.shares is not None

    @property
    def smallest_roster(self) -> int:
        """How many hospitals an attempt must be made of at least, where its sum opens as a whole only."""
        return len(self.roster) - self.privacy.dropouts

    def summary(self, name: str) -> SummarySpec | None:
        """The summary of this name."""
        return next((each for each in self.summaries if each.name == name), None)

    @property
    def measures(self) -> bool:
        """Whether a summary of it is about patients who are set aside."""
        return any(each.kind in HELD_OUT_KINDS for each in self.summaries)

    @property
    def charged_rounds(self) -> int:
        """How many rounds a hospital may be charged for: the planned ones, and the reserve for repeated ones.

        All that it may be charged for, summaries included, is `privacy.policy.releases_of`.
        """
        return self.training.rounds + self.privacy.reserve_rounds

    @property
    def charged_local_steps(self) -> int:
        """Mode `epochs`: how many local steps all of these rounds are, which are what is accounted for; else 0.

        Its range (`oncofed.ranges`) keeps what two hospitals of the study come to within what can be accounted for,
        and so bounds how long a hospital computes and whoever reads the plan waits.
        """
        return self.charged_rounds * self.training.local_steps if self.training.mode is TrainingMode.EPOCHS else 0
