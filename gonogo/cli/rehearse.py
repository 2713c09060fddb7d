"""`gonogo rehearse`: the plan, forward and back, on a restored copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gonogo import signals
from gonogo.cli.files import write_file
from gonogo.cli.options import ActorOption, InputOption, JsonOption, RunbookArg, TargetOption
from gonogo.cli.output import as_json, console, say
from gonogo.core.engine.events import Rehearsed
from gonogo.core.engine.rehearsal import GOOD
from gonogo.core.model.duration import say_duration
from gonogo.core.text.rehearsal_page import describe_blind_spot, describe_blind_spots, describe_drill, rehearsal_page
from gonogo.errors import Exit
from gonogo.planning.open import open_runbook
from gonogo.planning.planner import prepare
from gonogo.rehearsal import rehearse as rehearsal
from gonogo.run import targets
from gonogo.run.open import read_inputs

#: how many blind spots are printed; the page has them all
_SPOTS = 20


def rehearse(
    runbook: RunbookArg,
    target: TargetOption = "",
    inputs: InputOption = None,
    each_step: Annotated[bool, typer.Option("--each-step", help="Prove each step's undo separately, right after it.")] = False,
    drill: Annotated[
        bool, typer.Option("--drill", help="Also let the runner die before and after everything that it does, and go on.")
    ] = False,
    blind_spots: Annotated[
        bool, typer.Option("--blind-spots", help="Also make small things wrong, one by one, and say which no check notices.")
    ] = False,
    backup: Annotated[Path | None, typer.Option(help="A backup to rehearse on; by default a new one is taken.")] = None,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Run the plan forward and back on a restored copy, and record what that showed. The target itself is not changed.

    Example: [bold]gonogo rehearse guardian-multi-credit --target demo --each-step[/]
    """
    opened = open_runbook(runbook, target)
    prepared = prepare(opened, inputs=read_inputs(inputs or []))
    database = targets.reach(opened)
    # asked to end, it cleans up as for Ctrl-C
    with signals.heard(signals.interrupt):
        shown = rehearsal.rehearse(
            prepared,
            database,
            opened.project,
            actor=actor or targets.whoami(),
            say=(lambda _: None) if json else lambda text: say(text, "dim"),
            each_step=each_step,
            with_drill=drill,
            blind_spots=blind_spots,
            folder=backup,
        )
    file = opened.project.state / "rehearsals" / f"{prepared.plan.runbook}-{shown.at:%Y-%m-%dT%H%M%S}.md"
    write_file(file, rehearsal_page(prepared.plan.title, shown))
    if json:
        as_json(shown.model_dump(mode="json"))
    else:
        _print(shown)
        say(f"{file}")
    if shown.shortcomings:
        raise typer.Exit(Exit.NO_GO)


def _print(shown: Rehearsed) -> None:
    steps = Table("step", "its undo", "took", "locks", box=None)
    for step in shown.steps:
        steps.add_row(step.step, _colored(step.verdict), say_duration(step.took), ", ".join(step.locks))
        for notes in step.differences[:5]:
            steps.add_row("", f"  {notes}")
    levels = Table("level", "verdict", "took", box=None)
    for level in shown.levels:
        levels.add_row(level.level, _colored(level.verdict), say_duration(level.took))
        for notes in level.differences[:10]:
            levels.add_row("", f"  {notes}")
    console.print(steps)
    console.print(levels)
    if shown.drill is not None:
        say(describe_drill(shown.drill))
    if shown.blind is not None:
        say(describe_blind_spots(shown.blind))
        for spot in shown.blind.spots[:_SPOTS]:
            say(f"  {describe_blind_spot(spot)}", "dim" if spot.accepted else "yellow")
    if shown.shortcomings:
        say(f"the rehearsal failed: {shown.shortcomings}", "bold red")
    else:
        say("rehearsal passed: every rollback level restored the original state", "bold green")


def _colored(verdict: str) -> str:
    return f"[{'green' if verdict in GOOD else 'red'}]{verdict}[/]"
