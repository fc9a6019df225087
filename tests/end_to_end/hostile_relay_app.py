"""``python -m tests.end_to_end.hostile_relay_app NODE``: the relay of a hospital that lies when a test asks it to.

While there is a file NODE/lie, the guard's answer to a round is replaced by what the file names. ``nan``, ``huge`` or
``shape``: as if the guard lied, with the signature of its key, which no relay of the product can read. ``byte``: what a
relay alone can do, one bit of a number changed on the way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import Context
from tests.end_to_end.failing_site import lie_file

from oncofed.client.install.folder import NodeFolder
from oncofed.client.relay.guard_channel import SOCKET_VARIABLE, GuardChannel, channel_from_environment
from oncofed.client.relay.relay import build_client_app
from oncofed.client.relay.superexec import main
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import answer_to
from oncofed.protocol.wire_form import Method, contribution_in, parsed, serialised, vector_bytes
from oncofed.secret_files import read_secret

LIES = {
    "nan": lambda vector: np.full_like(vector, np.nan),
    "huge": lambda vector: np.full_like(vector, 1e300),
    "shape": lambda vector: vector[:-1],
}


@dataclass(frozen=True)
class LyingGuard:
    """The hospital's guard, except for its contributions."""

    honest: GuardChannel
    node: NodeFolder

    def ask(self, method: str, question: bytes) -> bytes:
        answer, lie = self.honest.ask(method, question), lie_file(self.node)
        if method != Method.CONTRIBUTE or not lie.exists():
            return answer
        said, content = lie.read_text(), parsed(pb.Answer, answer).content
        if said == "byte":
            place = answer.index(content) + len(content) // 2
            return answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]
        reply = pb.ContributeReply(vector=vector_bytes(LIES[said](contribution_in(content).vector)))
        return answer_to(
            parsed(pb.Question, question).request,
            serialised(reply),
            method=method,
            signing_key=read_secret(self.node.answer_key),
        )


def connect(_: Context) -> LyingGuard:
    # The guard's socket lies in NODE/run.
    return LyingGuard(channel_from_environment(), NodeFolder(Path(os.environ[SOCKET_VARIABLE]).parents[1]))


app = build_client_app(connect)

if __name__ == "__main__":
    main(relay_app="tests.end_to_end.hostile_relay_app:app")
