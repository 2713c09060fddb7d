"""A run as OpenTelemetry's traces and metrics, in a collector that speaks the real protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.collector import Collector, collecting
from support.command import environment, gonogo

from gonogo.telemetry import follow as module

Make = Callable[..., Path]
BOOK = """
runbook: book
title: Orders get a status
targets: {main: {database: $TEST_URL}}
phases:
  - phase: expand
    title: Add the column
    gate: {go_if: [there]}
    tasks:
      - {task: column, title: Add the column, takes: 1m, steps: [{sql: column.sql, undo: column.undo.sql}]}
      - task: fill
        title: Fill it
        takes: 1m
        steps: [{backfill: {sql: fill.sql.j2, table: orders, key: id, batch: 400, pace: {mode: flat out}}, undo: nothing}]
    verify: [there]
    watch: [odd]
    every: 200ms
    soak: 1s
checks:
  there: {query: SELECT count(*) FROM orders, expect: "= 1000"}
  odd: {query: SELECT count(*) FROM orders WHERE total < 0, roll_back_if: "> 3"}
"""
FILL = "UPDATE orders SET status = 'new'{} WHERE {{{{ batch_of('orders') }}}};\n"
ORDERS = (
    "CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL); INSERT INTO orders SELECT n, 9 FROM generate_series(1, 1000) n"
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def run(make_project: Make, url: str, collector: Collector) -> Callable[..., str]:
    """Run it, with what is filled in; return what it said."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ORDERS)

    def start(fill: str = "", code: int = 0, **env: str) -> str:
        column, undo = "ALTER TABLE orders ADD status text;\n", "ALTER TABLE orders DROP status;\n"
        folder = make_project(BOOK, column__sql=column, column__undo__sql=undo, fill__sql__j2=FILL.format(fill))
        known = environment(TEST_URL=url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **env)
        known = {key: value for key, value in known.items() if "proxy" not in key.lower()}
        done = gonogo("run", "book", "--without-prefect", cwd=folder, env=known)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    return start


def tree(collector: Collector) -> dict[str, str]:
    """Each span by its name, with the name of the one that it lies in."""
    by_id = {span.span_id: span.name for span in collector.spans}
    return {span.name: by_id.get(span.parent_span_id, "") for span in collector.spans}


def test_a_run_is_a_trace_and_its_numbers_are_metrics(run: Callable[..., str], collector: Collector) -> None:
    said = run(OTEL_EXPORTER_OTLP_HEADERS="x-api-key=canary-of-a-collector")
    assert "not all sent" not in said
    assert "canary" not in said
    assert tree(collector) == {
        "gate": "gonogo book",
        "column.1": "Add the column",
        "Add the column": "gonogo book",
        "fill.1": "Fill it",
        "Fill it": "gonogo book",
        "verify": "gonogo book",
        "watch": "gonogo book",
        "gonogo book": "",
    }
    assert len({span.trace_id for span in collector.spans}) == 1
    assert all(span.status.code == 1 for span in collector.spans)
    attributes = {a.key: a.value.string_value for span in collector.spans if span.name == "gonogo book" for a in span.attributes}
    assert attributes["gonogo.runbook"] == "book"
    assert attributes["gonogo.outcome"] == "run done"
    (rows,) = collector.metrics["gonogo.backfill.rows"].sum.data_points
    assert rows.as_int == 1000
    (done,) = collector.metrics["gonogo.run.done"].gauge.data_points
    assert done.as_double == 1.0
    assert {"gonogo.run.held", "gonogo.run.downtime", "gonogo.watch.value"} <= set(collector.metrics)
    assert all("canary-of-a-collector" in headers for headers in collector.headers)


def test_a_rollback_is_a_span_and_the_trace_says_why(run: Callable[..., str], collector: Collector) -> None:
    run(fill=", total = -1", code=11)
    found = tree(collector)
    assert found["rollback"] == "gonogo book"
    assert found["undo column.1"] == "rollback"
    (whole,) = [span for span in collector.spans if span.name == "gonogo book"]
    assert whole.status.code == 2
    assert "odd" in whole.status.message
    assert "tripped" in [event.name for event in whole.events]


def test_a_collector_that_takes_nothing_costs_a_line_and_no_run(run: Callable[..., str], collector: Collector) -> None:
    collector.status = 400
    assert "traces and metrics were not all sent: the collector did not take them" in run()


def test_without_the_extra_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    said: list[str] = []
    assert module.telemetry(None, None, "r", said.append) == []  # type: ignore[arg-type]
    assert said == [
        "OTEL_EXPORTER_OTLP_... asks for traces and metrics, and what sends them is missing: pip install 'gonogo[otel]'"
    ]
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert module.telemetry(None, None, "r", said.append) == []  # type: ignore[arg-type]
    assert len(said) == 1
