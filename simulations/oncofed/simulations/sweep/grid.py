"""Which runs does a sweep consist of, and could each of them start?

Strategies x privacy x varied settings x seeds, each a whole `Study` with a readable name. Everything wrong with the
grid is reported at once and before anything runs: misspelt axes, settings that no study file may have, hospitals with
nobody to train on, strategies that would not do what they say.

Training mode: a strategy other than the study's own trains in the mode that suits it (`suitable_mode`), unless the mode
is set or varied. The study's own strategy keeps the study's own mode. The proximal term belongs to FedProx: along the
axis of strategies all others leave it out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from oncofed.errors import Fault, InvalidInput
from oncofed.file_reading import read_declared
from oncofed.protocol.plan import PrivacyMode, Strategy, TrainingMode
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.federation import plan_of
from oncofed.simulations.partition import consortium
from oncofed.simulations.study import Split, Study, read_study
from oncofed.simulations.study_table import table_of
from oncofed.study.plan_settings import PrivacyRequest
from oncofed.toml_file import closest, read_toml

NO_PRIVACY = "none"
_SERVER_OPTIMISERS = (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD)
_LONGEST_NAME = 120


@dataclass(frozen=True)
class SweepOptions:
    """The axes as texts of the command line; an empty one takes the study's own.

    seeds, strategies, privacy   comma-separated: whole numbers; strategies; epsilons or "none".
    vary        ``section.key=v1,v2``: one axis each; a comma inside brackets or quotes belongs to the value.
    overrides   ``section.key=value``: the same in every run.
    variants    a file of named bundles of settings (`read_variants`): one axis, for settings that belong together.
    """

    seeds: str = ""
    strategies: str = ""
    privacy: str = ""
    vary: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    variants: Path | None = None


@dataclass(frozen=True)
class Variant:
    """Settings that belong together, under one name."""

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class SweepRun:
    """One run. name: of its folder, distinct within the grid. varied: each varied key with this run's value.

    wants_baselines  whether the study asks for them; the run itself does not compute them.
    """

    name: str
    study: Study
    varied: tuple[tuple[str, str], ...]
    wants_baselines: bool

    @property
    def privacy(self) -> str:
        """The epsilon asked for, or "none"."""
        return _privacy_label(self.study)

    @property
    def comparison(self) -> str:
        """Names what the baselines depend on: runs that share it have the same ones."""
        study, evaluation = self.study, self.study.evaluation
        content = {
            "data": asdict(study.data),
            "sites": asdict(replace(study.sites, quorum=None)),
            "evaluation": asdict(replace(evaluation, horizon=1.0, bootstrap_resamples=1)),
            "seed": None if evaluation.split is Split.ASSIGNED else study.seed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def suitable_mode(strategy: Strategy) -> TrainingMode:
    """Full batch for an optimiser at the server; local epochs for the family that averages weights (FedAvg)."""
    return TrainingMode.FULL_BATCH if strategy in _SERVER_OPTIMISERS else TrainingMode.EPOCHS


def sweep_runs(study_file: Path, options: SweepOptions) -> tuple[SweepRun, ...]:
    """The grid, seeds innermost. Raises InvalidInput with every fault of axes, studies and tables."""
    faults: list[Fault] = []
    axes = _axes(options, faults)
    runs: list[SweepRun] = []
    own: Study | None = None
    try:
        own = read_study(study_file, overrides=options.overrides)
    except InvalidInput as refused:
        faults += refused.faults
    for variant, strategy, privacy, varied, seed in itertools.product(
        axes.variants or (None,),
        axes.strategies or (None,),
        axes.privacy or (None,),
        axes.varied or ((),),
        axes.seeds or (None,),
    ):
        overrides = [
            *options.overrides,
            *(() if variant is None else variant.overrides),
            *_privacy_overrides(privacy, own),
            *(f"{key}={value}" for key, value in varied),
        ]
        overrides += _strategy_overrides(strategy, own, names_mode=axes.names_mode)
        try:
            study = read_study(study_file, overrides=overrides, seed=seed)
        except InvalidInput as refused:
            faults += refused.faults
            continue
        wants = study.evaluation.baselines
        study = replace(study, evaluation=replace(study.evaluation, baselines=False))
        named = varied if variant is None else (("sweep.variant", variant.name), *varied)
        runs.append(SweepRun(_name(study, named), study, named, wants))
    faults += _faults_of_runs(runs) + _faults_of_tables(runs)
    if faults:
        raise InvalidInput(list(dict.fromkeys(faults)))
    return _distinctly_named(runs)


@dataclass(frozen=True)
class _Axes:
    seeds: tuple[int, ...]
    strategies: tuple[Strategy, ...]
    privacy: tuple[str, ...]
    varied: tuple[tuple[tuple[str, str], ...], ...]
    variants: tuple[Variant, ...]
    names_mode: bool


@dataclass(frozen=True)
class VariantSection:
    """A section [[variant]]. set: texts such as "privacy.epsilon=1"."""

    name: str
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class VariantFile:
    """A file of variants."""

    variant: tuple[VariantSection, ...]


def read_variants(path: Path, faults: list[Fault]) -> tuple[Variant, ...]:
    """The ``[[variant]]`` tables of a TOML file, each with `name` and `set`, a list of ``section.key=value`` texts."""
    found: list[Variant] = []

    def between(right: list[object], all_: bool) -> list[Fault]:
        found.extend(Variant(each.name, each.set) for each in right if isinstance(each, VariantSection))
        twice = [name for name, count in Counter(variant.name for variant in found).items() if count > 1]
        return [Fault(path.name, f'"{name}" names two variants', "Give each its own name.") for name in twice]

    try:
        read_declared(VariantFile, read_toml(path), where=path.name, faults=faults, between=between)
    except InvalidInput as refused:
        faults += refused.faults
    return tuple(found)


def _axes(options: SweepOptions, faults: list[Fault]) -> _Axes:
    varied = _varied(options.vary, faults)
    keys = [values[0][0] for values in varied]
    variants = () if options.variants is None else read_variants(options.variants, faults)
    bundled = sorted({_key(override) for variant in variants for override in variant.overrides})
    fixed = [_key(override) for override in options.overrides]
    faults += [
        Fault("--variants", f'"{key}" is set or varied beside it', "Keep one of the two.")
        for key in bundled
        if key in keys + fixed
    ]
    fixed += bundled
    swept = {
        "--strategies": (options.strategies, ("training.strategy",)),
        "--privacy": (options.privacy, ("privacy.mode", "privacy.epsilon")),
    }
    faults += [
        Fault(option, f'"{key}" is set or varied beside it', "Keep one of the two.")
        for option, (text, belonging) in swept.items()
        for key in belonging
        if text and key in keys + fixed
    ]
    if "study.seed" in keys + fixed:
        faults.append(Fault("--seeds", '"study.seed" is set or varied beside it', "Give all seeds in --seeds."))
    faults += [
        Fault("--vary", f'"{key}" is also set with --set', "Keep one of the two.") for key in keys if key in fixed
    ]
    return _Axes(
        seeds=_seeds(options.seeds, faults),
        strategies=_strategies(options.strategies, faults),
        privacy=_privacies(options.privacy, faults),
        varied=tuple(itertools.product(*varied)),
        variants=variants,
        names_mode="training.mode" in keys + fixed,
    )


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _items(option: str, text: str, faults: list[Fault]) -> list[str]:
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    _refuse_repeated(option, items, faults)
    return items


def _refuse_repeated(option: str, items: Iterable[str], faults: list[Fault]) -> None:
    twice = [item for item, count in Counter(items).items() if count > 1]
    if twice:
        faults.append(Fault(option, f"names {', '.join(twice)} more than once", "Name each once."))
    if "" in items:
        faults.append(Fault(option, "has an empty place", "Separate the values with single commas."))


def _seeds(text: str, faults: list[Fault]) -> tuple[int, ...]:
    items = [item for item in _items("--seeds", text, faults) if item]
    wrong = [item for item in items if not re.fullmatch(r"[0-9]{1,18}", item)]
    faults += [
        Fault("--seeds", f'"{item}" is not a seed', "Write whole numbers from 0, as in 1,2,3.") for item in wrong
    ]
    return tuple(int(item) for item in items if item not in wrong)


def _strategies(text: str, faults: list[Fault]) -> tuple[Strategy, ...]:
    known = [strategy.value for strategy in Strategy]
    items = [item for item in _items("--strategies", text, faults) if item]
    faults += [
        Fault("--strategies", f'"{item}" is not a strategy', closest(item, known))
        for item in items
        if item not in known
    ]
    return tuple(Strategy(item) for item in items if item in known)


def _privacies(text: str, faults: list[Fault]) -> tuple[str, ...]:
    items = [item for item in _items("--privacy", text, faults) if item]
    wrong = [item for item in items if item != NO_PRIVACY and not _is_positive(item)]
    remedy = 'Write epsilons above 0, and "none" for no privacy, as in none,3,1.'
    faults += [Fault("--privacy", f'"{item}" is neither "none" nor an epsilon', remedy) for item in wrong]
    return tuple(item for item in items if item not in wrong)


def _is_positive(text: str) -> bool:
    return re.fullmatch(r"[0-9]+(\.[0-9]+)?|\.[0-9]+", text) is not None and float(text) > 0


def _varied(texts: Sequence[str], faults: list[Fault]) -> list[list[tuple[str, str]]]:
    """One list of (key, value) an axis."""
    axes = []
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values or len(key.split(".")) != 2 or not all(key.split(".")):
            remedy = "Write --vary section.key=value,value, for instance --vary training.rounds=30,60."
            faults.append(Fault("--vary", f'"{text}" does not vary anything', remedy))
            continue
        split = split_values(values)
        _refuse_repeated(f"--vary {key}", split, faults)
        axes.append([(key, value) for value in split])
    twice = [key for key, count in Counter(axis[0][0] for axis in axes).items() if count > 1]
    faults += [Fault("--vary", f'"{key}" is varied twice', "Give all its values at once.") for key in twice]
    return axes


def split_values(text: str) -> list[str]:
    """Cut at commas that are outside of brackets, braces and quotes: ``[8],[16, 8]`` is two values."""
    values, current, depth, quote = [], "", 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quote:
            values.append(current.strip())
            current = ""
        else:
            current += character
    return [*values, current.strip()]


def _strategy_overrides(strategy: Strategy | None, own: Study | None, *, names_mode: bool) -> list[str]:
    if strategy is None:
        return []
    overrides = [f"training.strategy={strategy.value}"]
    if strategy is not Strategy.FEDPROX:
        overrides.append("training.proximal_mu=0")
    if not names_mode and (own is None or strategy is not own.training.strategy):
        overrides.append(f"training.mode={suitable_mode(strategy).value}")
    return overrides


def _privacy_overrides(privacy: str | None, own: Study | None) -> list[str]:
    if privacy is None:
        return []
    if privacy == NO_PRIVACY:
        return [f"privacy.mode={PrivacyMode.NONE.value}"]
    shared = own is not None and own.privacy.mode is PrivacyMode.DISTRIBUTED
    mode = PrivacyMode.DISTRIBUTED if shared else PrivacyMode.LOCAL
    return [f"privacy.mode={mode.value}", f"privacy.epsilon={privacy}"]


def _privacy_label(study: Study) -> str:
    return NO_PRIVACY if not study.privacy.mode.private else f"{study.privacy.epsilon:g}"


def _faults_of_runs(runs: Sequence[SweepRun]) -> list[Fault]:
    """Runs that would not show what the grid seems to compare."""
    faults = []
    repeated = len(runs) - len({run.study.hash for run in runs})
    if repeated:
        what = f"{repeated} of {len(runs)} runs would repeat another one"
        faults.append(Fault("the grid", what, "Some values are written in two ways; keep one."))
    if any(run.study.training.strategy is Strategy.FEDPROX and run.study.training.proximal_mu == 0 for run in runs):
        remedy = "Choose one above 0, for instance --set training.proximal_mu=0.01; other strategies leave it out."
        faults.append(Fault("training.proximal_mu", "is 0, with which fedprox is fedavg", remedy))
    return faults


def _faults_of_tables(runs: Sequence[SweepRun]) -> list[Fault]:
    """What only the patients can tell: each table is read once, and cut once for each comparison."""
    without_privacy = PrivacyRequest(PrivacyMode.NONE, None, 1e-5, None, 0)  # nothing to calibrate yet
    faults: list[Fault] = []
    by_data: dict[str, list[SweepRun]] = {}
    for run in runs:
        by_data.setdefault(str(run.study.data), []).append(run)
    for members in by_data.values():
        try:
            table, schema, where = table_of(members[0].study)
        except InvalidInput as refused:
            faults += refused.faults
            continue
        rosters: dict[str, tuple[str, ...]] = {}
        for run in members:
            study = run.study
            try:
                if run.comparison not in rosters:
                    rosters[run.comparison] = ()
                    cut = consortium(
                        table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed
                    )
                    rosters[run.comparison] = tuple(cut.hospitals)
            except InvalidInput as refused:
                faults += refused.faults
            roster = rosters[run.comparison]
            if not roster:
                continue
            if study.explain_site is not None and study.explain_site not in roster:
                possible = f"Possible: {', '.join(roster)}."
                faults.append(Fault("[study], explain_site", "is not a hospital of this study", possible))
            uncalibrated = replace(study, settings=replace(study.settings, privacy=without_privacy))
            faults += strategy_faults(plan_of(uncalibrated, schema, roster=roster, patients=len(table)))
    return faults


def _name(study: Study, varied: Iterable[tuple[str, str]]) -> str:
    label = _privacy_label(study)
    parts = [study.training.strategy.value, label if label == NO_PRIVACY else f"epsilon{label}"]
    parts += [f"{_in_a_name(key.partition('.')[2])}={_in_a_name(value) or 'none'}" for key, value in varied]
    return "_".join([*parts, f"seed{study.seed}"])


def _in_a_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text).strip("-")


def _distinctly_named(runs: Sequence[SweepRun]) -> tuple[SweepRun, ...]:
    """Values may differ only in characters that no file name keeps; then the study's hash is added."""
    shared: Mapping[str, int] = Counter(run.name for run in runs)

    def distinct(run: SweepRun) -> str:
        if shared[run.name] == 1 and len(run.name) <= _LONGEST_NAME:
            return run.name
        return f"{run.name[:_LONGEST_NAME]}_{run.study.hash[:8]}"

    return tuple(replace(run, name=distinct(run)) for run in runs)
