"""Are the settings that are compared those that a person would try, each another than the ones before?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from tests.settings_studies import STUDY, written

from oncofed.protocol.plan import Bounding
from oncofed.simulations.settings_study.variants import AS_WRITTEN, LEFT_OPEN, Variant, variants_of
from oncofed.simulations.study import read_study
from oncofed.simulations.study_table import table_of

LOCAL = STUDY.replace('mode = "none"', 'mode = "local"\nepsilon = 3\nl2_norm_bound = 2')


def variants(folder: Path, text: str) -> dict[str, Variant]:
    study = read_study(written(folder, text))
    found = variants_of(study.settings, table_of(study)[1], hospitals=3)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def test_what_is_left_open_comes_first_and_the_file_says_nothing_in_it(tmp_path: Path) -> None:
    found = variants(tmp_path, LOCAL)
    assert list(found)[:2] == [LEFT_OPEN, AS_WRITTEN]
    opened, own = (found[name].settings for name in (LEFT_OPEN, AS_WRITTEN))
    assert (own.training.rounds, own.training.weight_decay, own.hidden_units) == (6, 4.0, (3,))
    assert (opened.training.rounds, opened.hidden_units, opened.baseline_weight) == (120, (), 0.5)
    assert opened.training.weight_decay != 4.0


@pytest.mark.parametrize(("text", "least"), [(STUDY, 11), (LOCAL, 14)], ids=["no privacy", "local"])
def test_the_others_change_one_thing_of_it_and_none_twice(text: str, least: int, tmp_path: Path) -> None:
    found = variants(tmp_path, text)
    assert len(found) >= least
    opened = flat(asdict(found[LEFT_OPEN].settings))
    seen = []
    for variant in found.values():
        assert not variant.settings.left_open
        settings = flat(asdict(variant.settings))
        assert settings not in seen
        seen.append(settings)
        changed = {key.rpartition(".")[2] for key, value in settings.items() if value != opened[key]}
        if variant.name not in (LEFT_OPEN, AS_WRITTEN):
            assert len(changed) == 1 or changed in ({"rounds", "server_learning_rate"}, {"bounding", "l2_norm_bound"})


def test_decay_steps_and_bounds_go_both_ways(tmp_path: Path) -> None:
    found = variants(tmp_path, LOCAL)
    training = found[LEFT_OPEN].settings.training
    assert found["decay x 0.25"].settings.training.weight_decay == training.weight_decay / 4
    assert found["steps x 2"].settings.training.server_learning_rate == 2 * training.server_learning_rate
    assert found["half the rounds"].settings.training.rounds == 60
    assert found["stopped 1"].settings.privacy.bounding is Bounding.STOPPED
    assert found["clip 4"].settings.privacy.l2_norm_bound == 4
    assert found["16 hidden units"].settings.hidden_units == (16,)


def flat(settings: dict[str, object], of: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in settings.items():
        found |= flat(value, f"{of}{key}.") if isinstance(value, dict) else {of + key: value}
    return found
