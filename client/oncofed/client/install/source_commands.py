"""How does a hospital say that a data source holds other patients than those who have spent? One command of
`oncofed site`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command("other-patients")
@NODE
@click.argument("source", metavar="SOURCE")
@click.option("--yes", is_flag=True, help="Do not ask.")
def other_patients(folder: NodeFolder, source: str, yes: bool) -> None:
    """Say that no patient of a data source is in another one, but those that policy.toml names with it.

    A source with a new name, or that shares its budget no longer, is refused until somebody says so: under another name
    the same patients would be spent twice. So is one of two that have spent whose table lies elsewhere. The audit log
    keeps who said it.

    \b
    Example:
      oncofed site other-patients NODE biobank
    """
    from oncofed.client.guard.policy_file import read_policy
    from oncofed.client.install.person import person
    from oncofed.client.records.audit_log import AuditLog
    from oncofed.client.records.source_memory import say_other_patients
    from oncofed.client.records.sqlite_ledger import read_ledger

    by = person()
    go_on_as("guard", folder)
    policy = read_policy(folder.policy)
    named = policy.source(source)
    others = [each.name for each in policy.sources if each.name not in (source, *named.counted_with)]
    beside = f" that {', '.join(others)} holds, or" if others else ""
    if source in {entry.data_source for entry in read_ledger(folder.ledger)}:
        click.echo(f"{source} keeps what it has spent, for the patients that are in its table now.")
    else:
        click.echo(f"From now on {source} has a budget of its own.")
    click.echo(f"If it holds one patient{beside} that any source of this hospital held before under another name,")
    click.echo("that patient's privacy is spent twice.")
    if not yes and not click.confirm(f"Not one patient of {source} is in another source, now or before?"):
        click.echo("Nothing is changed.")
        sys.exit(1)
    say_other_patients(folder, policy, AuditLog(folder.audit_log), name=source, by=by)
    click.echo(f"Noted in the audit log, by {by}.")
