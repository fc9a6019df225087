"""Which other hospitals does this one know by itself, not from the coordinator? Three commands of `oncofed site`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command()
@NODE
def card(folder: NodeFolder) -> None:
    """Show this hospital's card, to read out to other hospitals by telephone. It holds no secret.

    \b
    Example:
      oncofed site card NODE
    """
    from oncofed.client.install.enrolment import own_request
    from oncofed.protocol.cards import card_in_words
    from oncofed.protocol.enrolment import member_of

    member = member_of(own_request(folder))
    click.echo(f"{member.site}: {card_in_words(member)}")


@click.command()
@NODE
@click.argument("name", metavar="HOSPITAL")
@click.option("--card", "heard", metavar="CARD", help="What that hospital read out; asked for when left out.")
def verify(folder: NodeFolder, name: str, heard: str | None) -> None:
    """Write another hospital's card into policy.toml, once that hospital itself has read it out to you.

    Call it on a number that you do not have from the coordinator. It reads out what `oncofed site card` shows there.

    \b
    Examples:
      oncofed site verify NODE essen
      oncofed site verify NODE essen --card "4f1c 22aa 90b1 7d3e 5c0f 8812 aa31 0b7e"
    """
    from oncofed.client.install.peers import add_peer

    heard = heard or click.prompt(f"Card that {name} reads out by telephone")
    add_peer(folder, name=name, card=heard)
    click.echo(f"{name} is verified. What this hospital knows of the others: oncofed site peers {folder.root}")


@click.command()
@NODE
@click.argument("plan", metavar="[HASH]", required=False)
def peers(folder: NodeFolder, plan: str | None) -> None:
    """List the hospitals that were verified here; of a plan's, which were, and what that means for its shared noise.

    \b
    Examples:
      oncofed site peers NODE
      oncofed site peers NODE 4f1c
    """
    from oncofed.client.guard.policy_file import read_policy
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.inbox import looked_at
    from oncofed.client.install.peers import peers_in_words
    from oncofed.protocol.enrolment import in_groups

    go_on_as("guard", folder)
    policy = read_policy(folder.policy)
    if plan is not None:
        document = looked_at(folder, plan).document
        click.echo(peers_in_words(document.plan, policy.peers, site=read_site(folder).name))
        return
    for peer in policy.peers:
        click.echo(f"{peer.name:24s} {in_groups(peer.card)}")
    if not policy.peers:
        click.echo(f"None yet. To verify one, call it: oncofed site verify {folder.root} HOSPITAL")
