"""What does this hospital know by itself about the others of a plan, and how is it written down?"""

from __future__ import annotations

from collections.abc import Sequence

from oncofed.client.guard.policy_file import Peer, read_policy
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.install.set_up_alone import set_up_alone
from oncofed.durable import replace_durably, sync_folder
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content
from oncofed.protocol.cards import card_in_words, card_of
from oncofed.protocol.enrolment import fingerprint, in_groups
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.texts import text_of
from oncofed.words.language import ENGLISH, Language


def add_peer(folder: NodeFolder, *, name: str, card: str) -> None:
    """Append a [[peer]] to policy.toml, whose owner and rights stay. Raises InvalidInput; then nothing is written."""
    own = read_site(folder).name
    with set_up_alone(folder):
        _add_peer(folder, name=name, card=card, own=own)


def _add_peer(folder: NodeFolder, *, name: str, card: str, own: str) -> None:
    digits, faults = "".join(card.lower().split()), []
    if name not in text_of(Peer, "name") or name == own:
        faults.append(Fault("HOSPITAL", "is not the name of another hospital", "Write it as its card begins."))
    if digits not in text_of(Peer, "card"):
        what = "is not eight groups of four digits (0 to 9, a to f)"
        faults.append(Fault("--card", what, "Let it be read out again: oncofed site card."))
    policy = folder.policy.resolve()  # where it is a link, what it leads to
    known = {peer.name: peer.card for peer in read_policy(policy).peers}
    if known.get(name, digits) != digits:
        remedy = f"Ask {name} why its keys have changed, then remove its [[peer]] from {folder.policy}."
        faults.append(Fault("--card", f"is another one than was verified for {name} before", remedy))
    if digits in [card for peer, card in known.items() if peer != name]:
        remedy = "A card belongs to one hospital. Was one of the two names misspelt? Correct it in the policy."
        faults.append(Fault("--card", "was verified before, for another hospital", remedy))
    if faults:
        raise InvalidInput(faults)
    if name in known:
        return
    before, found = file_content(policy).decode("utf-8"), policy.stat()
    text = f'{before.rstrip()}\n\n[[peer]]\nname = "{name}"\ncard = "{in_groups(digits)}"\n'
    owner = (found.st_uid, found.st_gid)
    candidate = policy.with_name(f"{policy.name}.candidate")
    replace_durably(candidate, text.encode(), mode=found.st_mode & 0o777, owner=owner)
    try:
        read_policy(candidate)  # what was written by hand may not bear a section behind it
        candidate.replace(policy)
    finally:
        candidate.unlink(missing_ok=True)
    sync_folder(policy.parent)


def peers_in_words(plan: StudyPlan, peers: Sequence[Peer], *, site: str, say: Language = ENGLISH) -> str:
    """Each other hospital of the plan with its card and what is known of it, and the plan's own fingerprint."""
    others = [member for member in plan.members if member.site != site]
    known = {peer.name: peer.card for peer in peers}
    cards = {peer.card for peer in peers}
    lines = [f"{member.site:24s} {card_in_words(member)}  {_state(member, known, cards, say)}" for member in others]
    verified = sum(card_of(member) in cards for member in others)
    lines.append(
        say.several(
            "Verified here: %(verified)s of %(count)s other hospital.",
            "Verified here: %(verified)s of %(count)s other hospitals.",
            len(others),
            verified=verified,
        )
    )
    if plan.privacy.shares is not None:
        lines.append(
            say.several(
                "This study's noise is shared. It withstands %(count)s hospital that sides with the coordinator, "
                "and each that is not verified counts as one: the coordinator could have invented it.",
                "This study's noise is shared. It withstands %(count)s hospitals that side with the coordinator, "
                "and each that is not verified counts as one: the coordinator could have invented it.",
                plan.privacy.colluding,
            )
        )
    lines.append(
        say(
            "This plan, to compare with the other hospitals: %(fingerprint)s",
            fingerprint=fingerprint(plan.canonical.encode()),
        )
    )
    return "\n".join(lines)


def _state(member: Member, known: dict[str, str], cards: set[str], say: Language) -> str:
    if card_of(member) in cards:
        return say("verified")
    if member.site in known:
        return say("NOT the card that was verified for it: ask that hospital")
    return say("not verified")
