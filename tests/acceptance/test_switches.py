"""What the level `feature` switched off is switched on again by a runbook of its own: just what was on before, no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from support.command import environment, gonogo
from support.round_trips import PLANS, lay
from support.servers import Server

from gonogo.project import ROOT

CASES = [
    pytest.param(
        "goodbuy-hq",
        "goodbuy-features-on",
        "SELECT string_agg(name, ' ' ORDER BY name) FROM subscription_plans WHERE is_active",
        "Enterprise Free Professional",
        None,
        id="goodbuy-hq",
    ),
    pytest.param(
        "event-management",
        "event-triggers-on",
        "SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal"
        " AND tgenabled <> 'D' AND tgrelid IN ('tasks'::regclass, 'orders'::regclass, 'events'::regclass)",
        "audit_changeO audit_changeO events_datesO events_touchA events_venueO events_workflowsO orders_categoryO orders_emailO"
        " orders_metricsO orders_ticketsO",
        None,
        id="event-management",
        marks=pytest.mark.long,
    ),
]


@pytest.mark.parametrize(("name", "again", "question", "on", "off"), CASES)
def test_what_was_switched_off_is_switched_on_as_it_was_and_that_can_be_rolled_back(
    name: str, again: str, question: str, on: str, off: str | None, server: Server, tmp_path: Path
) -> None:
    plan = next(plan for plan in PLANS if plan.name == name)
    url, env = lay(replace(plan, inputs=dict.fromkeys(plan.inputs, 3000)), server, tmp_path)
    book = (ROOT / "runbooks" / f"{again}.yaml").read_text(encoding="utf-8")
    (tmp_path / "runbooks" / f"{again}.yaml").write_text(
        book.replace("{database: embedded}", "{database: $TEST_URL}"), encoding="utf-8"
    )

    def does(*command: str, code: int) -> str:
        done = gonogo(*command, "--without-prefect", cwd=tmp_path, env={**environment(), **env}, timeout=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def answer() -> str | None:
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(question.encode()).fetchone()
            return row[0] if row else None

    does("run", name, "--at-once", code=0)
    if name == "event-management":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_touch")
    assert answer() == on
    assert "criterion" not in does("run", again, code=10), "nothing is switched off, so there is nothing to switch on"
    does("rollback", name, "--level", "feature", "--reason", "tried", code=11)
    assert answer() == off
    does("run", again, code=0)
    assert answer() == on
    does("rollback", again, "--reason", "tried", code=11)
    assert answer() == off
