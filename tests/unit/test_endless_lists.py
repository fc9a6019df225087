"""Is a list that is far beyond its range refused before anything is made of what it holds?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.installed_node import SCHEMA, installed_node

from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol import plan_file
from oncofed.protocol.plan_file import plan_from_json

LISTS = {
    "names": SCHEMA + '[[marker]]\nkind = "binary"\nmodality = "clinical"\nnames = [' + "1, " * 20_001 + "]",
    "markers": SCHEMA + "[[marker]]\n" * 20_000,
    "bounds": SCHEMA.replace("[0, 12, 24, 60]", "[" + '"", ' * 202 + "]"),
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_of_a_list_in_a_schema_that_is_too_long_nothing_but_that_is_told(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_schema(text, where="schema.toml")
    assert [fault.what.partition(" above")[0] for fault in refused.value.faults] == ["has a length"]


def test_of_many_faults_the_number_is_told() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_schema("".join(f"key{number} = 1\n" for number in range(1_200)) + SCHEMA, where="schema.toml")
    assert len(refused.value.faults) == 1_001
    assert refused.value.faults[-1].what == "has 200 faults more"


@pytest.mark.parametrize(("name", "number"), [("members", 10_001), ("summaries", 21), ("released", 101)])
def test_of_a_list_in_a_plan_that_is_too_long_nothing_is_read(
    name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_node() as node:
        content = {**json.loads(node.plan().canonical), name: [{}] * number}
    looked_at: list[str] = []
    read = plan_file._read_record

    def noting(kind: Any, value: object, where: str, faults: list[Fault]) -> Any:
        looked_at.append(where)
        return read(kind, value, where, faults)

    monkeypatch.setattr(plan_file, "_read_record", noting)
    with pytest.raises(InvalidInput) as refused:
        plan_from_json(content)
    assert [(fault.where, fault.what) for fault in refused.value.faults] == [
        (f"plan.{name}", f"has a length above {number - 1:,}")
    ]
    assert not [where for where in looked_at if name in where]
