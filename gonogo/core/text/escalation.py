"""Who is told next when nobody answers: levels with response times, until somebody acknowledges. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gonogo.core.engine.state import State
from gonogo.core.model.duration import say_duration
from gonogo.core.model.runbook import Updates
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import Update, contacts, first_line


def due(plan: Plan, state: State, now: datetime) -> list[Update]:
    """Return whom to tell by now of what a run waits for, level by level; each has a key of its own, so it is told once.

    Args:
        plan: the plan.
        state: where the run stands.
        now: the time.
    """
    alarm = state.alarm
    if alarm is None:
        return []
    command = f"gonogo ack {plan.arguments} --as PERSON"
    return list(_levels(plan.updates, alarm.seq, alarm.at, alarm.why, command, now, contacts(plan, alarm.checks)))


def due_of_alert(plan: Plan, name: str, seq: int, at: datetime, why: str, now: datetime) -> list[Update]:
    """Return whom to tell by now of an alert that nobody acknowledged.

    Args:
        plan: the plan.
        name: the alert.
        seq: the event that raised it.
        at: when.
        why: the sentence with its numbers.
        now: the time.
    """
    command = f"gonogo ack {plan.runbook} {name} --target {plan.target} --as PERSON"
    return list(_levels(plan.updates, seq, at, f"{name}: {why}", command, now, ()))


def _levels(
    updates: Updates, seq: int, at: datetime, why: str, command: str, now: datetime, known: tuple[str, ...]
) -> Iterator[Update]:
    for number, level in enumerate(updates.escalate, 1):
        if now - at < level.after:
            return
        if not level.after:
            # its people are mentioned in the message itself
            continue
        waited = say_duration(level.after)
        text = f"⏰ Level {number}, not acknowledged for {waited}: {first_line(why)}. To acknowledge it: `{command}`"
        mention = tuple(dict.fromkeys((*level.to, *(known if number == 1 else ()))))
        yield Update(key=f"{seq}:level {number}", text=text, loud=True, mention=mention)
