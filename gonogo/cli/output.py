"""What the command line prints: tables and a live view on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gonogo import clock
from gonogo.core.engine.events import Event, Sampled
from gonogo.core.engine.forecast import Row, fraction
from gonogo.core.engine.state import State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedPhase, PlannedStep
from gonogo.core.text import plain
from gonogo.core.text.log import log_line
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import clean, indented, unmarked
from gonogo.core.text.plan_page import rollback_lines
from gonogo.core.text.steps import describe_step
from gonogo.core.text.times import clock as clock_time
from gonogo.errors import BadInput, GonogoError, Problem

_TTY = sys.stdout.isatty()
console = Console(width=None if _TTY else 160, highlight=False, soft_wrap=not _TTY)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)
#: characters that stand beside the bar
_WIDEST = 120
#: how many sources, or locks, of a step are named
_FEW = 3
_LOUD = (
    "ASKED",
    "GO",
    "NO-GO",
    "TRIPPED",
    "FAILED",
    "VERIFY FAILED",
    "HOLDING",
    "ROLLED BACK",
    "PHASE ROLLED BACK",
    "ROLLBACK FAILED",
    "ROLLBACK NOT PROVED",
    "DONE",
)
_STYLE = {
    "ASKED": "bold cyan",
    "GO": "bold green",
    "DONE": "bold green",
    "ROLLED BACK": "bold yellow",
    "PHASE ROLLED BACK": "bold yellow",
}


def complain(error: GonogoError) -> None:
    """Tell what stops gonogo: each problem on its own; to a script that asked for JSON, as JSON too."""
    problems: Sequence[object] = error.problems if isinstance(error, BadInput) else [error]
    if "--json" in sys.argv[1:]:
        kind = "bad input" if isinstance(error, BadInput) else "refused"
        as_json({"error": kind, "problems": [_as_problem(each) for each in problems], "exit_code": int(error.exit)})
    for problem in problems:
        stderr.print(f"[bold red]gonogo:[/] {escape(clean(problem))}")
    if len(problems) > 1:
        stderr.print(f"[bold red]gonogo:[/] {len(problems)} problems; nothing was touched")


def _as_problem(problem: object) -> dict[str, Any]:
    """Return what a script reads of a problem: what people read, and its place where it has one."""
    place = vars(problem) if isinstance(problem, Problem) else {}
    return {"says": clean(problem), **{key: value for key, value in place.items() if value and key != "message"}}


def say(text: str = "", style: str = "") -> None:
    """Print a line."""
    console.print(Text(clean(text), style=style))


def as_json(made: object) -> None:
    """Print data for a script."""
    sys.stdout.write(plain.as_json(made) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(clean(cell)) for cell in row))
    console.print(made)


def plan_table(plan: Plan) -> None:
    """Print a plan: its tasks on the clock, with their steps and their rollback."""
    zone = ZoneInfo(plan.zone)
    if plan.risk:
        say(f"risk {plan.risk.level}: {plan.risk.why}\n")
    for number, phase in enumerate(plan.phases):
        rows = []
        for task in plan.tasks:
            if task.phase != number:
                continue
            span = f"{task.start.astimezone(zone):%H:%M} to {task.end.astimezone(zone):%H:%M}"
            takes = say_duration(task.takes) if task.takes else "-"
            rows.append([span, takes, task.title, task.owner or "-", ""])
            rows += [["", "", "", " ".join(task.about.split()), ""]] if task.about else []
            for step in plan.steps[task.first : task.last + 1]:
                rows.append(["", "", f"  {step.name.split('.', 1)[1]}", _what(step), _way_back(step)])
        title = f"{phase.title}: {phase.start.astimezone(zone):%Y-%m-%d %H:%M %Z} to {phase.end.astimezone(zone):%H:%M %Z}"
        table(title, ["clock", "takes", "task", "owner / does", "rollback"], rows)
        say(f"  gate: {_gate(phase)}")
        say(f"  verify: {', '.join(phase.verify) or 'nothing'}")
        watched = f"{', '.join(phase.watch)} every {say_duration(phase.every)}, soak {say_duration(phase.soak)}"
        say(f"  watch: {watched if phase.watch else 'nothing'}\n")
    for line in rollback_lines(plan):
        say(f"  {line.removeprefix('- ').replace('**', '')}")
    say("")


def _gate(phase: PlannedPhase) -> str:
    parts = [", ".join(phase.go_if)] if phase.go_if else []
    if phase.before:
        parts.append(f"{', '.join(item.item for item in phase.before)} confirmed")
    if rule := phase.approve:
        excluded = ", not the launcher" if rule.not_launcher else ""
        parts.append(f"{rule.quorum} of {', '.join(rule.roles)} say go within {say_duration(rule.within)}{excluded}")
    return "; ".join(parts) or "always go"


def _what(step: PlannedStep) -> str:
    notes = describe_step(step, _FEW, bare=not step.row.external)
    locks = list(dict.fromkeys(lock for script in step.scripts for lock in script.locks if not lock.startswith("ROW")))
    return notes + (f"; locks {', '.join(locks[:_FEW])}{' ...' if len(locks) > _FEW else ''}" if locks else "")


def _way_back(step: PlannedStep) -> str:
    if step.undo is None:
        return "NONE"
    return ", ".join(dict.fromkeys(s.source.rsplit("/", 1)[-1] for s in step.undo[:3])) or "nothing to undo"


def schedule_table(plan: Plan, rows: Sequence[Row]) -> None:
    """Print planned beside actual or expected times."""
    zone = ZoneInfo(plan.zone)

    def span(start: datetime | None, end: datetime | None) -> str:
        if start is None:
            return ""
        return f"{_moment(start, plan.start, zone)} to {_moment(end, start, zone) if end is not None else '-'}"

    table(
        f"Schedule ({plan.zone})",
        ["task", "planned", "actual or expected", ""],
        [[plan.task(r.task).title, span(r.planned_start, r.planned_end), span(r.start, r.end), r.says] for r in rows],
    )


def _moment(when: datetime, beside: datetime, zone: ZoneInfo) -> str:
    """Write a time of day, with its day where that is another one than that of what stands before it."""
    local = when.astimezone(zone)
    day = f"{local:%Y-%m-%d} " if local.date() != beside.astimezone(zone).date() else ""
    return f"{day}{local:%H:%M:%S}"


class Display:
    """Follows a run: a bar and the story on a terminal, the story alone in a pipe."""

    def __init__(self, plan: Plan, run: str, *, quiet: bool = False, updates: Callable[..., list[Update]] | None = None) -> None:
        self.plan, self.run, self.quiet, self.updates = plan, run, quiet, updates
        self._progress: Progress | None = None
        self._bar: Any = None

    def __enter__(self) -> Self:
        if _TTY and not self.quiet:
            self._progress = Progress(
                TextColumn("[bold]{task.fields[status]}"),
                BarColumn(bar_width=40),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[now]}"),
                console=console,
                transient=True,
            )
            self._progress.start()
            self._bar = self._progress.add_task("run", total=1.0, status="ready", now="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def on_event(self, before: State, event: Event, after: State) -> None:
        """Show an event."""
        if self._progress is not None:
            now = self._now(event, after)
            status = "holding" if after.held else str(after.status)
            self._progress.update(self._bar, completed=fraction(self.plan, after), status=status, now=now)
        line = log_line(self.plan, before, event, after)
        if line and not self.quiet:
            self.line(line)
        for update in self.updates(self.plan, before, event, after, self.run) if self.updates else []:
            # what a line of the story says already is not said twice
            if not update.root and not (line and update.key in (str(event.seq), f"{event.seq}:go")):
                self.line(f"  update: {unmarked(update.text)}", "dim")

    def _now(self, event: Event, after: State) -> str:
        """Say what is under way: the task and its rows; in a soak the newest sample, and how long it still lasts."""
        if after.status is Status.WORKING and after.work.step < len(self.plan.steps):
            task = self.plan.task(self.plan.steps[after.work.step].task).title
            of = f" of about {after.work.of:,}" if after.work.of else ""
            return f"{task}: {after.work.rows:,}{of} rows" if after.work.cursor is not None else task
        if after.status is not Status.SOAKING or after.soak_from is None:
            return ""
        left = after.soak_from + self.plan.phases[after.phase].soak - event.at
        samples = event.body.samples if isinstance(event.body, Sampled) else {}
        notes = [f"{say_duration(max(left, timedelta(0)))} left", *(f"{name}: {sample.says}" for name, sample in samples.items())]
        return clean("; ".join(notes))[:_WIDEST]

    def line(self, text: str, style: str = "") -> None:
        """Print a line of the story with its clock time."""
        if self.quiet:
            return
        first = text.split(":", 1)[0]
        style = style or (_STYLE.get(first, "bold red") if first in _LOUD else "")
        stamp = Text(f"{clock_time(clock.now(), self.plan.zone)[:5]}:{clock.now():%S}  ", style="dim")
        console.print(stamp + Text(indented(clean(text), 10), style=style))
