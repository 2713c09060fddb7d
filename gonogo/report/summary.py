"""What a run comes to: for a message, and for the head of its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gonogo.core.engine.budgets import Spent
from gonogo.core.engine.events import (
    AbortAsked,
    BackupProved,
    Event,
    Go,
    Kind,
    NoGo,
    PhaseRollbackProved,
    PhaseStarted,
    ResumeAsked,
    RollbackAsked,
    RollbackProved,
)
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.state import State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan
from gonogo.core.text.backups import describe_backup
from gonogo.core.text.messages import describe_rows
from gonogo.core.text.plain import counted

#: what people said
_DECISIONS = frozenset({str(kind) for kind in (Kind.VOTE, Kind.ROLL_BACK, Kind.ABORT)})
#: a difference from what was planned that is worth a word
_TOLD = timedelta(seconds=30)
#: events with which a phase ends
_ENDS = frozenset({Kind.PHASE_DONE, Kind.RUN_DONE, Kind.NO_GO, Kind.PROVED, Kind.PHASE_PROVED})


def brief(made: Mapping[str, Any]) -> str:
    """Return what a report comes to, short enough for a message: tasks, checks, watch, decisions."""
    verdicts = Counter(row["verdict"] for row in made["checks"])
    lines = [f"📄 *Report* of {made['run']}: {made['outcome']}, in {made['took']}."]
    lines += [f"• {row['task']}: {_when(row)}, planned {row['planned']}" for row in made["schedule"] if row["start"]]
    if verdicts:
        lines.append("Checks: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) + ".")
    watched = (f"{row['check']} {_samples(row)}" for row in made["watch"])
    if notes := "; ".join(watched):
        lines.append(f"Watched: {notes}.")
    said = [f"{row['by']}: {row['why']}" for row in made["story"] if row["event"] in _DECISIONS and row["why"]]
    lines += [f"Decided: {'; '.join(said)}."] if said else []
    return "\n".join(lines)


def _when(row: Mapping[str, Any]) -> str:
    if not row["end"]:
        return f"began {row['start']}, not finished"
    return f"{row['start']} to {row['end']} ({row['took']})"


def _samples(row: Mapping[str, Any]) -> str:
    beyond = f", {row['breaches']:,} beyond the limit" if row["breaches"] else ", none beyond the limit"
    return counted(row["samples"], "sample") + beyond


def summary(
    plan: Plan, events: Sequence[Event], state: State, made: Mapping[str, Any], budgets: Mapping[str, Spent]
) -> list[tuple[str, str]]:
    """Return the head of a report, as pairs of a label and a text: what a reader of one minute wants to know.

    Args:
        plan: the run's plan.
        events: its events, in order.
        state: where it stands.
        made: the rest of the report.
        budgets: what of each budget is used.
    """
    zone = ZoneInfo(plan.zone)
    pairs = [("Why", made["cause"]), ("Work done", made["done"]), ("Risk", made["risk"])]
    pairs += _phases(plan, events, zone)
    pairs += [(name.capitalize(), known.says) for name, known in budgets.items()]
    pairs += [("Decided", "; ".join(_decisions(events)))]
    pairs += [("Rolled back", _rolled_back(events, state, zone))]
    lost = describe_rows(state.rollback.loss.lost)
    accepted = state.rollback.loss.accepted_by or "nobody whom the ledger names"
    pairs += [("Data loss", f"{lost}; accepted by {accepted}" if lost else "")]
    verdicts = Counter(row["verdict"] for row in made["checks"])
    pairs += [("Checks", ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.items()))]
    pairs += [("Watched", "; ".join(f"{row['check']}: {_samples(row)}" for row in made["watch"]))]
    answers = Counter(row["answer"] for row in made["success"])
    pairs += [("Success criteria", ", ".join(f"{count:,} {answer}" for answer, count in answers.items()))]
    backups = [event.body for event in events if isinstance(event.body, BackupProved)]
    pairs += [("Backup", describe_backup(backups[-1], plan.zone) if backups else "")]
    return [pair for pair in pairs if pair[1]]


def _phases(plan: Plan, events: Sequence[Event], zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """Say of each launched phase when it was planned, and when it was."""
    state = State()
    spans: dict[int, tuple[datetime, datetime | None]] = {}
    for event in events:
        before, state = state, evolve(state, event)
        if isinstance(event.body, PhaseStarted) and state.status is Status.GATING:
            spans[state.phase] = (spans.get(state.phase, (event.at, None))[0], None)
        elif event.kind in _ENDS and before.phase in spans:
            spans[before.phase] = (spans[before.phase][0], event.at)
    for number, (began, ended) in sorted(spans.items()):
        phase = plan.phases[number]
        planned = f"planned {_span(phase.start, phase.end, zone)}"
        if ended is None:
            yield phase.title, f"began {began.astimezone(zone):%H:%M:%S %Z}, not finished; {planned}"
            continue
        late = ended - phase.end
        how = "later" if late > timedelta(0) else "earlier"
        off = f", {say_duration(abs(late))} {how} than planned" if abs(late) >= _TOLD else ""
        yield phase.title, f"{_span(began, ended, zone)} ({say_duration(ended - began)}){off}; {planned}"


def _span(began: datetime, ended: datetime, zone: ZoneInfo) -> str:
    first, last = began.astimezone(zone), ended.astimezone(zone)
    day = f"{last:%Y-%m-%d} " if last.date() != first.date() else ""
    return f"{first:%Y-%m-%d %H:%M:%S} to {day}{last:%H:%M:%S %Z}"


def _decisions(events: Sequence[Event]) -> Iterator[str]:
    """Say who decided: go, no-go, a rollback, and that a run goes on."""
    for event in events:
        body = event.body
        if isinstance(body, Go) and body.votes:
            yield " and ".join(f"{vote.person}{'' if vote.proved else ' (not proved)'}" for vote in body.votes) + " said go"
        elif isinstance(body, NoGo):
            yield f"no-go: {body.why}"
        elif isinstance(body, AbortAsked | RollbackAsked | ResumeAsked):
            said = {Kind.RESUME: "resumed"}.get(event.kind, f"said {event.kind}")
            yield f"{event.actor} {said}" + (f": {body.why}" if body.why else "")


def _rolled_back(events: Sequence[Event], state: State, zone: ZoneInfo) -> str:
    if state.rollback.at is None:
        return ""
    began = state.rollback.at.astimezone(zone)
    proofs = [event for event in events if isinstance(event.body, RollbackProved) and event.seq > state.rollback.seq]
    proved = [event for event in proofs if event.kind is not Kind.NOT_PROVED]
    text = f"by {state.rollback.level}, from {began:%H:%M:%S %Z}"
    if not proved:
        return f"{text}; not proved"
    last = proved[-1]
    objects = counted(last.body.objects, "object") if isinstance(last.body, PhaseRollbackProved | RollbackProved) else ""
    return f"{text}, proved {last.at.astimezone(zone):%H:%M:%S} ({say_duration(last.at - state.rollback.at)}; {objects} compared)"
