"""Who asks? Every question that leaves the coordinator is signed with its key, whatever it is about.

A hospital's guard answers no other (`protocol.question`). Signed on the way out, no kind of question is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import Message
from flwr.serverapp import Grid

from oncofed.protocol.codec import decode_question, encode_question
from oncofed.protocol.question import signed_question
from oncofed.server.flower.wrapped_grid import WrappedGrid


class SigningGrid(WrappedGrid):
    """signing_key: Ed25519, whose public half hospitals have pinned. Messages are signed in place."""

    def __init__(self, grid: Grid, *, signing_key: bytes) -> None:
        super().__init__(grid)
        self._signing_key = signing_key

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(self._signed(messages))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self._grid.send_and_receive(self._signed(messages), timeout=timeout)

    def _signed(self, messages: Iterable[Message]) -> list[Message]:
        """A list: Flower's Grid goes through the messages twice."""
        listed = list(messages)
        for message in listed:
            method, request = decode_question(message.content)
            question = signed_question(request, method=method, signing_key=self._signing_key)
            message.content = encode_question(method, question)
        return listed
