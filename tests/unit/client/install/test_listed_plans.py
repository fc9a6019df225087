"""Can a person tell plans apart in what `oncofed site plans` lists, whatever a coordinator calls them?"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from tests.installed_node import installed_node

from oncofed.client.install.plan_commands import approve, decline, forget, plans
from oncofed.client.install.watch_commands import explain
from oncofed.errors import InvalidInput
from oncofed.protocol.plan_hash import digits_apart
from oncofed.protocol.signing import sign


@pytest.mark.parametrize("letter", ["a", "\u533b"], ids=["narrow", "wide"])
def test_no_part_of_a_studys_name_stands_where_a_terminal_breaks_the_line(letter: str) -> None:
    name = "tiny" + " " * 30 + "approved on registry" + " " * 30 + letter * 10
    with installed_node() as node:
        node.enrol()
        for study in (name, letter * 100):
            node.guard().offer_plan(node.offer(replace(node.plan(), study=study)))
        listed = CliRunner().invoke(plans, [str(node.folder.root)]).output.splitlines()
    lines = [line for line in listed if "waits for a decision" in line]
    assert len(lines) == 2
    for line in lines:
        before = line[14:].partition("waits for")[0]
        assert len(before) <= 33
        assert "  approved" not in before
    for command in (decline, forget):
        with installed_node() as node:
            node.enrol()
            plan = replace(node.plan(), study=name)
            node.guard().offer_plan(node.offer(plan))
            said = CliRunner().invoke(command, [str(node.folder.root), plan.hash], catch_exceptions=False).output
        assert "tiny" in said
        assert "  approved" not in said


def test_as_many_digits_are_shown_as_tell_plans_apart() -> None:
    one, other = "a" * 12 + "b" * 52, "a" * 20 + "c" * 44
    assert digits_apart([one]) == 12
    assert digits_apart([one, "d" * 64]) == 12
    assert digits_apart([one, other]) == 13
    assert digits_apart(["a" * 64, "a" * 63 + "b"]) == 64


def test_every_command_that_is_shown_names_one_plan_though_others_begin_with_the_same_digits() -> None:
    """A coordinator draws up such plans in seconds; here their documents are damaged, which is told by hash as well."""
    with installed_node() as node:
        node.enrol()
        guard = node.guard()
        guard.offer_plan(node.offer())
        node.approve()
        whole = node.plan().hash
        twins = [whole[:12] + digit * 52 for digit in "0123" if digit != whole[12]][:2]
        for twin in twins:
            (node.folder.plans / f"{twin}.json").write_text("{")
        told = CliRunner().invoke(plans, [str(node.folder.root)])
        assert digits_apart([whole, *twins]) == 13
        assert f"{whole[:13]}  " in told.output
        remedies = re.findall(r"oncofed site forget \S+ (\w+)", str(told.exception))
        assert sorted(remedies) == sorted(twin[:13] for twin in twins)
        declined = CliRunner().invoke(decline, [str(node.folder.root), whole[:13]])
        (hint,) = re.findall(r"oncofed site forget \S+ (\w+)", declined.output)
        for digits in (hint, *remedies):
            forgotten = CliRunner().invoke(forget, [str(node.folder.root), digits], catch_exceptions=False)
            assert forgotten.output.startswith("Forgotten: ")
        assert not list(node.folder.plans.glob("*.json"))


def test_an_empty_word_is_neither_a_plan_nor_the_only_one_with_a_model() -> None:
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        assert "Name a plan" in CliRunner().invoke(forget, [str(node.folder.root), "", "--waiting"]).output
        assert len(list(node.folder.plans.glob("*.json"))) == 1
        with pytest.raises(InvalidInput, match="--plan: the beginning of the hash is empty"):
            CliRunner().invoke(explain, [str(node.folder.root), "--plan", "", "--patient", "1"], catch_exceptions=False)


def test_without_a_question_twelve_digits_are_wanted() -> None:
    """Four are those of one plan in 65,536, which a coordinator draws up in a minute."""
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        words = [str(node.folder.root), node.plan().hash[:11], "--source", "registry", "--yes"]
        with pytest.raises(InvalidInput, match="HASH, with --yes: the beginning of the hash has fewer than 12 digits"):
            CliRunner().invoke(approve, words, catch_exceptions=False)


def test_a_signed_document_that_names_no_study_stands_in_the_way_of_no_other_plan() -> None:
    """The guard would not keep it; somebody may put it there by hand."""
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        plan = b'{"x":1}'
        message = b'{"plan":%b,"schema":""}' % plan
        signature = sign(node.signing_key, context="oncofed study plan 1", message=message)
        content = b'{"format":"oncofed study plan 1","plan":%b,"schema":"","signature":"%b"}'
        odd = hashlib.sha256(plan).hexdigest()
        (node.folder.plans / f"{odd}.json").write_bytes(content % (plan, signature.hex().encode()))
        listed = CliRunner().invoke(plans, [str(node.folder.root)])
        assert node.plan().hash[:12] in listed.output
        assert "does not say which study it is of" in str(listed.exception)
        forgotten = CliRunner().invoke(forget, [str(node.folder.root), odd])
        assert forgotten.exit_code == 0
        assert list(node.folder.plans.glob("*.json")) == [node.folder.plans / f"{node.plan().hash}.json"]
