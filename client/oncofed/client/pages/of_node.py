"""What do the pages of a hospital's node show, and which of its files do they use?

The delivered model, verified again, and the patients as the data source holds them when the pages start; for figures of
groups, the patients that were published for this study. They, the accounts and the key of the audit log's codes lie
with the guard, whose user runs the pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oncofed.client.held_out_split import HeldOutSplit, split_name
from oncofed.client.node.folder import NodeFolder, NodeUsers, read_site
from oncofed.client.pages.hospital import SMALLEST_GROUP, HospitalPrognosis
from oncofed.client.pages.published import read_published, refuse_other_floor, renewal, write_published
from oncofed.client.pages.serving import Place
from oncofed.client.pages.units import REST
from oncofed.client.pages.wording import words
from oncofed.client.site.explaining import plan_with_model, present_cohort, released_network
from oncofed.client.site.inbox import OfferedPlan
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import PrivacyMode
from oncofed.secret_files import read_secret


def accounts_file(folder: NodeFolder) -> Path:
    return folder.guard / "pages-accounts.json"


def key_file(folder: NodeFolder) -> Path:
    return folder.guard / "pages.key"


def published_file(folder: NodeFolder, plan_hash: str) -> Path:
    return folder.guard / f"pages-published-{plan_hash}.zip"


def hospital_of(folder: NodeFolder, *, plan: str, smallest_group: int | None = None) -> HospitalPrognosis:
    """What is published is shown; if nothing is, the table as it is now is published first.

    plan            how its hash begins; empty for the only one with a model.
    smallest_group  the floor; None: that of what is published, or SMALLEST_GROUP.

    Raises InvalidInput, SignatureInvalid, RecordFailure.
    """
    found = plan_with_model(folder, plan)
    path = published_file(folder, found.document.plan.hash)
    cohort = present_cohort(folder, found)
    published = read_published(path, cohort.schema)
    if published is None:
        published = renewal(None, cohort, floor=smallest_group or SMALLEST_GROUP).published
        write_published(path, published)
    refuse_other_floor(published, smallest_group)
    return HospitalPrognosis(
        site=read_site(folder).name,
        study=found.document.plan.study,
        plan_hash=found.document.plan.hash,
        network=released_network(folder, found),
        cohort=cohort,
        smallest_group=published.floor,
        published=published.units,
        noise_in_model=found.document.plan.privacy.mode is not PrivacyMode.NONE,
        split=_split(folder, found),
    )


def _split(folder: NodeFolder, found: OfferedPlan) -> HeldOutSplit | None:
    """By which the study's patients were set aside; None where none were, or the secret is another one by now."""
    fraction, decision = found.document.plan.held_out_fraction, found.decision
    if not fraction or decision is None or not folder.held_out_secret.is_file():
        return None
    secret = read_secret(folder.held_out_secret)
    if split_name(secret) != decision.split:
        return None
    return HeldOutSplit(secret, decision.data_source, fraction)


def publish(folder: NodeFolder, *, plan: str) -> Iterator[str]:
    """Take a new version of the table for the figures of groups; lines that say of which tumours."""
    found = plan_with_model(folder, plan)
    path = published_file(folder, found.document.plan.hash)
    cohort = present_cohort(folder, found)
    before = read_published(path, cohort.schema)
    floor = SMALLEST_GROUP if before is None else before.floor
    new = renewal(before, cohort, floor=floor)
    write_published(path, new.published)
    name = cohort.schema.tumour_entity
    categories = next((each.categories for each in cohort.schema.markers if each.name == name), ())
    for units, said in (
        (new.grown, "new patients are in"),
        (new.followed, "follow-up is as in the table now"),
        (new.waiting, "the rest waits: too few patients are new or have changed"),
    ):
        for unit in units:
            yield f"{'all other tumours' if unit == REST else words(categories[unit])}: {said}"


def refused_users(folder: NodeFolder) -> frozenset[int]:
    """The users that run what the coordinator names: their connections are refused."""
    users = read_site(folder).users
    if users is None:
        return frozenset()
    return frozenset(NodeUsers.ids(name)[0] for name in (users.relay, users.node))


def refuse_place(folder: NodeFolder, place: Place) -> None:
    """Raises InvalidInput for a socket in the folder through which the relay reaches the guard."""
    if place.socket is not None and place.socket.resolve().is_relative_to(folder.run.resolve()):
        remedy = "Choose a folder that the relay may not enter, such as /run/oncofed-pages."
        raise InvalidInput([Fault("--socket", "lies where the relay may go", remedy)])
