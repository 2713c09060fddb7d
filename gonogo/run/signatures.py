"""What this project itself signs of a run: the plan, launches, evidence. Whoever may write to the ledger could write them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gonogo.core.engine.events import (
    BackupProved,
    Body,
    ByRunner,
    Event,
    Go,
    PeopleAsked,
    PhaseDone,
    PhaseStarted,
    RehearsalFound,
    RunDone,
    RunSigned,
    Verified,
    WorkDone,
    write_body,
)
from gonogo.core.engine.state import State
from gonogo.core.plan.plan import Plan
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import signed, store
from gonogo.postgres.connection import Connection
from gonogo.project import Project
from gonogo.run.ports import Reader


def keys_of(project: Project) -> Keys:
    """Return the keys of a project's people; `GONOGO_KEYS` names another file."""
    named = os.environ.get("GONOGO_KEYS")
    return Keys(file=project.root / named if named else project.state / "keys.json")


def without_signature(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an event as it lies in the ledger, without the signature that stands under it."""
    return {name: value for name, value in data.items() if name != "signature"}


def signer(plan: Plan, keys: Keys) -> Callable[[Mapping[str, Any]], str] | None:
    """Return what signs a plan as its run begins, where its target is protected, it acts beyond the database, or others ask."""
    return keys.sign_as_project if plan.reaches_out or plan.protected or plan.asked_elsewhere else None


def is_ours(connection: Connection, run: str, keys: Keys) -> bool:
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
    if not (protected or plan.protected or store.protected_as(connection)) or is_ours(connection, run, keys):
        return
    if not keys.has_project_key():
        raise Refused(
            f"the target is protected, and this machine does not have the project's key, so it does not carry out the run {run}."
            " Go on where the run was begun, or name the file of keys with GONOGO_KEYS"
        )
    raise Refused(
        f"the target is protected, and the run {run} is not signed with this project's key: it was begun elsewhere (give this"
        " process the file with GONOGO_KEYS), by a gonogo that did not sign yet, or somebody wrote it into the ledger. Look at"
        f" what it would do: gonogo report {plan.arguments} --run {run}. One of the runbook's people can answer for it:"
        f" gonogo ledger sign {plan.arguments} --run {run} --as PERSON"
    )


def sign_own(run: str, plan: Plan, keys: Keys, body: Body, follows: int) -> Body:
    """Return what the runner records, with the project's signature where only this project may say it.

    That is so on a protected target, and where the gate of another target asks what was done on this one.

    Args:
        run: the run.
        plan: its plan.
        keys: the project's.
        body: what it records.
        follows: the newest event that is known.
    """
    if not ((plan.protected or plan.asked_elsewhere) and isinstance(body, ByRunner)):
        return body
    bare = body.replace(follows=follows)
    return bare.replace(signature=keys.sign_as_project(bound(write_body(bare), run, bare)))


def bound(said: Mapping[str, Any], run: str, body: Body) -> dict[str, Any]:
    """Return what is signed of an event: what it says, of which run, and as what, so that it is no event of another kind."""
    return {**said, "run": run, "kind": str(body.kind)}


def require_launched(ledger: Reader, run: str, plan: Plan, keys: Keys, answered: int) -> None:
    """Refuse to go on to a further phase by a launch that is not this project's; only a protected target asks.

    Raises:
        Refused: the newest launch is not.
    """
    if plan.protected and (why := why_launch_invalid(ledger, run, keys, ledger.read(), answered)):
        raise Refused(f"{why}; launch the next phase with `gonogo run {plan.arguments}`")


def why_launch_invalid(ledger: Reader, run: str, keys: Keys, before: Sequence[Event], answered: int) -> str:
    """Say why the newest launch is not this project's, or nothing where it is, or a person answered for it."""
    launches = [event for event in before if isinstance(event.body, PhaseStarted)]
    if not launches or launches[-1].seq <= answered:
        return ""
    return _why_not_ours(ledger, run, keys, launches[-1], launches[-2].seq if len(launches) > 1 else 0)


#: how what only the runner may say is called in a sentence
_CALLED: Mapping[type[ByRunner], str] = {
    PhaseStarted: "launch",
    RehearsalFound: "rehearsal",
    BackupProved: "backup",
    PeopleAsked: "question to people",
    Go: "go",
    WorkDone: "end of the work",
    Verified: "verification",
    PhaseDone: "end of the phase",
    RunDone: "end of the run",
}


def _why_not_ours(ledger: Reader, run: str, keys: Keys, event: Event, since: int) -> str:
    """Say why an event is not what this project's runner recorded just there, or nothing where it is."""
    body, said = event.body, without_signature(ledger.data(event.seq))
    if not isinstance(body, ByRunner):
        return f"event {event.seq} is nothing that a runner records"
    named = f"the {_CALLED[type(body)]} (event {event.seq})"
    if not keys.signed_by_project(bound(said, run, body), body.signature):
        return (
            f"{named} is not signed with this project's key; somebody may have written it into the ledger. Where an older gonogo"
            " did, one of the runbook's people answers for the run: gonogo ledger sign"
        )
    return "" if since <= body.follows < event.seq else f"{named} is an older one: somebody copied it"


def why_end_invalid(ledger: Reader, run: str, keys: Keys, events: Sequence[Event]) -> str:
    """Say which end of a phase, or of the run, is not this project's, or nothing.

    Args:
        ledger: the run's ledger.
        run: the run.
        keys: the project's.
        events: its events.
    """
    ends = (event for event in events if isinstance(event.body, PhaseDone | RunDone))
    return next((why for event in ends if (why := _why_not_ours(ledger, run, keys, event, 0))), "")


def why_passed_invalid(ledger: Reader, run: str, keys: Keys, events: Sequence[Event], answered: int) -> str:
    """Say which go, or question to people, of the newest launch is not this project's, or nothing.

    Whoever may write to the ledger could write one: people are told what its criteria say, and a go begins the work.

    Args:
        ledger: the run's ledger.
        run: the run.
        keys: the project's.
        events: those up to the go.
        answered: the newest event up to which a person answered for the run.
    """
    launched = max((event.seq for event in events if isinstance(event.body, PhaseStarted)), default=0)
    for event in events:
        looked_at = isinstance(event.body, Go | PeopleAsked) and event.seq > max(launched, answered)
        if looked_at and (why := _why_not_ours(ledger, run, keys, event, launched)):
            return why
    return ""


def why_foreign(ledger: Reader, run: str, plan: Plan, keys: Keys, event: Event, answered: int) -> str:
    """Say why an event that came meanwhile is not what this project's runner recorded, or nothing; only a protected target asks.

    Args:
        ledger: the run's ledger.
        run: the run.
        plan: its plan.
        keys: the project's.
        event: the event.
        answered: the newest event up to which a person answered for the run.
    """
    asks = plan.protected and isinstance(event.body, ByRunner) and event.seq > answered
    return _why_not_ours(ledger, run, keys, event, 0) if asks else ""


def why_evidence_invalid(ledger: Reader, run: str, plan: Plan, keys: Keys, state: State, answered: int) -> str:
    """Say which rehearsal or backup that a run rests on is not this project's, or nothing; only a protected target asks.

    Whoever may write to the ledger could write one, and spare the rehearsal or the backup that the runbook asks for, or
    have a folder of their own restored.

    Args:
        ledger: the run's ledger.
        run: the run.
        plan: its plan.
        keys: the project's.
        state: where the run stands.
        answered: the newest event up to which a person answered for the run.
    """
    known, launched = state.known, 0
    rests_on = [known.rehearsed, *known.backups.values()]
    for event in ledger.read() if plan.protected else ():
        body = event.body
        if isinstance(body, PhaseStarted):
            launched = event.seq
        after = isinstance(body, BackupProved) and known.backed_up_after and event.seq > state.gate.go_seq
        looked_at = event.seq > answered and (after or body in rests_on)
        if looked_at and (why := _why_not_ours(ledger, run, keys, event, launched)):
            return why
    return ""


def why_untrusted(connection: Connection, run: str, plan: Plan, keys: Keys) -> str:
    """Say why nothing of a plan may act beyond the database, or nothing where it may.

    Whoever may write to the ledger could write a program into it; only what this project signed is run.
    """
    if not plan.reaches_out or is_ours(connection, run, keys):
        return ""
    return (
        "the programs of this run are not signed with this project's key: it was begun elsewhere (give this process the file"
        " with GONOGO_KEYS), or somebody wrote them into the ledger"
    )
