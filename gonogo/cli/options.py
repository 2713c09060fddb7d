"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

RunbookArg = Annotated[str, typer.Argument(help="A runbook: its name in runbooks/, or a path.", show_default=False)]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="One of the runbook's targets; its first by default.")]
RunOption = Annotated[str, typer.Option("--run", help="A run by its id; the runbook's newest by default.")]
InputOption = Annotated[list[str] | None, typer.Option("--input", "-i", help="An input, as NAME=VALUE; the value is YAML.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why (shown in the report).")]
ActorOption = Annotated[str, typer.Option("--as", help="Who says so; by default you, on this machine.")]
RunbookOrRunArg = Annotated[str, typer.Argument(help="A runbook, or a run by its id.", show_default=False)]
GateArg = Annotated[str, typer.Argument(help="The phase whose gate it is; by default the one that waits.")]
PersonOption = Annotated[str, typer.Option("--as", help="Who you are: a name in `people:` of the runbook.", show_default=False)]
CodeOption = Annotated[str, typer.Option("--code", help="Your one-time code; asked for on a terminal where it is needed.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not wait at a gate for people: exit 4; go on with `resume`.")]
CommentOption = Annotated[str, typer.Option("--comment", "-c", help="Why (shown in the report).")]
PlainOption = Annotated[bool, typer.Option("--without-prefect", help="Run the same loop in plain Python.")]
TakeOverOption = Annotated[bool, typer.Option("--take-over", help="End a runner that is lost but still holds the target.")]
