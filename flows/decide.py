"""What people say, and what becomes of it: votes at a gate, boxes of a checklist, agreement to a rollback.

The command line and the Prefect form both come here, so they follow the same rules. Everything said is a fact in the
ledger; what does not count is one too, with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.launch import Found, find
from gonogo import clock, ledger
from gonogo.core.engine import agreed_to_turn_back, awaited, recent_agreement
from gonogo.core.event import Event, Kind
from gonogo.core.evolve import ROLLBACK
from gonogo.core.message import clock as say_clock
from gonogo.core.people import NO_GO, Approve, Vote, agreed, holds, lacking, objection
from gonogo.core.plain import tidy
from gonogo.core.plan import Plan
from gonogo.core.state import NEEDS_AUTHORITY, State, Status
from gonogo.core.window import closed
from gonogo.database import Connection
from gonogo.errors import BadInput, Refused
from gonogo.house import Project
from gonogo.keys import Keys, NotProved

#: how far apart a signature and its fact may lie
_COPIED = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Who speaks, and the one-time code that proves it, where they gave one."""

    person: str
    code: str = ""


def keys_of(project: Project) -> Keys:
    """Return the keys of a project's people; `GONOGO_KEYS` names another file."""
    named = os.environ.get("GONOGO_KEYS")
    return Keys(file=project.root / named if named else project.state / "keys.json")


def signer(plan: Plan, keys: Keys) -> Callable[[Mapping[str, Any]], str] | None:
    """Return what signs a plan that acts beyond the database as its run begins; nothing where it does not."""
    return keys.sign_as_house if plan.reaches_out else None


def distrust(connection: Connection, run: str, plan: Plan, keys: Keys) -> str:
    """Say why nothing of a plan may act beyond the database, or nothing where it may.

    Whoever may write to the ledger could write a program into it; only what this project signed as the run began is run.
    """
    if not plan.reaches_out or keys.signed_by_house(*ledger.read_signature(connection, run)):
        return ""
    return (
        "the programs of this run are not signed with this project's key: it was begun elsewhere (give this process the file"
        " with GONOGO_KEYS), or somebody wrote them into the ledger"
    )


def prove(plan: Plan, keys: Keys, speaker: Speaker) -> bool:
    """See whether a speaker proves who they are; say whether they did.

    Raises:
        NotProved: they gave a code that proves nothing, or none where one is needed.
    """
    if speaker.code:
        keys.prove(speaker.person, speaker.code)
        return True
    if plan.protected:
        raise NotProved(
            f"the target is protected, so {speaker.person} must prove who they are with a one-time code (--code); who has no key"
            f" yet enrolls: gonogo people enroll {speaker.person}"
        )
    return False


def accept_loss(plan: Plan, keys: Keys, speaker: Speaker) -> None:
    """See that somebody may let rows be destroyed: on a protected target, one of its people who proves it.

    Raises:
        Refused: they may not.
    """
    if plan.protected and speaker.person not in plan.people:
        who = ", ".join(plan.people) or "none"
        raise Refused(f"the target is protected, so one of its people accepts what is lost ({who}): --as PERSON, and prove it")
    prove(plan, keys, speaker)


def vote(
    connection: Connection, found: Found, keys: Keys, speaker: Speaker, decision: str, *, gate: str = "", comment: str = ""
) -> str:
    """Say go or no-go at the gate that waits; return what is still lacking, or nothing.

    Raises:
        Refused: the vote does not count; the reason is recorded.
    """
    plan, state = found.plan, found.state
    phase = plan.phases[min(state.phase, len(plan.phases) - 1)]
    asked = state.asked
    if state.status is not Status.DECIDING or asked is None:
        stands = {Status.GATING: "its criteria are being measured", Status.READY: "its next phase is not launched"}
        late = stands.get(state.status, f"the gate of {phase.name} is decided")
        raise _refused(connection, found, speaker, decision, f"no gate of this run waits for a decision now: {late}")
    if gate not in ("", phase.name):
        raise _refused(connection, found, speaker, decision, f"the gate that waits is that of {phase.name}, not {gate}")
    if phase.approve is None:
        raise _refused(connection, found, speaker, decision, f"the gate of {phase.name} asks for its checklist, not for votes")
    if asked.deadline is not None and clock.now() > asked.deadline:
        why = f"the time to decide was over at {say_clock(asked.deadline, plan.zone)}"
        raise _refused(connection, found, speaker, decision, why)
    said: dict[str, Any] = {"on": phase.name, "decision": decision, "person": speaker.person, "comment": tidy(comment)}
    body = {**said, "seal": asked.seal, "asked": asked.seq, "launch": state.launched}
    _cast(connection, found, keys, speaker, phase.approve, state.votes, body)
    return awaited(plan, find(connection, run=found.run).state)


def agree(
    connection: Connection,
    found: Found,
    keys: Keys,
    speaker: Speaker,
    reason: str,
    level: str = "",
    back_to: int | None = None,
) -> str:
    """Agree to a rollback, where the runbook lets nobody ask for one alone; return who else must, or nothing.

    Args:
        connection: where the ledger is.
        found: the run.
        keys: what its people prove themselves with.
        speaker: who agrees.
        reason: why.
        level: the way back that they agree to; the runbook's first without one.
        back_to: the phase whose start it leads to; as far as the runbook says without one.

    Raises:
        Refused: the vote does not count; the reason is recorded.
    """
    plan, state = found.plan, found.state
    rule = plan.rollback.authority
    if rule is None:
        raise Refused("the runbook names no authority for its rollback")
    if agreed_to_turn_back(plan, state, clock.now()):
        return ""  # they have agreed already; only what follows was not done
    given = recent_agreement(plan, state, clock.now())
    body: dict[str, Any] = {"on": ROLLBACK, "decision": "go", "person": speaker.person}
    body |= {"seal": plan.seal, "comment": tidy(reason)}
    if level:
        body["level"] = level
    if back_to is not None:
        body["back_to"] = back_to
    same = [vote for vote in given if (vote.level, vote.back_to) == (level, back_to)]
    _cast(connection, found, keys, speaker, rule, same, body)
    after = find(connection, run=found.run).state
    now = clock.now()
    return "" if agreed_to_turn_back(plan, after, now) else lacking(rule, plan.people, recent_agreement(plan, after, now))


def confirm(connection: Connection, found: Found, keys: Keys, speaker: Speaker, item: str, evidence: str) -> None:
    """Tick a box of the phase's checklists.

    Raises:
        Refused: there is no such box, it is not theirs, or the evidence is missing; the reason is recorded.
    """
    plan, state = found.plan, found.state
    boxes = plan.items(min(state.phase, len(plan.phases) - 1))
    box = boxes.get(item)
    if box is None:
        raise BadInput(f"this phase has no item {item!r} to confirm; there are {', '.join(boxes) or 'none'}")
    why = ""
    if item in state.confirmed:
        why = f"{item} is confirmed already"
    elif speaker.person not in plan.people:
        why = f"{speaker.person!r} is not one of the runbook's people; there are {', '.join(plan.people) or 'none'}"
    elif box.owner and not holds(plan.people, speaker.person, [box.owner]):
        why = f"{item} is for {box.owner} to confirm, and {speaker.person} is not that"
    elif box.evidence and not evidence.strip():
        why = f"{item} needs evidence: say what shows it"
    elif state.at_rest and not state.held:
        why = f"the run is {state.status}; nothing waits to be confirmed"
    body = {"item": item, "person": speaker.person, "evidence": tidy(evidence).strip(), "launch": state.launched}
    if why:
        raise _refused(connection, found, speaker, f"confirm {item}", why)
    proved = _proved(connection, found, keys, speaker, f"confirm {item}")
    ledger.append(connection, found.run, Kind.CONFIRMED, _sign(keys, found, {**body, "proved": proved}), speaker.person)


def launcher(plan: Plan, keys: Keys, speaker: Speaker, override: str, *, at_once: bool) -> dict[str, Any]:
    """Return what a launch says of the one who launches.

    Args:
        plan: what is launched.
        keys: what proves people.
        speaker: who launches it.
        override: why it may start outside its window, or beyond its budgets, if they say so.
        at_once: whether it starts now, whatever its schedule says.

    Raises:
        Refused: the target is protected and they did not prove who they are, or they may not override.
        BadInput: an environment variable that the runbook needs is not set.
    """
    if missing := [name for name in plan.environment if not os.environ.get(name)]:
        raise BadInput(*(f"the environment variable {name} is not set; the runbook needs it" for name in missing))
    override = tidy(override).strip()
    starts = clock.now() if at_once else max(clock.now(), plan.start)
    shut = closed(plan.windows, plan.freezes, plan.zone, starts)
    known = speaker.person in plan.people
    if plan.protected and not known:
        who = ", ".join(plan.people) or "none"
        named = f"{speaker.person!r} is not one of the runbook's people" if speaker.person else "nobody is named"
        raise Refused(f"the target is protected, and {named}: launch as one of {who} (--as), with a one-time code")
    if shut and not override:
        may = f"; {' or '.join(plan.override)} may --override with a reason" if plan.override else ""
        raise Refused(f"no phase may start now: {shut}{may}")
    if override and not (known and holds(plan.people, speaker.person, plan.override)):
        who = f"{speaker.person} may not override" if speaker.person else "say who overrides: --as PERSON"
        raise Refused(f"{who}{f': {shut}' if shut else ''}")
    said: dict[str, Any] = {"person": speaker.person} if known else {}
    if known and (speaker.code or plan.protected):
        said["proved"] = prove(plan, keys, speaker)
    return {**said, "override": f"{override} ({shut})" if shut else override} if override else said


def unsigned(connection: Connection, run: str, plan: Plan, keys: Keys, facts: Iterable[int]) -> tuple[int, str] | None:
    """Return the first vote or confirmation that its person did not sign, and why it does not count.

    A row that was written into the ledger by hand, or copied, is such a one. Only a protected target asks.

    Args:
        connection: where the ledger is.
        run: the run.
        plan: its plan.
        keys: what its people sign with.
        facts: the numbers of the facts by which they spoke.
    """
    if not plan.protected:
        return None
    launches = [fact.seq for fact in ledger.read(connection, run) if fact.kind is Kind.PHASE_STARTED]
    for seq in facts:
        fact = ledger.read_fact(connection, run, seq)
        said = dict(fact.body)
        signature, person = str(said.pop("signature", "")), str(said.get("person"))
        if not keys.any():
            raise Refused(
                f"this process has no keys, so it cannot see whether {person} said so; give it the file with GONOGO_KEYS"
            )
        if said.get("on") != ROLLBACK and said.get("launch") != max((n for n in launches if n < seq), default=0):
            return seq, f"what {person} said (fact {seq}) was said of another launch: somebody copied it"
        if not keys.signed(person, {**said, "run": run}, signature):
            return seq, f"what {person} is said to have said (fact {seq}) is not signed with their key: somebody else wrote it"
        if abs(fact.at - datetime.fromisoformat(str(said["said_at"]))) > _COPIED:
            return seq, f"what {person} said (fact {seq}) was said at another time: somebody copied it"
    return None


def go_stands(connection: Connection, run: str, plan: Plan, keys: Keys, state: State) -> str:
    """Say why the go of the phase in work does not stand, or nothing where it does; only a protected target asks.

    Whoever may write to the ledger could write a go: it stands only on votes and boxes that their people signed, in
    answer to the newest question, and not against a signed no-go.
    """
    phase = plan.phases[state.phase]
    if not plan.protected or phase.approve is None:
        return ""
    facts = [fact for fact in ledger.read(connection, run) if fact.seq <= state.went]
    begun = max((fact.seq for fact in facts if fact.kind is Kind.PHASE_STARTED), default=0)
    asked = max((fact.seq for fact in facts if fact.kind is Kind.ASKED and "seal" in fact.body), default=0)
    if asked < begun:
        return f"the go (fact {state.went}) was said before anybody was asked about {phase.name}"
    signed = [
        fact
        for fact in facts
        if fact.kind in (Kind.VOTE, Kind.CONFIRMED)
        and fact.body.get("launch") == begun
        and not unsigned(connection, run, plan, keys, [fact.seq])
    ]
    votes = [
        _signed_vote(f) for f in signed if f.kind is Kind.VOTE and (f.body.get("asked"), f.body.get("on")) == (asked, phase.name)
    ]
    ticked = {str(fact.body["item"]) for fact in signed if fact.kind is Kind.CONFIRMED}
    if against := [vote.person for vote in votes if vote.decision == NO_GO]:
        return f"the go (fact {state.went}) stands against the no-go of {against[0]}"
    if blank := [item.item for item in phase.before if item.item not in ticked]:
        return f"the go (fact {state.went}) does not rest on a signed confirmation of {blank[0]}"
    if not agreed(phase.approve, plan.people, votes):
        return f"the go (fact {state.went}) does not rest on enough signed votes: {lacking(phase.approve, plan.people, votes)}"
    return ""


def agreement_stands(connection: Connection, run: str, plan: Plan, keys: Keys, state: State) -> str:
    """Say why a person's rollback does not stand where others must agree to it; only a protected target asks."""
    rule = plan.rollback.authority
    fact = ledger.read_fact(connection, run, state.turned)
    if not plan.protected or rule is None or fact.kind not in NEEDS_AUTHORITY or not state.changed:
        return ""
    numbers = [int(seq) for seq in fact.body.get("votes", ())]
    if forged := unsigned(connection, run, plan, keys, numbers):
        return forged[1]
    facts = [ledger.read_fact(connection, run, seq) for seq in numbers]
    way = [fact.body.get(key) for key in ("level", "back_to")]
    meant = [
        f
        for f in facts
        if f.kind is Kind.VOTE and f.body["on"] == ROLLBACK and [f.body.get(key) for key in ("level", "back_to")] == way
    ]
    votes = [_signed_vote(f) for f in meant]
    stands = agreed(rule, plan.people, votes) and all(fact.at - vote.at <= rule.within for vote in votes)
    return "" if stands else f"the rollback (fact {state.turned}) does not rest on enough signed agreements"


def _signed_vote(fact: Event) -> Vote:
    body = fact.body
    return Vote(seq=fact.seq, decision=str(body["decision"]), person=str(body["person"]), proved=True, at=fact.at)


def _cast(
    connection: Connection,
    found: Found,
    keys: Keys,
    speaker: Speaker,
    rule: Approve,
    given: Sequence[Vote],
    body: Mapping[str, Any],
) -> None:
    decision = str(body["decision"])
    # the code first: whatever else is wrong with the vote, the code is used up
    proved = _proved(connection, found, keys, speaker, decision)
    why = objection(
        rule,
        found.plan.people,
        given,
        speaker.person,
        decision,
        launcher=found.state.launcher,
        needs_proof=found.plan.protected,
        proved=proved,
    )
    if why:
        raise _refused(connection, found, speaker, decision, why)
    ledger.append(connection, found.run, Kind.VOTE, _sign(keys, found, {**body, "proved": proved}), speaker.person)


def _proved(connection: Connection, found: Found, keys: Keys, speaker: Speaker, decision: str) -> bool:
    try:
        return prove(found.plan, keys, speaker)
    except NotProved as error:
        raise _refused(connection, found, speaker, decision, str(error)) from None


def _sign(keys: Keys, found: Found, body: dict[str, Any]) -> dict[str, Any]:
    if not body["proved"]:
        return body
    # the moment is signed too, so that the row cannot be copied later
    dated = {**body, "said_at": clock.now().isoformat()}
    return {**dated, "signature": keys.sign(body["person"], {**dated, "run": found.run})}


def _refused(connection: Connection, found: Found, speaker: Speaker, decision: str, why: str) -> Refused:
    """Record that somebody was refused, and return the error that tells them."""
    body = {"person": speaker.person, "decision": decision, "why": why}
    ledger.append(connection, found.run, Kind.VOTE_REFUSED, body, speaker.person)
    return Refused(why)
