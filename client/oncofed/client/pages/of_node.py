"""What do the pages of a hospital's node show, and which of its files do they use?

The delivered model, verified again, and the patients as the data source holds them when the pages start; for figures of
groups, the patients that were published for this study. They, the accounts and the key of the audit log's codes lie
with the guard, whose user runs the pages.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.client.fit.adoption import NOBODY_DECIDED, adoption_of
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.explaining import plan_with_model, present_cohort, released_network
from oncofed.client.install.folder import NodeFolder, NodeUsers, read_site
from oncofed.client.install.inbox import OfferedPlan
from oncofed.client.launch.issuer import Issuer, is_address
from oncofed.client.launch.launches import Launches, patients_in
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.publication_record import (
    BEGUN_ANEW,
    PUBLISHED,
    TAKEN_BACK,
    publish_content,
    published_content,
)
from oncofed.client.pages.published import (
    Members,
    Published,
    Renewal,
    among,
    begun_anew,
    content_of,
    members_of,
    published_of,
    renewal,
)
from oncofed.client.pages.serving import Place
from oncofed.client.pages.units import REST
from oncofed.client.patients.held_out_split import HeldOutSplit, Lots, split_name
from oncofed.client.sign_on.proxy_names import ProxyNames, is_secret
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput, RecordDamaged
from oncofed.explanation.training_noise import deviation
from oncofed.secret_files import read_secret
from oncofed.words.names import plain_name

_DIGITS = 16


def accounts_file(folder: NodeFolder) -> Path:
    return folder.guard / "pages-accounts.json"


def key_file(folder: NodeFolder) -> Path:
    return folder.pages_key


def published_file(folder: NodeFolder, source: str) -> Path:
    """source: that stands for all which share patients."""
    return folder.guard / f"pages-published-{hashlib.sha256(source.encode()).hexdigest()[:_DIGITS]}.zip"


def beside(path: Path, schema: StudySchema) -> Path:
    """Of a study whose schema is not that of the first one which was published from the source."""
    return path.with_name(f"{path.stem}-{schema.hash[:_DIGITS]}.zip")


@dataclass(frozen=True, eq=False)
class Publication:
    """What a study shows of groups: where it lies, under which floor, of which of the patients as they are now.

    members  of the file beside which it lies; None where it is that one.
    before   None where nothing is published yet. by: the person who publishes.
    """

    folder: NodeFolder
    plan: OfferedPlan
    path: Path
    floor: int
    cohort: Cohort
    members: Members | None
    before: Published | None
    by: str

    @staticmethod
    def of(folder: NodeFolder, plan: OfferedPlan, cohort: Cohort, *, by: str) -> Publication:
        """Raises InvalidInput where the policy asks for a stricter floor than that of what is published."""
        policy, source = read_policy(folder.policy), "" if plan.decision is None else plan.decision.data_source
        first = published_file(folder, policy.source(source).same_patients_as or source)
        content, members, path = published_content(first, log=folder.audit_log), None, first
        floor = policy.smallest_group
        if content is not None:
            found = members_of(content, name=first.name)
            floor = found.floor
            if found.schema != cohort.schema.hash:
                members, path = found, beside(first, cohort.schema)
                cohort, content = among(found, cohort), published_content(path, log=folder.audit_log)
        before = None if content is None else published_of(content, cohort.schema, name=path.name)
        return Publication(folder, plan, path, floor, cohort, members, before, by)

    def refuse_stricter_policy(self) -> None:
        """Raises InvalidInput. A floor that was lowered in the policy stays what it was."""
        asked = read_policy(self.folder.policy).smallest_group
        if asked > self.floor:
            what = f"is {asked}, and figures of groups were published with {self.floor}"
            remedy = f"`oncofed site pages publish {self.folder.root} --anew` begins them anew with {asked}."
            raise InvalidInput([Fault("policy: [node]: smallest_group", what, remedy)])

    def renewed(self) -> Renewal:
        """Published."""
        key = b"" if self.members is None else self.members.key
        lots = lots_of(self.folder, self.plan)
        found = renewal(self.before, self.cohort, floor=self.floor, key=key, today=_today(), lots=lots)
        self.keep(found.published, event=PUBLISHED)
        return found

    def keep(self, published: Published, *, event: str) -> None:
        """Note it and put it in its place."""
        publish_content(
            self.path,
            content_of(published),
            log=self.folder.audit_log,
            by=self.by,
            plan_hash=self.plan.document.plan.hash,
            event=event,
        )


def hospital_of(folder: NodeFolder, *, plan: str | None, by: str = "", adopted: bool = True) -> HospitalPrognosis:
    """What is published is shown; if nothing is, the table as it is now is published first.

    plan     how its hash begins; None for the only one with a model. by: the person, if it is to be published.
    adopted  with what the hospital adopted of an adjustment; else as released, whatever it did.

    Raises InvalidInput, SignatureInvalid, RecordFailure.
    """
    found = plan_with_model(folder, plan)
    cohort = present_cohort(folder, found)
    publication = Publication.of(folder, found, cohort, by=by)
    publication.refuse_stricter_policy()
    published = publication.before or publication.renewed().published
    network = released_network(folder, found)
    endpoints, plan_hash = network.spec.endpoints, found.document.plan.hash
    adoption = adoption_of(folder, plan_hash, endpoints=endpoints) if adopted else None
    return HospitalPrognosis(
        site=read_site(folder).name,
        study=found.document.plan.study,
        plan_hash=plan_hash,
        network=network,
        cohort=cohort,
        smallest_group=published.floor,
        published=published.units,
        as_of=published.as_of,
        noise_in_model=found.document.plan.privacy.mode.private,
        drawn=_drawn(published, lots_of(folder, found), found),
        weight_noise=deviation(found.document.plan),
        decided=NOBODY_DECIDED if adoption is None else adoption.decided(),
    )


def lots_of(folder: NodeFolder, found: OfferedPlan) -> Lots | None:
    """Of the study's data source; None where no study of this node ever set patients aside."""
    if found.decision is None or not folder.held_out_secret.is_file():
        return None
    return Lots(read_secret(folder.held_out_secret), found.decision.data_source)


def _drawn(published: Published, lots: Lots | None, found: OfferedPlan) -> NDArray[np.bool_] | None:
    """Who was set aside from this study; None where nobody was, or the lots that were kept are others than its."""
    fraction, decision = found.document.plan.held_out_fraction, found.decision
    if not fraction or lots is None or decision is None:
        return None
    if split_name(lots.secret) != decision.split or published.lots_of != lots.name:
        return None
    return HeldOutSplit(lots.secret, lots.data_source, fraction).drawn(published.lots)


def publish(folder: NodeFolder, *, plan: str | None, by: str) -> Iterator[str]:
    """Take a new version of the table for the figures of groups; lines that say of which tumours."""
    found = plan_with_model(folder, plan)
    cohort = present_cohort(folder, found)
    publication = Publication.of(folder, found, cohort, by=by)
    publication.refuse_stricter_policy()
    new = publication.renewed()
    if publication.members is not None:
        yield "Who is published follows the study that was the first to use this data source: publish that one first."
    name = cohort.schema.tumour_entity
    categories = next((each.categories for each in cohort.schema.markers if each.name == name), ())
    for units, said in (
        (new.grown, "new patients are in"),
        (new.followed, "follow-up is as in the table now"),
        (new.waiting, "the rest waits: too few patients are new or have changed"),
    ):
        for unit in units:
            yield f"{'all other tumours' if unit == REST else plain_name(categories[unit])}: {said}"


def publish_anew(folder: NodeFolder, *, plan: str | None, after_loss: bool, by: str) -> Iterator[str]:
    """Begin all figures of groups anew, under the policy's floor.

    after_loss  what was published is lost, and a person says that enough patients have changed.
    """
    found = plan_with_model(folder, plan)
    cohort, policy = present_cohort(folder, found), read_policy(folder.policy)
    floor = policy.smallest_group
    if after_loss:
        source = "" if found.decision is None else found.decision.data_source
        path = published_file(folder, policy.source(source).same_patients_as or source)
        try:
            published_content(path, log=folder.audit_log)
        except RecordDamaged:
            publication = Publication(folder, found, path, floor, cohort, None, None, by)
            first = renewal(None, cohort, floor=floor, today=_today(), lots=lots_of(folder, found)).published
        else:
            what, remedy = "stands, though nothing is lost", "Leave it out: then the program counts who has changed."
            raise InvalidInput([Fault("--after-loss", what, remedy)])
    else:
        publication = Publication.of(folder, found, cohort, by=by)
        if publication.before is None or publication.members is not None:
            what = "is not of the study from which this data source was published first, or nothing is published"
            raise InvalidInput([Fault("--anew", what, "Name that study with --plan, or leave out --anew.")])
        lots = lots_of(folder, found)
        first = begun_anew(publication.before, cohort, floor=floor, today=_today(), lots=lots)
    for other in publication.path.parent.glob(f"{publication.path.stem}-*.zip"):
        publish_content(
            other, TAKEN_BACK, log=folder.audit_log, by=by, plan_hash=found.document.plan.hash, event=BEGUN_ANEW
        )
    publication.keep(first, event=BEGUN_ANEW)
    yield f"All figures of groups are of the table as it is now, of groups of at least {floor} patients."


def _today() -> date:
    return datetime.now(UTC).date()


def launches_of(folder: NodeFolder, place: Place) -> Launches | None:
    """By which the hospital's record system opens patients; None without [launch]. Raises InvalidInput."""
    settings = read_site(folder).launch
    if settings is None:
        return None
    faults = [
        Fault(f"site.toml: [launch]: {name}", "has a host or a port that is none", "Write it as the server names it.")
        for name in ("issuer", "authorize", "token")
        if not is_address(getattr(settings, name))
    ]
    if settings.certificates is not None and not Path(settings.certificates).is_file():
        what, remedy = "is no file", "Name the PEM file of the authority, or leave it out."
        faults.append(Fault("site.toml: [launch]: certificates", what, remedy))
    if faults:
        raise InvalidInput(faults)
    secret = _launch_secret(folder.launch_secret) if folder.launch_secret.exists() else None
    return Launches(
        settings,
        pages=place.address,
        ask=Issuer(settings, secret).patient,
        clock=time.monotonic,
        patients=None if settings.patients is None else patients_in(folder.guard / settings.patients),
    )


def _launch_secret(path: Path) -> str:
    """Raises InvalidInput."""
    said = read_secret(path).decode(errors="replace").strip()
    if not said.isascii() or not said.isprintable() or not said:
        what, remedy = "is no text of ASCII on one line", "Write down the secret that the record system gave."
        raise InvalidInput([Fault(path.name, what, remedy)])
    return said


def names_of(folder: NodeFolder, place: Place) -> ProxyNames | None:
    """By which the hospital's proxy says who asks; None without [sign_on], and on a port. Raises InvalidInput.

    On a port whoever works on this machine could say so.
    """
    settings = read_site(folder).sign_on
    if settings is None or place.socket is None:
        return None
    path = folder.sign_on_secret
    said = read_secret(path).decode(errors="replace").strip()
    if not is_secret(said):
        remedy = "Write at least 32 letters and digits on one line there: `openssl rand -hex 32` makes some."
        raise InvalidInput([Fault(path.name, "is no secret of a proxy", remedy)])
    return ProxyNames(settings.header, said, settings.sign_out)


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
