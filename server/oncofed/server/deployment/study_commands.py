"""How does a coordinator draw up a study, read it as others will, and sign it? `oncofed study`."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.errors import Fault, InvalidInput
from oncofed.server.deployment.readiness_commands import readiness
from oncofed.server.deployment.sign_command import (
    COMPARES,
    COUNTS,
    STUDY_OR_PLAN,
    VALIDATES,
    package_of,
    refuse_of_signed,
    refuse_two_plans,
    sign,
    tell_who_counts,
)
from oncofed.texts import spreadsheet_table, terminal_columns

if TYPE_CHECKING:
    from oncofed.cohort.schema import StudySchema
    from oncofed.protocol.plan import StudyPlan
    from oncofed.protocol.study_document import StudyDocument

_TEMPLATES = ("study.toml", "schema.toml")


@click.group()
def study() -> None:
    """Draw up a study for real hospitals: new, plan-budget, validate, show, hash, sign; readiness; explain, package.

    \b
    Examples:
      oncofed study new lung
      oncofed study plan-budget lung/study.toml --sites 20 --patients 230 --event-rate 0.3
      oncofed study validate lung/study.toml
      oncofed study show lung/study.toml --patients 400
      oncofed study sign lung/study.toml --coordinator /var/lib/oncofed-coordinator --out lung.plan.json
      oncofed study hash lung.plan.json
      oncofed study readiness COORD lung/study.toml
      oncofed study explain COORD --csv markers.csv
      oncofed study package COORD --study lung/study.toml --out lung-model
    """


study.add_command(readiness)
study.add_command(sign)


@study.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
def new(folder: Path) -> None:
    """Write study.toml and schema.toml to FOLDER, to be filled in.

    \b
    Example:
      oncofed study new lung
    """
    taken = [name for name in _TEMPLATES if (folder / name).exists()]
    if taken:
        raise InvalidInput([Fault(str(folder / name), "exists already", "Choose another folder.") for name in taken])
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TEMPLATES:
        (folder / name).write_text(files("oncofed.server").joinpath("templates", name).read_text("utf-8"), "utf-8")
    click.echo(f"Wrote {folder / 'study.toml'} and {folder / 'schema.toml'}. Fill them in, then:")
    click.echo(f"  oncofed study validate {folder / 'study.toml'}")


@study.command()
@STUDY_OR_PLAN
def validate(study_file: Path) -> None:
    """Say every fault of a study file, or of a signed plan, at once.

    Of a study file also, which texts of [reporting] the TRIPOD+AI checklist and the model card will lack.

    \b
    Examples:
      oncofed study validate lung/study.toml
      oncofed study validate lung.plan.json
    """
    plan, schema = _read(study_file)
    click.echo(
        f"{study_file}: no faults. {len(schema.markers)} markers, {plan.training.rounds} rounds, "
        f"noise multiplier {plan.privacy.noise_multiplier:.4g}."
    )
    tell_who_counts(plan, schema)
    if study_file.suffix == ".toml":
        from oncofed.server.card.missing_texts import missing_texts_in_words  # noqa: PLC0415  # as above
        from oncofed.server.deployment.consortium_file import read_consortium  # noqa: PLC0415
        from oncofed.study.chosen_settings import chosen, chosen_in_words  # noqa: PLC0415

        consortium = read_consortium(study_file)
        if choices := chosen(consortium.settings, schema, hospitals=len(plan.roster)):
            click.echo(chosen_in_words(choices))
        click.echo(missing_texts_in_words(consortium.reporting))


@study.command("plan-budget")
@STUDY_OR_PLAN
@click.option("--sites", type=click.IntRange(min=1), required=True, help="How many hospitals are expected.")
@click.option("--patients", type=click.IntRange(min=1), required=True, help="Patients of each: a guess, not a count.")
@click.option(
    "--event-rate",
    type=click.FloatRange(min=0, max=1, min_open=True),
    required=True,
    help="Part of them whose event will have been seen.",
)
@click.option("--epsilon", "epsilons", default="3,1", show_default=True, help="With commas.")
@click.option("--rounds", help="With commas; left out: the study's own.")
def plan_budget(
    study_file: Path, sites: int, patients: int, event_rate: float, epsilons: str, rounds: str | None
) -> None:
    """Say what epsilon, rounds and hospital sizes buy, before anyone spends anything.

    Reads no patient: only the study file, its schema, and your guesses.

    \b
    Examples:
      oncofed study plan-budget lung/study.toml --sites 20 --patients 230 --event-rate 0.3
      oncofed study plan-budget lung/study.toml --sites 8 --patients 900 --event-rate 0.5 --epsilon 4,2,1 --rounds 30,60
    """
    from oncofed.server.deployment.consortium_file import read_consortium  # noqa: PLC0415
    from oncofed.study.budget import Guess, budget_in_words, offers  # noqa: PLC0415  # as above
    from oncofed.study.chosen_settings import chosen, chosen_in_words  # noqa: PLC0415

    if study_file.suffix != ".toml":
        remedy = "Give the study file that it was made from."
        raise InvalidInput([Fault(study_file.name, "is a signed plan, whose budget is fixed", remedy)])
    consortium = read_consortium(study_file)
    faults: list[Fault] = []
    wanted = _positive_numbers("--epsilon", epsilons, faults)
    counts = [] if rounds is None else _positive_numbers("--rounds", rounds, faults, whole=True)
    if faults:
        raise InvalidInput(faults)
    guess = Guess(sites, patients, event_rate)
    found = offers(
        consortium.settings, consortium.schema, guess, epsilons=wanted, rounds=[int(count) for count in counts]
    )
    click.echo(budget_in_words(found, guess))
    expecting = replace(consortium.settings, expected_patients=sites * patients)
    click.echo(chosen_in_words(chosen(expecting, consortium.schema, hospitals=sites)), nl=bool(expecting.left_open))


def _positive_numbers(option: str, text: str, faults: list[Fault], *, whole: bool = False) -> list[float]:
    numbers = []
    for item in (part.strip() for part in text.split(",")):
        try:
            number = float(item)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf or (whole and number != int(number)):
            kind = "whole numbers above 0, as in 30,60" if whole else "numbers above 0, as in 3,1"
            faults.append(Fault(option, f'"{item}" is not one', f"Write {kind}."))
        numbers.append(number)
    return numbers


@study.command()
@STUDY_OR_PLAN
@click.option("--patients", type=click.IntRange(min=1), help="Your hospital's patients, to see what joining costs it.")
@COUNTS
@VALIDATES
@COMPARES
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the words.")
def show(study_file: Path, patients: int | None, counts: bool, validates: bool, compares: bool, language: str) -> None:
    """Say in words what a study asks of a hospital and promises its patients.

    \b
    Examples:
      oncofed study show lung/study.toml --patients 400
      oncofed study show lung/study.toml --readiness
      oncofed study show lung/study.toml --language de
      oncofed study show lung.plan.json
    """
    # Imported here so that `oncofed --help` answers at once.
    from oncofed.protocol.plan_words import plan_in_words  # noqa: PLC0415
    from oncofed.survival.network import parameter_count  # noqa: PLC0415
    from oncofed.words.languages import language_called  # noqa: PLC0415

    plan, schema = _read(study_file, readiness=counts, validation=validates, options=compares)
    parameters = parameter_count(plan.model)
    words = plan_in_words(
        plan,
        schema,
        parameters=parameters,
        columns=terminal_columns(),
        patients=patients,
        say=language_called(language),
    )
    click.echo(words)


@study.command("hash")
@STUDY_OR_PLAN
def plan_hash(study_file: Path) -> None:
    """Print the hash by which hospitals approve a plan: the signed document's.

    \b
    Example:
      oncofed study hash lung.plan.json
    """
    if study_file.suffix == ".toml":
        remedy = "Sign it first (`oncofed study sign`): keys and hospitals are part of what is hashed."
        raise InvalidInput([Fault(study_file.name, "is not a signed plan", remedy)])
    click.echo(_signed(study_file).plan.hash)


@study.command()
@click.argument("folder", metavar="COORD", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("plan", metavar="[HASH]", required=False)
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="Markers and pairs listed.")
@click.option("--csv", "csv_file", metavar="FILE.csv", type=click.Path(dir_okay=False, path_type=Path))
def explain(folder: Path, plan: str | None, most: int, csv_file: Path | None) -> None:
    """Say which markers carry a finished study's model over all hospitals, as they released it with noise.

    COORD is the coordinator's folder, HASH the beginning of the plan's hash where there are several studies. Only a
    study whose file has [explanations] has something to say. Asks no hospital and costs no privacy.

    \b
    Examples:
      oncofed study explain COORD
      oncofed study explain COORD 4f1c --most 50 --csv markers.csv
    """
    from oncofed.protocol.summary_spec import SummaryKind  # noqa: PLC0415  # as above
    from oncofed.server.deployment.folder import CoordinatorFolder, read_settings  # noqa: PLC0415
    from oncofed.server.deployment.runs import find_study, shown  # noqa: PLC0415
    from oncofed.server.report.reading import read_deployed_study  # noqa: PLC0415
    from oncofed.server.report.released_explanations import explanation_lines, explanation_table  # noqa: PLC0415
    from oncofed.server.rounds.explanation_votes import released_explanations, summary_of  # noqa: PLC0415

    coordinator = CoordinatorFolder(folder.resolve())
    read_settings(coordinator)  # a folder that is no coordinator's is told as that, not as one without studies
    plan_hash = find_study(coordinator, plan)
    found = read_deployed_study(coordinator.study(plan_hash))
    short = shown(coordinator, plan_hash)
    told = released_explanations(found.plan, found.schema, found.summaries)
    if told is None:
        name = f"study {short}"
        if summary_of(found.plan, SummaryKind.KEY_MARKERS) is None:
            remedy = "Each hospital has its own: oncofed site explain. The next study may ask: [explanations]."
            raise InvalidInput([Fault(name, "asked for no explanations", remedy)])
        remedy = f"See how far it is: oncofed coordinator status {folder} {short}"
        raise InvalidInput([Fault(name, "has not released its explanations", remedy)])
    for line in explanation_lines(told, found.plan, found.schema, most=most):
        click.echo(line)
    if csv_file is not None:
        spreadsheet_table(explanation_table(told)).to_csv(csv_file, index=False)
        click.echo(f"\nWrote {csv_file}. Pictures: oncofed coordinator report {folder} {short} --out report.html")


@study.command()
@click.argument("folder", metavar="COORD", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("plan", metavar="[HASH]", required=False)
@click.option(
    "--study",
    "study_file",
    metavar="STUDY.toml",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its [reporting] is quoted in card and checklist.",
)
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def package(folder: Path, plan: str | None, study_file: Path | None, out: Path) -> None:
    """Write a finished study's model with its card, its TRIPOD+AI checklist and an ONNX file to DIR, to hand it on.

    COORD is the coordinator's folder, HASH the beginning of the plan's hash where there are several studies. Texts may
    be mended in the study file, and the package written again: they are no part of the plan.

    \b
    Examples:
      oncofed study package COORD --study lung/study.toml --out lung-model
      oncofed study package COORD 4f1c --out lung-model
    """
    from oncofed.server.card.missing_texts import missing_texts_in_words  # noqa: PLC0415  # as above
    from oncofed.server.card.of_study import Said, write_package_of_study  # noqa: PLC0415
    from oncofed.server.deployment.consortium_file import read_consortium  # noqa: PLC0415
    from oncofed.server.deployment.folder import CoordinatorFolder, read_settings  # noqa: PLC0415
    from oncofed.server.deployment.runs import find_study  # noqa: PLC0415
    from oncofed.server.deployment.study_files import note_written  # noqa: PLC0415
    from oncofed.study.reporting import NOTHING_SAID  # noqa: PLC0415

    coordinator = CoordinatorFolder(folder.resolve())
    read_settings(coordinator)  # a folder that is no coordinator's is told as that, not as one without studies
    said = None
    if study_file is not None:
        consortium = read_consortium(study_file)
        said = Said(consortium.study.name, consortium.study.title, consortium.reporting)
    study = coordinator.study(find_study(coordinator, plan))
    write_package_of_study(study, out, said)
    note_written(study, "package", out)
    click.echo(f"Wrote {out}. Begin with {out / 'model_card.md'}.")
    click.echo(missing_texts_in_words(NOTHING_SAID if said is None else said.reporting))


def _read(
    study_file: Path, *, readiness: bool = False, validation: bool = False, options: bool = False
) -> tuple[StudyPlan, StudySchema]:
    """Of a signed plan, what it says; of a study file, the plan it would become with a few unnamed hospitals."""
    from oncofed.protocol.plan import Member  # noqa: PLC0415  # as above
    from oncofed.protocol.study_document import schema_of  # noqa: PLC0415
    from oncofed.server.deployment.consortium_file import plan_for, read_consortium  # noqa: PLC0415

    asked = {"--readiness": readiness, "--validation": validation, "--options": options}
    if study_file.suffix != ".toml":
        refuse_of_signed(study_file, asked)
        document = _signed(study_file)
        return document.plan, schema_of(document)
    refuse_two_plans(asked)
    consortium = read_consortium(study_file)
    privacy = consortium.settings.privacy
    count = max(3, consortium.terms.quorum or 0, privacy.dropouts + privacy.colluding + 1)
    unnamed = tuple(Member(f"hospital-{number}", "") for number in range(1, count + 1))
    plan = plan_for(
        consortium,
        members=unnamed,
        coordinator_public_key=b"",
        bundle_sha256="",
        readiness=readiness,
        options=options,
        validated=package_of(consortium, study_file) if validation else None,
    )
    return plan, consortium.schema


def _signed(study_file: Path) -> StudyDocument:
    """A document that whoever it names as the coordinator has signed; whose key that is, each hospital has pinned."""
    from oncofed.plain_file import file_content  # noqa: PLC0415  # as above
    from oncofed.protocol.study_document import LARGEST_BYTES, read_document, verify_document  # noqa: PLC0415

    document = read_document(file_content(study_file, most=LARGEST_BYTES), where=study_file.name)
    verify_document(document, public_key=bytes.fromhex(document.plan.coordinator_public_key))
    return document
