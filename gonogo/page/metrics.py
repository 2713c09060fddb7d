"""Where the newest run of each runbook stands on each target, as numbers for Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gonogo.core.engine.budgets import spent
from gonogo.core.engine.forecast import fraction
from gonogo.core.engine.state import Status
from gonogo.errors import BadInput, GonogoError, Refused
from gonogo.planning.load import each_runbook
from gonogo.planning.open import OpenedRunbook
from gonogo.postgres.server_clock import server_time
from gonogo.project import Project
from gonogo.run import runs, targets
from gonogo.run.runs import FoundRun

_LABELS = ("runbook", "target", "run")


def metrics(project: Project) -> bytes:
    """Return the numbers of all runbooks of a project, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Runs(project))
    return generate_latest(registry)


class _Runs(Collector):
    """Asks each target once a scrape."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing beforehand: to know the names, every target would be asked."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the numbers."""
        up = GaugeMetricFamily("gonogo_target_up", "Whether the target's ledger could be read.", labels=("runbook", "target"))
        numbers = {
            "status": GaugeMetricFamily("gonogo_run_status", "1 for the status it has.", labels=(*_LABELS, "status")),
            "done": GaugeMetricFamily("gonogo_run_done_ratio", "How much of the planned work is done, 0 to 1.", labels=_LABELS),
            "held": GaugeMetricFamily("gonogo_run_held", "Whether it holds, for a person.", labels=_LABELS),
            "running": GaugeMetricFamily("gonogo_run_running", "Whether a process works on it.", labels=_LABELS),
            "failed": GaugeMetricFamily("gonogo_run_rollback_failed", "Whether its rollback failed.", labels=_LABELS),
            "needs": GaugeMetricFamily("gonogo_run_needs_people", "Whether nobody answered yet.", labels=_LABELS),
            "down": GaugeMetricFamily("gonogo_run_downtime_seconds", "How long the application was down for it.", labels=_LABELS),
            "last": GaugeMetricFamily("gonogo_run_last_event_timestamp_seconds", "When its newest event was.", labels=_LABELS),
        }
        for opened in _opened(self.project):
            names = (opened.name, opened.target)
            try:
                found = _newest(opened, numbers)
            except (GonogoError, psycopg.Error):
                found = False
            up.add_metric(names, float(found))
        yield up
        yield from numbers.values()


def _opened(project: Project) -> Iterator[OpenedRunbook]:
    for file, read in each_runbook(project.runbook_files):
        if not isinstance(read, BadInput):
            yield from (OpenedRunbook(runbook=read, file=file, project=project, target=target) for target in read.targets)


def _newest(opened: OpenedRunbook, numbers: dict[str, GaugeMetricFamily]) -> bool:
    """Add the numbers of the newest run on a target; say whether its ledger could be read."""
    with targets.connect_recovering(targets.reach(opened), "gonogo/page") as connection:
        try:
            found: FoundRun = runs.find(connection, runbook=opened.name)
        except Refused:
            return True  # it is there, and nothing has run on it
        now = server_time(connection)
    state, names = found.state, (opened.name, opened.target, found.run)
    for status in Status:
        numbers["status"].add_metric((*names, str(status)), float(state.status is status))
    down = spent(found.plan, state, now).get("downtime")
    values = {
        "done": fraction(found.plan, state),
        "held": bool(state.held),
        "running": found.running,
        "failed": state.rollback.failed,
        "needs": state.alarm is not None,
        "down": down.used if down else 0.0,
        "last": state.at.timestamp() if state.at else 0.0,
    }
    for name, value in values.items():
        numbers[name].add_metric(names, float(value))
    return True
