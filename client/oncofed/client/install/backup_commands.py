"""How is a node backed up, and put back? Two commands of `oncofed site`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, NODE_AS_IT_LIES

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command()
@NODE
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def backup(folder: NodeFolder, file: Path) -> None:
    """Copy the whole node into FILE, so that its records agree with each other. The node may run.

    FILE holds the node's keys, and the patients of approved plans where there are any: encrypt it before it leaves.

    \b
    Example:
      sudo oncofed site backup NODE /root/oncofed-tonight.tar
    """
    from datetime import UTC, datetime

    from oncofed.client.install.backup import back_up

    made = back_up(folder, file, now=datetime.now(UTC))
    click.echo(f"{file}: {len(made.files)} files of {made.site}, for its owner alone. It holds the node's keys.")
    if made.patients:
        click.echo(f"It holds patients, frozen for {made.patients} approved plans.")
    click.echo(f"Heads, to note outside: ledger {made.ledger}, audit log {made.audit_log}")


@click.command()
@NODE_AS_IT_LIES
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(folder: NodeFolder, file: Path) -> None:
    """Put a backup in place of NODE. Refused when a record in NODE knows more than FILE: that would be spent twice.

    The node must be stopped. What is in NODE now stays beside it, under another name. Rules, keys and accounts of the
    pages that are in NODE stay as they are; where the backup's differ, they lie beside as NAME.of-backup.

    \b
    Example:
      sudo oncofed site restore NODE /root/oncofed-tonight.tar
    """
    from datetime import UTC, datetime

    from oncofed.client.install.backup import restore as put_back
    from oncofed.client.install.person import person

    found = put_back(folder, file, now=datetime.now(UTC), by=person())
    held, kept = found.held, found.kept
    click.echo(f"{folder.root} is the node of {held.site} as it was on {held.taken_at}.")
    click.echo(f"Heads: ledger {held.ledger}, audit log {found.audit_log}. Compare them with those you noted outside.")
    if found.audit_log != held.audit_log:
        click.echo("The audit log that was here had gone on since then, about no plan, and is kept.")
    click.echo("Whoever had said yes to a plan that was not approved then says so again.")
    if kept.stayed:
        click.echo(f"As they were here, not as in the backup: {', '.join(kept.stayed)}.")
        click.echo("The backup's lie beside them as NAME.of-backup. Compare, and remove them.")
    if kept.came:
        click.echo(f"As in the backup, for there was none here to be used: {', '.join(kept.came)}.")
        click.echo(
            "Look through them: rules that were stricter, accounts that were shut out and keys that were replaced since"
        )
        click.echo("then are as before.")
    if kept.disabled:
        click.echo(
            "All accounts of the pages are disabled: they were changed since the backup. Enable who may look, one by"
        )
        click.echo("one: oncofed site pages disable NODE NAME --again")
    if found.former is not None:
        click.echo(f"What was there before is in {found.former}: remove it when all is well. It may hold patients.")
    click.echo(
        "Answers since then are known to the coordinator alone. Its questions tell the guard, which then answers"
    )
    click.echo("nothing until policy.toml names those plans in plans_with_lost_answers. Next: oncofed site doctor")
