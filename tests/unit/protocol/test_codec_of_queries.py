"""Do exactly an offer and a delivery, and their states, pass the codec, and nothing else?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol import codec
from oncofed.protocol.codec import (
    MalformedAnswer,
    decode_delivery,
    decode_delivery_state,
    decode_offer,
    decode_plan_state,
    encode_delivery,
    encode_delivery_state,
    encode_offer,
    encode_plan_state,
    encode_refusal,
)
from oncofed.protocol.messages import Delivery, DeliveryState, PlanState

DELIVERY = Delivery("ab" * 32, model=b"\0model", signature=b"s" * 64)


def over_the_wire(content: RecordDict) -> RecordDict:
    """The records as they are after Flower has written and read them."""
    return RecordDict({key: type(record).inflate(record.deflate()) for key, record in content.items()})


def test_an_offer_arrives_as_it_was_sent() -> None:
    assert decode_offer(over_the_wire(encode_offer(b"\0\xffdocument"))) == b"\0\xffdocument"


def test_a_delivery_arrives_as_it_was_sent() -> None:
    assert decode_delivery(over_the_wire(encode_delivery(DELIVERY))) == DELIVERY


@pytest.mark.parametrize("state", list(PlanState))
def test_every_state_of_a_plan_arrives(state: PlanState) -> None:
    assert decode_plan_state(over_the_wire(encode_plan_state(state))) is state


@pytest.mark.parametrize("state", list(DeliveryState))
def test_every_state_of_a_delivery_arrives(state: DeliveryState) -> None:
    assert decode_delivery_state(over_the_wire(encode_delivery_state(state))) is state


@pytest.mark.parametrize("decode", [decode_plan_state, decode_delivery_state])
def test_a_refusal_in_their_place_is_raised_by_its_code(decode: Callable[[RecordDict], object]) -> None:
    with pytest.raises(RequestRefused) as refusal:
        decode(encode_refusal(RefusalCode.NOT_READY))
    assert refusal.value.code is RefusalCode.NOT_READY


@pytest.mark.parametrize("encode", [encode_plan_state, encode_delivery_state])
def test_a_state_holds_no_text_of_its_own(encode: Callable[[str], RecordDict]) -> None:
    with pytest.raises(ValueError):
        encode("patient 4711")


def config(key: str, **fields: object) -> RecordDict:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return RecordDict({key: ConfigRecord(named)})  # type: ignore[arg-type]  # values of any type, on purpose


WELL_FORMED = {"plan_hash": "ab", "model": b"m", "signature": b"s"}
BAD_OFFERS = {
    "nothing": RecordDict(),
    "another key": config("plan", document=b"d"),
    "another record beside": RecordDict({"offer": ConfigRecord({"document": b"d"}), "more": ConfigRecord()}),
    "another kind": RecordDict({"offer": ArrayRecord()}),
    "no document": config("offer"),
    "another entry": config("offer", document=b"d", epsilon=9.0),
    "a text": config("offer", document="d"),
    "a number": config("offer", document=1),
}
BAD_DELIVERIES = {
    "nothing": RecordDict(),
    "another record beside": RecordDict({**config("delivery", **WELL_FORMED), "more": ConfigRecord()}),
    "no signature": config("delivery", plan_hash="ab", model=b"m"),
    "another entry": config("delivery", **WELL_FORMED, path="/etc"),
    "a hash in bytes": config("delivery", **WELL_FORMED | {"plan_hash": b"ab"}),
    "a model in words": config("delivery", **WELL_FORMED | {"model": "m"}),
    "a signature in words": config("delivery", **WELL_FORMED | {"signature": "s"}),
    "a long signature": config("delivery", **WELL_FORMED | {"signature": b"s" * 65}),
}
BAD_STATES = {
    "nothing": RecordDict(),
    "another state": config("plan", state="maybe"),
    "a number": config("plan", state=1),
    "another entry": config("plan", state="approved", patients=128),
    "a refusal beside": RecordDict({**config("plan", state="approved"), **encode_refusal(RefusalCode.INTERNAL)}),
    "of a delivery": config("delivery", state="approved"),
}


@pytest.mark.parametrize("content", BAD_OFFERS.values(), ids=BAD_OFFERS)
def test_a_malformed_offer_is_refused(content: RecordDict) -> None:
    with pytest.raises(RequestRefused) as refusal:
        decode_offer(content)
    assert refusal.value.code is RefusalCode.INTERNAL


@pytest.mark.parametrize("content", BAD_DELIVERIES.values(), ids=BAD_DELIVERIES)
def test_a_malformed_delivery_is_refused(content: RecordDict) -> None:
    with pytest.raises(RequestRefused) as refusal:
        decode_delivery(content)
    assert refusal.value.code is RefusalCode.INTERNAL


@pytest.mark.parametrize("content", BAD_STATES.values(), ids=BAD_STATES)
def test_a_malformed_state_is_noticed(content: RecordDict) -> None:
    for decode in (decode_plan_state, decode_delivery_state):
        with pytest.raises(MalformedAnswer):
            decode(content)


def test_what_the_bad_deliveries_start_from_is_well_formed() -> None:
    assert decode_delivery(config("delivery", **WELL_FORMED)) == Delivery("ab", b"m", b"s")


def test_what_is_too_large_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "LARGEST_DOCUMENT", 3)
    monkeypatch.setattr(codec, "LARGEST_MODEL", 5)
    assert decode_offer(encode_offer(b"doc")) == b"doc"
    with pytest.raises(RequestRefused):
        decode_offer(encode_offer(b"docu"))
    with pytest.raises(RequestRefused):
        decode_delivery(encode_delivery(DELIVERY))
