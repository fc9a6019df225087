"""A node that was offered a plan, with its console, for tests of who decides what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from httpx import Response
from tests.installed_node import SOURCE, InstalledNode, installed_node
from tests.pages_hospital import PASSWORD, Served, Window, served

from oncofed.client.guard import taking
from oncofed.client.pages.accounts import Role
from oncofed.client.records.decisions import Decision

FIRST = Role.APPROVER.value


@dataclass(frozen=True)
class Site:
    """A node that was offered a plan, and its console."""

    node: InstalledNode
    here: Served

    @property
    def hash(self) -> str:
        return self.node.plan().hash

    @property
    def address(self) -> str:
        return f"/plans/{self.hash}"

    def says(self, client: Window, decision: str, page: Response | None = None, **typed: str) -> Response:
        """As a browser sends the form of the plan's page, or of one that was loaded before."""
        fields = {**hidden(page or client.get(self.address)), "source": SOURCE, "reason": "budget"}
        answer: Response = client.post(f"{self.address}/{decision}", data={**fields, "password": PASSWORD, **typed})
        return answer

    def guard_looks(self) -> int:
        """What the guard starts where something is due."""
        taker = self.taker()
        taker.decline()
        return 1 if taker._failed_noes else taking.main(["taking", str(self.node.folder.root)])

    def taker(self, **settings: Any) -> taking.DecisionTaker:
        """The guard's."""
        return taking.DecisionTaker(self.node.folder, self.node.approvals, **settings)

    def yes_of(self, name: str, source: str) -> dict[str, str]:
        """The facts of a yes as the log has them. name: of an account, or of nobody's."""
        marks = {account.name: account.mark for account in self.here.desk.accounts.all()}
        return {"data_source": source, "account": marks.get(name, "")}

    def state(self) -> Decision | None:
        found = self.node.approvals.find(self.hash)
        return None if found is None else found.decision

    def told(self) -> list[tuple[str, str, str]]:
        """What the audit log says of decisions and refusals."""
        wanted = {"approval_wanted", "decline_wanted", "approved", "declined", "decision_not_taken", "page_refused"}
        return [(one.event, one.code, one.by) for one in self.node.entries() if one.event in wanted]


def hidden(page: Response) -> dict[str, str]:
    found = re.findall(r'name="(form_secret|plan_seal|looked_on)" value="([^"]*)"', page.text)
    return {name: unescape(value) for name, value in found}


@contextmanager
def console_site(folder: Path) -> Iterator[Site]:
    """folder: for what is beside the node."""
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        with served(folder, node=node.folder) as here:
            yield Site(node, here)


def ask_for_two(site: Site) -> None:
    """From now on two persons must agree."""
    site.node.set_policy("smallest_cohort = 50", "smallest_cohort = 50\npersons_to_approve = 2")
