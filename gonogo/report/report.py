"""The report of a run, made from its ledger alone: Markdown, HTML that needs no network, and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gonogo.core.engine.budgets import describe, spent
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import ROLLBACK, fold
from gonogo.core.engine.forecast import actual_times, fraction
from gonogo.core.engine.state import Status, outcome
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import backup_in_words
from gonogo.core.text.plain import clean

_JUDGED = {
    Kind.GO: "gate",
    Kind.NO_GO: "gate",
    Kind.DONE: "step",
    Kind.FAILED: "step",
    Kind.HELD: "held",
    Kind.VERIFIED: "verify",
    Kind.VERIFY_FAILED: "verify",
    Kind.RUN_DONE: "at the end",
    Kind.PROVED: "proof of the rollback",
    Kind.PHASE_PROVED: "proof of the phase's rollback",
    Kind.NOT_PROVED: "proof of the rollback",
}
#: what people said
_DECISIONS = frozenset({str(kind) for kind in (Kind.VOTE, Kind.ROLL_BACK, Kind.ABORT)})
#: facts that are too many to list one by one
_QUIET = frozenset({Kind.SAMPLE, Kind.BATCH, Kind.DONE, Kind.STARTED, Kind.UNDO_STARTED, Kind.UNDONE})


def report(plan: Plan, events: Sequence[Event], run: str) -> dict[str, Any]:
    """Return everything that a report says, as plain data.

    Args:
        plan: the run's plan.
        events: its facts, in order.
        run: its id.
    """
    state = fold(events)
    zone = ZoneInfo(plan.zone)
    budgets = spent(plan, state, events[-1].at) if events else {}
    return {
        "title": plan.title,
        "runbook": plan.runbook,
        "run": run,
        "target": plan.target,
        "outcome": outcome(state),
        "cause": state.cause or state.held,
        "risk": f"{plan.risk.level}: {plan.risk.why}" if plan.risk else "",
        "seal": plan.seal,
        "commit": plan.commit,
        "zone": plan.zone,
        "opened": _local(events[0].at, zone) if events else "",
        "ended": _local(events[-1].at, zone) if events else "",
        "took": say_duration(events[-1].at - events[0].at) if events else "",
        "done": f"{fraction(plan, state):.0%}",
        "schedule": _schedule(plan, events, zone),
        "checks": _checks(events, zone),
        "watch": _watch(events),
        "backfills": _backfills(plan, events),
        "scripts": _scripts(plan, events),
        "success": _success(plan, events, budgets),
        "budgets": [{"name": name, **known, "says": describe(name, known)} for name, known in budgets.items()],
        "backups": _backups(events),
        "locks": _locks(plan, events),
        "lost": fold(events).lost,
        "story": [_tell(event, zone) for event in events if event.kind not in _QUIET and event.kind is not Kind.RUN_OPENED],
    }


def brief(made: Mapping[str, Any]) -> str:
    """Return what a report comes to, short enough for a message: tasks, checks, watch, decisions."""
    tasks = [row for row in made["schedule"] if row["start"]]
    verdicts = Counter(row["verdict"] for row in made["checks"])
    lines = [f"📄 *Report* of {made['run']}: {made['outcome']}, in {made['took']}."]
    lines += [
        f"• {row['task']}: {row['start']} to {row['end'] or '-'} ({row['took'] or '-'}; planned {row['planned']})"
        for row in tasks
    ]
    if verdicts:
        lines.append("Checks: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) + ".")
    watched = (f"{row['check']} {row['samples']} samples, {row['breaches']} breaches" for row in made["watch"])
    if told := "; ".join(watched):
        lines.append(f"Watched: {told}.")
    said = [f"{row['by']}: {row['why']}" for row in made["story"] if row["fact"] in _DECISIONS and row["why"]]
    lines += [f"Decided: {'; '.join(said)}."] if said else []
    return "\n".join(lines)


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _schedule(plan: Plan, events: Sequence[Event], zone: ZoneInfo) -> list[dict[str, Any]]:
    """Return each task's planned and actual times, and its place on two bars: percents of the whole."""
    actual = actual_times(plan, events)
    began = min([t[0] for t in actual.values()], default=plan.start)
    ended = max([t[1] or t[0] for t in actual.values()], default=began)
    rows = []
    for task in plan.tasks:
        start, end = actual.get(task.name, (None, None))
        rows.append(
            {
                "task": task.title,
                "owner": task.owner,
                "planned_start": _clock(task.start, zone),
                "planned_end": _clock(task.end, zone),
                "planned": say_duration(task.end - task.start),
                "start": _clock(start, zone) if start else "",
                "end": _clock(end, zone) if end else "",
                "took": say_duration(end - start) if start and end else "",
                "late": bool(start and end and task.takes and end - start > task.takes),
                "planned_bar": _bar(task.start, task.end, plan.start, plan.tasks[-1].end),
                "actual_bar": _bar(start, end or ended, began, ended) if start else None,
            }
        )
    return rows


def _success(plan: Plan, events: Sequence[Event], budgets: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return each criterion with its answer: met, not met, or unknown where nothing answered it."""
    newest: dict[str, dict[str, str]] = {}
    for event in events:
        if event.kind in _JUDGED and event.kind is not Kind.NOT_PROVED:
            newest |= {str(judged["check"]): judged for judged in event.body.get("judged", ())}
    ticked = {str(event.body.get("item")): event.actor for event in events if event.kind is Kind.CONFIRMED}
    back = fold(events).status in (Status.ROLLED_BACK, Status.ROLLING_BACK, Status.PROVING)
    told = []
    for criterion in plan.success:
        judged = newest.get(criterion.check)
        if criterion.item:
            answer, why = (
                ("met", f"confirmed by {ticked[criterion.item]}") if criterion.item in ticked else ("unknown", "not confirmed")
            )
        elif criterion.budget:
            known = budgets.get(criterion.budget)
            answer = "unknown" if known is None else "not met" if known["over"] else "met"
            why = describe(criterion.budget, known) if known else f"nothing of {criterion.budget} was counted"
        elif judged is None:
            answer, why = "unknown", f"{criterion.check} was not asked"
        else:
            answer = {"pass": "met", "fail": "not met", "amber": "not met"}.get(judged["verdict"], "unknown")
            why = f"{criterion.check}: {judged['sentence']}"
        if back and answer == "met":
            answer, why = "not met", f"the run was turned back ({why})"
        told.append({"criterion": criterion.criterion, "sort": criterion.sort, "answer": answer, "why": why})
    return told


def _backups(events: Sequence[Event]) -> list[dict[str, str]]:
    """Return each backup of the run with its proof, and how it is restored by hand."""
    told = []
    for event in events:
        if event.kind is Kind.BACKED_UP:
            body = event.body
            by_hand = f"pg_restore --clean --if-exists --no-owner -j2 -d DATABASE {body['folder']}/dump"
            told.append({"folder": str(body["folder"]), "proof": backup_in_words(body), "by_hand": by_hand})
    return told


def _locks(plan: Plan, events: Sequence[Event]) -> list[dict[str, str]]:
    """Return the locks that blocked others, with how long the script that held them took at most."""
    rows = []
    for event in events:
        if event.kind is not Kind.DONE or "judged" in event.body:
            continue
        step = plan.steps[int(event.body["step"])]
        script = step.scripts[int(event.body["script"])] if int(event.body["script"]) < len(step.scripts) else None
        for lock in script.locks if script else ():
            if not lock.startswith("ROW"):
                rows.append({"step": step.name, "lock": lock, "at_most": say_duration(event.at - event.began)})
    return rows


def _clock(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%H:%M:%S")


def _bar(start: datetime, end: datetime, first: datetime, last: datetime) -> dict[str, float]:
    whole = max((last - first) / timedelta(seconds=1), 0.001)
    left = (start - first) / timedelta(seconds=1) / whole * 100
    return {"left": round(left, 2), "width": round(max(0.5, (end - start) / timedelta(seconds=1) / whole * 100), 2)}


def _checks(events: Sequence[Event], zone: ZoneInfo) -> list[dict[str, str]]:
    return [
        {"at": _clock(event.at, zone), "where": _JUDGED[event.kind], **judged}
        for event in events
        if event.kind in _JUDGED
        for judged in event.body.get("judged", ())
    ]


def _watch(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return for each watched check how many samples it gave and how many were breaches."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.kind is not Kind.SAMPLE:
            continue
        for name, sample in event.body["samples"].items():
            row = rows.setdefault(name, {"check": name, "samples": 0, "breaches": 0, "blanks": 0, "values": []})
            row["samples"] += 1
            row["breaches"] += sample["verdict"] == "breach"
            row["blanks"] += sample["verdict"] in ("inconclusive", "error")
            row["says"] = sample["says"]
            row["values"].append(float(sample["value"]) if sample["value"] else None)
    for row in rows.values():
        row["spark"] = _spark(row["values"])
    return list(rows.values())


def _spark(values: Sequence[float | None]) -> str:
    """Return the points of an SVG polyline in a box of 200 by 30."""
    numbers = [v for v in values if v is not None]
    top = max(numbers, default=0.0) or 1.0
    step = 200 / max(len(values) - 1, 1)
    return " ".join(f"{i * step:.1f},{30 - v / top * 28:.1f}" for i, v in enumerate(values) if v is not None)


def _backfills(plan: Plan, events: Sequence[Event]) -> list[dict[str, Any]]:
    rows = []
    for number, step in enumerate(plan.steps):
        batches = [e for e in events if e.kind is Kind.BATCH and e.body["step"] == number]
        if batches:
            total = sum(int(e.body["rows"]) for e in batches)
            seconds = max((batches[-1].at - batches[0].began).total_seconds(), 0.001)
            rows.append({"step": step.name, "rows": total, "batches": len(batches), "per_second": round(total / seconds)})
    return rows


def _scripts(plan: Plan, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return each script that ran, forward or back, with how long the server took."""
    rows = []
    for event in events:
        if event.kind not in (Kind.DONE, Kind.UNDONE) or "judged" in event.body:
            continue
        step = plan.steps[int(event.body["step"])]
        scripts = step.scripts if event.kind is Kind.DONE else step.undo or ()
        if not scripts:
            continue
        script = scripts[int(event.body["script"])]
        rows.append(
            {
                "step": step.name,
                "way": "forward" if event.kind is Kind.DONE else "back",
                "source": script.source,
                "sha256": script.sha256,
                "took": say_duration(event.at - event.began) if script.transactional else "",
            }
        )
    return rows


def _tell(event: Event, zone: ZoneInfo) -> dict[str, str]:
    return {
        "at": _clock(event.at, zone),
        "fact": "confirmation refused" if str(event.body.get("decision", "")).startswith("confirm ") else str(event.kind),
        "by": event.actor,
        "why": _why(event),
        "seq": str(event.seq),
    }


def _why(event: Event) -> str:
    """Return the reason that a fact gives, or what a person said."""
    body = event.body
    if event.kind is Kind.VOTE:
        proved = "proved" if body.get("proved") else "not proved"
        what = "agrees to a rollback" if body.get("on") == ROLLBACK else str(body.get("decision"))
        return f"{what} ({proved}){': ' if body.get('comment') else ''}{body.get('comment', '')}"
    if event.kind is Kind.GO and body.get("votes"):
        return " and ".join(f"{v['person']}{'' if v['proved'] else ' (not proved)'}" for v in body["votes"]) + " said go"
    if event.kind is Kind.CONFIRMED:
        return f"{body.get('item')}{': ' if body.get('evidence') else ''}{body.get('evidence', '')}"
    if event.kind is Kind.PHASE_STARTED and body.get("override"):
        return f"OVERRIDE: {body['override']}"
    return str(body.get("why", ""))


def _render(template: str, made: dict[str, Any], *, escape: bool) -> str:
    folder = FileSystemLoader(Path(__file__).parent / "report_templates")
    environment = Environment(
        loader=folder,
        autoescape=escape,  # noqa: S701 - Markdown is text; HTML is escaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    return environment.get_template(template).render(**made)


def as_markdown(made: dict[str, Any]) -> str:
    """Write a report as Markdown."""
    return clean(_render("report.md.j2", made, escape=False))


def as_html(made: dict[str, Any]) -> str:
    """Write a report as one HTML page that needs nothing else."""
    return _render("report.html.j2", made, escape=True)
