"""What people say, and what becomes of it: votes at a gate, items of a checklist, agreement to a rollback.

The command line and the Prefect form both come here, so they follow the same rules. Everything said is an event in the
ledger; what does not count is one too, with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from gonogo.core.engine.decide import recent_approvals, rollback_approved, waits_for_votes
from gonogo.core.engine.events import ItemConfirmed, Kind, Signed, VoteCast, VoteRefused, write_body
from gonogo.core.engine.evolve import ROLLBACK
from gonogo.core.engine.state import Status
from gonogo.core.model.people import GO, Approve, Vote, holds, missing_votes, why_vote_rejected
from gonogo.core.model.schedule import closed
from gonogo.core.plan.plan import Plan
from gonogo.core.text.plain import tidy
from gonogo.core.text.times import clock as say_clock
from gonogo.errors import BadInput, Refused
from gonogo.keys import Keys, NotProved
from gonogo.ledger import store
from gonogo.personal_key import PersonalKey, key_file
from gonogo.postgres.connection import Connection
from gonogo.postgres.server_clock import server_time
from gonogo.run.records import RunReader
from gonogo.run.runs import FoundRun, find
from gonogo.run.said import counted

_Said = TypeVar("_Said", bound=Signed)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who speaks, and what proves it, where they gave it: a one-time code, or a key of their own."""

    person: str
    code: str = ""
    #: only somebody's own command line has it
    key: PersonalKey | None = None

    @property
    def proves(self) -> bool:
        """Whether they gave what proves them, if it does."""
        return bool(self.code) or self.key is not None


def prove(plan: Plan, keys: Keys, caller: Caller) -> bool:
    """See whether a speaker proves who they are; say whether they did.

    Raises:
        NotProved: they gave what proves nothing, or nothing where something is needed.
    """
    person = plan.people.get(caller.person)
    if person is not None and person.key:
        # a code would let whoever has the file of secrets speak for them
        if caller.key is not None and caller.key.is_of(person.key):
            return True
        if plan.protected or caller.proves:
            raise NotProved(
                f"{caller.person} has a key of their own, and proves who they are by it, on the machine that has it (GONOGO_KEY"
                f" names the file; without it {key_file()}): not by a code, and not in a form"
            )
        return False
    if caller.code:
        keys.prove(caller.person, caller.code)
        return True
    if plan.protected:
        raise NotProved(
            f"the target is protected, so {caller.person} must prove who they are with a one-time code (--code); without a key"
            f", enroll first: gonogo people enroll {caller.person}"
        )
    return False


#: what only one of its people may do on a protected target, and proves each time
ACCEPT_LOSS, TAKE_OVER, SETTLE = "accept the data loss", "take the run over", "settle what is in doubt"


def needs(found: FoundRun, *, accept_loss: bool = False, take_over: bool = False, settle: bool = False) -> tuple[list[str], bool]:
    """Return what of a request only one of the people may do on a protected target; and whether to take the run over.

    Who need not prove it, as nobody works on the run, takes nobody's place: not even that of one who comes in between.
    """
    take_over = take_over and (found.running or not found.plan.protected)
    asked = {ACCEPT_LOSS: accept_loss, TAKE_OVER: take_over and found.running, SETTLE: settle}
    return [what for what, wanted in asked.items() if wanted], take_over


def may(plan: Plan, keys: Keys, caller: Caller, what: str) -> bool:
    """See that somebody may do what needs one of the people on a protected target; say whether they proved who they are.

    Args:
        plan: whose people, and whether its target is protected.
        keys: what its people prove themselves with.
        caller: who speaks.
        what: what they do: `ACCEPT_LOSS`, `TAKE_OVER` or `SETTLE`.

    Raises:
        Refused: they may not.
    """
    if plan.protected and caller.person not in plan.people:
        who = ", ".join(plan.people) or "none"
        raise Refused(f"the target is protected, so one of its people ({who}) must {what}: --as, --code")
    return prove(plan, keys, caller)


def allowed(plan: Plan, keys: Keys, caller: Caller, *whats: str) -> bool:
    """See that somebody may do some things, with one code; say whether they proved who they are.

    Raises:
        Refused: they may not.
    """
    proved = False
    for what in whats:
        proved = proved or may(plan, keys, caller, what)
    return proved or (caller.proves and prove(plan, keys, caller))


def shown_as(plan: Plan, caller: Caller, *, proved: bool, otherwise: str) -> str:
    """Return by which name an actor is shown: one that could be proved, and was not, says so.

    Args:
        plan: whether its target is protected.
        caller: who speaks.
        proved: whether they proved it.
        otherwise: who it is where nobody is named.
    """
    if not caller.person:
        return otherwise
    return caller.person if proved or not plan.protected else f"{caller.person} (not proved)"


def vote(
    connection: Connection, found: FoundRun, keys: Keys, caller: Caller, decision: str, *, gate: str = "", comment: str = ""
) -> str:
    """Say go or no-go at the gate that waits; return what is still lacking, or nothing.

    Raises:
        Refused: the vote does not count; the reason is recorded.
    """
    found = _as_counted(connection, found, keys)
    plan, state = found.plan, found.state
    phase = plan.phases[min(state.phase, len(plan.phases) - 1)]
    asked = state.gate.asked
    if state.status is not Status.DECIDING or asked is None:
        stands = {Status.GATING: "its criteria are being measured", Status.READY: "its next phase is not launched"}
        late = stands.get(state.status, f"the gate of {phase.name} is decided")
        raise _refused(connection, found, caller, decision, f"no gate of this run waits for a decision now: {late}")
    if gate not in ("", phase.name):
        raise _refused(connection, found, caller, decision, f"the gate that waits is that of {phase.name}, not {gate}")
    if phase.approve is None:
        raise _refused(connection, found, caller, decision, f"the gate of {phase.name} asks for its checklist, not for votes")
    if asked.deadline is not None and server_time(connection) > asked.deadline:
        why = f"the time to decide was over at {say_clock(asked.deadline, plan.zone)}"
        raise _refused(connection, found, caller, decision, why)
    said = VoteCast(
        on=phase.name,
        decision=decision,
        person=caller.person,
        comment=tidy(comment),
        seal=asked.seal,
        asked=asked.seq,
        launch=state.gate.launched,
    )
    _cast(connection, found, keys, caller, phase.approve, state.gate.votes, said)
    return waits_for_votes(plan, _as_counted(connection, find(connection, run=found.run), keys).state)


def _as_counted(connection: Connection, found: FoundRun, keys: Keys) -> FoundRun:
    """Return a run without the votes that somebody wrote in a person's name: they keep nobody from voting."""
    reader = RunReader(connection=connection, run=found.run)
    return replace(found, state=counted(reader, found.run, found.plan, keys, found.state)[0])


def agree(
    connection: Connection,
    found: FoundRun,
    keys: Keys,
    caller: Caller,
    reason: str,
    level: str = "",
    back_to: int | None = None,
) -> tuple[str, bool]:
    """Agree to a rollback, where the runbook lets nobody ask for one alone; return who else must, or nothing.

    It is also said whether the caller proved who they are: where enough people agreed before, nobody is asked again.

    Args:
        connection: where the ledger is.
        found: the run.
        keys: what its people prove themselves with.
        caller: who agrees.
        reason: why.
        level: the level that they agree to; the runbook's first without one.
        back_to: the phase whose start it leads to; as far as the runbook says without one.

    Raises:
        Refused: the vote does not count; the reason is recorded.
    """
    found = _as_counted(connection, found, keys)
    plan, state = found.plan, found.state
    rule = plan.rollback.authority
    if rule is None:
        raise Refused("the runbook names no authority for its rollback")
    now = server_time(connection)
    if rollback_approved(plan, state, now):
        return "", False  # they have agreed already; only what follows was not done
    given = recent_approvals(plan, state, now)
    said = VoteCast(
        on=ROLLBACK,
        decision=GO,
        person=caller.person,
        seal=plan.seal,
        comment=tidy(reason),
        level=level,
        back_to=back_to,
        # approvals of one rollback are none of a later one
        launch=max((event.seq for event in found.events if event.kind is Kind.PHASE_STARTED), default=0),
    )
    same = [vote for vote in given if (vote.level, vote.back_to) == (level, back_to)]
    proved = _cast(connection, found, keys, caller, rule, same, said)
    after = _as_counted(connection, find(connection, run=found.run), keys).state
    now = server_time(connection)
    # who works on the run may have heard it already, and begun
    if after.rollback.seq > state.rollback.seq or rollback_approved(plan, after, now):
        return "", proved
    return missing_votes(rule, plan.people, recent_approvals(plan, after, now)), proved


def confirm(connection: Connection, found: FoundRun, keys: Keys, caller: Caller, item: str, evidence: str) -> None:
    """Confirm an item of the phase's checklists.

    Raises:
        Refused: there is no such item, it is not theirs, or the evidence is missing; the reason is recorded.
    """
    plan, state = found.plan, found.state
    items = plan.items(min(state.phase, len(plan.phases) - 1))
    wanted = items.get(item)
    if wanted is None:
        raise BadInput(f"this phase has no item {item!r} to confirm; there are {', '.join(items) or 'none'}")
    why = ""
    if item in state.gate.confirmed:
        why = f"{item} is confirmed already"
    elif caller.person not in plan.people:
        why = f"{caller.person!r} is not one of the runbook's people; there are {', '.join(plan.people) or 'none'}"
    elif wanted.owner and not holds(plan.people, caller.person, [wanted.owner]):
        why = f"{item} can be confirmed only by {wanted.owner}; {caller.person} is not, and does not have that role"
    elif wanted.evidence and not evidence.strip():
        why = f"{item} needs evidence: give it with --evidence"
    elif state.at_rest and not state.held:
        why = f"the run is {state.status}; nothing waits to be confirmed"
    if why:
        raise _refused(connection, found, caller, f"confirm {item}", why)
    proved = _proved(connection, found, keys, caller, f"confirm {item}")
    said = ItemConfirmed(
        item=item,
        person=caller.person,
        evidence=tidy(evidence).strip(),
        launch=state.gate.launched,
        proved=proved,
    )
    store.append(connection, found.run, _signed(connection, keys, found, caller, said), caller.person)


@dataclass(frozen=True, kw_only=True)
class LaunchDetails:
    """Who launches a phase, and how: what its first event says of that."""

    person: str = ""
    proved: bool | None = None
    #: why it may start outside its window, or beyond its budgets
    override: str = ""
    #: Prefect's flow run, where one launches it
    flow_run: str = ""


def launch_details(
    plan: Plan, keys: Keys, caller: Caller, override: str, now: datetime, *, at_once: bool, flow_run: str = ""
) -> LaunchDetails:
    """Return who launches a phase, once it is seen that they may.

    Args:
        plan: what is launched.
        keys: what proves people.
        caller: who launches it.
        override: why it may start outside its window, or beyond its budgets, if they say so.
        now: the target's time.
        at_once: whether it starts now, whatever its schedule says.
        flow_run: Prefect's flow run, where one launches it.

    Raises:
        Refused: the target is protected and they did not prove who they are, or they may not override.
        BadInput: an environment variable that the runbook needs is not set.
    """
    if missing := [name for name in plan.environment if not os.environ.get(name)]:
        raise BadInput(*(f"the environment variable {name} is not set; the runbook needs it" for name in missing))
    override = tidy(override).strip()
    starts = now if at_once else max(now, plan.start)
    shut = closed(plan.windows, plan.freezes, plan.zone, starts)
    known = caller.person in plan.people
    if plan.protected and not known:
        who = ", ".join(plan.people) or "none"
        named = f"{caller.person!r} is not one of the runbook's people" if caller.person else "nobody is named"
        raise Refused(f"the target is protected, and {named}: launch as one of {who} (--as), with a one-time code")
    if shut and not override:
        may = f"; {' or '.join(plan.override)} may --override with a reason" if plan.override else ""
        raise Refused(f"outside the launch window: {shut}{may}")
    if override and not (known and holds(plan.people, caller.person, plan.override)):
        who = f"{caller.person} may not override" if caller.person else "say who overrides: --as PERSON"
        raise Refused(f"{who}{f': {shut}' if shut else ''}")
    proved = prove(plan, keys, caller) if known and (caller.proves or plan.protected) else None
    why = f"{override} ({shut})" if shut and override else override
    return LaunchDetails(person=caller.person if known else "", proved=proved, override=why, flow_run=flow_run)


def _cast(
    connection: Connection, found: FoundRun, keys: Keys, caller: Caller, rule: Approve, given: Sequence[Vote], said: VoteCast
) -> bool:
    # the code first: whatever else is wrong with the vote, the code is used up
    proved = _proved(connection, found, keys, caller, said.decision)
    why = why_vote_rejected(
        rule,
        found.plan.people,
        given,
        caller.person,
        said.decision,
        launcher=found.state.gate.launcher,
        needs_proof=found.plan.protected,
        proved=proved,
    )
    if why:
        raise _refused(connection, found, caller, said.decision, why)
    store.append(connection, found.run, _signed(connection, keys, found, caller, said.replace(proved=proved)), caller.person)
    return proved


def _proved(connection: Connection, found: FoundRun, keys: Keys, caller: Caller, decision: str) -> bool:
    try:
        return prove(found.plan, keys, caller)
    except NotProved as error:
        raise _refused(connection, found, caller, decision, str(error)) from None


def _signed(connection: Connection, keys: Keys, found: FoundRun, caller: Caller, said: _Said) -> _Said:
    """Return what somebody said with their signature, where they proved who they are."""
    if not said.proved:
        return said
    # the moment is signed too, so that the row cannot be copied later; and just what will lie in the ledger
    dated = said.replace(said_at=server_time(connection))
    whole = {**write_body(dated), "run": found.run}
    return dated.replace(signature=caller.key.sign(whole) if caller.key is not None else keys.sign(said.person, whole))


def _refused(connection: Connection, found: FoundRun, caller: Caller, decision: str, why: str) -> Refused:
    """Record that somebody was refused, and return the error that tells them."""
    store.append(connection, found.run, VoteRefused(person=caller.person, decision=decision, why=why), caller.person)
    return Refused(why)
