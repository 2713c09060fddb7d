"""The report of a run, made from its ledger alone: Markdown, HTML that needs no network, and JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gonogo.core.engine.budgets import Spent, describe, spent
from gonogo.core.engine.events import (
    BackfillPaced,
    BackupProved,
    BatchDone,
    Body,
    Event,
    Go,
    ItemConfirmed,
    Kind,
    PhaseStarted,
    Sampled,
    ScriptDone,
    ScriptWarned,
    UndoDone,
    VoteCast,
    VoteRefused,
)
from gonogo.core.engine.evolve import ROLLBACK, fold
from gonogo.core.engine.forecast import actual_times, fraction
from gonogo.core.engine.state import Status, outcome
from gonogo.core.engine.verdict import Judgement
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan
from gonogo.core.text.backups import describe_backup
from gonogo.core.text.plain import cell, clean
from gonogo.report.charts import drawing
from gonogo.report.summary import summary
from gonogo.report.watch_charts import as_number, sparkline

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
#: whether what a run ended as is good, bad, or neither
_TONES = {Status.DONE: "good", Status.NO_GO: "warn", Status.ROLLED_BACK: "warn"}
#: events that are too many to list one by one
_QUIET = frozenset({Kind.SAMPLE, Kind.BATCH, Kind.DONE, Kind.STARTED, Kind.UNDO_STARTED, Kind.UNDONE})


def report(plan: Plan, events: Sequence[Event], run: str) -> dict[str, Any]:
    """Return everything that a report says, as plain data.

    Args:
        plan: the run's plan.
        events: its events, in order.
        run: its id.
    """
    state = fold(events)
    zone = ZoneInfo(plan.zone)
    budgets = spent(plan, state, events[-1].at) if events else {}
    made: dict[str, Any] = {
        "title": plan.title,
        "runbook": plan.runbook,
        "run": run,
        "target": plan.target,
        "outcome": outcome(state),
        "cause": state.rollback.cause or state.why,
        "risk": f"{plan.risk.level}: {plan.risk.why}" if plan.risk else "",
        "seal": plan.seal,
        "what": plan.what,
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
        "warnings": _warnings(plan, events),
        "success": _success(plan, events, budgets),
        "budgets": [{"name": name, **known.as_data(), "says": known.says} for name, known in budgets.items()],
        "backups": _backups(plan, events),
        "locks": _locks(plan, events),
        "lost": state.rollback.loss.lost,
        "loss_accepted_by": state.rollback.loss.accepted_by,
        "story": [_tell(event, zone) for event in events if event.kind not in _QUIET and event.kind is not Kind.RUN_OPENED],
    }
    made["tone"] = "bad" if state.rollback.failed else "warn" if state.held else _TONES.get(state.status, "")
    made["summary"] = summary(plan, events, state, made, budgets)
    drawn = drawing(plan, events)
    made["timelines"] = [asdict(chart) for chart in drawn.timelines()]
    made["charts"] = [asdict(chart) for chart in drawn.watch_charts()]
    return made


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _schedule(plan: Plan, events: Sequence[Event], zone: ZoneInfo) -> list[dict[str, Any]]:
    """Return each task's planned and actual times."""
    actual = actual_times(plan, events)
    rows = []
    for task in plan.tasks:
        start, end = actual.get(task.name, (None, None))
        planned = say_duration(task.end - task.start)
        rows.append(
            {
                "task": task.title,
                "owner": task.owner,
                "planned_start": _clock(task.start, zone),
                "planned_end": _clock(task.end, zone),
                "planned_span": f"{_clock(task.start, zone)} to {_clock(task.end, zone)} ({planned})",
                "planned": planned,
                "start": _clock(start, zone) if start else "",
                "end": _clock(end, zone) if end else "",
                "took": say_duration(end - start) if start and end else "",
                "late": bool(start and end and task.takes and end - start > task.takes),
            }
        )
    return rows


def _success(plan: Plan, events: Sequence[Event], budgets: Mapping[str, Spent]) -> list[dict[str, str]]:
    """Return each criterion with its answer: met, not met, or unknown where nothing answered it."""
    newest: dict[str, Judgement] = {}
    for event in events:
        if event.kind in _JUDGED and event.kind is not Kind.NOT_PROVED:
            newest |= {judged.check: judged for judged in judged_in(event)}
    confirmed = {body.item: event.actor for event in events if isinstance(body := event.body, ItemConfirmed)}
    back = fold(events).status in (Status.ROLLED_BACK, Status.ROLLING_BACK, Status.PROVING)
    notes = []
    for criterion in plan.success:
        judged = newest.get(criterion.check)
        if criterion.item:
            who = confirmed.get(criterion.item, "")
            answer, why = ("met", f"confirmed by {who}") if who else ("unknown", "not confirmed")
        elif criterion.budget:
            known = budgets.get(criterion.budget)
            answer = "unknown" if known is None else "not met" if known.over else "met"
            why = describe(criterion.budget, known) if known else f"nothing of {criterion.budget} was counted"
        elif judged is None:
            answer, why = "unknown", f"{criterion.check} was not asked"
        else:
            answer = {"pass": "met", "fail": "not met", "amber": "not met"}.get(judged.verdict, "unknown")
            why = f"{criterion.check}: {judged.sentence}"
        if back and answer == "met":
            answer, why = "not met", f"the run was rolled back ({why})"
        notes.append({"criterion": criterion.criterion, "sort": criterion.sort, "answer": answer, "why": why})
    return notes


def _backups(plan: Plan, events: Sequence[Event]) -> list[dict[str, str]]:
    """Return each backup of the run with its proof, and how it is restored by hand."""
    notes = []
    for event in events:
        if isinstance(event.body, BackupProved):
            by_hand = _by_hand(plan, event.body)
            notes.append({"folder": event.body.folder, "proof": describe_backup(event.body, plan.zone), "by_hand": by_hand})
    return notes


def _by_hand(plan: Plan, proof: BackupProved) -> str:
    """Return the command that restores a backup without gonogo; nothing where nobody knows one."""
    rule = plan.backup
    if not proof.provider:
        return f"pg_restore --clean --if-exists --no-owner -j2 -d DATABASE {proof.folder}/dump"
    if rule is not None and rule.command is not None and rule.command.restore is not None:
        return f"GONOGO_RESTORE_POINT={shlex.quote(proof.point)} {shlex.join(rule.command.restore.argv)}"
    if rule is not None and rule.pgbackrest is not None:
        return shlex.join(rule.pgbackrest.restores(proof.point, rule.pgbackrest.data or "DATA"))
    return ""


def _locks(plan: Plan, events: Sequence[Event]) -> list[dict[str, str]]:
    """Return the locks that blocked others: how long they were held at most, and others waited behind tries that gave up."""
    rows = []
    for event in events:
        body = event.body
        if not isinstance(body, ScriptDone) or body.judged:
            continue
        step = plan.steps[body.step]
        script = step.scripts[body.script] if body.script < len(step.scripts) else None
        for lock in script.locks if script else ():
            if not lock.startswith("ROW"):
                waited = say_duration(body.others_waited) if body.others_waited else ""
                at_most = say_duration(event.at - event.began)
                rows.append({"step": step.name, "lock": lock, "at_most": at_most, "others_waited": waited})
    return rows


def _warnings(plan: Plan, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return what the server warned of, step by step; the texts are the first of as many."""
    return [
        {
            "step": plan.steps[event.body.step].name,
            "direction": "back" if event.body.undo else "forward",
            "count": event.body.count,
            "warnings": list(event.body.warnings),
        }
        for event in events
        if isinstance(event.body, ScriptWarned)
    ]


def _clock(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%H:%M:%S")


def _checks(events: Sequence[Event], zone: ZoneInfo) -> list[dict[str, str]]:
    return [
        {"at": _clock(event.at, zone), "where": _JUDGED[event.kind], **judged.model_dump(mode="json")}
        for event in events
        if event.kind in _JUDGED
        for judged in judged_in(event)
    ]


def _watch(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return for each watched check how many samples it gave and how many were breaches."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        if not isinstance(event.body, Sampled):
            continue
        for name, sample in event.body.samples.items():
            row = rows.setdefault(name, {"check": name, "samples": 0, "breaches": 0, "blanks": 0, "values": []})
            row["samples"] += 1
            row["breaches"] += sample.verdict == "breach"
            row["blanks"] += sample.verdict in ("inconclusive", "error")
            row["says"] = sample.says
            row["values"].append(as_number(sample.value))
    for row in rows.values():
        row["spark"] = sparkline(row["values"])
    return list(rows.values())


def _backfills(plan: Plan, events: Sequence[Event]) -> list[dict[str, Any]]:
    rows = []
    for number, step in enumerate(plan.steps):
        batches = [(e, body) for e in events if isinstance(body := e.body, BatchDone) and body.step == number]
        if batches:
            total = sum(body.rows for _, body in batches)
            seconds = max((batches[-1][0].at - batches[0][0].began).total_seconds(), 0.001)
            stops = sum(isinstance(e.body, BackfillPaced) and e.body.step == number and e.body.stopped for e in events)
            row = {
                "step": step.name,
                "rows": total,
                "batches": len(batches),
                "per_second": round(total / seconds),
                "stops": stops,
            }
            rows.append({**row, "paces": _paces(batches)})
    return rows


def _paces(batches: Sequence[tuple[Event, BatchDone]]) -> list[dict[str, str]]:
    """Return what was seen beside a backfill, each as a line: its pace, reading one row, and the slowest standby."""
    speeds = [body.rows / max((event.at - before.at).total_seconds(), 0.001) for (before, _), (event, body) in pairwise(batches)]
    reads = [body.read for _, body in batches]
    lags = [body.lag for _, body in batches]
    before = next((body.idle for _, body in batches if body.idle is not None), None)
    rows = []
    if speeds:
        rows.append({"what": "rows/s", "line": sparkline(speeds), "most": f"{max(speeds):,.0f}", "before": ""})
    for what, seconds, was in (
        ("a small call (p95)", reads, before),
        ("the slowest standby is behind", lags, None),
    ):
        known = [value for value in seconds if value is not None]
        if known:
            was_before = say_duration(was) if was is not None else ""
            rows.append({"what": what, "line": sparkline(seconds), "most": say_duration(max(known)), "before": was_before})
    return rows


def _scripts(plan: Plan, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return each script that ran, forward or back, with how long the server took."""
    rows = []
    for event in events:
        body = event.body
        if not isinstance(body, ScriptDone | UndoDone) or (isinstance(body, ScriptDone) and body.judged):
            continue
        step = plan.steps[body.step]
        scripts = step.scripts if isinstance(body, ScriptDone) else step.undo or ()
        if not scripts:
            continue
        script = scripts[body.script]
        rows.append(
            {
                "step": step.name,
                "direction": "forward" if event.kind is Kind.DONE else "back",
                "source": script.source,
                "sha256": script.sha256,
                "took": say_duration(event.at - event.began) if script.transactional else "",
            }
        )
    return rows


def judged_in(event: Event) -> tuple[Judgement, ...]:
    """Return the verdicts that an event holds."""
    return getattr(event.body, "judged", ())


def _tell(event: Event, zone: ZoneInfo) -> dict[str, str]:
    refused = isinstance(event.body, VoteRefused) and event.body.decision.startswith("confirm ")
    return {
        "at": _clock(event.at, zone),
        "event": "confirmation refused" if refused else str(event.kind),
        "by": event.actor,
        "why": _why(event.body),
        "seq": str(event.seq),
    }


def _why(body: Body) -> str:
    """Return the reason that an event gives, or what a person said."""
    match body:
        case VoteCast():
            what = "approves a rollback" if body.on == ROLLBACK else body.decision
            proved = "proved" if body.proved else "not proved"
            return f"{what} ({proved}){': ' if body.comment else ''}{body.comment}"
        case Go(votes=votes) if votes:
            return " and ".join(f"{vote.person}{'' if vote.proved else ' (not proved)'}" for vote in votes) + " said go"
        case ItemConfirmed():
            return f"{body.item}{': ' if body.evidence else ''}{body.evidence}"
        case PhaseStarted(override=override) if override:
            return f"OVERRIDE: {override}"
        case _:
            return body.why


@cache
def templates(*, escape: bool) -> Environment:
    """Return the templates of reports: they are compiled when they are first used, which takes a tenth of a second.

    Args:
        escape: whether what is put into them is escaped, as HTML.
    """
    folder = FileSystemLoader(Path(__file__).parent / "report_templates")
    environment = Environment(
        loader=folder,
        autoescape=escape,  # noqa: S701 - Markdown is text; HTML is escaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell
    environment.filters["cells"] = lambda row, names: [row[name] for name in names]
    return environment


def as_markdown(made: dict[str, Any]) -> str:
    """Write a report as Markdown."""
    return clean(templates(escape=False).get_template("report.md.j2").render(**made))


def as_html(made: dict[str, Any]) -> str:
    """Write a report as one HTML page that needs nothing else."""
    watched = {row["check"]: row for row in made["watch"]}
    drawn = [(chart, watched[chart["check"]]) for chart in made["charts"]]
    return clean(templates(escape=True).get_template("report.html.j2").render(**made, charts_of_watch=drawn))
