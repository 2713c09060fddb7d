"""Whether people said what the ledger says they did."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import ROLLBACK
from gonogo.core.engine.state import NEEDS_APPROVAL, State
from gonogo.core.model.people import NO_GO, Vote, agreed, missing_votes
from gonogo.core.plan.plan import Plan
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import store
from gonogo.postgres.connection import Connection
from gonogo.project import Project

#: how far apart a signature and its fact may lie
_MAX_CLOCK_SKEW = timedelta(minutes=5)


def keys_of(project: Project) -> Keys:
    """Return the keys of a project's people; `GONOGO_KEYS` names another file."""
    named = os.environ.get("GONOGO_KEYS")
    return Keys(file=project.root / named if named else project.state / "keys.json")


def signer(plan: Plan, keys: Keys) -> Callable[[Mapping[str, Any]], str] | None:
    """Return what signs a plan that acts beyond the database as its run begins; nothing where it does not."""
    return keys.sign_as_project if plan.reaches_out else None


def untrusted(connection: Connection, run: str, plan: Plan, keys: Keys) -> str:
    """Say why nothing of a plan may act beyond the database, or nothing where it may.

    Whoever may write to the ledger could write a program into it; only what this project signed as the run began is run.
    """
    if not plan.reaches_out or keys.signed_by_project(*store.read_signature(connection, run)):
        return ""
    return (
        "the programs of this run are not signed with this project's key: it was begun elsewhere (give this process the file"
        " with GONOGO_KEYS), or somebody wrote them into the ledger"
    )


def first_unsigned(connection: Connection, run: str, plan: Plan, keys: Keys, facts: Iterable[int]) -> tuple[int, str] | None:
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
    launches = [fact.seq for fact in store.read(connection, run) if fact.kind is Kind.PHASE_STARTED]
    for seq in facts:
        fact = store.read_fact(connection, run, seq)
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
        if abs(fact.at - datetime.fromisoformat(str(said["said_at"]))) > _MAX_CLOCK_SKEW:
            return seq, f"what {person} said (fact {seq}) was said at another time: somebody copied it"
    return None


def why_go_invalid(connection: Connection, run: str, plan: Plan, keys: Keys, state: State) -> str:
    """Say why the go of the phase in work does not stand, or nothing where it does; only a protected target asks.

    Whoever may write to the ledger could write a go: it stands only on votes and boxes that their people signed, in
    answer to the newest question, and not against a signed no-go.
    """
    phase = plan.phases[state.phase]
    if not plan.protected or phase.approve is None:
        return ""
    facts = [fact for fact in store.read(connection, run) if fact.seq <= state.go_seq]
    begun = max((fact.seq for fact in facts if fact.kind is Kind.PHASE_STARTED), default=0)
    asked = max((fact.seq for fact in facts if fact.kind is Kind.ASKED and "seal" in fact.body), default=0)
    if asked < begun:
        return f"the go (fact {state.go_seq}) was said before anybody was asked about {phase.name}"
    signed = [
        fact
        for fact in facts
        if fact.kind in (Kind.VOTE, Kind.CONFIRMED)
        and fact.body.get("launch") == begun
        and not first_unsigned(connection, run, plan, keys, [fact.seq])
    ]
    votes = [
        _signed_vote(f) for f in signed if f.kind is Kind.VOTE and (f.body.get("asked"), f.body.get("on")) == (asked, phase.name)
    ]
    ticked = {str(fact.body["item"]) for fact in signed if fact.kind is Kind.CONFIRMED}
    if against := [vote.person for vote in votes if vote.decision == NO_GO]:
        return f"the go (fact {state.go_seq}) stands against the no-go of {against[0]}"
    if blank := [item.item for item in phase.before if item.item not in ticked]:
        return f"the go (fact {state.go_seq}) does not rest on a signed confirmation of {blank[0]}"
    if not agreed(phase.approve, plan.people, votes):
        lacks = missing_votes(phase.approve, plan.people, votes)
        return f"the go (fact {state.go_seq}) does not rest on enough signed votes: {lacks}"
    return ""


def why_approval_invalid(connection: Connection, run: str, plan: Plan, keys: Keys, state: State) -> str:
    """Say why a person's rollback does not stand where others must agree to it; only a protected target asks."""
    rule = plan.rollback.authority
    fact = store.read_fact(connection, run, state.rollback_seq)
    if not plan.protected or rule is None or fact.kind not in NEEDS_APPROVAL or not state.changed:
        return ""
    numbers = [int(seq) for seq in fact.body.get("votes", ())]
    if forged := first_unsigned(connection, run, plan, keys, numbers):
        return forged[1]
    facts = [store.read_fact(connection, run, seq) for seq in numbers]
    way = [fact.body.get(key) for key in ("level", "back_to")]
    meant = [
        f
        for f in facts
        if f.kind is Kind.VOTE and f.body["on"] == ROLLBACK and [f.body.get(key) for key in ("level", "back_to")] == way
    ]
    votes = [_signed_vote(f) for f in meant]
    stands = agreed(rule, plan.people, votes) and all(fact.at - vote.at <= rule.within for vote in votes)
    return "" if stands else f"the rollback (fact {state.rollback_seq}) does not rest on enough signed agreements"


def _signed_vote(fact: Event) -> Vote:
    body = fact.body
    return Vote(seq=fact.seq, decision=str(body["decision"]), person=str(body["person"]), proved=True, at=fact.at)
