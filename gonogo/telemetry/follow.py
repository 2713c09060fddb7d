"""A run as OpenTelemetry traces and metrics, sent by OTLP over HTTP to where OTEL_EXPORTER_OTLP_ENDPOINT says.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ names the variables. What cannot be sent is said once, at the end, and
holds nobody up.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import psycopg

from gonogo.core.engine import events
from gonogo.core.engine.budgets import spent
from gonogo.core.engine.events import Event
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.forecast import fraction
from gonogo.core.engine.state import State
from gonogo.core.plan.plan import Plan
from gonogo.errors import GonogoError
from gonogo.ledger import store
from gonogo.postgres.connection import Connection, Database
from gonogo.report.watch_charts import as_number
from gonogo.telemetry.spans import Span, Spans

#: any of these says that it is wanted; OpenTelemetry's own variables
_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
#: seconds between two looks at the ledger
_EVERY = 0.5

Labels = dict[str, str]


class Exporter(Protocol):
    """What sends spans and numbers."""

    def span(self, span: Span) -> None:
        """Send a span."""

    def count(self, name: str, value: float, labels: Labels) -> None:
        """Add to a number that only grows."""

    def gauge(self, name: str, value: float, labels: Labels) -> None:
        """Set a number."""

    def seconds(self, name: str, value: float, labels: Labels) -> None:
        """Record how long something took."""

    def close(self, patience: float) -> str:
        """Send what is left, for some seconds; return why something was not sent, if it was not."""


class Telemetry(threading.Thread):
    """Follows a run's ledger and sends what it says.

    Args:
        database: the target.
        plan: the run's plan.
        run: the run.
        say: where it is said what could not be sent.
        after: the newest event of before this process: what was over by then, another one sent.
    """

    def __init__(self, database: Database, plan: Plan, run: str, say: Callable[[str], None], after: int) -> None:
        super().__init__(name="telemetry", daemon=True)
        self.database, self.plan, self.run_id, self.say = database, plan, run, say
        self._over, self._enough = threading.Event(), threading.Event()
        self._state, self._spans = State(), Spans(plan, run)
        self._labels = {"gonogo.runbook": plan.runbook, "gonogo.target": plan.target, "gonogo.run": run}
        self._head, self._failed = after, ""

    def run(self) -> None:
        """Send what is new until the run is over."""
        # it takes half a second to import, and nothing waits for it here
        exporter = cast("Exporter", import_module("gonogo.telemetry.otlp").Otlp())
        while not self._enough.is_set():
            with suppress(psycopg.Error, GonogoError), self.database.connect("gonogo/look") as connection:
                while not self._enough.is_set():
                    last = self._over.is_set()
                    self._catch_up(connection, exporter)
                    if last:
                        self._failed = exporter.close(5.0)
                        return
                    self._over.wait(_EVERY)
            self._enough.wait(1.0)

    def _catch_up(self, connection: Connection, exporter: Exporter) -> None:
        new = list(store.read(connection, self.run_id, self._state.seq))
        for event in new:
            before, self._state = self._state, evolve(self._state, event)
            over = self._spans.take_in(before, event, self._state)
            if event.seq > self._head:
                for span in over:
                    exporter.span(span)
                self._count(event, exporter)
        if new:
            down = spent(self.plan, self._state, new[-1].at).get("downtime")
            exporter.gauge("gonogo.run.done", fraction(self.plan, self._state), self._labels)
            exporter.gauge("gonogo.run.held", float(bool(self._state.held)), self._labels)
            exporter.gauge("gonogo.run.downtime", down.used if down else 0.0, self._labels)

    def _count(self, event: Event, exporter: Exporter) -> None:
        """Send the numbers of one event."""
        body, labels = event.body, self._labels
        if isinstance(body, events.BatchDone):
            exporter.count("gonogo.backfill.rows", body.rows, {**labels, "gonogo.step": self.plan.steps[body.step].name})
        elif isinstance(body, events.ScriptDone) and body.took is not None:
            exporter.seconds("gonogo.script.duration", body.took, {**labels, "gonogo.step": self.plan.steps[body.step].name})
        elif isinstance(body, events.Sampled):
            for name, sampled in body.samples.items():
                if (value := as_number(sampled.value)) is not None:
                    exporter.gauge("gonogo.watch.value", value, {**labels, "gonogo.check": name})
        elif isinstance(body, events.Held | events.HoldAsked):
            exporter.count("gonogo.holds", 1, labels)

    def end_soon(self) -> None:
        """Let it end once it has sent what is left."""
        self._over.set()

    def finish(self, patience: float = 15.0) -> None:
        """Let it send what is left, for some seconds at most, and say what was not sent."""
        self.end_soon()
        if self.is_alive():
            self.join(timeout=patience)
        self._enough.set()
        if self._failed or self.is_alive():
            self.say(f"traces and metrics were not all sent: {self._failed or 'it takes too long'}")


def telemetry(database: Database, plan: Plan, run: str, say: Callable[[str], None], after: int = 0) -> list[Telemetry]:
    """Return what sends a run's traces and metrics, where the environment asks for it; the arguments are those of `Telemetry`."""
    if not any(os.environ.get(name) for name in _WANTED) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return []
    try:
        # a name with dots imports what it lies in, and the API is there without the rest
        there = find_spec("opentelemetry.sdk") and find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        there = None
    if not there:
        say("OTEL_EXPORTER_OTLP_... asks for traces and metrics, and what sends them is missing: pip install 'gonogo[otel]'")
        return []
    return [Telemetry(database, plan, run, say, after)]
