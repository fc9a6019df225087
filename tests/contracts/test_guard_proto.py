"""Is the Python of `guard.proto` the one that protoc makes of it, and do its lists have what ours have?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest
from google.protobuf import __version__ as protobuf_version
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from tests.contracts.generated_guard import GENERATED, SHARED, generate

from oncofed.errors import RefusalCode
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import DeliveryState, PlanState
from oncofed.protocol.wire_form import DELIVERY_STATES, PLAN_STATES, REFUSALS


def test_the_checked_in_python_is_what_protoc_makes(tmp_path: Path) -> None:
    generate(tmp_path)
    assert {str(path): (tmp_path / path).read_text() for path in GENERATED} == {
        str(path): (SHARED / path).read_text() for path in GENERATED
    }


def test_protobuf_is_the_one_that_flower_takes() -> None:
    assert protobuf_version.startswith("6.33.")


@pytest.mark.parametrize(
    ("known", "listed", "ours"),
    [
        (REFUSALS, pb.Refusal, RefusalCode),
        (PLAN_STATES, pb.PlanState, PlanState),
        (DELIVERY_STATES, pb.DeliveryState, DeliveryState),
    ],
)
def test_each_list_has_one_number_for_each_of_ours_and_none_beside_zero(
    known: dict[StrEnum, int], listed: EnumTypeWrapper, ours: type[StrEnum]
) -> None:
    assert set(known) == set(ours)
    assert sorted(listed.values()) == [0, *sorted(known.values())]


def test_only_contributions_keys_and_descriptions_have_room_for_bytes_or_texts() -> None:
    """All else a guard can say is a number of a list."""
    replies = [message for name, message in pb.DESCRIPTOR.message_types_by_name.items() if name.endswith("Reply")]
    assert len(replies) == 5
    roomy = {
        f"{message.name}.{field.name}"
        for message in replies
        for field in message.fields
        if field.type != field.TYPE_ENUM
    }
    vectors = {f"ContributeReply.{form}" for form in ("vector", "masked", "counts")}
    assert roomy == vectors | {"DescribeReply.description", "MaskingKeysReply.key"}


def test_every_refusal_has_number_two_so_that_one_form_does_for_all() -> None:
    replies = [message for name, message in pb.DESCRIPTOR.message_types_by_name.items() if name.endswith("Reply")]
    assert {message.fields_by_name["refusal"].number for message in replies} == {2}
