"""With which pages does a hospital decide about plans, and look at its node?

An approver reads a plan, and says yes or no with the own password once more; `it` reads the same and decides nothing.
What somebody says is an entry of the audit log, and so is every refusal before it is answered.

Refused: a form that the session's own page of this very plan, as it stood then, did not hold; a yes to a plan that was
decided on, or a decision about it refused, since that page; a wrong password, slowed down as at the sign-in; a second
yes by the same person, from whatever tab or machine, also where the hospital's proxy says that it is the same; a role
that may only look.
"""

from __future__ import annotations

import hmac
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from oncofed.client.install.deciding import Refused, WishRefused, want
from oncofed.client.install.findings import Verdict, worst
from oncofed.client.pages.account_pages import NO_SUCH_PAGE, wait_words
from oncofed.client.pages.accounts import Account, Role
from oncofed.client.pages.console import Console
from oncofed.client.pages.desk import Form, FormOf, Visit, refusal, visit_of
from oncofed.client.pages.password_turns import NoTurn
from oncofed.client.pages.rendering import page
from oncofed.client.pages.viewing_record import FORM, LEDGER, NODE, PLAN, PLANS, UNKNOWN_PAGE, WAITS, WRONG_PASSWORD
from oncofed.client.records.decisions import Decision
from oncofed.client.records.wishes import Reason, same_person
from oncofed.client.sign_on.proxy_names import Why
from oncofed.errors import InvalidInput, RecordDamaged
from oncofed.words.language import later

router = APIRouter()

_SEE_OTHER = 303
_CONFLICT = 409
_HASH = re.compile(r"[0-9a-f]{64}")

Reader = Annotated[Visit, Depends(visit_of(Role.APPROVER, Role.IT))]
ApproverForm = Annotated[Form, Depends(FormOf(Role.APPROVER))]

REASONS = {
    Reason.PURPOSE: later("its purpose is not ours"),
    Reason.BUDGET: later("it would spend too much of the privacy budget"),
    Reason.DATA: later("our data do not fit, or are not good enough"),
    Reason.PEERS: later("who takes part is not verified, or not wanted"),
    Reason.ETHICS: later("the ethics vote or a contract is missing"),
    Reason.ENDED: later("the study has ended"),
    Reason.OTHER: later("another reason"),
}
_REFUSED = {
    Refused.DECIDED: later(
        "This plan was decided on since you opened its page. Nothing was noted. Load the page anew and read it again."
    ),
    Refused.SAID: later(
        "You have said so already, and one person counts once. Another person must sign in with the own account."
    ),
    Refused.SOURCE: later("The hospital's rules have no data source of this name. Nothing was noted."),
}
_VERDICTS = {
    Verdict.FINE: later("fine"),
    Verdict.WARNING: later("to be looked at"),
    Verdict.FAULT: later("at fault"),
}


def console_of(visit: Visit) -> Console:
    """Raises PageRefused where these are the pages of no node."""
    if visit.desk.console is None:
        raise refusal(visit, UNKNOWN_PAGE, 404, NO_SUCH_PAGE)
    return visit.desk.console


@router.get("/plans")
def plans_page(visit: Reader) -> Response:
    """The inbox."""
    lines, offered = console_of(visit).inbox()
    visit.desk.record.viewed(visit.by, PLANS)
    content = {"plans": lines, "unread": offered.unread, "here": "/plans"}
    return page("plans.html.j2", visit, content)


@router.get("/plans/{plan_hash}")
def plan_page(visit: Reader, plan_hash: str) -> Response:
    """What one plan asks for, in words; what it would spend; who said what."""
    return _plan(visit, plan_hash, "", status=200)


def _plan(visit: Visit, plan_hash: str, said: str, *, status: int) -> Response:
    console = console_of(visit)
    try:
        if not _HASH.fullmatch(plan_hash):
            raise InvalidInput([])
        shown = console.plan(plan_hash, say=visit.say)
    except (InvalidInput, RecordDamaged):
        said = later("No plan with this hash can be read here. The list of plans says which there are.")
        raise refusal(visit, "unknown_plan", 404, said) from None
    visit.desk.record.viewed(visit.by, PLAN, plan_hash=plan_hash)
    content = {
        "shown": shown,
        "said": said,
        "decides": visit.session.role is Role.APPROVER,
        "said_yes": any(same_person(visit.by, each.by) for each in shown.wanting),
        "plan_seal": visit.session.seal(_sealed(plan_hash, shown.looked_on)),
        "reasons": REASONS,
        "here": "/plans",
    }
    return page("plan.html.j2", visit, content, status=status)


@router.post("/plans/{plan_hash}/{decision}")
def decide(form: ApproverForm, plan_hash: str, decision: str) -> Response:
    """Note what an approver wants, for the right password. The guard takes the decision."""
    visit, desk, console = form.visit, form.desk, console_of(form.visit)
    wanted = {"approve": Decision.APPROVED, "decline": Decision.DECLINED}.get(decision)
    if wanted is None or not _HASH.fullmatch(plan_hash):
        raise refusal(visit, UNKNOWN_PAGE, 404, NO_SUCH_PAGE)
    looked_on = form.text("looked_on")
    of = form.text("source" if wanted is Decision.APPROVED else "reason")
    known_reason = wanted is Decision.APPROVED or of in list(Reason)
    own_seal = visit.session.seal(_sealed(plan_hash, looked_on))
    if not known_reason or not hmac.compare_digest(own_seal.encode(), form.text("plan_seal").encode()):
        desk.record.refused(form.by, FORM, plan_hash=plan_hash)
        said = visit.say("This form is not of this plan's page. Nothing was noted. Read the plan and try again.")
        return _plan(visit, plan_hash, said, status=403)
    if _is_another_approver(visit):
        desk.record.refused(form.by, Why.OTHER, plan_hash=plan_hash)
        said = visit.say(
            "Your hospital's sign-on says that you are another approver, and one person counts once. Nothing was noted."
        )
        return _plan(visit, plan_hash, said, status=403)
    by = _for_the_password(form, plan_hash)
    if isinstance(by, str):
        return _plan(visit, plan_hash, by, status=401)
    try:
        want(console.known, plan_hash, wanted, of=of, by=by, looked_on=looked_on)
    except WishRefused as refused:
        desk.record.refused(form.by, refused.why, plan_hash=plan_hash)
        return _plan(visit, plan_hash, visit.say(_REFUSED[refused.why]), status=_CONFLICT)
    except InvalidInput:  # it gave way, or was forgotten, just now
        return _plan(visit, plan_hash, "", status=_CONFLICT)
    return RedirectResponse(f"/plans/{plan_hash}", _SEE_OTHER)


def _sealed(plan_hash: str, looked_on: str) -> str:
    return f"plan {plan_hash} {looked_on}"


def _is_another_approver(visit: Visit) -> bool:
    """Whether the proxy says so of who uses this session. An account of another role may be a second one of theirs."""
    named = visit.desk.accounts.find(visit.named) if visit.named else None
    return named is not None and named.role is Role.APPROVER and not same_person(named.name, visit.by)


def _for_the_password(form: Form, plan_hash: str) -> Account | str:
    """The account; what to say where the password is not its own."""
    desk, peer = form.desk, form.visit.peer
    try:
        with desk.turns.turn(form.by, peer):
            account = desk.accounts.checked(form.by, form.text("password"))
    except NoTurn as refused:
        desk.record.refused(form.by, WAITS, plan_hash=plan_hash)
        return wait_words(refused, form.visit.say)
    if account is not None:
        desk.turns.succeeded(form.by, peer)
        return account
    desk.turns.failed(form.by, peer)
    desk.record.refused(form.by, WRONG_PASSWORD, plan_hash=plan_hash)
    return form.visit.say("The password is wrong. Nothing was noted.")


@router.get("/ledger")
def ledger_page(visit: Reader) -> Response:
    """What was spent, and what is left."""
    found = console_of(visit).spending()
    visit.desk.record.viewed(visit.by, LEDGER)
    return page("ledger.html.j2", visit, {"found": found, "here": "/ledger"})


@router.get("/node")
def node_page(visit: Reader) -> Response:
    """How the node is, as far as it can be seen from here."""
    health = console_of(visit).health()
    visit.desk.record.viewed(visit.by, NODE)
    content = {
        "health": health,
        "verdicts": _VERDICTS,
        "worst": worst(health.findings),
        "fine": Verdict.FINE,
        "here": "/node",
    }
    return page("node.html.j2", visit, content)
