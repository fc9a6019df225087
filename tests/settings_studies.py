"""A small study of which settings are compared, for tests."""

from __future__ import annotations

from pathlib import Path

STUDY = """
[study]
name = "small"
[data.synthetic]
patients = 240
hospitals = 3
[sites]
partition = "column"
[evaluation]
horizon = 36
reserved_seeds = [1, 2]
[model]
hidden_units = [3]
[training]
rounds = 6
server_learning_rate = 0.05
weight_decay = 4
[privacy]
mode = "none"
"""


def written(folder: Path, text: str = STUDY) -> Path:
    """The study's file."""
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"
