"""Alerts and escalation on a real database, told in Slack: each once, in its channel, and again where Slack did not take it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.slack_server import BROKEN, TOKEN, SlackServer

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
updates: {slack: "#release", escalate: [{after: 0m, to: [lead]}, {after: 1h, to: [boss]}], contacts: {business: boss}}
people:
  lead: {name: Lead, roles: [technical_lead], slack: U0LEAD}
  boss: {name: Boss, roles: [owner], slack: U0BOSS}
phases:
  - phase: one
    tasks: [{task: work, steps: [{step: change, sql: a.sql, undo: nothing}, {step: look, check: [errors]}]}]
    on_failure: hold
checks:
  errors: {query: "SELECT count(*) FROM error", concerns: business, expect: "= 0"}
  connections: {activity: connections, expect: "< 80%"}
  revenue: {query: "SELECT 4", expect: ">= 5"}
monitor:
  every: 10s
  alerts:
    - {alert: webhooks, check: errors, when: "> 10", to: [technical_lead], channel: "#finance"}
    - {alert: nobody-buys, check: revenue, when: "< 5 in 2 of 3", channel: "#marketing"}
    - {alert: crowded, check: connections, when: "> 80%", channel: "#devops"}
"""

TAKE = "gonogo ack book webhooks --target db --as PERSON"


class Desk:
    """A project whose target has errors, and a Slack beside it."""

    def __init__(self, make: Make, url: str, slack: SlackServer) -> None:
        self.url, self.slack = url, slack
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE error (at timestamptz DEFAULT now())")
        self.project = make(BOOK, a__sql="SELECT 1;\n")

    def errors(self, count: int) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("TRUNCATE error")
            connection.execute("INSERT INTO error SELECT now() FROM generate_series(1, %s)", [count])

    def __call__(self, *command: str, code: int = 0, token: str = TOKEN) -> str:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        env = {**kept, "TEST_URL": self.url, "SLACK_BOT_TOKEN": token, "SLACK_API_URL": self.slack.url}
        done = subprocess.run(
            [sys.executable, "-m", "gonogo", *command],
            cwd=self.project,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def told(self, channel: str) -> list[str]:
        return [message.shown for message in self.slack.channels[channel].messages]


@pytest.fixture
def desk(make_project: Make, url: str) -> Iterator[Desk]:
    with SlackServer("release", "finance", "marketing", "devops") as slack:
        yield Desk(make_project, url, slack)


def test_eleven_errors_raise_it_and_ten_do_not_and_it_is_told_once_and_once_that_it_is_well(desk: Desk) -> None:
    desk.errors(10)
    assert "RAISED" not in desk("monitor", "book")
    desk.errors(11)
    assert "RAISED" in desk("monitor", "book", code=10)
    desk.errors(12)
    desk("monitor", "book", code=10)
    finance = desk.told("finance")
    assert finance == [
        f"🔔 *webhooks* on db: 11 is > 10\nTo acknowledge it: `{TAKE}`.\n@U0LEAD @U0BOSS",
    ]
    assert "boss acknowledged: 11 is > 10" in desk("ack", "book", "webhooks", "--as", "boss")
    desk.errors(3)
    raised = json.loads(desk("monitor", "book", "--json", code=10))
    assert raised["raised"] == ["nobody-buys"], "two of the newest three looks were below five"
    assert desk.told("finance")[1:] == ["🙋 boss acknowledged *webhooks*", "✅ *webhooks* on db is back to normal: 3 is not > 10"]
    assert len([text for text in desk.told("marketing") if text.startswith("🔔")]) == 1
    assert desk.told("devops") == []


def test_what_slack_did_not_take_is_told_with_the_next_look(desk: Desk) -> None:
    desk.errors(11)
    desk.slack.always(BROKEN)
    assert "not delivered to Slack: 🔔 *webhooks*" in desk("monitor", "book", code=10)
    assert desk.told("finance") == []
    desk.slack.always(type(BROKEN)())
    desk("monitor", "book", code=10)
    assert [text.split(" ")[0] for text in desk.told("finance")] == ["🔔"]


def test_without_a_token_it_is_told_on_the_terminal_and_once(desk: Desk) -> None:
    desk.errors(11)
    assert "🔔 *webhooks* on db: 11 is > 10" in desk("monitor", "book", code=10, token="")
    assert "🔔 *webhooks*" not in desk("monitor", "book", code=10, token="")


def test_a_run_that_holds_and_that_nobody_carries_is_told_on_until_somebody_takes_it(desk: Desk) -> None:
    desk.errors(1)
    desk("run", "book", "--without-prefect", code=4)
    thread = desk.told("release")
    assert any(text.startswith("✋ Holding: work.look failed: errors: 1 is not = 0") and "@U0BOSS" in text for text in thread)
    assert not any("⏰" in text for text in thread), "one message says that it holds, and calls those of the first level"
    assert any(text.startswith("✋ Holding") and "@U0LEAD" in text and "gonogo ack book" in text for text in thread)
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER ALL")
        connection.execute("UPDATE gonogo.event SET at = at - interval '61 minutes' WHERE kind = 'held'")
    desk("monitor", "book")
    later = [text for text in desk.told("release") if "⏰" in text]
    assert [text.split(",")[0] for text in later] == ["⏰ Level 2"]
    assert "@U0BOSS" in later[0]
    desk("monitor", "book", code=10)
    assert len([text for text in desk.told("release") if "⏰" in text]) == 1
    assert "lead acknowledged" in desk("ack", "book", "--as", "lead", "--comment", "mine")
    assert "no run of this runbook needs anybody now" in desk("ack", "book", "--as", "lead", code=3)
    assert "is not one of the runbook's people" in desk("ack", "book", "--as", "nobody", code=2)


def test_a_look_at_a_rule_that_cannot_be_asked_is_raised_and_never_passed_over(desk: Desk) -> None:
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("DROP TABLE error")
    told = desk("monitor", "book", code=10)
    assert "could not ask: 42P01" in told
    assert "there is no data" in desk.told("finance")[0]
