"""Work on a run in this process: show it, send its updates, hold it on Ctrl-C, and answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from flows.control_room import find_control_room
from flows.server import server_is_set
from gonogo import signals
from gonogo.cli.files import write_report
from gonogo.cli.output import Display, as_json, say
from gonogo.cli.status import say_next
from gonogo.core.text.messages import updates
from gonogo.core.text.next_commands import next_commands
from gonogo.errors import Exit, GonogoError
from gonogo.notify.channel import ready
from gonogo.planning.open import OpenedRunbook
from gonogo.postgres.connection import Database
from gonogo.postgres.server_clock import say_skew
from gonogo.project import find_project
from gonogo.report import report
from gonogo.run import launch, loop, runs
from gonogo.run.acquire import LiveRunner, working_on
from gonogo.run.late_end import LateEnd


class InterruptedByUser(KeyboardInterrupt):
    """Somebody pressed Ctrl-C, or the process was asked to end."""


class ForegroundRun:
    """Works on a run in this process: shows it, sends its updates, holds it on Ctrl-C, and answers the exit code."""

    def __init__(self, without_prefect: bool, *, quiet: bool, patient: bool = True, hint: bool = True) -> None:
        """Get ready to work on a run.

        Args:
            without_prefect: show the run in the terminal alone.
            quiet: tell nothing but the answer, as JSON.
            patient: wait at a gate for as long as people have.
            hint: say what to type next.
        """
        self.quiet, self.patient, self.hint = quiet, patient, hint
        self.run_phase: Callable[[LiveRunner], None] = launch.run_without_ui
        self._prefect: Any = None
        self._no_server = False
        if not without_prefect:
            find_control_room(find_project())
            self._no_server = not server_is_set(Path.cwd())
        if not (without_prefect or self._no_server):
            # Prefect takes seconds to import and more to start: it does so while the plan is made
            self._prefect = threading.Thread(target=_warm_up)
            self._prefect.start()

    def work_on(
        self,
        opened: OpenedRunbook,
        database: Database,
        run_id: str,
        actor: str,
        what: Callable[[LiveRunner], None],
        *,
        take_over: bool = False,
        resumed: bool = False,
    ) -> None:
        """Become the runner of a run and do something with it; then say how it stands, and exit accordingly."""
        with (
            working_on(database, run_id, opened, actor=actor, take_over=take_over, resumed=resumed) as runner,
            self._shown(runner) as display,
        ):
            word = f", taken over by {actor} (epoch {runner.session.epoch})" if resumed else ""
            display.line(f"run {run_id} on {runner.plan.target}{word}")
            if self._no_server and not resumed:
                display.line("no Prefect server is set, so the run is shown here alone; `gonogo up` shows runs in a browser")
            if skew := say_skew(runner.target.now()):
                display.line(skew, "yellow")
            late: LateEnd | None = None
            if self._prefect is not None:
                self.run_phase = _in_prefect(self._prefect, display)
                late = LateEnd(
                    runner, lambda text: display.line(text, "yellow"), lambda: int(self._answer(opened, database, run_id))
                )
                runner.listeners.append(late.on_event)
            try:
                with _holding_on_signals(runner, display):
                    what(runner)
            except GonogoError as error:
                raise type(error)(f"{error}. When that is fixed, go on with `gonogo resume {runner.plan.arguments}`") from None
            finally:
                if late is not None:
                    late.cancel()
        raise typer.Exit(self._answer(opened, database, run_id))

    def _answer(self, opened: OpenedRunbook, database: Database, run_id: str) -> Exit:
        """Say how the run stands, and return what the process ends with."""
        with database.connect("gonogo/look") as connection:
            found = runs.find(connection, run=run_id, whole=True)
        answer(found, opened, self.quiet, "", hint=self.hint)
        return runs.exit_code(found.state)

    def _shown(self, runner: LiveRunner) -> Display:
        """Return the display that follows a run."""
        notes = None if ready(runner.plan.updates) else updates
        display = Display(runner.plan, runner.session.run, quiet=self.quiet, updates=notes)
        runner.patient = self.patient
        runner.session.say = display.line
        runner.listeners.append(display.on_event)
        for seen in runner.early:
            display.on_event(*seen)
        return display


def _warm_up() -> None:
    from flows import phase  # noqa: PLC0415 - this is the import that takes seconds

    phase.warm_up()


def _in_prefect(thread: threading.Thread, display: Display) -> Callable[[LiveRunner], None]:
    def run_phase(runner: LiveRunner) -> None:
        # what can be done before Prefect is there is done meanwhile; but a latency beside an import that takes the processor, and
        # this very interpreter, would be a baseline of a slow moment
        if not any(check.time for check in runner.plan.checks.values()):
            loop.measure_baseline(runner)
        thread.join(1)
        if thread.is_alive():
            display.line("Prefect starts, which takes some seconds; the run begins then (--without-prefect does not wait)")
            thread.join()
        try:
            from flows import phase  # noqa: PLC0415
        except Exception as error:  # noqa: BLE001 - a broken Prefect never stops a migration
            display.line(f"Prefect is not available ({error}); going on without it", "yellow")
            loop.run_until_blocked(runner)
            return
        phase.run_phase(runner, display.line)

    return run_phase


@contextmanager
def _holding_on_signals(runner: LiveRunner, display: Display) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into a clean hold."""

    def interrupt() -> None:
        raise InterruptedByUser

    with signals.heard(interrupt):
        try:
            yield
        except KeyboardInterrupt:
            signals.ignore()
            display.line("stopping: the running statement is cancelled and the run is held", "yellow")
            runner.hold_now(f"interrupted: {signals.asked_by()}")


def answer(found: runs.FoundRun, opened: OpenedRunbook, json: bool, text: str, *, hint: bool = True) -> None:
    """Say how a run stands and what to type next; write its report where it is over."""
    made = report.report(found.plan, found.events, found.run)
    if json:
        shown = {key: made[key] for key in ("run", "runbook", "target", "outcome", "cause", "done", "took")}
        as_json({**shown, "status": str(found.state.status), "exit_code": int(runs.exit_code(found.state)), "note": text})
        return
    if text:
        say(text)
        return
    code = runs.exit_code(found.state)
    style = {Exit.DONE: "bold green", Exit.ROLLED_BACK: "bold yellow", Exit.HOLDING: "bold yellow"}.get(code, "bold red")
    say(f"\n{found.plan.title} on {found.plan.target}: {made['outcome']}", style)
    if made["cause"]:
        say(f"  {made['cause']}")
    if code in (Exit.DONE, Exit.ROLLED_BACK, Exit.NO_GO):
        try:
            say(f"  report: {write_report(made, opened.project.state / 'reports', 'html')}")
        except GonogoError as error:
            say(f"  no report: {error}", "yellow")
    if hint:
        for each in next_commands(found.plan, found.state, running=found.running):
            say_next(each.command, each.when)
