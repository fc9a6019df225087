"""Can what was told of groups be lost, doubled or told under two floors, without that a person is told?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.command_line import oncofed
from tests.installed_node import InstalledNode, installed_node
from tests.pages_hospital import PLAN_HASH, SCHEMA, hospital, network

from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages import of_node, publication_record
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.of_node import hospital_of, publish, publish_anew, published_file
from oncofed.client.pages.publication_record import code_of, publish_content, published_content
from oncofed.client.pages.published import hashed, members_of
from oncofed.client.patients.held_out_split import HeldOutSplit, split_name, split_secret
from oncofed.cohort.cohort import Cohort
from oncofed.errors import InvalidInput, RecordDamaged, RecordFailure
from oncofed.protocol.plan import PrivacyMode

TABLE = hospital(460, seed=3).cohort


class Node:
    """A node of two studies on one data source; its table is what `night` says."""

    def __init__(self, node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.node, self.night = node.folder, node, TABLE.subset(range(400))
        self.schemas = {"one": SCHEMA, "two": SCHEMA, "other": replace(SCHEMA, name="other")}
        self.held_out_fraction, self.split = 0.0, ""
        node.enrol()
        monkeypatch.setattr(of_node, "plan_with_model", self.plan)
        monkeypatch.setattr(of_node, "present_cohort", self.table)
        monkeypatch.setattr(of_node, "released_network", lambda *_: network())
        monkeypatch.setattr(of_node, "deviation", lambda _: None)

    def plan(self, _: NodeFolder, beginning: str) -> SimpleNamespace:
        privacy = SimpleNamespace(mode=PrivacyMode.NONE)
        fraction = self.held_out_fraction
        plan = SimpleNamespace(hash=PLAN_HASH, study=beginning, privacy=privacy, held_out_fraction=fraction)
        decision = SimpleNamespace(data_source="registry", split=self.split)
        return SimpleNamespace(document=SimpleNamespace(plan=plan), decision=decision)

    def set_aside(self, fraction: float) -> HeldOutSplit:
        """As if a study had set so many of them aside."""
        secret = split_secret(self.folder.held_out_secret)
        self.held_out_fraction, self.split = fraction, split_name(secret)
        return HeldOutSplit(secret, "registry", fraction)

    def table(self, _: NodeFolder, plan: SimpleNamespace) -> Cohort:
        of, schema = self.night, self.schemas[plan.document.plan.study]
        return Cohort(schema, of.patient_ids, of.values.copy(), of.entry.copy(), of.exit.copy(), of.observed.copy())

    def shown(self, study: str = "one") -> HospitalPrognosis:
        return hospital_of(self.folder, plan=study)

    def policy(self, floor: int) -> None:
        text = "".join(
            line for line in self.folder.policy.read_text().splitlines(keepends=True) if "smallest_group" not in line
        )
        self.folder.policy.write_text(text.replace("[node]\n", f"[node]\nsmallest_group = {floor}\n"))

    @property
    def file(self) -> Path:
        return published_file(self.folder, "registry")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with installed_node() as found:
        yield Node(found, monkeypatch)


def test_two_studies_show_one_publication_whenever_they_are_first_shown(node: Node) -> None:
    first = node.shown("one")
    node.night = TABLE.subset(range(401))
    for study in ("two", "other"):
        other = node.shown(study)
        assert other.units.cohort.patient_ids == first.units.cohort.patient_ids, "the newcomer is in neither"
        assert other.smallest_group == first.smallest_group
        assert len(other.cohort) == 401
    node.night = TABLE.subset(range(440))
    list(publish(node.folder, plan="other", by=""))
    assert len(node.shown("other").units.of) == len(first.units.of), "who is published follows the first study"
    list(publish(node.folder, plan="two", by=""))
    grown = node.shown("one").units
    assert len(grown.of) > len(first.units.of)
    list(publish(node.folder, plan="other", by=""))
    assert set(node.shown("other").units.cohort.patient_ids) == set(grown.cohort.patient_ids)


def test_the_log_has_the_hash_of_what_is_published_before_it_is_there(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def before(waiting: Path, path: Path) -> None:
        seen.append((path.exists(), node.node.entries()[-1].code == code_of(path, waiting.read_bytes())))
        raise InterruptedError

    with monkeypatch.context() as killed:
        killed.setattr(publication_record, "_take_place", before)
        with pytest.raises(InterruptedError):
            node.shown()
    assert seen == [(False, True)]
    assert len(node.shown().units.of) == 397, "what was noted takes its place after a kill"
    assert [event for event, _ in node.node.events()] == ["page_published"]


def test_a_kill_before_the_line_leaves_what_was_published(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first = node.shown().units.cohort.patient_ids
    node.night = TABLE.subset(range(440))

    def full(*_: object, **__: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as killed:
        killed.setattr("oncofed.client.records.audit_log.AuditLog.append", full)
        with pytest.raises(InterruptedError):
            list(publish(node.folder, plan="one", by=""))
    assert node.shown().units.cohort.patient_ids == first


def test_a_lost_or_older_file_is_refused_and_never_made_anew_in_silence(node: Node) -> None:
    node.shown()
    older = node.file.read_bytes()
    node.night = TABLE.subset(range(440))
    list(publish(node.folder, plan="one", by=""))
    newer = node.file.read_bytes()
    node.file.unlink()
    for ask in (node.shown, lambda: list(publish(node.folder, plan="one", by=""))):
        with pytest.raises(RecordDamaged, match=r"is lost.*Restore its newest copy.*--anew --after-loss"):
            ask()
    with pytest.raises(RecordFailure):
        list(publish_anew(node.folder, plan="one", after_loss=False, by=""))
    node.file.write_bytes(older)
    node.file.chmod(0o600)
    with pytest.raises(RecordDamaged, match="not the one that the audit log says"):
        node.shown()
    node.file.write_bytes(newer)
    assert node.shown().units.batch.max() == 2
    node.file.chmod(0o640)
    with pytest.raises(InvalidInput, match="others than its owner"):
        node.shown()


def test_after_a_loss_a_person_begins_anew_and_the_log_tells(node: Node) -> None:
    node.shown("one")
    node.shown("other")
    with pytest.raises(InvalidInput, match="though nothing is lost"):
        list(publish_anew(node.folder, plan="one", after_loss=True, by=""))
    node.file.unlink()
    node.night = TABLE.subset(range(460))
    list(publish_anew(node.folder, plan="one", after_loss=True, by="Berg"))
    assert (node.node.entries()[-1].event, node.node.entries()[-1].by) == ("page_published_anew", "Berg")
    assert set(node.shown("one").units.batch) == {1}
    assert len(node.shown("other").units.of) == len(node.shown("one").units.of)


def test_the_floor_is_the_policys_and_a_stricter_one_begins_anew(node: Node) -> None:
    node.policy(12)
    assert node.shown().smallest_group == 12
    node.policy(10)
    assert node.shown().smallest_group == 12, "what was rounded with one floor is not rounded with a lower one"
    node.policy(15)
    for ask in (node.shown, lambda: list(publish(node.folder, plan="one", by=""))):
        with pytest.raises(InvalidInput, match="--anew"):
            ask()
    with pytest.raises(InvalidInput, match="too few patients have come or left"):
        list(publish_anew(node.folder, plan="one", after_loss=False, by=""))
    lung, skin = (np.flatnonzero(TABLE.values[:, 3] == each)[40:] for each in (0.0, 1.0))
    node.night = TABLE.subset(np.concatenate([lung, skin]))
    list(publish_anew(node.folder, plan="one", after_loss=False, by=""))
    assert node.shown().smallest_group == 15
    node.policy(4)
    with pytest.raises(InvalidInput, match="smallest_group"):
        node.shown()


def test_no_command_takes_a_floor(node: Node) -> None:
    for command in ("serve", "publish"):
        said = oncofed("site", "pages", command, node.folder.root, "--smallest-group", "5")
        assert (said.code, "No such option" in said.text) == (2, True)
    assert not node.file.exists()


def rows_of(shown: HospitalPrognosis, patients: set[str], key: bytes) -> list[bool]:
    hashes = {hashed(each, key) for each in patients}
    return [each in hashes for each in shown.units.cohort.patient_ids]


def key_of(node: Node) -> bytes:
    content = published_content(node.file, log=node.folder.audit_log)
    assert content is not None
    return members_of(content, name="").key


def drawn_from(split: HeldOutSplit, cohort: Cohort) -> set[str]:
    return {each for each, drawn in zip(cohort.patient_ids, split.held_out(cohort.patient_ids), strict=True) if drawn}


def test_who_was_set_aside_is_told_by_the_lots_of_the_study_and_stays_so(node: Node) -> None:
    """What is published holds no identifiers, and a lot is drawn by one."""
    split = node.set_aside(0.3)
    shown = node.shown()
    aside = drawn_from(split, node.night)
    assert shown.drawn is not None
    assert shown.drawn.tolist() == rows_of(shown, aside, key_of(node))
    assert 0.2 < shown.set_aside.mean() < 0.4
    first = shown.set_aside.tolist()
    node.night = TABLE.subset(range(40, 400))
    assert node.shown().set_aside.tolist() == first, "who has left the table is still counted where he was"
    node.night = TABLE.subset(range(40, 460))
    list(publish(node.folder, plan="one", by=""))
    grown = node.shown()
    assert grown.drawn is not None
    assert len(grown.drawn) > len(first)
    assert grown.drawn.tolist() == rows_of(grown, drawn_from(split, TABLE), key_of(node))


def test_nobody_counts_as_set_aside_whose_lot_is_not_known(node: Node) -> None:
    """What was published before any study set patients aside, and when the secret is another one by now."""
    assert node.shown().drawn is None
    split = node.set_aside(0.3)
    shown = node.shown()
    assert shown.drawn is None
    assert not shown.set_aside.any()
    gone, node.night = set(TABLE.patient_ids[:40]), TABLE.subset(range(40, 400))
    list(publish(node.folder, plan="one", by=""))
    shown = node.shown()
    assert shown.drawn is not None
    assert shown.drawn.tolist() == rows_of(shown, drawn_from(split, TABLE) - gone, key_of(node))
    node.folder.held_out_secret.unlink()
    node.set_aside(0.3)
    assert node.shown().drawn is None
    list(publish(node.folder, plan="one", by=""))
    assert node.shown().drawn is None


def test_files_of_two_names_do_not_stand_for_each_other(tmp_path: Path) -> None:
    log, one, two = (tmp_path / name for name in ("audit.jsonl", "one.zip", "two.zip"))
    publish_content(one, b"first", log=log, by="", plan_hash=PLAN_HASH)
    publish_content(two, b"second", log=log, by="", plan_hash=PLAN_HASH)
    assert (published_content(one, log=log), published_content(two, log=log)) == (b"first", b"second")
    assert published_content(tmp_path / "three.zip", log=log) is None
    two.write_bytes(b"first")
    with pytest.raises(RecordDamaged):
        published_content(two, log=log)
