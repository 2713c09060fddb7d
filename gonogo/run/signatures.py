"""Whether people said what the ledger says they did."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from gonogo.core.engine.events import (
    Accepting,
    Body,
    Event,
    ItemConfirmed,
    Kind,
    PeopleAsked,
    PhaseStarted,
    RollbackAsked,
    RunSigned,
    Signed,
    VoteCast,
    write_body,
)
from gonogo.core.engine.evolve import ROLLBACK, vote_of
from gonogo.core.engine.state import State
from gonogo.core.model.people import NO_GO, agreed, missing_votes
from gonogo.core.plan.plan import Plan
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import signed, store
from gonogo.personal_key import PersonalKey, is_signed
from gonogo.postgres.connection import Connection
from gonogo.project import Project
from gonogo.run.ports import Reader

_Says = TypeVar("_Says", bound=Accepting)
#: how far apart a signature and its event may lie
_MAX_CLOCK_SKEW = timedelta(minutes=5)


def keys_of(project: Project) -> Keys:
    """Return the keys of a project's people; `GONOGO_KEYS` names another file."""
    named = os.environ.get("GONOGO_KEYS")
    return Keys(file=project.root / named if named else project.state / "keys.json")


def without_signature(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an event as it lies in the ledger, without the signature that stands under it."""
    return {name: value for name, value in data.items() if name != "signature"}


def signer(plan: Plan, keys: Keys) -> Callable[[Mapping[str, Any]], str] | None:
    """Return what signs a plan as its run begins, where its target is protected or it acts beyond the database."""
    return keys.sign_as_project if plan.reaches_out or plan.protected else None


def _is_ours(connection: Connection, run: str, keys: Keys) -> bool:
    """Say whether a plan was signed with this project's key as its run began, or later, when a person answered for it."""
    return keys.signed_by_project(*signed.plan_of(connection, run)) or bool(answered_for(connection, run, keys))


def answered_for(connection: Connection, run: str, keys: Keys) -> int:
    """Return the newest event up to which a person answered for a run, 0 where nobody did."""
    plan, _ = signed.plan_of(connection, run)
    found = [0]
    for body, data in signed.later(connection, run):
        if body.run == run and keys.signed_by_project({**without_signature(data), **plan}, body.signature):
            found.append(body.through)
    return max(found)


def answer_for(connection: Connection, run: str, plan: Plan, keys: Keys, person: str, through: int) -> None:
    """Record that a person, who proved it, answers for a run that this project had not signed.

    Args:
        connection: the target.
        run: the run.
        plan: its plan.
        keys: the project's.
        person: who.
        through: the newest event that they saw; launches up to it count as signed.
    """
    bare = RunSigned(run=run, through=through, person=person)
    digest, _ = signed.plan_of(connection, run)
    signature = keys.sign_as_project({**write_body(bare), **digest})
    signed.record(connection, run, plan.target, bare.replace(signature=signature), person)


def require_ours(connection: Connection, run: str, plan: Plan, keys: Keys, *, protected: bool) -> None:
    """Refuse a run on a protected database whose plan this project did not sign: whoever may write to the ledger could write one.

    Args:
        connection: the target.
        run: the run.
        plan: its plan.
        keys: the project's.
        protected: whether the runbook says that the target is.

    Raises:
        Refused: it is such a run.
    """
    if not (protected or plan.protected or store.protected_as(connection)) or _is_ours(connection, run, keys):
        return
    raise Refused(
        f"the target is protected, and the run {run} is not signed with this project's key: it was begun elsewhere (give this"
        " process the file with GONOGO_KEYS), by a gonogo that did not sign yet, or somebody wrote it into the ledger. Look at"
        f" what it would do: gonogo report {plan.arguments} --run {run}. One of the runbook's people can answer for it:"
        f" gonogo ledger sign {plan.arguments} --run {run} --as PERSON"
    )


def sign_launch(run: str, plan: Plan, keys: Keys, launch: PhaseStarted, follows: int) -> PhaseStarted:
    """Return a launch with the project's signature, where its target is protected.

    Args:
        run: the run.
        plan: its plan.
        keys: the project's.
        launch: who launches what.
        follows: the newest event that is known, so that the launch cannot be copied to a later place.
    """
    if not plan.protected:
        return launch
    bare = launch.replace(follows=follows)
    return bare.replace(signature=keys.sign_as_project(_whole(write_body(bare), run, bare)))


def _whole(said: Mapping[str, Any], run: str, body: Body) -> dict[str, Any]:
    """Return what is signed of an event: what it says, of which run, and as what, so that it is no event of another kind."""
    return {**said, "run": run, "kind": str(body.kind)}


def require_launched(ledger: Reader, run: str, plan: Plan, keys: Keys, answered: int) -> None:
    """Refuse to go on to a further phase by a launch that is not this project's; only a protected target asks.

    Raises:
        Refused: the newest launch is not.
    """
    if plan.protected and (why := _why_launch_invalid(ledger, run, keys, ledger.read(), answered)):
        raise Refused(f"{why}; launch the next phase with `gonogo run {plan.arguments}`")


def _why_launch_invalid(ledger: Reader, run: str, keys: Keys, before: Sequence[Event], answered: int) -> str:
    """Say why the newest launch is not this project's, or nothing where it is, or a person answered for it."""
    launches = [event for event in before if isinstance(event.body, PhaseStarted)]
    if not launches or launches[-1].seq <= answered:
        return ""
    newest, former = launches[-1], launches[-2].seq if len(launches) > 1 else 0
    body = newest.body
    said = without_signature(ledger.data(newest.seq))
    if not isinstance(body, PhaseStarted) or not keys.signed_by_project(_whole(said, run, body), body.signature):
        return (
            f"the launch (event {newest.seq}) is not signed with this project's key; somebody may have written it into the ledger"
        )
    if not former <= body.follows < newest.seq:
        return f"the launch (event {newest.seq}) is an older one: somebody copied it"
    return ""


def why_untrusted(connection: Connection, run: str, plan: Plan, keys: Keys) -> str:
    """Say why nothing of a plan may act beyond the database, or nothing where it may.

    Whoever may write to the ledger could write a program into it; only what this project signed is run.
    """
    if not plan.reaches_out or _is_ours(connection, run, keys):
        return ""
    return (
        "the programs of this run are not signed with this project's key: it was begun elsewhere (give this process the file"
        " with GONOGO_KEYS), or somebody wrote them into the ledger"
    )


def first_unsigned(ledger: Reader, run: str, plan: Plan, keys: Keys, said: Iterable[int]) -> tuple[int, str] | None:
    """Return the first vote or confirmation that its person did not sign, and why it does not count.

    A row that was written into the ledger by hand, or copied, is such a one. Only a protected target asks.

    Args:
        ledger: the run's ledger.
        run: the run.
        plan: its plan.
        keys: what its people sign with.
        said: the numbers of the events by which they spoke.
    """
    if not plan.protected:
        return None
    launches = [event.seq for event in ledger.read() if event.kind is Kind.PHASE_STARTED]
    for seq in said:
        event = ledger.event(seq)
        body = event.body
        if not isinstance(body, Signed):
            return seq, f"event {seq} is neither a vote nor a confirmation"
        own = plan.people[body.person].key if body.person in plan.people else ""
        if not own and not keys.any():
            raise Refused(
                f"this process has no keys, so it cannot verify what {body.person} said; give it the file with GONOGO_KEYS"
            )
        rollback = isinstance(body, VoteCast) and body.on == ROLLBACK
        # approvals of a rollback that an older gonogo wrote name no launch
        launched = max((n for n in launches if n < seq), default=0)
        if body.launch != launched and not (rollback and body.launch is None):
            return seq, f"event {seq} of {body.person} is about another launch: somebody copied it"
        whole = {**without_signature(ledger.data(seq)), "run": run}
        if not (is_signed(own, whole, body.signature) if own else keys.signed(body.person, whole, body.signature)):
            return seq, f"event {seq} is recorded as {body.person}'s but is not signed with their key; it may be forged"
        if body.said_at is None or abs(event.at - body.said_at) > _MAX_CLOCK_SKEW:
            return seq, f"event {seq} of {body.person} was signed at another time: somebody copied it"
    return None


def why_go_invalid(ledger: Reader, run: str, plan: Plan, keys: Keys, state: State, answered: int = 0) -> str:
    """Say why the go of the phase in work does not count, or nothing where it does; only a protected target asks.

    Whoever may write to the ledger could write a go: it counts only with votes and items that their people signed, in
    answer to the newest question, and not against a signed no-go; and only after a launch that this project signed.

    Args:
        ledger: the run's ledger.
        run: the run.
        plan: its plan.
        keys: the project's, and what its people sign with.
        state: where the run stands.
        answered: the newest event up to which a person answered for the run.
    """
    phase, go = plan.phases[state.phase], state.gate.go_seq
    if not plan.protected:
        return ""
    before = [event for event in ledger.read() if event.seq <= go]
    if why := _why_launch_invalid(ledger, run, keys, before, answered):
        return why
    if phase.approve is None:
        return ""
    begun = max((event.seq for event in before if event.kind is Kind.PHASE_STARTED), default=0)
    asked = max((event.seq for event in before if isinstance(event.body, PeopleAsked) and event.body.at_gate), default=0)
    if asked < begun:
        return f"the go (event {go}) was said before anybody was asked about {phase.name}"
    signed = [
        event
        for event in before
        if isinstance(event.body, Signed)
        and event.body.launch == begun
        and not first_unsigned(ledger, run, plan, keys, [event.seq])
    ]
    votes = [
        vote_of(event, body)
        for event in signed
        if isinstance(body := event.body, VoteCast) and (body.asked, body.on) == (asked, phase.name)
    ]
    confirmed = {event.body.item for event in signed if isinstance(event.body, ItemConfirmed)}
    if against := [vote.person for vote in votes if vote.decision == NO_GO]:
        return f"the go (event {go}) is against the no-go of {against[0]}"
    if blank := [item.item for item in phase.before if item.item not in confirmed]:
        return f"the go (event {go}) does not rest on a signed confirmation of {blank[0]}"
    if not agreed(phase.approve, plan.people, votes):
        return f"the go (event {go}) does not rest on enough signed votes: {missing_votes(phase.approve, plan.people, votes)}"
    return ""


def sign_acceptance(
    run: str, plan: Plan, body: _Says, keys: Keys, follows: int, *, person: str = "", key: PersonalKey | None = None
) -> _Says:
    """Return what somebody says who was seen to be one of the people, signed where it accepts a data loss on a protected target.

    Args:
        run: the run.
        plan: its plan.
        body: what they say.
        keys: the project's.
        follows: the newest event that is known.
        person: who, where they have a key of their own.
        key: that key.
    """
    if not (plan.protected and body.accept_loss):
        return body
    bare = body.replace(follows=follows, person=person if key is not None else "")
    whole = _whole(write_body(bare), run, bare)
    return bare.replace(signature=key.sign(whole) if key is not None else keys.sign_as_project(whole))


def why_acceptance_invalid(ledger: Reader, run: str, plan: Plan, keys: Keys, state: State) -> str:
    """Say why the acceptance of a data loss does not count, or nothing where it does; only a protected target asks.

    Whoever may write to the ledger could write one, in anybody's name.
    """
    loss = state.rollback.loss
    if not plan.protected or not loss.accepted:
        return ""
    given = [event for event in ledger.read() if isinstance(event.body, Accepting) and event.body.accept_loss]
    seqs = [event.seq for event in given if event.seq <= loss.accepted_at]
    if not seqs or seqs[-1] != loss.accepted_at:
        return f"nobody accepted the data loss with event {loss.accepted_at}"
    seq, former = seqs[-1], seqs[-2] if len(seqs) > 1 else 0
    body = ledger.event(seq).body
    said = without_signature(ledger.data(seq))
    if not isinstance(body, Accepting) or not _is_accepted(plan, keys, body, _whole(said, run, body)):
        return f"the data loss was accepted by event {seq}, which is not signed; somebody may have written it into the ledger"
    return (
        "" if former <= body.follows < seq else f"the data loss was accepted by event {seq}, which is an older one: it was copied"
    )


def _is_accepted(plan: Plan, keys: Keys, body: Accepting, whole: Mapping[str, Any]) -> bool:
    person = plan.people.get(body.person)
    if person is not None and person.key:
        return is_signed(person.key, whole, body.signature)
    return keys.signed_by_project(whole, body.signature)


def why_approval_invalid(ledger: Reader, run: str, plan: Plan, keys: Keys, state: State) -> str:
    """Say why a person's rollback does not count where others must approve it; only a protected target asks."""
    rule, seq = plan.rollback.authority, state.rollback.seq
    if not plan.protected or rule is None or not state.changed:
        return ""
    event = ledger.event(seq)
    asked = event.body
    if not isinstance(asked, RollbackAsked):
        return ""
    if forged := first_unsigned(ledger, run, plan, keys, asked.votes):
        return forged[1]
    said = [(each, each.body) for each in map(ledger.event, asked.votes)]
    agreed_on = (asked.level, asked.back_to)
    votes = [
        vote_of(each, body)
        for each, body in said
        if isinstance(body, VoteCast) and body.on == ROLLBACK and (body.level, body.back_to) == agreed_on
    ]
    counts = agreed(rule, plan.people, votes) and all(event.at - vote.at <= rule.within for vote in votes)
    return "" if counts else f"the rollback (event {seq}) does not rest on enough signed approvals"
