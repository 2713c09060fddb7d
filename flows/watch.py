"""The watch: checks sampled on a connection and a thread of their own while a phase runs and soaks.

It judges by k of n. When it trips it records that first, and then cancels the running statement at once;
it does not wait for the step.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

import checks
from flows.judging import PASSED
from gonogo import clock, ledger
from gonogo.core.event import Event, Kind
from gonogo.core.plan import PlannedPhase
from gonogo.core.verdict import Judgement, Measurement, Verdict, judge, trips
from gonogo.database import Connection
from gonogo.errors import Fenced, GonogoError
from gonogo.script import Session

#: how many times as long as it asked it rests
_REST = 1.0


class Watch(threading.Thread):
    """Samples a phase's watched checks until it is stopped or trips."""

    def __init__(
        self,
        session: Session,
        phase: PlannedPhase,
        baseline: Mapping[str, Measurement],
        around: checks.Around,
        past_return: Callable[[], str],
    ) -> None:
        super().__init__(name=f"watch {phase.name}", daemon=True)
        self.session, self.phase, self.baseline, self.around = session, phase, baseline, around
        #: says which point of no return is passed, after which it can only hold and tell
        self.past_return = past_return
        self.over = threading.Event()
        #: why it ended by itself without a trip; the loop holds the run for it
        self.died = ""
        self._breaches: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=1000))
        self._blanks: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=1000))
        #: what was told already, until it is well again
        self._told: set[str] = set()

    def run(self) -> None:
        """Take samples at the phase's interval."""
        try:
            while not self.over.is_set():
                try:
                    with self.session.database.connect(f"{self.session.name}/watch") as connection:
                        self._sample_until_over(connection)
                except psycopg.OperationalError as error:
                    # the target may be restarting: the watch comes back as the runner does
                    self.session.say(f"the watch lost its connection: {str(error).strip()}")
                    self.over.wait(0.5)
        except Fenced:
            return
        except (GonogoError, psycopg.Error) as error:
            self.died = str(error).strip()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self.over.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(timeout=30)

    def _sample_until_over(self, connection: Connection) -> None:
        every = self.phase.every.total_seconds()
        due = clock.monotonic()
        while not self.over.wait(max(0.0, due - clock.monotonic())):
            began = clock.monotonic()
            samples = {name: self._ask(connection, name) for name in self.phase.watch}
            body = {"phase": self.phase.name, "samples": {name: _brief(m, j) for name, (m, j) in samples.items()}}
            self._record(connection, Kind.SAMPLE, body)
            for measured, judged in samples.values():
                if self._act(connection, measured, judged):
                    return
            ended = clock.monotonic()
            # it must not become the load that it measures: it rests at least so many times as long as it asked
            due = max(due + every, ended + _REST * (ended - began))

    def _ask(self, connection: Connection, name: str) -> tuple[Measurement, Judgement]:
        plan, check = self.session.plan, self.session.plan.checks[name]
        before = self.baseline.get(name)
        measured = checks.measure(plan, name, self.around, connection, before)
        if check.breach is None:  # the loader refuses a watched check without one
            return measured, Judgement(check=name, verdict=Verdict.INCONCLUSIVE, sentence="it has no roll_back_if")
        return measured, judge(check.breach, measured, before, at_least=check.least, surely=True)

    def _act(self, connection: Connection, measured: Measurement, judged: Judgement) -> bool:
        """Trip, hold or go on; say whether the watch is over."""
        name, check = judged.check, self.session.plan.checks[judged.check]
        rule = check.breach
        if rule is None:
            return False
        blank = judged.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR)
        self._blanks[name].append(blank)
        if not blank:
            # a blank is neither a breach nor its absence
            self._breaches[name].append(judged.verdict is Verdict.PASS)
        if trips(rule, list(self._breaches[name])) and judged.verdict is Verdict.PASS:
            often = f", {rule.k} of {rule.n} samples" if rule.n > 1 else ""
            names = f" ({'; '.join(measured.told[:3])})" if measured.told else ""
            return self._trip(connection, name, f"{name}: {judged.sentence}{often}{names}")
        if not any(list(self._breaches[name])[-rule.n :]):
            self._told.discard(name)
        if trips(rule, list(self._blanks[name])) and blank and check.no_data != "ignore":
            why = f"{name} gives no data: {judged.sentence}"
            if check.no_data == "roll back":
                return self._trip(connection, name, why)
            self._record(connection, Kind.HELD, {"why": why})
            self.over.set()
            return True
        return False

    def _trip(self, connection: Connection, name: str, why: str) -> bool:
        """Do what the runbook says of a trip: turn back, hold, or tell; past the point of no return it only holds or tells."""
        then, passed = self.session.plan.checks[name].then, self.past_return()
        if self.phase.would_trip or then == "tell":
            if name not in self._told:
                self._told.add(name)
                what = then if self.phase.would_trip else "tell"
                self._record(connection, Kind.WOULD_TRIP, {"why": why, "check": name, "then": what})
            return False
        if then == "hold" or passed:
            self._record(connection, Kind.HELD, {"why": f"{why}; {PASSED.format(passed)}" if passed else why, "check": name})
        else:
            self._record(connection, Kind.TRIPPED, {"why": why, "check": name})
            self.session.stop(connection)
        self.over.set()
        return True

    def _record(self, connection: Connection, kind: Kind, body: Mapping[str, Any]) -> Event:
        session = self.session
        return ledger.append_fenced(connection, session.run, session.epoch, kind, body, "watch")


def _brief(measured: Measurement, judged: Judgement) -> dict[str, str]:
    value = measured.numbers.get("p95") or measured.numbers.get("value") or ""
    return {"value": value, "verdict": "breach" if judged.verdict is Verdict.PASS else judged.verdict, "says": judged.sentence}
