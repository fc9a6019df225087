"""How does a hospital ask whether a delivered model fits it, and still does? Two commands of `oncofed site`."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.client.install.person import person

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_PLAN = click.option("--plan", metavar="HASH", help="The study; left out: the only one with a model.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object; docs/model-here.md describes it.")
_DAY = click.DateTime(formats=["%Y-%m-%d"])
_SIGNAL = 1


@click.command()
@NODE
@_PLAN
@click.option("--adopt", "adopts", is_flag=True, help="Show patients' pages with what is proposed, from now on.")
@click.option("--withdraw", "withdraws", is_flag=True, help="Show the model as released again.")
@_JSON
def recalibrate(folder: NodeFolder, plan: str | None, adopts: bool, withdraws: bool, as_json: bool) -> None:
    """Say whether the delivered model should be adjusted to this hospital: not, its level, or level and slope.

    From the patients who were set aside from training, with figures before and after. Nothing leaves, and nothing is
    charged. Patients' pages change only with --adopt, when they are started again. docs/model-here.md has the method.

    \b
    Examples:
      oncofed site recalibrate NODE
      oncofed site recalibrate NODE --adopt
      oncofed site recalibrate NODE --withdraw
    """
    if adopts and withdraws:
        raise click.UsageError("Give --adopt or --withdraw, not both.")
    import numpy as np

    from oncofed.client.fit.adoption import adopt, adoption_of, withdraw
    from oncofed.client.fit.judged_words import adoption_lines, judged_fields, judged_lines
    from oncofed.client.fit.judging import judged, to_adopt
    from oncofed.client.install.explaining import plan_with_model
    from oncofed.client.pages.of_node import hospital_of

    by = person()
    go_on_as("guard", folder)
    if withdraws:
        gone = withdraw(folder, plan_with_model(folder, plan).plan_hash, by=by)
        said = "Withdrawn" if gone else "Nothing was adopted"
        click.echo(f"{said}: patients' pages show the model as released, once they are started again.")
        return
    hospital = hospital_of(folder, plan=plan, by=by, adopted=False)
    found = judged(hospital, np.random.default_rng(int(hospital.plan_hash[:16], 16)))
    if adopts:
        adopt(folder, hospital.plan_hash, to_adopt(hospital, found), by=by)
    adoption = adoption_of(folder, hospital.plan_hash, endpoints=hospital.endpoint_names)
    if as_json:
        click.echo(json.dumps(judged_fields(found, adoption), indent=1))
        return
    for line in (*judged_lines(found, hospital.grid), *adoption_lines(adoption)):
        click.echo(line)
    if not adopts:
        click.echo(f"To adopt what is proposed: oncofed site recalibrate {folder.root} --adopt")


@click.command()
@NODE
@click.option("--time-zero", "zero_column", required=True, metavar="COLUMN", help="The table's column with its day.")
@_PLAN
@click.option("--since", type=_DAY, metavar="DAY", help="The first day that counts; left out: that of the adoption.")
@click.option("--until", type=_DAY, metavar="DAY", help="The last day about which all is known; left out: today.")
@click.option("--svg", "as_picture", is_flag=True, help="A picture for a browser, in place of words.")
@_JSON
def drift(
    folder: NodeFolder,
    zero_column: str,
    plan: str | None,
    since: datetime | None,
    until: datetime | None,
    as_picture: bool,
    as_json: bool,
) -> None:
    """Say whether the delivered model is still right here: events against expected ones, and markers that changed.

    Nothing leaves, nothing is charged and nothing is changed. DAY is YYYY-MM-DD. docs/model-here.md has the method.

    \b
    Exit codes:
      0  nothing to look at
      1  a signal, or a marker that has drifted
      2  it could not be looked at
    \b
    Examples:
      oncofed site drift NODE --time-zero diagnosis_date --since 2026-01-01
      oncofed site drift NODE --time-zero diagnosis_date --until 2026-09-30 --svg > drift.svg
    """
    if as_picture and as_json:
        raise click.UsageError("Give --json or --svg, not both.")
    from oncofed.client.fit.drift_picture import drift_picture
    from oncofed.client.fit.drift_words import drift_fields, drift_lines
    from oncofed.client.fit.node_drift import drift_at

    go_on_as("guard", folder)
    found = drift_at(
        folder,
        plan=plan,
        zero_column=zero_column,
        since=None if since is None else since.date(),
        until=None if until is None else until.date(),
    )
    if as_json:
        click.echo(json.dumps(drift_fields(found), indent=1))
    elif as_picture:
        click.echo(str(drift_picture(found)))
    else:
        for line in drift_lines(found):
            click.echo(line)
    if found.found:
        sys.exit(_SIGNAL)
