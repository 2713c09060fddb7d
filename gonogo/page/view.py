"""What a run's page says, from one look at it: words and numbers for its templates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from gonogo.core.engine.budgets import spent
from gonogo.core.engine.decide import waits_for_votes
from gonogo.core.engine.forecast import expected_end, forecast, fraction
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import ENDED, ROLLING_BACK_STATES, State, Status, outcome
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import asked_of
from gonogo.core.text.next_commands import items_to_confirm, next_commands
from gonogo.core.text.steps import say_stopped
from gonogo.core.text.times import clock
from gonogo.page.decisions import alarm_now, asked_now, choices
from gonogo.page.live import Look
from gonogo.report import charts
from gonogo.report.watch_charts import WatchChart

_TONES = {Status.DONE: "good", Status.NO_GO: "warn", Status.ROLLED_BACK: "warn", Status.ROLLING_BACK: "warn"}


@cache
def _environment() -> Environment:
    folders = [Path(__file__).parent / "templates", Path(charts.__file__).parent / "report_templates"]
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **words: Any) -> str:
    """Write one of the page's templates; every value is text, and never HTML."""
    return _environment().get_template(template).render(**words)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A label and what it says."""

    label: str
    says: str
    tone: str = ""


def shown(look: Look) -> dict[str, Any]:
    """Return what the live part of a page says."""
    found, state, plan = look.found, look.found.state, look.found.plan
    rows = forecast(plan, state, look.now, look.drawing.times.found)
    live = state.status not in ENDED
    watched = look.drawing.watch_charts()
    return {
        "title": plan.title,
        "run": found.run,
        "runbook": plan.runbook,
        "target": plan.target,
        "protected": plan.protected,
        "zone": plan.zone,
        "outcome": outcome(state),
        "tone": "bad" if state.rollback.failed else "warn" if state.held else _TONES.get(state.status, ""),
        "why": state.why,
        "gone": not found.running and not state.at_rest and state.status is not Status.DECIDING and not state.held,
        "percent": round(fraction(plan, state) * 100),
        "now": clock(look.now, plan.zone),
        "facts": _facts(plan, state, look, rows if live else []),
        "waits": _waits(plan, state),
        "next": [asdict(each) for each in next_commands(plan, state, running=found.running)],
        "timelines": [asdict(chart) for chart in look.drawing.timelines(look.now if live else None)],
        "watched": [(asdict(chart), _counts(chart)) for chart in watched],
        "log": look.log,
        "live": live,
    }


def _counts(chart: WatchChart) -> dict[str, Any]:
    return {"samples": chart.samples, "breaches": chart.beyond, "blanks": chart.blanks, "says": chart.says}


def _facts(plan: Plan, state: State, look: Look, rows: list[Any]) -> list[Fact]:
    now = look.now
    facts = []
    if look.statement is not None:
        facts.append(Fact(label="Statement now", says=look.statement.says))
    if stopped := say_stopped(plan, state):
        facts.append(Fact(label="Backfill", says=stopped, tone="warn"))
    if rows and state.status not in ROLLING_BACK_STATES:
        late = any(row.overdue for row in rows)
        word = "not before " if late else ""
        end = f"{word}{clock(expected_end(plan, state, rows), plan.zone, now)}; planned {clock(plan.ends, plan.zone, now)}"
        facts.append(Fact(label="Expected end", says=end, tone="warn" if late else ""))
    if state.status is Status.SOAKING and state.soak_from is not None and not state.held:
        until = state.soak_from + plan.phases[state.phase].soak
        left = max(timedelta(0), timedelta(seconds=round((until - now).total_seconds())))
        facts.append(Fact(label="Watched until", says=f"{clock(until, plan.zone, now)}, {say_duration(left)} left"))
    if rows and (last := last_safe_start(plan, state)) is not None:
        facts.append(_last_start(last, plan, now))
    for name, known in spent(plan, state, now).items():
        facts.append(Fact(label=name.capitalize(), says=known.says, tone="bad" if known.over else ""))
    return facts


def _last_start(last: datetime, plan: Plan, now: datetime) -> Fact:
    left = last - now
    if left <= timedelta(0):
        return Fact(label="A rollback had to begin by", says=clock(last, plan.zone, now), tone="bad")
    says = f"{clock(last, plan.zone, now)}, in {say_duration(timedelta(seconds=round(left.total_seconds())))}"
    return Fact(label="A rollback must begin by", says=says)


def _waits(plan: Plan, state: State) -> str:
    """Say what the run waits for people to say, and until when; nothing where it waits for nobody."""
    if state.held:
        return ""
    notes = []
    if state.status is Status.DECIDING:
        notes.append(waits_for_votes(plan, state))
    else:
        notes += [f"{item} is not confirmed" for item in items_to_confirm(plan, state)]
    notes = [note for note in notes if note]
    if not notes:
        return ""
    asked = state.gate.asked
    until = f" Until {clock(asked.deadline, plan.zone, state.at)}." if asked and asked.deadline else ""
    who = ", ".join(asked_of(plan, state))
    return f"{'; '.join(notes)}." + (f" Asked: {who}." if who else "") + until


def decided(look: Look) -> dict[str, Any]:
    """Return what the part of a page says where people decide."""
    found, state, plan = look.found, look.found.state, look.found.plan
    deciding = state.status is Status.DECIDING
    judged = look.asked.judged if deciding and look.asked is not None else ()
    items = plan.items(state.phase).values() if state.phase < len(plan.phases) else ()
    return {
        "run": found.run,
        "protected": plan.protected,
        "choices": choices(found),
        "asked": asked_now(found),
        "alarm": alarm_now(found),
        "people": [(name, person.name, bool(person.key)) for name, person in plan.people.items()],
        "phase": plan.phases[min(state.phase, len(plan.phases) - 1)].title,
        "deciding": deciding,
        "seal": look.asked.seal[:16] if deciding and look.asked is not None else "",
        "judged": [(each.check, each.sentence, str(each.verdict)) for each in judged],
        "risk": f"{plan.risk.level}: {plan.risk.why}" if plan.risk and deciding else "",
        "votes": [(vote.person, vote.decision, vote.proved) for vote in state.gate.votes] if deciding else [],
        "items": [(item.item, item.title, item.owner, item.item in state.gate.confirmed) for item in items],
        "waits": _waits(plan, state),
    }
