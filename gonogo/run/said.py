"""Whether people said what the ledger says they did; only on a protected target somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from gonogo.core.engine.events import (
    Accepting,
    Event,
    ItemConfirmed,
    Kind,
    PeopleAsked,
    PhaseStarted,
    RollbackAsked,
    Signed,
    VoteCast,
    write_body,
)
from gonogo.core.engine.evolve import ROLLBACK, vote_of
from gonogo.core.engine.state import State
from gonogo.core.model.people import NO_GO, agreed, holds, missing_votes
from gonogo.core.plan.plan import Plan
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.personal_key import PersonalKey, is_signed
from gonogo.run.ports import Reader
from gonogo.run.signatures import bound, why_evidence_invalid, why_launch_invalid, why_passed_invalid, without_signature

_Says = TypeVar("_Says", bound=Accepting)
#: how far apart a signature and its event may lie
_MAX_CLOCK_SKEW = timedelta(minutes=5)


def unsigned(ledger: Reader, run: str, plan: Plan, keys: Keys, said: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Yield the votes and confirmations that their people did not sign, each with why it does not count.

    A row that was written into the ledger by hand, or copied, is such a one. Only a protected target asks.

    Args:
        ledger: the run's ledger.
        run: the run.
        plan: its plan.
        keys: what its people sign with.
        said: the numbers of the events by which they spoke.

    Raises:
        Refused: they sign with codes, and this process has no keys.
    """
    if not plan.protected:
        return
    launches = [(event.seq, event.body.person or event.actor) for event in ledger.read() if isinstance(event.body, PhaseStarted)]
    for seq in said:
        launched, launcher = max((launch for launch in launches if launch[0] < seq), default=(0, ""))
        if why := _why_unsigned(ledger, run, plan, keys, seq, launched) or _why_not_theirs(plan, ledger.event(seq), launcher):
            yield seq, why


def _why_not_theirs(plan: Plan, event: Event, launcher: str) -> str:
    """Say why somebody may not say what they signed: whoever can write to the ledger need not ask a command for it."""
    body = event.body
    if isinstance(body, ItemConfirmed):
        items = {name: item for number in range(len(plan.phases)) for name, item in plan.items(number).items()}
        item = items.get(body.item)
        if item is None or (item.owner and not holds(plan.people, body.person, [item.owner])):
            return f"event {event.seq}: {body.item} is not {body.person}'s to confirm"
        return (
            f"event {event.seq}: {body.item} is confirmed without evidence" if item.evidence and not body.evidence.strip() else ""
        )
    if not isinstance(body, VoteCast):
        return ""
    rules = (
        [plan.rollback.authority] if body.on == ROLLBACK else [phase.approve for phase in plan.phases if phase.name == body.on]
    )
    for rule in filter(None, rules):
        if not holds(plan.people, body.person, rule.roles):
            return f"event {event.seq}: {body.person} holds none of the roles that decide here"
        if rule.not_launcher and body.person == launcher:
            return f"event {event.seq}: {body.person} launched this, and the launcher does not decide here"
    return ""


def _why_unsigned(ledger: Reader, run: str, plan: Plan, keys: Keys, seq: int, launched: int) -> str:
    event = ledger.event(seq)
    body = event.body
    if not isinstance(body, Signed):
        return f"event {seq} is neither a vote nor a confirmation"
    own = plan.people[body.person].key if body.person in plan.people else ""
    if not own and not keys.any():
        raise Refused(f"this process has no keys, so it cannot verify what {body.person} said; give it the file with GONOGO_KEYS")
    rollback = isinstance(body, VoteCast) and body.on == ROLLBACK
    # approvals of a rollback that an older gonogo wrote name no launch
    if body.launch != launched and not (rollback and body.launch is None):
        return f"event {seq} of {body.person} is about another launch: somebody copied it"
    whole = {**without_signature(ledger.data(seq)), "run": run}
    if not (is_signed(own, whole, body.signature) if own else keys.signed(body.person, whole, body.signature)):
        return f"event {seq} is recorded as {body.person}'s but is not signed with their key; it may be forged"
    if body.said_at is None or abs(event.at - body.said_at) > _MAX_CLOCK_SKEW:
        return f"event {seq} of {body.person} was signed at another time: somebody copied it"
    return ""


def counted(ledger: Reader, run: str, plan: Plan, keys: Keys, state: State) -> tuple[State, str]:
    """Return where a run stands without the votes that its runner will not count, and a word about the newest of them.

    So a vote that somebody wrote in a person's name neither counts nor keeps that person from voting.

    Args:
        ledger: the run's ledger.
        run: the run.
        plan: its plan.
        keys: what its people sign with.
        state: where it stands.
    """
    votes = (*state.gate.votes, *state.approvals)
    if not (plan.protected and votes):
        return state, ""
    try:
        wrong = dict(unsigned(ledger, run, plan, keys, [vote.seq for vote in votes]))
    except Refused:
        return state, "whether the votes are signed cannot be seen here: this machine does not have the keys"
    gate = replace(state.gate, votes=tuple(vote for vote in state.gate.votes if vote.seq not in wrong))
    kept = replace(state, gate=gate, approvals=tuple(vote for vote in state.approvals if vote.seq not in wrong))
    return kept, f"not counted: {wrong[max(wrong)]}" if wrong else ""


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
    if why := why_launch_invalid(ledger, run, keys, before, answered):
        return why
    if why := why_evidence_invalid(ledger, run, plan, keys, state, answered):
        return why
    if why := why_passed_invalid(ledger, run, keys, before, answered):
        return why
    if phase.approve is None:
        return ""
    begun = max((event.seq for event in before if event.kind is Kind.PHASE_STARTED), default=0)
    asked = max((event.seq for event in before if isinstance(event.body, PeopleAsked) and event.body.at_gate), default=0)
    if asked < begun:
        return f"the go (event {go}) was said before anybody was asked about {phase.name}"
    signed = [event for event in before if isinstance(event.body, Signed) and event.body.launch == begun]
    wrong = dict(unsigned(ledger, run, plan, keys, [event.seq for event in signed]))
    signed = [event for event in signed if event.seq not in wrong]
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
    whole = bound(write_body(bare), run, bare)
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
    if not isinstance(body, Accepting) or not _is_accepted(plan, keys, body, bound(said, run, body)):
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
    if forged := next(unsigned(ledger, run, plan, keys, asked.votes), None):
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
