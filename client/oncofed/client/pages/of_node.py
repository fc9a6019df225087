"""What do the pages of a hospital's node show, and which of its files do they use?

The delivered model, verified again, and the patients as the data source holds them when the pages start. Accounts and
the key of the audit log's codes lie with the guard, whose user runs the pages.
"""

from __future__ import annotations

from pathlib import Path

from oncofed.client.node.folder import NodeFolder, NodeUsers, read_site
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.serving import Place
from oncofed.client.site.explaining import plan_with_model, present_cohort, released_network
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import PrivacyMode


def accounts_file(folder: NodeFolder) -> Path:
    return folder.guard / "pages-accounts.json"


def key_file(folder: NodeFolder) -> Path:
    return folder.guard / "pages.key"


def hospital_of(folder: NodeFolder, *, plan: str, smallest_group: int) -> HospitalPrognosis:
    """plan: how its hash begins; empty for the only one with a model. Raises InvalidInput or SignatureInvalid."""
    found = plan_with_model(folder, plan)
    return HospitalPrognosis(
        site=read_site(folder).name,
        study=found.document.plan.study,
        plan_hash=found.document.plan.hash,
        network=released_network(folder, found),
        cohort=present_cohort(folder, found),
        smallest_group=smallest_group,
        noise_in_model=found.document.plan.privacy.mode is not PrivacyMode.NONE,
    )


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
