"""`gonogo rehearse`: the plan, forward and back, on a restored copy."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from gonogo.cli.output import as_json, console, say
from gonogo.cli.status import write_file
from gonogo.core.engine.rehearsal import GOOD
from gonogo.core.model.duration import say_duration
from gonogo.core.text.rehearsal_page import rehearsal_page
from gonogo.errors import Exit
from gonogo.run import targets
from gonogo.run.open import open_runbook, read_inputs


def rehearse(
    name: str, target: str, inputs: Sequence[str], *, each_step: bool, backup: Path | None, actor: str, json: bool
) -> None:
    """Rehearse a plan, and say what that showed."""
    from gonogo.planning.planner import prepare  # noqa: PLC0415
    from gonogo.rehearsal import rehearse as rehearsing  # noqa: PLC0415 - what runs a plan is imported where one runs

    opened = open_runbook(name)
    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=read_inputs(inputs))
    database = targets.reach(opened.runbook, opened.project, target)
    # asked to end, it cleans up as for Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    evidence = rehearsing.rehearse(
        prepared,
        database,
        opened.project,
        actor=actor or targets.whoami(),
        say=(lambda _: None) if json else lambda text: say(text, "dim"),
        each_step=each_step,
        folder=backup,
    )
    file = opened.project.state / "rehearsals" / f"{prepared.plan.runbook}-{evidence['at'][:19].replace(':', '')}.md"
    write_file(file, rehearsal_page(prepared.plan.title, evidence))
    if json:
        as_json(evidence)
    else:
        _print(evidence)
        say(f"{file}")
    if evidence["shortcomings"]:
        raise typer.Exit(Exit.NO_GO)


def _print(evidence: dict[str, object]) -> None:
    steps = Table("step", "its undo", "took", "locks", box=None)
    for step in evidence["steps"]:  # type: ignore[attr-defined]
        steps.add_row(step["step"], _colored(step["verdict"]), say_duration(step["took"]), ", ".join(step["locks"]))
        for told in step["differences"][:5]:
            steps.add_row("", f"  {told}")
    next_commands = Table("way back", "verdict", "took", box=None)
    for level in evidence["levels"]:  # type: ignore[attr-defined]
        next_commands.add_row(level["level"], _colored(level["verdict"]), say_duration(level["took"]))
        for told in level["differences"][:10]:
            next_commands.add_row("", f"  {told}")
    console.print(steps)
    console.print(next_commands)
    if evidence["shortcomings"]:
        say(f"rehearsed, and it does not stand: {evidence['shortcomings']}", "bold red")
    else:
        say("rehearsed: forward, and back by every way, to what there was", "bold green")


def _colored(verdict: str) -> str:
    return f"[{'green' if verdict in GOOD else 'red'}]{verdict}[/]"
