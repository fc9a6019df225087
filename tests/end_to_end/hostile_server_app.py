"""The ServerApp of a coordinator that has changed its own program, and sends the bundle that hospitals approved.

Importing this module puts it in the place of the product's ServerApp: `sitecustomize` does so, in the processes of a
coordinator that a test starts with a folder of its own at the front of PYTHONPATH. Answers go to ``answers.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from flwr.app import Context, Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid, ServerApp
from tests.end_to_end.hostile_questions import NO_SUCH_QUESTION, Asked, answer_in, message_type_of, phases

from oncofed.protocol.bundle import PLAN_HASH
from oncofed.secret_files import read_secret
from oncofed.server.deployment.member_files import look_at
from oncofed.server.flower import server_app
from oncofed.server.flower.prompt_grid import PromptGrid

ANSWERS = "answers.json"
_WAIT_SECONDS = 600.0

SITECUSTOMIZE = "import tests.end_to_end.hostile_server_app\n"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    folder = server_app._own_folder()
    document = server_app.load_study(folder, str(context.run_config[PLAN_HASH]))
    ((site, node_id),) = server_app.nodes_of(document.plan, look_at(folder)).items()
    prompt = PromptGrid(grid)
    server_app.wait_for_nodes(prompt, document.plan, {site: node_id}, patience_seconds=_WAIT_SECONDS)
    found: dict[str, str] = {}
    for asked in phases(document, site, signing_key=read_secret(folder.signing_key)):
        found |= _answers(prompt, asked, node_id)
    (folder.study(document.plan.hash) / ANSWERS).write_text(json.dumps(found))


def _answers(grid: Grid, asked: Sequence[Asked], node_id: int) -> dict[str, str]:
    messages = [
        Message(
            one.content, dst_node_id=node_id, message_type=message_type_of(one.kind), ttl=_WAIT_SECONDS, group_id="1"
        )
        for one in asked
    ]
    replies = {
        reply.metadata.reply_to_message_id: reply for reply in grid.send_and_receive(messages, timeout=_WAIT_SECONDS)
    }
    found = {}
    for one, message in zip(asked, messages, strict=True):
        reply = replies.get(message.metadata.message_id)
        if reply is None:
            found[one.name] = "no answer"
        elif reply.has_error():
            raised = reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            found[one.name] = NO_SUCH_QUESTION if raised else f"Flower's error {reply.error.code}"
        else:
            found[one.name] = answer_in(one.kind, reply.content)
    return found


setattr(server_app, "app", app)  # noqa: B010 - mypy is right that it is not ours to set
