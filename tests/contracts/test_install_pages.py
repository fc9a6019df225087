"""Do the installation pages type commands that exist, and explain every field of a policy and no other?"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from tests.contracts.test_reference_pages import reference

from oncofed.cli import oncofed
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.commands import site
from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.client.install.setup import create
from oncofed.client.install.units import NAMES
from oncofed.client.records.audit_log import AuditLog
from oncofed.errors import InvalidInput

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / f"install-{name}.md").read_text() for name in ("hospital", "coordinator")} | {
    "pages": (DOCS / "pages.md").read_text()
}


def typed(page: str) -> list[list[str]]:
    """The words of every `oncofed` command in a page's blocks and sentences."""
    text = PAGES[page]
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
    spans = re.findall(r"`(oncofed (?:site|coordinator|study) [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [match for line in blocks.splitlines() for match in re.findall(r"(?:^|-- |; )(oncofed .*)$", line)]
    return [shlex.split(command) for command in (*lines, *spans)]


def fault_of(words: list[str]) -> str | None:
    """What click would say against it, as far as names of commands, options and numbers of arguments go."""
    group: click.Command = oncofed
    context, rest = click.Context(oncofed), words[1:]
    while isinstance(group, click.Group) and rest and not rest[0].startswith("-"):
        found = group.get_command(context, rest[0])
        if found is None:
            return f"no command {rest[0]}"
        group, rest = found, rest[1:]
    options = {name: option for option in group.params for name in option.opts if isinstance(option, click.Option)}
    options |= {"--version": click.Option(["--version"], is_flag=True)}
    arguments = 0
    while rest:
        word, rest = rest[0], rest[1:]
        if word.startswith("--"):
            if word not in options:
                return f"no option {word}"
            rest = rest if getattr(options[word], "is_flag", False) else rest[1:]
        else:
            arguments += 1
    wanted = [each for each in group.params if isinstance(each, click.Argument)]
    if arguments > len(wanted):
        return "too many arguments"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_the_page_exists(page: str) -> None:
    commands = typed(page)
    assert len(commands) >= 10
    wrong = {" ".join(words): fault for words in commands if (fault := fault_of(words)) is not None}
    assert wrong == {}


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for words in ("oncofed site instal X", "oncofed site check X --all", "oncofed site check X Y"):
        assert fault_of(words.split()) is not None, words


def test_every_command_of_a_node_is_on_the_hospitals_page() -> None:
    assert {words[2] for words in typed("hospital") if words[1] == "site"} == set(site.commands)


def possible(path: Path, text: str) -> dict[str, set[str]]:
    """What the reader of policies calls possible, by section."""
    path.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        read_policy(path)
    found: dict[str, set[str]] = {}
    for fault in refused.value.faults:
        if "Possible: " in fault.remedy:
            heading = re.search(r"(\[+\w+\]+)", fault.where)
            assert heading is not None
            listed = fault.remedy.split("Possible: ")[1].rstrip(".").split(", ")
            found.setdefault(heading[1], set()).update(listed)
    return found


def test_the_page_explains_every_field_of_a_policy_and_no_other(tmp_path: Path) -> None:
    explained = {heading: set(rows) for heading, rows in reference("policy.md").items()}
    spoilt = '[node]\nsurely_unknown = 1\n[[peer]]\nsurely_unknown = 1\n[[source]]\nkind = "csv"\nsurely_unknown = 1\n'
    accepted = possible(tmp_path / "policy.toml", spoilt)
    more = possible(tmp_path / "policy.toml", spoilt.replace("csv", "sql"))
    assert explained == {section: keys | more[section] for section, keys in accepted.items()}


def test_the_policy_on_the_page_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGES["hospital"], flags=re.DOTALL)
    path = tmp_path / "policy.toml"
    path.write_text(shown)
    assert [source.name for source in read_policy(path).sources] == ["tumour-registry"]


def test_removal_leaves_what_was_spent_and_nothing_else(tmp_path: Path) -> None:
    """The page's own commands, below another root; programs that would change this machine do nothing."""
    found = re.findall(r"```sh\n(.*?)```", PAGES["hospital"], flags=re.DOTALL)
    (block,) = (each for each in found if "disable --now" in each)
    for place in ("etc", "opt", "usr", "srv", "root"):
        block = block.replace(f" /{place}/", f" {tmp_path}/{place}/")
    folder = NodeFolder(tmp_path / "etc" / "oncofed")
    create(folder, SiteSettings("charite", "127.0.0.1:9094", None))
    AuditLog(folder.audit_log).append("guard_started")
    keys = (folder.node_key, folder.masking / f"{'1a' * 32}.key", folder.answer_key)
    folder.answers.mkdir(exist_ok=True)
    of_answers = (folder.answers / "1a.asked", folder.answers / "2b.answer")
    for path in (*keys, folder.models / "m", folder.root / "database.url", *of_answers):
        path.write_text("secret")
    units, table, program = tmp_path / "etc/systemd/system", tmp_path / "srv/oncofed", tmp_path / "opt/oncofed"
    link = tmp_path / "usr/local/bin/oncofed"
    for parent in (units / "oncofed-node.service.d", table, program, link.parent, tmp_path / "root"):
        parent.mkdir(parents=True)
    for name in (*NAMES, "oncofed-node.service.d/override.conf", "other.service"):
        (units / name).write_text("")
    (table / "registry.parquet").write_text("patients")
    link.symlink_to(program)
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("systemctl", "userdel"):
        (stubs / name).write_text("#!/bin/sh\n")
        (stubs / name).chmod(0o755)
    ledger = folder.ledger.read_bytes()
    environment = {**os.environ, "PATH": f"{stubs}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-e", "-c", block], check=True, env=environment)
    shutil.rmtree(stubs)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    kept = {f"root/oncofed-kept/{name}" for name in ("policy.toml", "audit.jsonl", "ledger.sqlite", "answers/1a.asked")}
    assert left == kept | {"etc/systemd/system/other.service"}
    assert (tmp_path / "root/oncofed-kept/ledger.sqlite").read_bytes() == ledger


def test_another_user_gets_a_terminal_of_its_own() -> None:
    """Without -P, a process of that user can type into the shell of root, who started it (TIOCSTI)."""
    root = DOCS.parent
    texts = [
        *DOCS.rglob("*.md"),
        root / "README.md",
        *(root / "client").rglob("*.py"),
        *(root / "server").rglob("*.py"),
    ]
    lines = [line for path in texts for line in path.read_text().splitlines()]
    switches = [line for line in lines if re.search(r"(?:^|[\s`(;'\"])(?:su|runuser) -", line)]
    assert len(switches) >= 5
    assert [line for line in switches if not re.search(r"\b(?:su|runuser) -P ", line)] == []
