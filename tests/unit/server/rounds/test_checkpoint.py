"""Is there always a whole checkpoint, whatever moment the power fails, and is a damaged one noticed?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oncofed.errors import CheckpointDamaged
from oncofed.server.rounds.checkpoint import FILE_NAME, Json, has_checkpoint, load_checkpoint, save_checkpoint
from oncofed.server.rounds.state import FederationState, ReleasedSummary

PLAN = "ab" * 32
EXTRA: Json = {"ledgers": {"Köln": ["gaussian", 1.25, None]}, "flag": True}


def state_of(round_: int) -> FederationState:
    rng = np.random.default_rng(round_)
    return FederationState(
        round=round_,
        weights=rng.normal(size=50),
        optimiser={"m_t": rng.normal(size=50), "v_t": np.array([0.0, -0.0, 5e-324, 1e308] * 12 + [1.0, 2.0])},
        attempt=round_ % 3,
    )


def assert_same(one: FederationState, other: FederationState) -> None:
    assert (one.round, one.attempt) == (other.round, other.attempt)
    assert one.weights.tobytes() == other.weights.tobytes()
    assert {name: array.tobytes() for name, array in one.optimiser.items()} == {
        name: array.tobytes() for name, array in other.optimiser.items()
    }


def test_it_comes_back_bit_for_bit(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    save_checkpoint(tmp_path, state=state_of(5), plan_hash=PLAN, extra=EXTRA)
    assert has_checkpoint(tmp_path)
    loaded = load_checkpoint(tmp_path, plan_hash=PLAN)
    assert_same(loaded.state, state_of(5))
    assert loaded.extra == EXTRA


def test_without_optimiser_and_extra(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state=FederationState(round=1, weights=np.ones(3)), plan_hash=PLAN)
    loaded = load_checkpoint(tmp_path, plan_hash=PLAN)
    assert loaded.state.optimiser == {}
    assert loaded.extra is None


def test_numbers_that_json_does_not_know_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        save_checkpoint(tmp_path, state=state_of(1), plan_hash=PLAN, extra={"epsilon": float("inf")})
    assert not has_checkpoint(tmp_path)


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it."""


def cut_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, call: int = 1) -> None:
    """The power fails instead of the n-th call."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = []

    def failing(*arguments: Any, **settings: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise PowerCut
        return original(*arguments, **settings)

    monkeypatch.setattr(owner, name, failing)


def cut_within_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the bytes reach the file."""
    original = os.fdopen

    def opened(*arguments: Any, **settings: Any) -> Any:
        file = original(*arguments, **settings)

        class Half:
            def __enter__(self) -> Half:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def fileno(self) -> int:
                return int(file.fileno())

            def write(self, content: bytes) -> None:
                file.write(content[: len(content) // 2])
                file.flush()
                raise PowerCut

        return Half()

    monkeypatch.setattr(os, "fdopen", opened)


CUTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], int]] = {
    "opening the new file": (lambda patch: cut_before(patch, os, "open"), 1),
    "writing": (cut_within_write, 1),
    "syncing the file": (lambda patch: cut_before(patch, os, "fsync"), 1),
    "renaming": (lambda patch: cut_before(patch, Path, "replace"), 1),
    "opening the folder": (lambda patch: cut_before(patch, os, "open", call=2), 2),
    "syncing the folder": (lambda patch: cut_before(patch, os, "fsync", call=2), 2),
}


@pytest.mark.parametrize(("cut", "survivor"), CUTS.values(), ids=CUTS)
def test_a_power_cut_leaves_the_previous_or_the_next(
    cut: Callable[[pytest.MonkeyPatch], None], survivor: int, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, state=state_of(1), plan_hash=PLAN, extra=1)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch)
        with pytest.raises(PowerCut):
            save_checkpoint(tmp_path, state=state_of(2), plan_hash=PLAN, extra=2)
    loaded = load_checkpoint(tmp_path, plan_hash=PLAN)
    assert_same(loaded.state, state_of(survivor))
    assert loaded.extra == survivor
    save_checkpoint(tmp_path, state=state_of(3), plan_hash=PLAN, extra=3)  # the left-over does not get in the way
    assert_same(load_checkpoint(tmp_path, plan_hash=PLAN).state, state_of(3))


def test_the_file_is_on_the_disk_before_it_takes_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a simulated cut cannot show: a disk may do unsynced work in any order."""
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        steps.append(f"sync {'folder' if target == tmp_path else target.name}")
        if target.is_file():
            steps.append(f"{target.stat().st_size > 0}")
        sync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    save_checkpoint(tmp_path, state=state_of(1), plan_hash=PLAN)
    unfinished = f"{FILE_NAME}.unfinished"
    assert steps == [f"sync {unfinished}", "True", f"rename {unfinished}", "sync folder"]


def test_a_missing_one_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamaged, match="--resume"):
        load_checkpoint(tmp_path, plan_hash=PLAN)


def test_a_summary_comes_back_with_its_attempt_and_each_hospitals_own_part(tmp_path: Path) -> None:
    """Hospitals stand as they answered, in no order of letters."""
    sites = ("Köln", "Aachen", "Bonn")
    parts = {site: np.full(3, float(number)) for number, site in enumerate(sites)}
    kept = ReleasedSummary(np.arange(3.0), sites, 2, parts)
    state = replace(state_of(2), summaries={"of.all": kept, "alone": ReleasedSummary(np.ones(1), sites[:1])})
    save_checkpoint(tmp_path, state=state, plan_hash=PLAN)
    found = load_checkpoint(tmp_path, plan_hash=PLAN).state.summaries
    assert (found["of.all"].answered, found["of.all"].attempt) == (sites, 2)
    assert found["of.all"].vector.tolist() == [0, 1, 2]
    assert {site: part.tolist() for site, part in found["of.all"].parts.items()} == {
        "Köln": [0, 0, 0],
        "Aachen": [1, 1, 1],
        "Bonn": [2, 2, 2],
    }
    assert (found["alone"].attempt, dict(found["alone"].parts)) == (0, {})


@pytest.mark.parametrize("other", ["cd" * 32, "ab" * 31 + "ac"])
def test_another_plans_is_refused(other: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state=state_of(1), plan_hash=PLAN)
    with pytest.raises(CheckpointDamaged, match="another plan"):
        load_checkpoint(tmp_path, plan_hash=other)


def test_any_changed_missing_or_additional_byte_is_noticed(tmp_path: Path) -> None:
    small = FederationState(round=1, weights=np.ones(2))
    save_checkpoint(tmp_path, state=small, plan_hash=PLAN, extra=EXTRA)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    changed = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for damaged in [*changed, whole[:-1], whole[: len(whole) // 2], whole + b"\0", b""]:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointDamaged, match="damaged"):
            load_checkpoint(tmp_path, plan_hash=PLAN)
    path.write_bytes(whole)
    assert_same(load_checkpoint(tmp_path, plan_hash=PLAN).state, small)
