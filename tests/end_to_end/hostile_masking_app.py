"""The ServerApp of a coordinator that has changed its own program to see into masked sums (`hostile_masking`).

As `hostile_server_app`: importing this module puts it in the place of the product's ServerApp. What came back goes to
``answers.json``, vectors as hexadecimal digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from tests.end_to_end.hostile_masking import Told, answer_in, exchange, phases
from tests.end_to_end.hostile_questions import message_type_of

from oncofed.protocol.bundle import PLAN_HASH
from oncofed.protocol.codec import MESSAGE_TYPE
from oncofed.secret_files import read_secret
from oncofed.server.deployment.member_files import look_at
from oncofed.server.flower import server_app
from oncofed.server.flower.prompt_grid import PromptGrid

ANSWERS = "answers.json"
_WAIT_SECONDS = 600.0

SITECUSTOMIZE = "import tests.end_to_end.hostile_masking_app\n"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    folder = server_app._own_folder()
    document = server_app.load_study(folder, str(context.run_config[PLAN_HASH]))
    nodes = server_app.nodes_of(document.plan, look_at(folder))
    prompt = PromptGrid(grid)
    server_app.wait_for_nodes(prompt, document.plan, nodes, patience_seconds=_WAIT_SECONDS)
    found: list[tuple[str, str]] = []
    signing_key = read_secret(folder.signing_key)

    def send(site: str, content: RecordDict) -> RecordDict:
        message = Message(content, dst_node_id=nodes[site], message_type=MESSAGE_TYPE, ttl=_WAIT_SECONDS)
        (reply,) = prompt.send_and_receive([message], timeout=_WAIT_SECONDS)
        return reply.content

    said = exchange(document, send, signing_key=signing_key)
    assert set(said.values()) == {"wrong_keys"}, said
    for asked in phases(document, signing_key=signing_key):
        found += _answers(prompt, asked, nodes)
    (folder.study(document.plan.hash) / ANSWERS).write_text(json.dumps(found))


def _answers(grid: Grid, asked: Sequence[Told], nodes: Mapping[str, int]) -> list[tuple[str, str]]:
    messages = [
        Message(
            one.content,
            dst_node_id=nodes[one.site],
            message_type=message_type_of(one.kind),
            ttl=_WAIT_SECONDS,
            group_id="1",
        )
        for one in asked
    ]
    replies = {
        reply.metadata.reply_to_message_id: reply for reply in grid.send_and_receive(messages, timeout=_WAIT_SECONDS)
    }
    found = []
    for one, message in zip(asked, messages, strict=True):
        reply = replies.get(message.metadata.message_id)
        if reply is None or reply.has_error():
            found.append(("no answer" if reply is None else f"Flower's error {reply.error.code}", ""))
        else:
            word, words = answer_in(one.kind, reply.content)
            found.append((word, "" if words is None else words.tobytes().hex()))
    return found


setattr(server_app, "app", app)  # noqa: B010 - mypy is right that it is not ours to set
