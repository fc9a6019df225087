"""How does a coordinator make a study file into a plan, one of several that it may ask for, and sign it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from oncofed.cohort.schema import StudySchema
    from oncofed.protocol.plan import StudyPlan
    from oncofed.server.deployment.consortium_file import Consortium
    from oncofed.server.deployment.validated_model import ModelPackage

STUDY_OR_PLAN = click.argument(
    "study_file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
COUNTS = click.option(
    "--readiness", "counts", is_flag=True, help="The plan that comes before it: it only counts who is there."
)
VALIDATES = click.option(
    "--validation", "validates", is_flag=True, help="The plan by which hospitals that did not train a model measure it."
)
COMPARES = click.option(
    "--options", "compares", is_flag=True, help="The plan beside it that compares the two options of [target_trial]."
)


@click.command()
@STUDY_OR_PLAN
@click.option(
    "--coordinator", "folder", required=True, metavar="COORD", type=click.Path(file_okay=False, path_type=Path)
)
@click.option("--sites", help="Names of enrolled hospitals, with commas; left out: all.")
@click.option("--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@COUNTS
@VALIDATES
@COMPARES
@click.option("--panel", "first", metavar="HASH", help="The plan of its panel, once the one of this hash has ended.")
def sign(
    study_file: Path,
    folder: Path,
    sites: str | None,
    out: Path,
    counts: bool,
    validates: bool,
    compares: bool,
    first: str | None,
) -> None:
    """Make a study file into a plan for enrolled hospitals, and sign it with the coordinator's key.

    \b
    Examples:
      oncofed study sign lung/study.toml --coordinator COORD --out lung.plan.json
      oncofed study sign lung/study.toml --coordinator COORD --sites charite,ukb --out lung.plan.json
      oncofed study sign lung/study.toml --readiness --coordinator COORD --out lung.count.json
      oncofed study sign lung/study.toml --validation --coordinator COORD --sites ulm,bonn --out lung.validation.json
      oncofed study sign lung/study.toml --options --coordinator COORD --out lung.options.json
      oncofed study sign lung/study.toml --panel 4f1c --coordinator COORD --out lung.panel.json
    """
    from oncofed.protocol.bundle import bundle_sha256  # noqa: PLC0415
    from oncofed.protocol.study_document import document_bytes, signed_document  # noqa: PLC0415
    from oncofed.secret_files import read_signing_key  # noqa: PLC0415
    from oncofed.server.deployment.consortium_file import plan_for, read_consortium  # noqa: PLC0415
    from oncofed.server.deployment.folder import CoordinatorFolder, coordinator_public_key, read_settings  # noqa: PLC0415
    from oncofed.server.deployment.member_files import look_at  # noqa: PLC0415
    from oncofed.server.deployment.panel_plan import panel_consortium  # noqa: PLC0415
    from oncofed.server.deployment.runs import find_study  # noqa: PLC0415
    from oncofed.server.deployment.validated_model import keep_validated  # noqa: PLC0415
    from oncofed.server.report.reading import read_deployed_study  # noqa: PLC0415

    coordinator = CoordinatorFolder(folder.resolve())
    read_settings(coordinator)  # a folder that is no coordinator's is told as that, not as one without hospitals
    consortium = read_consortium(study_file)
    hospitals = look_at(coordinator)
    for told in hospitals.told:
        click.echo(told, err=True)
    enrolled = {name: site for name, site in hospitals.known.items() if site.is_member}
    wanted = tuple(enrolled) if sites is None else tuple(dict.fromkeys(name.strip() for name in sites.split(",")))
    if unknown := [name for name in wanted if name not in enrolled]:
        remedy = f"Members: {', '.join(enrolled) or 'none'}."
        said = {
            name: f"is {hospitals.known[name].standing}" if name in hospitals.known else "is not enrolled"
            for name in unknown
        }
        raise InvalidInput([Fault("--sites", f'"{name}" {said[name]}', remedy) for name in unknown])
    if not wanted:
        remedy = "Enrol one first: oncofed coordinator enrol COORD"
        raise InvalidInput([Fault(str(folder), "no hospital is enrolled", remedy)])
    signing_key = read_signing_key(coordinator.signing_key)
    asked = {"--readiness": counts, "--validation": validates, "--options": compares, "--panel": first is not None}
    refuse_two_plans(asked)
    if first is not None:
        consortium = panel_consortium(
            consortium, read_deployed_study(coordinator.study(find_study(coordinator, first)))
        )
    validated = package_of(consortium, study_file) if validates else None
    plan = plan_for(
        consortium,
        members=tuple(enrolled[name].member for name in wanted),
        coordinator_public_key=coordinator_public_key(coordinator),
        bundle_sha256=bundle_sha256(),
        readiness=counts,
        options=compares,
        validated=validated,
    )
    document = signed_document(plan, schema_toml=consortium.schema_toml, signing_key=signing_key)
    if validated is not None:
        keep_validated(coordinator.study(plan.hash), validated)
    out.write_bytes(document_bytes(document))
    click.echo(f"Signed for {', '.join(plan.roster)}: {out}")
    click.echo(f"Plan {plan.hash}")
    tell_who_counts(plan, consortium.schema)
    click.echo(f"Next: oncofed coordinator run {folder} {out}")


def tell_who_counts(plan: StudyPlan, schema: StudySchema) -> None:
    from oncofed.protocol.comparator_words import REMEDY, untold_words  # noqa: PLC0415  # as above

    if untold := untold_words(plan, schema):
        click.echo(f"{untold} {REMEDY}")


def refuse_two_plans(asked: dict[str, bool]) -> None:
    """By option. Raises InvalidInput."""
    named = [name for name, is_asked in asked.items() if is_asked]
    if len(named) > 1:
        raise InvalidInput([Fault(named[1], f"stands beside {named[0]}", "They are two plans: keep one.")])


def refuse_of_signed(plan_file: Path, asked: dict[str, bool]) -> None:
    """By option. Raises InvalidInput."""
    remedy = "Leave it out, or name the study file."
    faults = [
        Fault(name, f"{plan_file.name} is signed, and one plan", remedy) for name, is_asked in asked.items() if is_asked
    ]
    if faults:
        raise InvalidInput(faults)


def package_of(consortium: Consortium, study_file: Path) -> ModelPackage:
    """The model that [validation] names. Raises InvalidInput."""
    from oncofed.server.deployment.validated_model import read_model_package  # noqa: PLC0415  # as above

    folder = consortium.validation.model
    if folder is None:
        remedy = "Write there the folder that `oncofed study package` wrote."
        raise InvalidInput([Fault(f"{study_file.name}: [validation], model", "is missing", remedy)])
    return read_model_package(folder)
