"""What people are told, made by pure functions from an event and the state around it.

A text has three marks, which each channel writes its own way: `*bold*`, `` `code` `` and, for a quote, a line that begins
with `> `.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gonogo.core.engine import events
from gonogo.core.engine.budgets import spent
from gonogo.core.engine.decide import waits_for_votes
from gonogo.core.engine.events import Body, Event, Kind
from gonogo.core.engine.forecast import Times, expected_duration, expected_end, forecast, fraction
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import CHANGING, SWITCH_LEVELS, State, Status, outcome, takes_effect
from gonogo.core.model.duration import say_duration
from gonogo.core.model.people import Item
from gonogo.core.plan.plan import Plan
from gonogo.core.text.cards import Card, Fact, facts_of
from gonogo.core.text.plain import criteria_pass, quoted
from gonogo.core.text.scene import Scene, Tellers
from gonogo.core.text.steps import say_stopped
from gonogo.core.text.times import clock, moment

MARKS = {
    Status.DONE: "✅",
    Status.ROLLED_BACK: "↩️",
    Status.NO_GO: "⛔",
    Status.ROLLING_BACK: "⏪",
    Status.PROVING: "⏪",
}
#: what is overdue by less is not worth a word
_LATE = timedelta(minutes=1)
UPDATES = Tellers()


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
    #: the alert that it is about, where it is of no run; and whether what needed people is over with it
    about: str = ""
    over: bool = False
    #: of the root, the same in parts; of what needs people, what they want to know at once
    card: Card | None = None
    facts: tuple[Fact, ...] = ()
    #: where people see the run and act, where others can reach that; and what else there is to open, each with its name
    link: str = ""
    links: tuple[tuple[str, str], ...] = ()
    #: what they can say with a button (gonogo/core/text/acts.py), and what such a button is bound to
    acts: tuple[str, ...] = ()
    bound: str = ""

    @property
    def opens(self) -> tuple[tuple[str, str], ...]:
        """Everything that there is to open, each with its name."""
        return (("Open the run", self.link), *self.links) if self.link else ()


def headline(plan: Plan, state: State, run: str, now: datetime, times: Times = {}) -> Card:  # noqa: B006 - nothing changes it
    """Write the run's one message: its state, a progress bar, its planned end and the one that is now expected.

    Args:
        plan: the plan.
        state: where the run stands.
        run: its id.
        now: the time.
        times: when the tasks that began did, and ended.
    """
    failed = state.rollback.failed
    mark = "🚨" if failed else "✋" if state.held else MARKS.get(state.status, "🚀")
    word = "rollback failed" if failed else outcome(state)
    share = fraction(plan, state)
    bar = "▓" * round(share * 20) + "░" * (20 - round(share * 20))
    why = state.held or say_stopped(plan, state) or (f"cause: {state.why}" if state.why else "")
    return Card(
        head=f"{mark} *{plan.title}* on {plan.target}: *{word}*",
        bar=f"`{bar}` {share:.0%} · run {run}",
        planned=f"{clock(plan.start, plan.zone, now)} to {clock(plan.ends, plan.zone, now)}",
        expected=_expected_end(plan, state, now, times) if state.status in CHANGING and not state.held else "",
        budgets=tuple((name, known.says) for name, known in spent(plan, state, now).items() if known.budget is not None),
        why=tuple(quoted(why)),
    )


def _expected_end(plan: Plan, state: State, now: datetime, times: Times) -> str:
    """Say when a run that goes on is now expected to end; where a task takes longer than anybody expected, say so."""
    rows = forecast(plan, state, now, times)
    late = next((row for row in rows if row.overdue >= _LATE), None)
    end = clock(expected_end(plan, state, rows), plan.zone, now)
    return f"at {end}" if late is None else f"after {end}: *{plan.task(late.task).title}* is {late.says}"


def root_of(card: Card) -> Update:
    """Return a run's own message."""
    return Update(key="root", text=card.text, card=card, root=True)


def _shows(plan: Plan, state: State) -> tuple[object, ...]:
    """Return what a headline depends on; to the percent, so that a thousand scripts are a hundred edits at most."""
    share = int(fraction(plan, state) * 100)
    return state.status, state.held, state.work.stopped, state.rollback.cause, state.rollback.failed, share


def updates(plan: Plan, before: State, event: Event, after: State, run: str) -> list[Update]:
    """Return what this event makes people hear: the run's own message when it changes, and the story in its thread."""
    notes: list[Update] = []
    if not takes_effect(before, event):
        return notes
    if event.kind is Kind.PHASE_STARTED or _shows(plan, before) != _shows(plan, after):
        notes.append(root_of(headline(plan, after, run, event.at)))
    return notes + list(_story(plan, before, event, after))


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
    text = UPDATES.tell(plan, before, event, after)
    if text and _raises(event, after) and plan.updates.escalate:
        text += f"\nTo acknowledge it: `gonogo ack {plan.arguments} --as PERSON`."
    loud = type(event.body) not in _QUIET
    # a run that is done goes to the channel too, and calls nobody: there is nothing to do
    calls = loud and kind is not Kind.RUN_DONE
    mention = asked_of(plan, after) if kind is Kind.ASKED else _needed(plan, event, after) if calls else ()
    facts = facts_of(plan, event, after) if kind is Kind.ASKED or _raises(event, after) else ()
    return [Update(key=f"{event.seq}", text=text, loud=loud, mention=mention, facts=facts)] if text else []


def _needed(plan: Plan, event: Event, after: State) -> tuple[str, ...]:
    """Return who is mentioned: those for blockers, and those for what the checks, or the task, are about."""
    raised = after.alarm if _raises(event, after) else None
    checks = raised.checks if raised is not None else ()
    # whom the runbook calls at once is called here, and not a second time
    at_once = called_at_once(plan) if raised is not None else ()
    of_the_task = ""
    if isinstance(event.body, events.StepFailed) and event.body.step is not None:
        of_the_task = plan.task(plan.steps[event.body.step].task).concerns
    return tuple(dict.fromkeys((*plan.updates.blockers, *at_once, *contacts(plan, checks, of_the_task))))


def _raises(event: Event, after: State) -> bool:
    """Say whether it is this event that needs people."""
    return after.alarm is not None and after.alarm.seq == event.seq


def called_at_once(plan: Plan) -> tuple[str, ...]:
    """Return whom the first message of what needs people mentions: the levels of escalation that wait for nothing."""
    return tuple(name for level in plan.updates.escalate if not level.after for name in level.to)


def contacts(plan: Plan, checks: Iterable[str], concern: str = "") -> tuple[str, ...]:
    """Return whom the runbook names for the sorts of problems that some checks are about, and for one more sort."""
    concerns = {concern, *(plan.checks[name].concerns for name in checks if name in plan.checks)}
    return tuple(person for known, people in plan.updates.contacts.items() if known in concerns for person in people)


def describe_loss_step(plan: Plan, step: int, level: str = "restore") -> str:
    """Say what a loss was counted for: the undo of a step; past the last one, what the level does to all of them."""
    if step < len(plan.steps):
        return f"undoing {plan.steps[step].name}"
    return f"the level `{level}`" if level in SWITCH_LEVELS else "restoring the backup"


def describe_rows(rows: Mapping[str, int]) -> str:
    """Say how many rows of which tables, or nothing where there are none; -1 is a number that cannot be known."""
    return ", ".join(f"{'an unknown number' if count < 0 else f'{count:,}'} of {table}" for table, count in rows.items() if count)


def asked_of(plan: Plan, state: State) -> tuple[str, ...]:
    """Return the people, or the roles, whose word a run waits for."""
    phase = plan.phases[state.phase]
    gate = state.status is Status.DECIDING
    roles = phase.approve.roles if gate and phase.approve else ()
    items = phase.before if gate else asked_items(plan, state)
    owners = (item.owner for item in items if item.owner and item.item not in state.gate.confirmed)
    return tuple(dict.fromkeys((*roles, *owners)))


def confirm_command(plan: Plan, item: str) -> str:
    """Return what to type to confirm an item."""
    return f"gonogo confirm {plan.runbook} {item} --target {plan.target} --as PERSON"


def asked_items(plan: Plan, state: State) -> tuple[Item, ...]:
    """Return the items that a run past its gate waits for: of the step that is next, or of the checklist after."""
    if state.status is Status.SOAKING:
        return plan.phases[state.phase].after
    return plan.steps[state.work.step].confirm if state.work.step < len(plan.steps) else ()


def first_line(text: object) -> str:
    """Return the first line of a long story."""
    return str(text).strip().splitlines()[0] if str(text).strip() else ""


def _work(plan: Plan, before: State, event: Event, after: State) -> list[Update]:
    """Announce the task that begins, and each percentage when it is passed: once, as both follow from the events alone."""
    notes: list[Update] = []
    if after.status is not Status.WORKING:
        return notes  # it was on its way as the run began to roll back
    if isinstance(event.body, events.Go):
        rests_on = [criteria_pass(len(event.body.judged))] if event.body.judged else []
        rests_on += [f"{vote.person} says go" for vote in event.body.votes]
        text = f"✅ Go for *{plan.phases[after.phase].title}*" + (f": {'; '.join(rests_on)}" if rests_on else "")
        notes.append(Update(key=f"{event.seq}:go", text=f"{text}."))
    began = after.work.step != before.work.step or event.kind is Kind.GO
    if began and after.work.step < len(plan.steps):
        task = plan.task(plan.steps[after.work.step].task)
        if task.first == after.work.step and task.phase == after.phase:
            word = "" if task.title.lower().startswith("task") else "Task "
            text = f"{word}*{task.title}* starts" + (f" ({task.owner})" if task.owner else "")
            if task.takes:
                ends = event.at + expected_duration(task, after)
                text += f", planned to take {say_duration(task.takes)}, until {clock(ends, plan.zone, event.at)}"
            notes.append(Update(key=f"{event.seq}:task", text=text + "."))
    was, now = fraction(plan, before) * 100, fraction(plan, after) * 100
    # of several that one event passes, the last says it all
    for mark in sorted(mark for mark in plan.updates.progress if was < mark <= now)[-1:]:
        notes.append(Update(key=f"{mark}%", text=f"{mark} % of the planned work is done."))
    return notes


# what each kind of event makes people hear in the run's thread


@UPDATES.of(events.PhaseStarted)
def _phase_starts(scene: Scene[events.PhaseStarted]) -> str:
    plan, after = scene.plan, scene.after
    phase = plan.phases[after.phase]
    last = last_safe_start(plan, after)
    back = f" A rollback must begin by {clock(last, plan.zone, after.at)}." if last is not None else ""
    risk = f" Risk {plan.risk.level}: {plan.risk.why.rstrip('.')}." if plan.risk and after.phase == 0 else ""
    # its tasks end when the forecast says; what comes after them, its soak, takes as long as planned
    tasks = [
        row for row, task in zip(forecast(plan, after, scene.event.at, {}), plan.tasks, strict=True) if task.phase == after.phase
    ]
    late = max((row.end - row.planned_end for row in tasks if row.end is not None), default=timedelta(0))
    ends = f"it is planned to end at {clock(phase.end, plan.zone, after.at)}"
    if late >= timedelta(minutes=1):
        ends += f" and now expected to end at {clock(phase.end + late, plan.zone, after.at)}"
    return f"{scene.actor} launches phase *{phase.title}*, and its gate is next; {ends}.{risk}{back}"


@UPDATES.of(events.PeopleAsked)
def _asked(scene: Scene[events.PeopleAsked]) -> str:
    plan, body = scene.plan, scene.body
    confirm = f"`{confirm_command(plan, 'ITEM')}`"
    if body.items:
        return f"✋ Waiting for people to confirm {', '.join(body.items)}. To confirm one: {confirm}."
    until = f" They have until {clock(body.deadline, plan.zone, scene.after.at)}." if body.deadline else ""
    why = first_line(body.why)
    again = f" {why[0].upper()}{why[1:]}. Votes given before are void." if why else ""
    how = _how_to_answer(plan, scene.after, confirm)
    return f"🗳 Go or no-go for *{plan.phases[scene.after.phase].title}*? Every criterion passes.{again}{until}{how}"


def _how_to_answer(plan: Plan, state: State, confirm: str) -> str:
    """Say what a gate waits for, and what to type."""
    phase = plan.phases[state.phase]
    ways = [f"say go: `gonogo go {plan.arguments} --as PERSON`", f"say no-go: `gonogo no-go {plan.arguments} --as PERSON`"]
    ways = [*([f"confirm: {confirm}"] if phase.before else []), *(ways if phase.approve else [])]
    return f"\nIt waits: {waits_for_votes(plan, state)}.\nTo " + "; to ".join(ways) + "."


@UPDATES.of(events.VoteCast)
def _voted(scene: Scene[events.VoteCast]) -> str:
    body = scene.body
    what = "approves a rollback" if body.on == "roll back" else f"says *{body.decision}*"
    comment = f": {first_line(body.comment)}" if body.comment else "."
    return f"{scene.actor} {what}{'' if body.proved else ' (not proved)'}{comment}"


@UPDATES.of(events.ItemConfirmed)
def _confirmed(scene: Scene[events.ItemConfirmed]) -> str:
    evidence = f": {first_line(scene.body.evidence)}" if scene.body.evidence else ""
    return f"☑️ {scene.body.person} confirms {scene.body.item}{evidence}."


@UPDATES.of(events.NoGo)
def _no_go(scene: Scene[events.NoGo]) -> str:
    changed = "This phase changed nothing" if scene.after.changed else "Nothing was changed"
    return f"⛔ No-go: {scene.body.why}. {changed}."


@UPDATES.of(events.Tripped)
def _tripped(scene: Scene[events.Tripped]) -> str:
    return f"⏪ The watch tripped: {scene.body.why}. Rolling back."


@UPDATES.of(events.WouldTrip)
def _would_trip(scene: Scene[events.WouldTrip]) -> str:
    did = "" if scene.body.then == "tell" else f" Without `would_trip` this would {scene.body.then}."
    return f"👀 {first_line(scene.body.why)}.{did}"


@UPDATES.of(events.LedgerLost)
def _ledger_lost(scene: Scene[events.LedgerLost]) -> str:
    return f"⚠️ The database lost its newest changes, and the run goes on from what is there: {scene.body.why}."


@UPDATES.of(events.RollbackOverran)
def _overran(scene: Scene[events.RollbackOverran]) -> str:
    return f"⏳ {scene.body.why}."


@UPDATES.of(events.StepFailed, events.VerifyFailed)
def _failed(scene: Scene[Body]) -> str:
    return f"⏪ {first_line(scene.body.why)}. Rolling back."


@UPDATES.of(events.RollbackAsked, events.AbortAsked)
def _rollback_asked(scene: Scene[events.RollbackAsked]) -> str:
    level = f", by {scene.body.level}" if scene.body.level else ""
    return f"⏪ {scene.actor} says {scene.event.kind}{level}: {scene.body.why or 'no reason given'}."


@UPDATES.of(events.BackupRestored)
def _restored(scene: Scene[events.BackupRestored]) -> str:
    kept = f" What was there is kept as `{scene.body.kept}`." if scene.body.kept else ""
    return f"⏪ Restored the backup taken at {moment(scene.body.taken_at, scene.plan.zone)}.{kept}"


@UPDATES.of(events.UndoFailed, events.RollbackNotProved)
def _rollback_failed(scene: Scene[Body]) -> str:
    return f"🚨 *Rollback failed, a person is needed*: {first_line(scene.body.why)}"


@UPDATES.of(events.Held, events.HoldAsked)
def _holding(scene: Scene[Body]) -> str:
    return f"✋ Holding: {first_line(scene.after.held)}"


@UPDATES.of(events.ResumeAsked)
def _resumed(scene: Scene[events.ResumeAsked]) -> str:
    accepts = ", and accepts the data loss" if scene.body.accept_loss else ""
    why = f": {first_line(scene.body.why)}" if scene.body.why else ""
    return f"▶️ {scene.actor} resumed the run{accepts}{why}."


@UPDATES.of(events.RollbackProved)
def _rolled_back(scene: Scene[events.RollbackProved]) -> str:
    return f"↩️ Rolled back, and proved: {scene.body.why}.{_lost(scene.after)}"


@UPDATES.of(events.PhaseRollbackProved)
def _phase_rolled_back(scene: Scene[events.PhaseRollbackProved]) -> str:
    title = scene.plan.phases[scene.after.phase].title
    return (
        f"↩️ Phase *{title}* is rolled back, and that is proved: {scene.body.why}.{_lost(scene.after)} It can be launched again."
    )


def _lost(state: State) -> str:
    """Say what the rollback destroyed."""
    rows, by = describe_rows(state.rollback.loss.lost), state.rollback.loss.accepted_by
    return f" Data loss, accepted by {first_line(by)}: rows that were written since, {rows}." if rows else ""


@UPDATES.of(events.Acknowledged)
def _acknowledged(scene: Scene[events.Acknowledged]) -> str:
    comment = f": {first_line(scene.body.comment)}" if scene.body.comment else ""
    return f"🙋 {scene.actor} acknowledged{comment}."


@UPDATES.of(events.PhaseDone)
def _phase_done(scene: Scene[events.PhaseDone]) -> str:
    return f"Phase *{scene.plan.phases[scene.before.phase].title}* is done."


@UPDATES.of(events.RunDone)
def _run_done(scene: Scene[events.RunDone]) -> str:
    opened = scene.after.opened_at
    took = say_duration(scene.event.at - opened) if opened else "?"
    return f"✅ *Done* in {took}. The report: `gonogo report {scene.plan.arguments}`."


#: what needs nobody: it is not sent to the channel too, and names nobody
_QUIET: frozenset[type[Body]] = frozenset(
    {events.PhaseStarted, events.PhaseDone, events.ResumeAsked, events.VoteCast, events.ItemConfirmed, events.Acknowledged}
)
