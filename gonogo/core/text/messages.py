"""What people are told, made by a pure function from a fact and the state around it. Slack's words are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gonogo.core.engine.budgets import describe, spent
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.forecast import expected_duration, expected_end, forecast, fraction
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import State, Status, outcome, takes_effect
from gonogo.core.model.duration import say_duration
from gonogo.core.model.people import Item
from gonogo.core.plan.plan import Plan

MARKS = {
    Status.DONE: "✅",
    Status.ROLLED_BACK: "↩️",
    Status.NO_GO: "⛔",
    Status.ROLLING_BACK: "⏪",
    Status.PROVING: "⏪",
}


@dataclass(frozen=True, kw_only=True)
class Update:
    """One thing to tell.

    `root` is the one message of a run that is kept up to date; the others follow in its thread.
    """

    key: str
    text: str
    root: bool = False
    loud: bool = False
    mention: tuple[str, ...] = ()


def clock(when: datetime, zone: str) -> str:
    """Write a clock time in a zone: `19:41 CEST`."""
    local = when.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M} {local.tzname()}"


def headline(plan: Plan, state: State, run: str, now: datetime) -> str:
    """Write the run's one message: its state, a progress bar, its planned end and the one that is now expected."""
    mark = "🚨" if state.rollback_failed else "✋" if state.held else MARKS.get(state.status, "🚀")
    word = "rollback failed" if state.rollback_failed else outcome(state)
    share = fraction(plan, state)
    bar = "▓" * round(share * 20) + "░" * (20 - round(share * 20))
    lines = [f"{mark} *{plan.title}* on {plan.target}: *{word}*", f"`{bar}` {share:.0%} · run {run}"]
    expected = ""
    if state.status in (Status.WORKING, Status.VERIFYING, Status.SOAKING) and not state.held:
        expected = f", now expected to end at {clock(expected_end(plan, forecast(plan, state, now, {})), plan.zone)}"
    lines.append(f"planned {clock(plan.start, plan.zone)} to {clock(plan.ends, plan.zone)}{expected}")
    lines += [describe(name, known) for name, known in spent(plan, state, now).items() if known["budget"] is not None]
    if state.held:
        lines.append(f"> {state.held}")
    elif state.cause:
        lines.append(f"> turned back: {state.cause}")
    return "\n".join(lines)


def _shows(plan: Plan, state: State) -> tuple[object, ...]:
    """Return what a headline depends on; to the percent, so that a thousand scripts are a hundred edits at most."""
    return state.status, state.held, state.cause, state.rollback_failed, int(fraction(plan, state) * 100)


def updates(plan: Plan, before: State, event: Event, after: State, run: str) -> list[Update]:
    """Return what this fact makes people hear: the run's own message when it changes, and the story in its thread."""
    told: list[Update] = []
    if not takes_effect(before, event):
        return told
    if event.kind is Kind.PHASE_STARTED or _shows(plan, before) != _shows(plan, after):
        told.append(Update(key="root", text=headline(plan, after, run, event.at), root=True))
    return told + list(_story(plan, before, event, after))


def _story(plan: Plan, before: State, event: Event, after: State) -> Sequence[Update]:
    kind = event.kind
    if kind in (Kind.GO, Kind.DONE, Kind.BATCH):
        return _work(plan, before, event, after)
    if kind in (Kind.ROLL_BACK, Kind.ABORT) and after.status is before.status:
        return []
    if kind in (Kind.HELD, Kind.HOLD) and not after.held:
        return []
    if kind is Kind.RESUME and not (before.held and not after.held):
        return []
    text = _TELL[kind](plan, before, event, after) if kind in _TELL else ""
    loud = kind in _LOUD
    mention = asked_of(plan, after) if kind is Kind.ASKED else _needed(plan, event, after) if loud else ()
    return [Update(key=f"{event.seq}", text=text, loud=loud, mention=mention)] if text else []


def _needed(plan: Plan, event: Event, after: State) -> tuple[str, ...]:
    """Return who is mentioned: those for blockers, and those for what the checks, or the task, are about."""
    checks = after.alarm.checks if after.alarm is not None and after.alarm.seq == event.seq else ()
    of_the_task = ""
    if event.kind is Kind.FAILED and "step" in event.body:
        of_the_task = plan.task(plan.steps[int(event.body["step"])].task).concerns
    return tuple(dict.fromkeys((*plan.updates.blockers, *contacts(plan, checks, of_the_task))))


def contacts(plan: Plan, checks: Iterable[str], concern: str = "") -> tuple[str, ...]:
    """Return whom the runbook names for the sorts of problems that some checks are about, and for one more sort."""
    concerns = {concern, *(plan.checks[name].concerns for name in checks if name in plan.checks)}
    return tuple(person for known, people in plan.updates.contacts.items() if known in concerns for person in people)


def backup_in_words(body: Mapping[str, Any]) -> str:
    """Say what is known of a proved backup."""
    uncovered = f"; not covered: {', '.join(body['uncovered'])}" if body.get("uncovered") else ""
    return (
        f"{body['tables']} tables and {body['objects']} objects of {body['taken_at'][11:16]} UTC, {body['bytes'] / 1e6:,.1f} MB,"
        f" restored and compared in {say_duration(body['restored_in'])}{uncovered}"
    )


def describe_loss_step(plan: Plan, step: int) -> str:
    """Say what a loss was counted for: the undo of a step; past the last one, the restore."""
    return "restoring the backup" if step >= len(plan.steps) else f"undoing {plan.steps[step].name}"


def asked_of(plan: Plan, state: State) -> tuple[str, ...]:
    """Return the people, or the roles, whose word a run waits for."""
    phase = plan.phases[state.phase]
    gate = state.status is Status.DECIDING
    roles = phase.approve.roles if gate and phase.approve else ()
    boxes = phase.before if gate else asked_boxes(plan, state)
    owners = (item.owner for item in boxes if item.owner and item.item not in state.confirmed)
    return tuple(dict.fromkeys((*roles, *owners)))


def asked_boxes(plan: Plan, state: State) -> tuple[Item, ...]:
    """Return the boxes that a run past its gate waits for: of the step that is next, or of the checklist after."""
    if state.status is Status.SOAKING:
        return plan.phases[state.phase].after
    return plan.steps[state.step].confirm if state.step < len(plan.steps) else ()


def _asked(plan: Plan, _: State, event: Event, after: State) -> str:
    if "items" in event.body:
        return f"✋ Waiting for people to confirm {', '.join(event.body['items'])}."
    until = f" They have until {clock(after.asked.deadline, plan.zone)}." if after.asked and after.asked.deadline else ""
    again = f" {first_line(event.body['why'])}: votes given before are void." if event.body.get("why") else ""
    return f"🗳 Go or no-go for *{plan.phases[after.phase].title}*? Every criterion passes.{again}{until}"


def _voted(_: Plan, __: State, event: Event, ___: State) -> str:
    body = event.body
    what = "agrees to a rollback" if body.get("on") == "roll back" else f"says *{body.get('decision')}*"
    comment = f": {first_line(body['comment'])}" if body.get("comment") else "."
    return f"{event.actor} {what}{'' if body.get('proved') else ' (not proved)'}{comment}"


def _phase_starts(plan: Plan, _: State, __: Event, after: State) -> str:
    phase = plan.phases[after.phase]
    last = last_safe_start(plan, after)
    back = f" Turning back must begin by {clock(last, plan.zone)}." if last is not None else ""
    risk = f" Risk {plan.risk.level}: {plan.risk.why.rstrip('.')}." if plan.risk and after.phase == 0 else ""
    return f"Phase *{phase.title}* starts; it is planned to end at {clock(phase.end, plan.zone)}.{risk}{back}"


def _done(_: Plan, __: State, event: Event, after: State) -> str:
    took = say_duration(event.at - after.opened_at) if after.opened_at else "?"
    return f"✅ *Done* in {took}. The report: `gonogo report`."


def _no_go(_: Plan, __: State, event: Event, after: State) -> str:
    changed = "This phase changed nothing" if after.changed else "Nothing was changed"
    return f"⛔ No-go: {event.body['why']}. {changed}."


def _turned_back(_: Plan, __: State, event: Event, ___: State) -> str:
    way = f", by {event.body['level']}" if event.body.get("level") else ""
    return f"⏪ {event.actor} says {event.kind}{way}: {event.body.get('why') or 'no reason given'}."


def _restored(_: Plan, __: State, event: Event, ___: State) -> str:
    kept = f" What was there is kept as `{event.body['kept']}`." if event.body.get("kept") else ""
    return f"⏪ The backup of {event.body['taken_at'][:16]} UTC stands in the place of what was there.{kept}"


def _rollback_failed(_: Plan, __: State, event: Event, ___: State) -> str:
    return f"🚨 *Rollback failed, a person is needed*: {first_line(event.body['why'])}"


def _lost(state: State) -> str:
    """Say what the way back destroyed."""
    rows = ", ".join(f"{'an unknown number' if count < 0 else f'{count:,}'} of {table}" for table, count in state.lost.items())
    return f" Rows that were written since and are gone: {rows}." if rows else ""


def _comment(event: Event) -> str:
    return f": {first_line(event.body['comment'])}" if event.body.get("comment") else ""


def _would_trip(event: Event) -> str:
    would = event.body.get("then", "tell")
    did = "" if would == "tell" else f" With the watch in force this would {would}."
    return f"👀 {first_line(event.body['why'])}.{did}"


#: what each fact makes people hear in the run's thread
_TELL: Mapping[Kind, Callable[[Plan, State, Event, State], str]] = {
    Kind.PHASE_STARTED: _phase_starts,
    Kind.ASKED: _asked,
    Kind.VOTE: _voted,
    Kind.NO_GO: _no_go,
    Kind.TRIPPED: lambda _, __, event, ___: f"⏪ The watch tripped: {event.body['why']}. Rolling back.",
    Kind.WOULD_TRIP: lambda _, __, event, ___: _would_trip(event),
    Kind.OVERRUN: lambda _, __, event, ___: f"⏳ {event.body['why']}.",
    Kind.FAILED: lambda _, __, event, ___: f"⏪ {first_line(event.body['why'])}. Rolling back.",
    Kind.VERIFY_FAILED: lambda _, __, event, ___: f"⏪ {first_line(event.body['why'])}. Rolling back.",
    Kind.ROLL_BACK: _turned_back,
    Kind.ABORT: _turned_back,
    Kind.RESTORED: _restored,
    Kind.UNDO_FAILED: _rollback_failed,
    Kind.NOT_PROVED: _rollback_failed,
    Kind.HELD: lambda _, __, ___, after: f"✋ Holding: {first_line(after.held)}",
    Kind.HOLD: lambda _, __, ___, after: f"✋ Holding: {first_line(after.held)}",
    Kind.RESUME: lambda _, __, event, ___: f"▶️ {event.actor} lets it go on.",
    Kind.PROVED: lambda _, __, event, after: f"↩️ Rolled back, and proved: {event.body['why']}.{_lost(after)}",
    Kind.ACKNOWLEDGED: lambda _, __, event, ___: f"🙋 {event.actor} takes it{_comment(event)}.",
    Kind.PHASE_PROVED: lambda plan, _, event, after: (
        f"↩️ Phase *{plan.phases[after.phase].title}* is rolled back, and that is proved: {event.body['why']}.{_lost(after)}"
        " It can be launched again."
    ),
    Kind.PHASE_DONE: lambda plan, before, _, __: f"Phase *{plan.phases[before.phase].title}* is done.",
    Kind.RUN_DONE: _done,
}
#: what needs people: sent to the channel too, and naming them
_LOUD = frozenset(_TELL) - {Kind.PHASE_STARTED, Kind.PHASE_DONE, Kind.RESUME, Kind.VOTE, Kind.ACKNOWLEDGED}


def first_line(text: object) -> str:
    """Return the first line of a long story."""
    return str(text).strip().splitlines()[0] if str(text).strip() else ""


def _work(plan: Plan, before: State, event: Event, after: State) -> list[Update]:
    """Announce the task that begins, and each percentage when it is passed: once, as both follow from the facts alone."""
    told: list[Update] = []
    if after.status is not Status.WORKING:
        return told  # it was on its way as the run turned back
    began = after.step != before.step or event.kind is Kind.GO
    if began and after.step < len(plan.steps):
        task = plan.task(plan.steps[after.step].task)
        if task.first == after.step and task.phase == after.phase:
            word = "" if task.title.lower().startswith("task") else "Task "
            text = f"{word}*{task.title}* starts" + (f" ({task.owner})" if task.owner else "")
            if task.takes:
                ends = event.at + expected_duration(task, after)
                text += f", planned to take {say_duration(task.takes)}, until {clock(ends, plan.zone)}"
            told.append(Update(key=f"{event.seq}:task", text=text + "."))
    was, now = fraction(plan, before) * 100, fraction(plan, after) * 100
    for mark in plan.updates.progress:
        if was < mark <= now:
            told.append(Update(key=f"{mark}%", text=f"{mark} % of the planned work is done."))
    return told
