"""Are the explanations of a study's model complete, faithful, stable and true? Figures, from training on.

python -m oncofed.simulations.explanation_study STUDY.toml [--set SECTION.KEY=VALUE]... [--seed N] --out FILE.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch

from oncofed.client.patients.cohort_explanation import explain_cohort, explain_entities, mean_absolute
from oncofed.cohort.cohort import Cohort
from oncofed.explanation.interaction_evidence import fit_additive_to, interaction_evidence, marker_values, own_spreads
from oncofed.explanation.interactions import model_interactions, ranked_pairs
from oncofed.explanation.relevance import marker_relevance
from oncofed.explanation.rules import Rule
from oncofed.simulations.explanation_study.fidelity import MARKERS, Interval, areas, methods
from oncofed.simulations.explanation_study.interaction_strength import interaction_strength
from oncofed.simulations.explanation_study.players import Players
from oncofed.simulations.explanation_study.recovery import marker_recovery, pair_recovery
from oncofed.simulations.explanation_study.release import lines as lines_of
from oncofed.simulations.explanation_study.release import plan_with_votes, released
from oncofed.simulations.explanation_study.stability import agreement, mean_agreement, shuffled
from oncofed.simulations.explanation_study.trained import Trained, encoded
from oncofed.simulations.federation import plan_of
from oncofed.simulations.study import Study, read_study
from oncofed.simulations.synthetic.consortium import generate
from oncofed.simulations.synthetic.hazard import LogHazardRatio

PARTS = ("completeness", "fidelity", "stability", "recovery", "interactions", "entities", "release")
SHOWN_MARKERS = 6
SHOWN_PAIRS = 20


@click.command()
@click.argument("study_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures, as Markdown.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--patients", type=click.IntRange(min=10), default=1000, show_default=True, help="For fidelity.")
@click.option("--trainings", type=click.IntRange(min=1), default=3, show_default=True, help="For stability.")
@click.option(
    "--release-epsilon", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Of both."
)
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Repeatable.")
def explanation_study(
    study_file: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    patients: int,
    trainings: int,
    release_epsilon: float,
    only: tuple[str, ...],
) -> None:
    """Train a study's model and measure its explanations; minutes."""
    study = read_study(study_file, overrides=overrides, seed=seed)
    wanted = only or PARTS
    trained = Trained.of(study, times=_times(wanted, trainings))
    lines: list[str] = []
    for line in figures(study, trained, patients=patients, wanted=wanted, release_epsilon=release_epsilon):
        click.echo(line)
        lines.append(line)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(lines) + "\n")


def _times(wanted: tuple[str, ...], trainings: int) -> int:
    """The release trains for itself."""
    return 0 if wanted == ("release",) else trainings if "stability" in wanted else 1


def figures(
    study: Study, trained: Trained, *, patients: int, wanted: tuple[str, ...], release_epsilon: float
) -> Iterator[str]:
    """Lines of Markdown. Resampling and sampled orders are seeded; privacy noise is not."""
    rng = np.random.default_rng(study.seed)
    some = trained.test.subset(np.arange(min(patients, len(trained.test))))
    parts = {
        "completeness": lambda: _completeness(trained),
        "fidelity": lambda: _fidelity(trained, some, rng),
        "stability": lambda: _stability(trained, some),
        "recovery": lambda: _recovery(study, trained),
        "interactions": lambda: _interactions(study, trained),
        "entities": lambda: _entities(trained),
        "release": lambda: _release(study, trained, epsilon=release_epsilon),
    }
    for name in wanted:
        yield from parts[name]()
        yield ""


def _completeness(trained: Trained) -> Iterator[str]:
    network, x = trained.networks[0], encoded(trained.train)
    with torch.no_grad():
        ratios = network(x).numpy()
    for endpoint, name in enumerate(network.spec.endpoints):
        for rule in Rule:
            total = marker_relevance(network, x, trained.columns, endpoint=endpoint, rule=rule)[1].sum(axis=1)
            gap = float(np.abs(total - ratios[:, endpoint]).max())
            yield f"- {name}, {rule} rule: relevances miss f by at most {gap:.1e} over {len(x):,} patients"


def _fidelity(trained: Trained, some: Cohort, rng: np.random.Generator) -> Iterator[str]:
    network, x = trained.networks[0], encoded(some)
    players = Players.of(network, x, trained.columns, endpoint=0)
    found = {
        name: areas(players, explain())
        for name, explain in methods(network, x, trained.columns, players, rng=rng).items()
    }
    ours = next(iter(found.values()))
    yield f"Areas over the first {MARKERS} markers, {len(some):,} test patients; then ours minus the method's (95 %).\n"
    yield "| method | deletion | insertion | deletion, ours minus it | insertion, ours minus it |"
    yield "|---|---|---|---|---|"
    for name, area in found.items():
        less = [
            "" if area is ours else str(Interval.of(mine - theirs, rng=rng))
            for mine, theirs in ((ours.deletion, area.deletion), (ours.insertion, area.insertion))
        ]
        yield f"| {name} | {area.deletion.mean():.4f} | {area.insertion.mean():.4f} | {less[0]} | {less[1]} |"


def _stability(trained: Trained, some: Cohort) -> Iterator[str]:
    x, generator = encoded(some), torch.Generator().manual_seed(1)
    yield "| compared | rule | order of markers | first 20 in common | within patients | a patient's first 10 |"
    yield "|---|---|---|---|---|---|"
    for rule in Rule:
        explained = [
            marker_relevance(network, x, trained.columns, endpoint=0, rule=rule)[1] for network in trained.networks
        ]
        if len(explained) > 1:
            yield f"| trained {len(explained)} times | {rule} | {mean_agreement(explained)} |"
        for linear, hidden in ((True, False), (False, True), (True, True)):
            other = shuffled(trained.networks[0], linear=linear, hidden=hidden, generator=generator)
            what = " and ".join(["linear branch"] * linear + ["ReLU branch"] * hidden)
            of_other = marker_relevance(other, x, trained.columns, endpoint=0, rule=rule)[1]
            yield f"| {what} shuffled | {rule} | {agreement(explained[0], of_other)} |"


def _recovery(study: Study, trained: Trained) -> Iterator[str]:
    if study.data.table is not None:
        yield "Recovery: the truth behind this table is not known."
        return
    truth = _truth(study)
    names, relevance = marker_relevance(trained.networks[0], encoded(trained.train), trained.columns, endpoint=0)
    for by_spread in (False, True):
        found = marker_recovery(truth, names, relevance, trained.train, by_spread=by_spread)
        how = "standard deviation" if by_spread else "mean size"
        yield (
            f"- of the {found.sought} markers of the largest true contribution ({how}), {found.found} are among the "
            f"first {found.shown}; direction right for {found.directed}; missed: {', '.join(found.missed) or 'none'}"
        )


def _interactions(study: Study, trained: Trained) -> Iterator[str]:
    network, cohort = trained.networks[0], trained.train
    additive = fit_additive_to(cohort, endpoint=0)
    names, values = marker_values(cohort, additive)
    evidence = interaction_evidence(values, names=names, residual=additive.residual, expected=additive.expected)
    strength = interaction_strength(evidence, values=values, own_spreads=own_spreads(cohort, additive))
    model = model_interactions(network, encoded(cohort), trained.columns, names=names, values=values, endpoint=0)
    if study.data.table is None:
        found = pair_recovery(_truth(study), strength, evidence, model, cohort)
        yield (
            f"- of the {found.sought} strongest true pairs, among the first {found.shown}: {found.by_strength} by "
            f"likely size, {found.by_evidence} by evidence (z) alone, {found.by_model} by the model alone, "
            f"{found.by_both} by model and evidence multiplied"
        )
        yield f"- of the pairs at a false-discovery rate of 5 %, {found.false} are no true pair"
    significant = int(np.triu(evidence.q <= 0.05, k=1).sum())
    yield f"- {significant} pairs at a false-discovery rate of 5 %; the smallest q is {evidence.q.min():.2g}"
    yield f"- heredity {strength.prior.heredity:.1f} (0: strong markers are no likelier to interact)"
    yield "\n| pair | in the outcomes: likely size | z | q | in the model: strength | slope |"
    yield "|---|---|---|---|---|---|"
    for i, j in ranked_pairs(strength.strength)[:SHOWN_PAIRS]:
        yield (
            f"| {names[i]} × {names[j]} | {strength.strength[i, j]:.3f} | {evidence.z[i, j]:+.2f} "
            f"| {evidence.q[i, j]:.2g} | {model.strength[i, j]:.3f} | {model.slope[i, j]:+.3f} |"
        )


def _entities(trained: Trained) -> Iterator[str]:
    cohort = trained.train
    names, relevance = marker_relevance(trained.networks[0], encoded(cohort), trained.columns, endpoint=0)
    overall = explain_cohort(names, relevance, cohort)
    everybody = mean_absolute(relevance)
    yield "| tumour entity | patients | markers that carry 90 % | strongest | strongest for its kind |"
    yield "|---|---|---|---|---|"
    for entity, found in {"all": overall, **explain_entities(names, relevance, cohort)}.items():
        strongest = ", ".join(role.name for role in found.markers[:SHOWN_MARKERS])
        own = sorted(found.markers, key=lambda role: -(role.strength - everybody[names.index(role.name)]))
        peculiar = "" if entity == "all" else ", ".join(role.name for role in own[:SHOWN_MARKERS])
        yield f"| {entity} | {found.patients:,} | {found.carrying_90_percent} | {strongest} | {peculiar} |"


def _release(study: Study, trained: Trained, *, epsilon: float) -> Iterator[str]:
    schema = trained.train.schema
    plan = plan_of(study, schema, roster=tuple(trained.hospitals), patients=len(trained.train))
    yield from lines_of(released(plan_with_votes(plan, schema, epsilon=epsilon), trained.hospitals))


def _truth(study: Study) -> LogHazardRatio:
    made = generate(
        patients=study.data.synthetic_patients,
        hospitals=study.data.synthetic_hospitals,
        seed=study.data.synthetic_seed,
    )
    return next(iter(made.truth.values()))


if __name__ == "__main__":
    explanation_study()
