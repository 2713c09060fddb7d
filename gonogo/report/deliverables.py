"""The documents that a migration leaves behind, written from its ledger alone: each with its sha256 in a list."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gonogo import private_files
from gonogo.core.engine.events import Event, ItemConfirmed, Kind
from gonogo.core.plan.plan import Plan, Script
from gonogo.core.text.plain import table
from gonogo.core.text.plan_page import plan_page
from gonogo.errors import BadInput
from gonogo.report.report import as_html, as_markdown, report


def write_deliverables(plan: Plan, events: Sequence[Event], run: str, texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the document set of a run into a folder; return the files.

    Args:
        plan: the run's plan.
        events: its events.
        run: its id.
        texts: its scripts, by sha256.
        folder: where.

    Raises:
        BadInput: they cannot be written there.
    """
    made = report(plan, events, run)
    documents = {
        "SAFETY_CHECKLIST.md": _checklist(plan, events),
        "TASK_BREAKDOWN.md": plan_page(plan) + "\n",
        "SQL_SCRIPTS.md": _scripts(plan, texts),
        "TESTING_SCENARIOS.md": _scenarios(plan, made),
        "COMPLETION_REPORT.md": as_markdown(made),
        "COMPLETION_REPORT.html": as_html(made),
        "LESSONS_LEARNED.md": _lessons(plan, made),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for name, text in documents.items():
            private_files.write(folder / name, text)
            lines.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n")
        # as sha256sum --check reads it
        private_files.write(folder / "SHA256SUMS", "".join(lines))
    except OSError as error:
        raise BadInput(f"the documents cannot be written to {folder}: {error.strerror}") from None
    return [folder / name for name in (*documents, "SHA256SUMS")]


def _checklist(plan: Plan, events: Sequence[Event]) -> str:
    confirmed = {body.item: (event, body) for event in events if isinstance(body := event.body, ItemConfirmed)}
    lines = [f"# {plan.title}: safety checklist", ""]
    for number, phase in enumerate(plan.phases):
        lines += [f"## {phase.title}", "", f"Criteria: {', '.join(phase.go_if) or 'none'}", ""]
        for item in plan.items(number).values():
            found = confirmed.get(item.item)
            said = f": {found[0].actor}, {found[0].at:%Y-%m-%d %H:%M} UTC" if found else ""
            evidence = f" ({found[1].evidence})" if found and found[1].evidence else ""
            owner = f" [{item.owner}]" if item.owner else ""
            lines.append(f"- [{'x' if found else ' '}] {item.title or item.item}{owner}{said}{evidence}")
        lines.append("")
    return "\n".join(lines)


def _scripts(plan: Plan, texts: Mapping[str, str]) -> str:
    lines = [f"# {plan.title}: scripts", "", f"Seal `{plan.seal}`. Each as it was rendered, forward and back.", ""]

    def show(direction: str, scripts: Sequence[Script]) -> None:
        for script in scripts:
            text = texts.get(script.sha256, "").rstrip()
            lines.extend([f"{direction}: `{script.source}` (sha256 `{script.sha256}`)", "", "```sql", text, "```", ""])

    for step in plan.steps:
        if step.scripts:
            lines += [f"## {step.name}", ""]
            show("forward", step.scripts)
            show("back", step.undo or ())
    for level, scripts in plan.switches.items():
        lines += [f"## Level {level}", ""]
        show(level, scripts)
    return "\n".join(lines)


def _scenarios(plan: Plan, made: Mapping[str, Any]) -> str:
    rows = []
    for name, check in plan.checks.items():
        results = [f"{row['where']} {row['at']}: {row['verdict']}" for row in made["checks"] if row["check"] == name]
        watched = [
            f"watch: {row['samples']} samples, {row['breaches']} breaches" for row in made["watch"] if row["check"] == name
        ]
        notes = "; ".join([*results, *watched]) or "not asked"
        rows.append((name, check.about or check.kind, ", ".join(check.expect), check.roll_back_if or "", notes))
    lines = table(("check", "asks", "must", "rolls back", "results"), rows)
    return "\n".join([f"# {plan.title}: tests and their results", "", *lines]) + "\n"


def _lessons(plan: Plan, made: Mapping[str, Any]) -> str:
    """Write what the run itself teaches, and room for what only people know."""
    lines = [
        f"# {plan.title}: lessons learned",
        "",
        f"Run {made['run']}: {made['outcome']}, {made['took']}.",
        "",
        "## What the run shows",
        "",
    ]
    late = [row for row in made["schedule"] if row["late"]]
    lines += [f"- {row['task']} took {row['took']}, and was planned to take {row['planned']}" for row in late]
    trouble = {str(kind) for kind in (Kind.HELD, Kind.TRIPPED, Kind.FAILED, Kind.VERIFY_FAILED, Kind.NO_GO, Kind.UNDO_FAILED)}
    lines += [f"- {row['at']} {row['event']}: {row['why']}" for row in made["story"] if row["event"] in trouble]
    if len(lines) == 6:
        lines.append("- nothing was late, held, tripped or failed")
    lines += ["", "## What went well", "", "-", "", "## What did not", "", "-", "", "## What we change", "", "-", ""]
    return "\n".join(lines)


__all__ = ["write_deliverables"]
