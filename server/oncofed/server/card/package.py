"""What is handed on of a finished study? A folder: the model, what it needs, its card and its checklist.

model.safetensors       the weights
model.onnx              the same model for other programs, from the markers as a table has them to risks
schema.toml, plan.json  what the markers mean; what was agreed
tripod_ai.md, .json     the TRIPOD+AI checklist
model_card.md, .xml     the model's card
SHA256SUMS              of all of these: `sha256sum -c SHA256SUMS`

Each file is written whole or not at all; those of an earlier package in the same folder are replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from oncofed.durable import replace_durably
from oncofed.server.card.checklist import checklist_json, checklist_markdown
from oncofed.server.card.known import Known
from oncofed.server.card.markdown import card_markdown
from oncofed.server.card.model_card import model_card
from oncofed.server.card.xml import card_xml

SUMS = "SHA256SUMS"


def write_package(folder: Path, known: Known, contents: Mapping[str, bytes]) -> None:
    """contents: the model's own files by name; card and checklist tell their hashes, and so come after them."""
    folder.mkdir(parents=True, exist_ok=True)
    known = replace(known, files={name: _sha256(content) for name, content in contents.items()})
    card = model_card(known)
    everything = {
        **contents,
        "tripod_ai.md": checklist_markdown(known).encode(),
        "tripod_ai.json": (json.dumps(checklist_json(known), indent=1, ensure_ascii=False) + "\n").encode(),
        "model_card.md": card_markdown(card).encode(),
        "model_card.xml": card_xml(card),
    }
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in everything.items())
    for name, content in {**everything, SUMS: sums.encode()}.items():
        replace_durably(folder / name, content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
