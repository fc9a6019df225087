"""How does a coordinator see, before a study, whether the hospitals have what it needs? `oncofed study readiness`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.errors import Fault, InvalidInput
from oncofed.texts import spreadsheet_table

if TYPE_CHECKING:
    from oncofed.cohort.schema import StudySchema
    from oncofed.protocol.plan import StudyPlan
    from oncofed.server.deployment.folder import CoordinatorFolder
    from oncofed.server.evaluation.readiness import Counted, Judged, Readiness, Verdict
    from oncofed.server.report.study import DeployedStudy


@click.command()
@click.argument("folder", metavar="COORD", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("study_file", metavar="STUDY.toml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("plan", metavar="[HASH]", required=False)
@click.option("--csv", "csv_file", metavar="FILE.csv", type=click.Path(dir_okay=False, path_type=Path))
def readiness(folder: Path, study_file: Path, plan: str | None, csv_file: Path | None) -> None:
    """Say what hospitals counted before a study, and whether the study is possible with it.

    COORD is the coordinator's folder, STUDY.toml the study that is planned, HASH the beginning of the hash of the plan
    that counted (`oncofed study sign --readiness`), where there are several. Asks no hospital and costs no privacy.

    \b
    Examples:
      oncofed study readiness COORD lung/study.toml
      oncofed study readiness COORD lung/study.toml 4f1c --csv markers.csv
    """
    from oncofed.server.deployment.consortium_file import read_consortium  # noqa: PLC0415 - as in `study_commands`
    from oncofed.server.deployment.folder import CoordinatorFolder, read_settings  # noqa: PLC0415
    from oncofed.server.evaluation.readiness import counted, judged  # noqa: PLC0415
    from oncofed.study.plan_settings import plan_from  # noqa: PLC0415

    coordinator = CoordinatorFolder(folder.resolve())
    read_settings(coordinator)  # a folder that is no coordinator's is told as that, not as one without studies
    consortium = read_consortium(study_file)
    short, known = _counting_study(coordinator, plan)
    if known.plan.schema_hash != consortium.schema.hash:
        remedy = "Name the study file that it was signed from, or sign and run the count anew."
        raise InvalidInput([Fault(study_file.name, f"has another schema than the count {short}", remedy)])
    found = counted(known.plan, known.schema, known.summaries)
    if found is None:
        remedy = f"See how far it is: oncofed coordinator status {folder} {short}"
        raise InvalidInput([Fault(f"study {short}", "has not counted who is there", remedy)])
    study = plan_from(
        consortium.settings,
        consortium.schema,
        study=consortium.study.name,
        roster=known.plan.roster,
        quorum=None,
        initialisation_seed=0,
    )
    judgement = {endpoint: judged(found, known.schema, study, endpoint=endpoint) for endpoint in found.events}
    for line in readiness_lines(found, judgement, study, known.schema):
        click.echo(line)
    if csv_file is not None:
        import pandas as pd  # noqa: PLC0415

        spreadsheet_table(pd.DataFrame(list(_rows(judgement)))).to_csv(csv_file, index=False)
        click.echo(f"\nWrote {csv_file}.")


def _counting_study(coordinator: CoordinatorFolder, beginning: str | None) -> tuple[str, DeployedStudy]:
    """The study whose hash begins so; without a beginning, the only one that counts."""
    from oncofed.server.deployment.runs import find_study, known_studies, shown  # noqa: PLC0415
    from oncofed.server.evaluation.readiness import readiness_in  # noqa: PLC0415
    from oncofed.server.report.reading import read_deployed_study  # noqa: PLC0415

    hashes = known_studies(coordinator) if beginning is None else (find_study(coordinator, beginning),)
    read = {shown(coordinator, name): read_deployed_study(coordinator.study(name)) for name in hashes}
    counting = {name: each for name, each in read.items() if readiness_in(each.plan) is not None}
    if len(counting) == 1:
        return next(iter(counting.items()))
    what = "several counts are here" if counting else "no study here counts who is there"
    remedy = (
        f"Name one: {', '.join(counting)}."
        if counting
        else "Sign one, and run it: oncofed study sign STUDY.toml --readiness --coordinator COORD --out count.plan.json"
    )
    raise InvalidInput([Fault("study", what, remedy)])


def readiness_lines(
    found: Readiness, judgement: dict[str, tuple[Judged, ...]], study: StudyPlan, schema: StudySchema
) -> Iterator[str]:
    """For a terminal. study: the plan that would train."""
    from oncofed.server.evaluation.readiness import Verdict  # noqa: PLC0415
    from oncofed.study.budget import AFFORDABLE, hazard_ratio_found  # noqa: PLC0415

    yield f"{len(found.hospitals)} hospitals answered ({', '.join(found.hospitals)}). Over all of them, with noise:"
    yield f"  patients           {_number(found.patients)}"
    for endpoint, events in found.events.items():
        yield f"  {endpoint}: events {_number(events)}"
    yield "Each ± is the half-width of a 95 % interval of the noise alone."
    if not found.measured:
        yield "No share of measured patients is shown: too few patients are counted, or the schema has no flags."
    yield ""
    yield from _table(found, judgement)
    private = study.privacy.mode.private
    noise = f"the study's noise (epsilon {study.privacy.epsilon:g})" if private else "a study without noise"
    for endpoint, rows in judgement.items():
        counts = Counter(row.verdict for row in rows)
        yield ""
        yield (
            f"{endpoint}: of {len(rows)} markers, {counts[Verdict.POSSIBLE]} are possible under {noise}, "
            f"{counts[Verdict.OPEN]} are open, because the count is too noisy to say, and "
            f"{counts[Verdict.NOT_POSSIBLE]} are not."
        )
        pooled = hazard_ratio_found(max(found.events[endpoint].value, 0.0), 1.0)
        yield f"  Without any noise a hazard ratio of {pooled:.2f} per step is found four times out of five."
        yield f"  {_said(counts, len(rows), found.events[endpoint])}"
    yield ""
    yield f"Possible: the noise leaves {AFFORDABLE:.0%} or more of what the events could teach of a marker, also at the"
    yield "lower end of the intervals. Roughly, as in oncofed study plan-budget: correlated markers do better."


def _said(counts: Counter[Verdict], markers: int, events: Counted) -> str:
    from oncofed.server.evaluation.readiness import Verdict  # noqa: PLC0415

    if events.value < events.half_width:
        return "The study cannot be judged: the events counted are fewer than their noise. Count with a larger epsilon."
    if counts[Verdict.POSSIBLE] == markers:
        return "The study is possible as it is planned."
    if not counts[Verdict.POSSIBLE] and not counts[Verdict.OPEN]:
        return "The study is not possible as it is planned: share the noise, enrol more hospitals, or raise epsilon."
    return "The study is possible with the markers that are; leave the others out, share the noise, or enrol more."


def _table(found: Readiness, judgement: dict[str, tuple[Judged, ...]]) -> Iterator[str]:
    from oncofed.server.evaluation.readiness import Verdict  # noqa: PLC0415

    first, *_ = judgement.values()
    heads = ["marker", "measured", *(f"{endpoint}" for endpoint in judgement)]
    rows = []
    for place, row in enumerate(first):
        told = "not flagged" if row.measured is None else _share(row.measured)
        if row.measured is not None and row.marker not in found.measured:
            told += f" (any {row.modality})"
        cells = [rows_of[place] for rows_of in judgement.values()]
        rows.append(
            [
                row.marker,
                told,
                *(
                    f"{cell.verdict}"
                    if cell.verdict is Verdict.NOT_POSSIBLE
                    else f"{cell.verdict}, {cell.left:.0%} left, HR {cell.hazard_ratio:.2f}"
                    for cell in cells
                ),
            ]
        )
    widths = [max(len(line[place]) for line in [heads, *rows]) for place in range(len(heads))]
    for line in [heads, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _rows(judgement: dict[str, tuple[Judged, ...]]) -> Iterator[dict[str, object]]:
    for endpoint, rows in judgement.items():
        for row in rows:
            yield {
                "endpoint": endpoint,
                "marker": row.marker,
                "modality": row.modality,
                "measured": None if row.measured is None else row.measured.value,
                "half_width": None if row.measured is None else row.measured.half_width,
                "information_left": row.left,
                "hazard_ratio": row.hazard_ratio,
                "verdict": row.verdict.value,
            }


def _number(counted: Counted) -> str:
    return f"{counted.value:,.0f} ± {counted.half_width:,.0f}"


def _share(counted: Counted) -> str:
    return f"{counted.value:.0%} ± {counted.half_width:.0%}"
