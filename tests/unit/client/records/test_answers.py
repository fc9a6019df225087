"""Are the bytes that left kept, found again exactly, and never another request's?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.hardship import no_file_longer_than

from oncofed.client.records.answers import Answers, FolderAnswers, MemoryAnswers
from oncofed.durable import replace_durably
from oncofed.errors import RecordUnwritable
from oncofed.protocol.messages import Contribution

VALUES = np.array([0.1, -0.0, 1e-310, -1e300, np.pi])
OPEN: dict[str, Callable[[Path], Answers]] = {
    "memory": lambda _folder: MemoryAnswers(largest_number=3),
    "folder": lambda folder: FolderAnswers(folder / "answers", largest_number=3),
}


def request_hash(number: int) -> str:
    return f"{number:064x}"


def keep(answers: Answers, number: int) -> None:
    contribution = Contribution(VALUES * (1 + number))
    answers.keep(contribution, identity=f"plan/Bonn/{number}/0", request_hash=request_hash(number), charged=True)


@pytest.fixture(params=list(OPEN.values()), ids=list(OPEN))
def answers(request: pytest.FixtureRequest, tmp_path: Path) -> Answers:
    opened: Answers = request.param(tmp_path)
    return opened


class TestEveryAnswers:
    """The conformance suite."""

    def test_what_was_kept_is_found_bit_for_bit(self, answers: Answers) -> None:
        keep(answers, 0)
        found = answers.find(request_hash(0))
        assert found is not None
        assert found.vector.tobytes() == VALUES.tobytes()
        assert found.vector.dtype == np.float64

    def test_nothing_is_found_that_was_not_kept(self, answers: Answers) -> None:
        keep(answers, 0)
        assert answers.find(request_hash(1)) is None
        assert answers.content_of("plan/Bonn/1/0") is None

    def test_only_the_latest_are_kept_but_every_identity_is_remembered(self, answers: Answers) -> None:
        for number in range(8):
            keep(answers, number)
        assert [answers.find(request_hash(number)) is not None for number in range(8)] == [False] * 5 + [True] * 3
        for number in range(8):
            assert answers.content_of(f"plan/Bonn/{number}/0") == request_hash(number)


def opened(folder: Path) -> FolderAnswers:
    return FolderAnswers(folder / "answers", largest_number=3)


def test_a_folder_outlives_the_process(tmp_path: Path) -> None:
    keep(opened(tmp_path), 4)
    again = opened(tmp_path)
    found = again.find(request_hash(4))
    assert found is not None
    assert found.vector.tobytes() == (VALUES * 5).tobytes()
    assert again.content_of("plan/Bonn/4/0") == request_hash(4)
    with pytest.raises(ValueError, match="read-only"):
        found.vector[0] = 0


def test_only_the_guard_can_read_them(tmp_path: Path) -> None:
    keep(opened(tmp_path), 4)
    assert (tmp_path / "answers").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "answers").iterdir()} == {0o600}


def test_an_answer_with_one_changed_byte_counts_as_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(opened(tmp_path), 4)
    (path,) = (tmp_path / "answers").glob("*.answer")
    content = path.read_bytes()
    for position in range(0, len(content), 5):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert opened(tmp_path).find(request_hash(4)) is None
    path.write_bytes(content[:-3])
    assert opened(tmp_path).find(request_hash(4)) is None
    assert "counts as lost" in caplog.text
    path.write_bytes(content)
    assert opened(tmp_path).find(request_hash(4)) is not None


def test_another_requests_answer_under_its_name_is_not_given(tmp_path: Path) -> None:
    """A file that somebody renamed is sound in itself."""
    keep(opened(tmp_path), 4)
    (path,) = (tmp_path / "answers").glob("*.answer")
    path.rename(path.with_name(f"{request_hash(5)}.answer"))
    assert opened(tmp_path).find(request_hash(5)) is None


def test_what_a_kill_left_unfinished_is_nobodys_answer(tmp_path: Path) -> None:
    keep(opened(tmp_path), 4)
    torn = tmp_path / "answers" / f"{request_hash(5)}.answer.unfinished"
    torn.write_bytes(b"oncofed-answer 1 half")
    assert opened(tmp_path).find(request_hash(5)) is None
    assert not torn.exists()


def test_on_a_full_disk_the_guard_is_told(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    with no_file_longer_than(100), pytest.raises(RecordUnwritable, match="Free space"):
        keep(answers, 4)
    assert answers.find(request_hash(4)) is None
    assert answers.content_of("plan/Bonn/4/0") == request_hash(4)  # taken, so that no other content gets an answer
    keep(answers, 4)
    assert answers.find(request_hash(4)) is not None


def test_an_identity_whose_note_cannot_be_read_is_refused_any_content(tmp_path: Path) -> None:
    keep(opened(tmp_path), 4)
    (path,) = (tmp_path / "answers").glob("*.asked")
    path.write_bytes(b"\xff\xfe")
    assert opened(tmp_path).content_of("plan/Bonn/4/0") not in (None, request_hash(4))


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_durably(path, b"old", mode=0o644)
    with no_file_longer_than(2), pytest.raises(RecordUnwritable):
        replace_durably(path, b"newer")
    assert path.read_bytes() == b"old"
    assert path.stat().st_mode & 0o777 == 0o644


def test_room_is_held_for_the_answer_its_name_and_a_line_of_the_audit_log(tmp_path: Path) -> None:
    answers, folder = opened(tmp_path), tmp_path / "answers"
    for numbers in (VALUES.size, 3):  # what was not used is there for the next
        answers.make_room(numbers)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(sizes) == {"answer.unfinished", "asked.unfinished"}
    held = {path.stat().st_ino for path in folder.iterdir()}
    keep(answers, 4)
    kept = {path.suffix: path.stat() for path in folder.iterdir()}
    assert {found.st_ino for found in kept.values()} == held
    assert sizes["answer.unfinished"] - kept[".answer"].st_size >= 65_536
    assert sizes["asked.unfinished"] == kept[".asked"].st_size
    found = answers.find(request_hash(4))
    assert found is not None
    assert found.vector.tobytes() == (VALUES * 5).tobytes()


def test_where_there_is_no_room_the_guard_is_told(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    with no_file_longer_than(1_000_000):
        answers.make_room(100_000)
        with pytest.raises(RecordUnwritable, match="Free space"):
            answers.make_room(130_000)
    assert not (tmp_path / "answers" / "answer.unfinished").exists()
