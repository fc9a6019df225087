"""Do the commands that only look, given as root, change anything where another user may write?

A name below the guard's folder is the guard's user's: between two looks it may become a link to anything. So root opens
there to read, and removes, renames and makes nothing; or it becomes that user first. Python tells each such act before
it is done (PEP 578).
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.command_line import oncofed
from tests.installed_node import POLICY, table

USERS = [user.pw_name for user in pwd.getpwall() if 0 < user.pw_uid < 1_000][:3]
PROGRAM = """
import json, os, sys

below, acts = sys.argv[1], []
CHANGES = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "os.utime", "shutil.rmtree", "shutil.move", "sqlite3.connect",
)

def looked_at(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if os.geteuid() or (not writes and event not in CHANGES):
        return
    for each in args:
        name = os.fsdecode(each) if isinstance(each, (str, bytes, os.PathLike)) else ""
        if name.removeprefix("file://").startswith(below):
            acts.append(f"{event} {name}")

sys.addaudithook(looked_at)
from oncofed.cli import main
sys.argv = ["oncofed", *sys.argv[2:]]
try:
    main()
    code = 0
except SystemExit as end:
    code = end.code or 0
print("ENDED", code)
print("ACTS", json.dumps(acts))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root at work on the guard's files. Run as root.")
@pytest.mark.parametrize(
    "command",
    [
        ("backup", "NODE", "WORK/backup"),
        ("doctor", "NODE"),
        ("metrics", "NODE", "--out", "WORK/node.prom"),
        ("ledger", "NODE"),
        ("status", "NODE"),
        ("plans", "NODE"),
    ],
    ids=lambda command: str(command[0]),
)
def test_root_makes_removes_and_renames_nothing_in_the_guards_folder(command: tuple[str, ...]) -> None:
    with TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        node, work = Path(place) / "node", Path(place) / "work"
        work.mkdir(mode=0o700)
        assert oncofed("site", "init", node, "--name", "Bonn", "--users", ",".join(USERS)).code == 0
        table().to_csv(node / "guard" / "patients.csv", index=False)
        (node / "policy.toml").write_text(POLICY.format(table=node / "guard" / "patients.csv"))
        asked = [word.replace("NODE", str(node)).replace("WORK", str(work)) for word in command]
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, f"{node}/guard", "site", *asked],
            capture_output=True,
            text=True,
            check=False,
        )
    # The doctor and status have something to say of a node that has not been enrolled.
    assert f"ENDED {1 if command[0] in ('doctor', 'status') else 0}" in ran.stdout.splitlines(), ran.stderr
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("ACTS "))
    assert json.loads(line.removeprefix("ACTS ")) == []
