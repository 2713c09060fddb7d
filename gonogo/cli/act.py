"""Commands that change a target: run, resume, hold, abort, rollback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from flows import launch
from flows.loop import Conductor, embark
from gonogo import ledger
from gonogo import report as reports
from gonogo.cli.look import next_command, write_reports
from gonogo.cli.opening import Opened, found_run, open_runbook, read_inputs
from gonogo.cli.show import Display, as_json, say
from gonogo.core.event import Kind
from gonogo.core.message import updates
from gonogo.core.state import State, Status, outcome
from gonogo.database import Database, identify
from gonogo.errors import Exit, GonogoError, Refused
from gonogo.loader import choose_target
from gonogo.planning import prepare, sources_of
from gonogo.updates import Sender, token


class Interrupted(KeyboardInterrupt):
    """Somebody pressed Ctrl-C, or the process was asked to end."""


def run(
    name: str, target: str, phase: str, inputs: Sequence[str], at_once: bool, again: bool, plainly: bool, actor: str, json: bool
) -> None:
    """Launch a run, or its next phases."""
    opened = open_runbook(name)
    chosen, given = choose_target(opened.runbook, target), read_inputs(inputs)
    _refuse_protected(opened, chosen)
    database = launch.reach(opened.runbook, opened.project, target)
    who = actor or launch.whoami()
    if not again and (done := _done_already(opened, database, chosen, given, at_once)):
        if json:
            as_json({"run": done, "runbook": opened.runbook.runbook, "target": chosen, "status": "done", "exit_code": 0})
        else:
            say(f"nothing is left to do: {done} did this already; --again runs it anew")
        return
    carrier = Carrier(plainly, quiet=json)
    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=given, at_once=at_once)
    with database.connect("gonogo/begin") as connection:
        run_id, found = launch.begin(connection, prepared, who, again=again)
        count = launch.phases_to_do(prepared.plan, found.state if found else State(), phase)
    carrier.carry(opened, database, run_id, who, lambda c: launch.go(c, count, carrier.flow))


def _refuse_protected(opened: Opened, target: str) -> None:
    if opened.runbook.targets[target].protected:
        raise Refused(
            f"the target {target!r} is protected: a run on it needs approvals, a proved backup and a rehearsal,"
            " which this version of gonogo cannot take yet. It refuses rather than run without them"
        )


def _done_already(opened: Opened, database: Database, target: str, inputs: dict[str, Any], at_once: bool) -> str:
    """Return the run that did this already, from these very files; nothing is planned to find out."""
    with database.connect("gonogo/begin") as connection:
        identify(connection)
        run_id, made_from = launch.newest_done(connection, opened.runbook.runbook)
    if not run_id:
        return ""
    sources = sources_of(opened.runbook, opened.file, opened.project, target=target, inputs=inputs, at_once=at_once)
    return run_id if sources == made_from else ""


def resume(name: str, target: str, run_id: str, take_over: bool, plainly: bool, actor: str, json: bool) -> None:
    """Carry a run on."""
    carrier = Carrier(plainly, quiet=json)
    with found_run(name, target, run_id) as (opened, database, _, found):
        if found.state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            answer(found, opened, json, f"nothing to resume: the run {found.run} is over ({found.state.status})")
            raise typer.Exit(launch.exit_code(found.state))
        if found.state.status is Status.READY and not found.state.held:
            raise Refused(f"the run {found.run} waits for its next phase; launch it with `gonogo run {name}`")
    who = actor or launch.whoami()
    carrier.carry(
        opened,
        database,
        found.run,
        who,
        lambda c: launch.go_on(c, found.events, carrier.flow),
        take_over=take_over,
        resumed=True,
    )


def hold(name: str, target: str, run_id: str, reason: str, actor: str) -> None:
    """Ask a run to stop before its next step."""
    with found_run(name, target, run_id) as (_, database, connection, found):
        if found.state.at_rest:
            raise Refused(f"the run {found.run} is at rest already ({outcome(found.state)})")
        launch.request(database, found, Kind.HOLD, reason, actor or launch.whoami())
        say(f"asked {found.run} to hold before its next step")
        if not ledger.holder_alive(connection, found.run):
            say("no process carries it now; it stays held until `gonogo resume`")


def turn_back(
    word: str, name: str, target: str, run_id: str, reason: str, take_over: bool, plainly: bool, actor: str, json: bool
) -> None:
    """Roll a run back; where a process carries it, that process does."""
    carrier = Carrier(plainly, quiet=json)
    kind = Kind(word)
    who = actor or launch.whoami()
    with found_run(name, target, run_id) as (opened, database, _, found):
        _refuse_where_over(kind, found)
        if found.carried and not take_over:
            launch.request(database, found, kind, reason, who)
            say(f"asked {found.run} to {word}; it does so when its running step ends: gonogo status {name} --watch")
            return

    def back(conductor: Conductor) -> None:
        if conductor.state.status not in (Status.ROLLING_BACK, Status.PROVING):
            conductor.append(kind, {"why": reason} if reason else {})
        elif conductor.state.held:
            conductor.append(Kind.RESUME)
        carrier.flow(conductor)

    carrier.carry(opened, database, found.run, who, back, take_over=take_over, resumed=True)


def _refuse_where_over(kind: Kind, found: launch.Found) -> None:
    state = found.state
    nothing_done = state.status is Status.NO_GO and not state.changed
    if state.status is Status.ROLLED_BACK or nothing_done or (state.status is Status.DONE and kind is Kind.ABORT):
        hint = "; `gonogo rollback` turns it back" if state.status is Status.DONE else ""
        raise Refused(f"the run {found.run} is over ({state.status}), so there is nothing to {kind}{hint}")


class Carrier:
    """Carries a run in this process: shows it, sends its updates, holds it on Ctrl-C, and answers the exit code."""

    def __init__(self, plainly: bool, *, quiet: bool) -> None:
        self.quiet = quiet
        self.flow: launch.Carry = launch.carry_plainly
        self._prefect: Any = None
        if not plainly:
            # Prefect takes seconds to import and more to start: it does so while the plan is made
            self._prefect = threading.Thread(target=_warm_up, daemon=True)
            self._prefect.start()

    def carry(
        self,
        opened: Opened,
        database: Database,
        run_id: str,
        actor: str,
        what: Callable[[Conductor], None],
        *,
        take_over: bool = False,
        resumed: bool = False,
    ) -> None:
        """Become the runner of a run and do something with it; then say how it stands, and exit accordingly."""
        conductor = embark(database, run_id, actor=actor, take_over=take_over, resumed=resumed)
        slack = bool(conductor.plan.updates.slack and token())
        display = Display(conductor.plan, run_id, quiet=self.quiet, updates=None if slack else updates)
        conductor.session.say = display.line
        conductor.listeners.append(display.hear)
        sender = Sender(database, conductor.plan, run_id, display.line) if slack else None
        display.line(f"run {run_id} on {conductor.plan.target}")
        try:
            with display, _holding_on_signals(conductor, display):
                if self._prefect is not None:
                    self.flow = _prefect_carry(self._prefect, display)
                if sender:
                    sender.start()
                what(conductor)
        finally:
            if sender:
                sender.finish()
            conductor.close()
        with database.connect("gonogo/look") as connection:
            found = launch.find(connection, run=run_id)
        answer(found, opened, self.quiet, "")
        raise typer.Exit(launch.exit_code(found.state))


def _warm_up() -> None:
    from flows import phase  # noqa: PLC0415 - this is the import that takes seconds

    phase.warm_up()


def _prefect_carry(thread: threading.Thread, display: Display) -> launch.Carry:
    def carry(conductor: Conductor) -> None:
        # what can be done before Prefect is there is done meanwhile
        conductor.measure_baseline()
        thread.join()
        try:
            from flows import phase  # noqa: PLC0415
        except Exception as error:  # noqa: BLE001 - a broken Prefect never stops a migration
            display.line(f"Prefect is out ({error}); going on without it", "yellow")
            conductor.pursue()
            return
        phase.carry(conductor, display.line)

    return carry


@contextmanager
def _holding_on_signals(conductor: Conductor, display: Display) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a clean hold."""

    def interrupt(*_: int | FrameType | None) -> None:
        raise Interrupted

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        for number in former:
            signal.signal(number, signal.SIG_IGN)
        display.line("stopping: the running statement is cancelled and the run is held", "yellow")
        _hold_now(conductor)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _hold_now(conductor: Conductor) -> None:
    session = conductor.session
    conductor.end_watch()
    session.reconnect()
    conductor.catch_up()
    if not conductor.state.at_rest:
        conductor.append(Kind.HELD, {"why": "interrupted (Ctrl-C or SIGTERM)"})


def answer(found: launch.Found, opened: Opened, json: bool, text: str) -> None:
    """Say how a run stands and what to type next; write its report where it is over."""
    made = reports.report(found.plan, found.events, found.run)
    if json:
        shown = {key: made[key] for key in ("run", "runbook", "target", "outcome", "cause", "done", "took")}
        as_json({**shown, "status": str(found.state.status), "exit_code": int(launch.exit_code(found.state)), "note": text})
        return
    if text:
        say(text)
        return
    code = launch.exit_code(found.state)
    style = {Exit.DONE: "bold green", Exit.ROLLED_BACK: "bold yellow", Exit.HOLDING: "bold yellow"}.get(code, "bold red")
    say(f"\n{found.plan.title} on {found.plan.target}: {made['outcome']}", style)
    if made["cause"]:
        say(f"  {made['cause']}")
    if code in (Exit.DONE, Exit.ROLLED_BACK, Exit.NO_GO):
        try:
            say(f"  report: {write_reports(made, opened.project.state / 'reports')[1]}")
        except GonogoError as error:
            say(f"  no report: {error}", "yellow")
    say(f"  next: {next_command(found)}")
