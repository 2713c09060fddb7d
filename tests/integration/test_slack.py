"""Updates to Slack: real runs on a real PostgreSQL, told to a server that answers as Slack does."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from support.prepared import prepare
from support.servers import Server
from support.slack_server import (
    BROKEN,
    CLOSED,
    FINE,
    GARBAGE,
    HALF_JSON,
    HANGING,
    LOST,
    TOKEN,
    Answer,
    Call,
    Message,
    SlackServer,
    limited,
    refused,
)
from support.waiting import until

from gonogo.core.engine.events import Event, Held, HoldAsked, Kind, RollbackAsked
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.state import State, Status
from gonogo.core.model.people import Person
from gonogo.core.text import messages as message
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import unmarked
from gonogo.errors import GonogoError
from gonogo.keys import Keys
from gonogo.ledger import store
from gonogo.notify import slack as slack_module
from gonogo.notify.sender import Sender
from gonogo.planning.load import load_runbook
from gonogo.postgres.connection import Database
from gonogo.project import Project
from gonogo.report import report, summary
from gonogo.run import launch
from gonogo.run.acquire import LiveRunner, acquire_run
from gonogo.run.begin import begin as begin_run

BOOK = """
runbook: book
title: "TITLE"
targets: {main: {database: $TARGET_URL}}
updates: {slack: "#release", progress: [25, 50, 75], blockers: [technical_lead, bob]}
people:
  lead: {name: Ada, roles: [technical_lead], slack: U0ADA}
  bob: {name: "BOB", roles: [project_owner]}
  eve: {name: Eve, roles: [observer], slack: U0EVE}
phases:
  - phase: build
    tasks:
      - {task: one, title: One, steps: [{sql: one.sql, undo: undo.sql}]}
      - {task: two, title: Two, steps: [{sql: two.sql, undo: undo.sql}]}
  - phase: fill
    tasks:
      - {task: three, title: Three, steps: [{sql: three.sql, undo: undo.sql}]}
      - {task: four, title: Four, steps: [{sql: four.sql, undo: undo.sql}]}
"""
#: no step takes long; the undo of each undoes nothing that the schema shows
SCRIPTS = {f"{name}__sql": f"SELECT '{name}'" for name in ("one", "two", "three", "four", "undo")}
PERCENTAGES = [f"{n} % of the planned work is done." for n in (25, 50, 75)]

#: no test here asks who anybody is
NOBODY = Keys(file=Path("keys.json"))


class Run:
    """A run, carried as the command line carries one."""

    def __init__(self, folder: Path, url: str) -> None:
        file = folder / "runbooks" / "book.yaml"
        self.prepared = prepare(load_runbook(file), file, Project(root=folder))
        self.database = Database(url=url)
        self.said: list[str] = []
        self.seconds = 0.0
        self.sender: Sender | None = None
        with self.database.connect("gonogo/begin") as connection:
            self.id, *_ = begin_run(connection, self.prepared, "tester")

    @contextmanager
    def carried(self, *, told: bool = True, patience: float = 15.0, **how: Any) -> Iterator[LiveRunner]:
        """Become its runner, with a sender beside; say what was not delivered at the end."""
        runner = acquire_run(self.database, self.id, actor="tester", keys=NOBODY, **how)
        self.sender = Sender(self.database, runner.plan, self.id, self.said.append) if told else None
        try:
            if self.sender:
                self.sender.start()
            yield runner
        finally:
            if self.sender:
                self.sender.finish(patience)
            runner.close()

    def go(self, runner: LiveRunner, phases: int = 1) -> None:
        """Launch the next phases, and see how long that takes."""
        began = time.monotonic()
        try:
            launch.go(runner, phases, launch.run_without_ui)
        finally:
            self.seconds += time.monotonic() - began

    def to_the_end(self, **how: Any) -> Run:
        """Launch all of it."""
        with self.carried(**how) as runner:
            self.go(runner, 2)
        return self

    def events(self) -> list[Event]:
        """Its facts."""
        with self.database.connect("gonogo/look") as connection:
            return store.read(connection, self.id)

    def story(self) -> list[str]:
        """What its facts make people hear in its thread, in their order."""
        state, told = State(), []
        for event in self.events():
            before, state = state, evolve(state, event)
            found = message.updates(self.prepared.plan, before, event, state, self.id)
            if event.kind in (Kind.RUN_DONE, Kind.PROVED):
                made = report.report(self.prepared.plan, self.events(), self.id)
                found.append(message.Update(key="report", text=summary.brief(made)))
            told += [slack_module.mrkdwn(update, dict(self.prepared.plan.people)) for update in found if not update.root]
        return told

    def rows(self, query: str) -> list[Any]:
        """Ask its database."""
        with self.database.connect("gonogo/look") as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    """Slack, with one channel."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # what slack_sdk waits by itself after a failure, at a pace for tests; what Slack asks it to wait stays
    sleep = time.sleep
    monkeypatch.setattr("slack_sdk.http_retry.handler.time", SimpleNamespace(sleep=lambda seconds: sleep(seconds / 10)))
    with SlackServer("release") as running:
        monkeypatch.setenv("SLACK_API_URL", running.url)
        monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
        yield running


@pytest.fixture
def begin(make_project: Callable[..., Path], url: str) -> Callable[..., Run]:
    """Open a run of the small runbook, with some words replaced and some scripts of its own."""

    def make(*replaced: tuple[str, str], **scripts: str) -> Run:
        book = BOOK
        for old, new in (*replaced, ("TITLE", "Credits"), ("BOB", "Bob")):
            book = book.replace(old, new)
        return Run(make_project(book, **SCRIPTS | scripts), url)

    return make


def told(slack: SlackServer) -> list[str]:
    """What stands in the run's thread."""
    return [m.text for m in slack.channel.thread(only(slack.channel.roots))]


def told_or_nothing(slack: SlackServer) -> list[str]:
    """What stands in the run's thread, if it has begun."""
    return told(slack) if slack.channel.roots else []


def only(messages: list[Message]) -> Message:
    """The one message that there is to be."""
    assert len(messages) == 1, [m.source for m in messages]
    return messages[0]


def ready(slack: SlackServer, run: Run) -> Message:
    """Wait until all that happened is told, and the root message says that the next phase is awaited; return it."""
    until(lambda: [m for m in slack.channel.roots if "*ready*" in m.text])
    until(lambda: told_or_nothing(slack) == run.story())
    return only(slack.channel.roots)


def ask_to_hold(run: Run, why: str) -> None:
    """Ask for a hold, as a person does."""
    with run.database.connect("gonogo/request") as connection:
        store.append(connection, run.id, HoldAsked(why=why), "ada@desk")


def hold(run: Run, why: str) -> Callable[[State, Event, State], None]:
    """A listener that asks for a hold once the first script is done."""

    def listen(_: State, event: Event, state: State) -> None:
        if event.kind is Kind.DONE and state.work.step == 1:
            ask_to_hold(run, why)

    return listen


# one message per run, and its story


def test_a_run_has_one_root_message_updated_in_place_and_its_story_in_the_thread(
    slack: SlackServer, begin: Callable[..., Run]
) -> None:
    run = begin()
    with run.carried() as runner:
        run.go(runner)
        root = ready(slack, run)
        assert "`▓▓▓▓▓▓▓▓▓▓░░░░░░░░░░` 50%" in root.shown
        run.go(runner)
    root = only(slack.channel.roots)
    assert root.shown.startswith("✅ Credits on main: done\n`▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓` 100%")
    assert run.id in root.shown
    assert root.edits
    assert [block["type"] for block in root.blocks] == ["header", "section", "section"]
    assert root.shown.splitlines()[0] == unmarked(root.text.splitlines()[0])
    assert told(slack) == run.story()
    assert len(run.story()) > 8
    assert "Task *One* starts" in told(slack)[2]
    assert {m.ts for m in slack.channel.seen} == {root.ts, slack.channel.messages[-2].ts}, (
        "only what is loud stands in the channel"
    )
    assert run.said == []


def test_a_second_run_has_a_message_of_its_own(slack: SlackServer, begin: Callable[..., Run]) -> None:
    first = begin().to_the_end()
    with first.database.connect("gonogo/begin") as connection:
        first.id, *_ = begin_run(connection, first.prepared, "tester", again=True)
    first.to_the_end()
    one, other = slack.channel.roots
    texts = [[m.text for m in slack.channel.thread(root)] for root in (one, other)]
    assert texts[1] == first.story()
    assert len(texts[0]) == len(texts[1])


def test_thread_replies_keep_the_order_of_events_through_failures(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    slack.next(BROKEN, FINE, BROKEN, FINE, FINE, BROKEN, BROKEN, Answer(hang=0.3), FINE, BROKEN)
    run.to_the_end(patience=30)
    assert told(slack) == run.story()
    assert run.said == []


# percentages


def test_25_50_and_75_percent_are_told_exactly_once_each(slack: SlackServer, begin: Callable[..., Run]) -> None:
    begin().to_the_end()
    assert [text for text in told(slack) if "%" in text] == PERCENTAGES


def test_the_run_s_own_message_says_that_a_task_is_overdue_though_nothing_happens(
    slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gonogo.notify.sender._REFRESHED", 0.1)
    for name in ("gonogo.core.engine.forecast._NOTICED", "gonogo.core.text.messages._LATE"):
        monkeypatch.setattr(name, timedelta(seconds=1))
    # a task of a second that takes four: from the first script to the end of the second nothing is recorded
    run = begin(
        ("{task: one, title: One, steps: [", "{task: one, title: One, takes: 1s, steps: [{sql: undo.sql, undo: undo.sql}, "),
        one__sql="SELECT pg_sleep(4)",
    )
    found: list[str] = []
    with run.carried() as runner, ThreadPoolExecutor(1) as pool:
        done = pool.submit(run.go, runner)
        until(lambda: "overdue" in said[-1] if (said := [m.source for m in slack.channel.roots]) else False)
        assert not done.done(), "it is told while the task works"
        found.append(slack.channel.roots[0].source)
        done.result(30)
    assert re.search(r"Expected end: after [^:]+:\d\d UTC: \*One\* is overdue by [1-3](\.\d+)?s", found[0])


def test_a_sender_that_stops_at_any_event_is_followed_by_one_that_goes_on_in_the_same_thread(
    slack: SlackServer, begin: Callable[..., Run]
) -> None:
    run = begin()
    senders = 0

    def relay(*_: Any) -> None:
        # after each event, the sender is stopped and another one begins, as after a resume
        nonlocal senders
        assert run.sender
        run.sender.finish()
        run.sender = Sender(run.database, run.prepared.plan, run.id, run.said.append)
        run.sender.start()
        senders += 1

    with run.carried() as runner:
        runner.listeners.append(relay)
        run.go(runner, 2)
    assert senders > 10
    assert told(slack) == run.story()
    assert [text for text in told(slack) if "%" in text] == PERCENTAGES
    assert run.said == []


def test_a_killed_run_is_resumed_in_the_same_thread_and_tells_nothing_twice(
    slack: SlackServer, begin: Callable[..., Run], tmp_path: Path
) -> None:
    run = begin(three__sql="SELECT pg_sleep(30)")
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), run.database.url, run.id],
        cwd=Path(slack_module.__file__).parents[1],
        env=dict(os.environ),
    )
    try:
        until(lambda: len(told_or_nothing(slack)) == 10 == len(run.rows(DELIVERED)))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = told(slack)
    assert before[-1].startswith("Task *Three* starts")
    with run.carried(take_over=True, resumed=True) as runner:
        runner.append(RollbackAsked(why="it was killed"))
        launch.go_on(runner, run.events(), launch.run_without_ui)
    assert runner.state.status is Status.ROLLED_BACK
    assert told(slack)[: len(before)] == before
    assert told(slack) == run.story()
    assert [text for text in told(slack) if "%" in text] == PERCENTAGES[:2]


DELIVERED = "SELECT 1 FROM gonogo.delivery WHERE key <> 'root' AND error IS NULL"
#: what `gonogo run` does, in a process of its own
CHILD = """
import sys
from pathlib import Path
from gonogo.project import prepend_import_root
prepend_import_root()
from gonogo.run import launch
from gonogo.run.acquire import acquire_run
from gonogo.postgres.connection import Database
from gonogo.keys import Keys
from gonogo.notify.sender import Sender
database = Database(url=sys.argv[2])
runner = acquire_run(database, sys.argv[3], actor="tester", keys=Keys(file=Path("keys.json")))
Sender(database, runner.plan, sys.argv[3], print).start()
launch.go(runner, 2, launch.run_without_ui)
"""


def test_a_runner_that_was_taken_over_tells_nothing_more(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    with run.carried() as old:
        former = run.sender
        run.go(old)
        ready(slack, run)
        with run.carried(take_over=True, resumed=True) as new:
            run.go(new)
        run.sender = former
        assert former
        until(lambda: not former.is_alive())
    assert told(slack) == run.story()
    assert run.said == []


def test_a_lost_database_connection_loses_no_update_and_doubles_none(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'gonogo/%/updates'"
    lost = []

    def lose(_: Call) -> None:
        # with a message under way: the first one, and one of the story
        if len(slack.calls) in (1, 5):
            lost.extend(run.rows(end))

    slack.heard = lose
    run.to_the_end()
    assert lost == [(True,), (True,)]
    assert told(slack) == run.story()
    assert len(run.rows(DELIVERED)) == len(run.story()), "and each is known as told to whoever resumes"
    assert run.said == []


# limits


def test_rate_limits_are_waited_for_and_nothing_is_lost_or_doubled(slack: SlackServer, begin: Callable[..., Run]) -> None:
    slack.per_second = 6
    run = begin().to_the_end(patience=30)
    assert slack.limits_hit
    assert told(slack) == run.story()
    assert "*done*" in only(slack.channel.roots).text
    assert run.said == []


def test_a_rate_limit_is_waited_for_as_long_as_slack_asks(slack: SlackServer, begin: Callable[..., Run]) -> None:
    slack.next(limited(1))
    run = begin().to_the_end(patience=30)
    limited_, tried_again = slack.calls[:2]
    assert limited_.body == tried_again.body
    assert 1 <= tried_again.at - limited_.at < 3
    assert told(slack) == run.story()


# a Slack that is not there


def dead(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.stop()


def hanging(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.always(HANGING)


def broken(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.always(BROKEN)


def closing(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.always(CLOSED)


def babbling(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.next(HALF_JSON, GARBAGE)
    slack.always(HALF_JSON)


def wrong_token(_: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-revoked")


def no_channel(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.channels.clear()


def limiting(slack: SlackServer, _: pytest.MonkeyPatch) -> None:
    slack.always(limited(30))


TROUBLES = [dead, hanging, broken, closing, babbling, wrong_token, no_channel, limiting]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_slack_that_fails_neither_fails_nor_delays_the_run_and_what_is_missing_is_listed(
    slack: SlackServer,
    begin: Callable[..., Run],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    trouble: Callable[[SlackServer, pytest.MonkeyPatch], None],
) -> None:
    run = begin()
    alone = Run(tmp_path, server.database()).to_the_end(told=False)
    trouble(slack, monkeypatch)
    monkeypatch.setattr(slack_module, "client", partial(slack_module.client, timeout=1))
    monkeypatch.setattr("time.sleep", short_sleep(time.sleep))
    began = time.monotonic()
    with run.carried(patience=0.5) as runner:
        run.go(runner, 2)
        assert runner.state.status is Status.DONE
    # whoever waited for Slack would wait a second for each of more than ten updates
    assert time.monotonic() - began < run.seconds + 8
    assert run.seconds < alone.seconds + 8
    listed = [line.removeprefix("not delivered to Slack: ") for line in run.said if line.startswith("not delivered to Slack: ")]
    for text in run.story():
        assert sum(line.startswith(text.splitlines()[0][:100]) for line in listed) == 1, text
    assert [line for line in listed if "*Credits* on main: *done*" in line], "the root message is missing too"
    assert not any("Traceback" in line for line in run.said)
    slack.stop()
    assert run.sender
    run.sender.join(10)
    assert not run.sender.is_alive()


def short_sleep(sleep: Callable[[float], None]) -> Callable[[float], None]:
    """Let no thread sleep long: slack_sdk sleeps in one piece for what Slack asks."""
    return lambda seconds: sleep(min(seconds, 0.5))


def test_a_slack_that_comes_back_hears_the_story_in_a_thread_from_then_on(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    slack.next(*[BROKEN] * 9)
    run.to_the_end(patience=30)
    assert [m for m in slack.channel.messages if not m.thread_ts] == [only(slack.channel.roots)], "no story without its thread"
    assert told(slack) == run.story(), "what could not begin a thread waits for one"
    assert "*done*" in only(slack.channel.roots).text


def test_what_was_not_delivered_is_told_by_the_sender_that_resumes(
    slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin()
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-revoked")
    with run.carried() as runner:
        run.go(runner)
    assert len(run.said) == len(run.story()) + 1
    assert "invalid_auth" in run.said[0]
    assert slack.channel.messages == []
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    with run.carried(resumed=True) as runner:
        run.go(runner)
    assert told(slack) == run.story()


def test_a_refused_token_is_not_tried_again(slack: SlackServer, begin: Callable[..., Run]) -> None:
    slack.always(refused("account_inactive"))
    begin().to_the_end()
    assert len(slack.calls) == 1


# a message that may have arrived


def test_a_message_in_doubt_is_not_told_twice_and_is_listed(
    slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_module, "client", partial(slack_module.client, timeout=1))
    run = begin()
    lost = [LOST, FINE, Answer(hang=1.5, taken=True), LOST]
    slack.next(*[replace(answer, method="chat.postMessage") for answer in (FINE, *lost)])
    run.to_the_end()
    assert told(slack) == run.story()
    assert [line[line.rindex("(") + 1 : -1] for line in run.said] == [
        "Slack did not answer: RemoteDisconnected; it may be there",
        "Slack did not answer: TimeoutError; it may be there",
        "Slack did not answer: RemoteDisconnected; it may be there",
    ]


def test_what_needs_people_is_told_twice_rather_than_perhaps_not_at_all(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    with run.carried() as runner:
        run.go(runner)
        ready(slack, run)
        slack.next(replace(LOST, method="chat.postMessage"))
        runner.append(Held(why="the bank rings"))
    held = [text for text in told(slack) if "the bank rings" in text]
    assert held == ["✋ Holding: the bank rings\n<@U0ADA> Bob"] * 2
    assert run.said == []


# what people do to messages


def test_a_root_message_that_somebody_deleted_is_posted_again(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    with run.carried() as runner:
        run.go(runner)
        first = ready(slack, run)
        before = told(slack)
        slack.delete(first)
        run.go(runner)
    second = only(slack.channel.roots)
    assert second is not first
    assert "*done*" in second.text
    assert before + told(slack) == run.story()
    kept = run.rows("SELECT ts FROM gonogo.delivery WHERE key = 'root' ORDER BY id DESC LIMIT 1")
    assert kept == [(second.ts,)], "a resumed run goes on below the new one"
    assert run.said == []


# whom a message calls


def test_blockers_are_mentioned_by_their_slack_id_and_broadcast(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    with run.carried() as runner:
        runner.listeners.append(hold(run, "the bank rings"))
        run.go(runner)
        assert runner.state.held
    held = only([m for m in slack.channel.seen if m.thread_ts])
    assert held.shown == "✋ Holding: ada@desk says hold: the bank rings\n@U0ADA Bob"
    assert held.mentions == ["U0ADA"]
    assert [m for m in slack.channel.messages if m.mentions] == [held]


def test_what_needs_people_links_to_the_run_s_page_where_others_can_open_it(
    slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = begin()
    (tmp_path / ".gonogo").mkdir(exist_ok=True)
    page = {"address": "https://gonogo.example.org/ops", "login": "gonogo:secret", "pid": os.getpid()}
    (tmp_path / ".gonogo" / "page.json").write_text(json.dumps(page), encoding="utf-8")
    monkeypatch.setenv("GONOGO_PROJECT", str(tmp_path))
    run.to_the_end()
    at = f"https://gonogo.example.org/ops/runs/book/main/{run.id}/"
    link = f"<{at}|Open the run> · <{at}report|Report>"
    shown = {m.ts: [e["text"] for b in m.blocks if b["type"] == "context" for e in b["elements"]] for m in slack.channel.messages}
    root = only(slack.channel.roots)
    assert shown[root.ts] == [link]
    loud = [m.ts for m in slack.channel.thread(root) if m.broadcast or m.text.startswith("📄")]
    assert len(loud) > 1
    assert {ts for ts, texts in shown.items() if texts} == {root.ts, *loud}
    assert "secret" not in str(slack.channel.messages)


def test_a_page_that_only_this_machine_can_open_is_no_link_for_others(
    slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = begin()
    (tmp_path / ".gonogo").mkdir(exist_ok=True)
    page = {"address": "http://127.0.0.1:4201", "login": "gonogo:secret", "pid": os.getpid()}
    (tmp_path / ".gonogo" / "page.json").write_text(json.dumps(page), encoding="utf-8")
    monkeypatch.setenv("GONOGO_PROJECT", str(tmp_path))
    run.to_the_end()
    assert "127.0.0.1" not in str(slack.channel.messages)


def test_a_rollback_calls_people_and_progress_does_not(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin(four__sql="SELECT 1/0")
    run.to_the_end()
    calling = [m for m in slack.channel.messages if m.mentions]
    assert [m.broadcast for m in calling] == [True, True]
    assert [m.mentions for m in calling] == [["U0ADA"], ["U0ADA"]]
    assert calling[0].shown.startswith("⏪ four.1 failed: ")
    assert calling[1].shown.startswith("↩️ Rolled back, and proved: ")
    assert told(slack) == run.story()


EVIL = "<!channel> <!here|x> <@U0EVE> <!subteam^S1> @channel @here @everyone & <https://evil|click> &lt;!channel&gt;"


def test_texts_cannot_mention_anybody(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin(("TITLE", EVIL), ("BOB", EVIL), ("title: One", f'title: "{EVIL}"'))
    with run.carried() as runner:
        run.go(runner)
        ready(slack, run)
        ask_to_hold(run, EVIL)
    called = {who for m in slack.channel.messages for who in m.mentions}
    assert called == {"U0ADA"}
    held = only([m for m in slack.channel.seen if m.thread_ts])
    assert held.shown == f"✋ Holding: ada@desk says hold: {EVIL}\n@U0ADA {EVIL}"
    root = only(slack.channel.roots)
    assert root.edits, "an update in place is parsed otherwise than a message that is posted"
    assert root.shown.splitlines()[0] == f"✋ {EVIL} on main: holding while ready"
    assert root.shown.splitlines()[-1] == f"> ada@desk says hold: {EVIL}"


@pytest.mark.parametrize("id_", ["!channel", "U0ADA> <!channel", "@ada", "here", "U0ada", "|U1"])
def test_what_is_no_slack_id_is_no_mention(slack: SlackServer, id_: str) -> None:
    web = slack_module.client(TOKEN)
    person = Person(name="Ada <!here>", slack=id_)
    slack_module.send(web, "release", Update(key="1", text="Look", mention=("ada",)), {"ada": person}, None)
    sent = only(slack.channel.messages)
    assert sent.mentions == []
    assert sent.shown == "Look\nAda <!here>"


# lengths


@pytest.mark.parametrize("text", ["x" * 10_000, "&<>" * 4_000, "a & b " + "c" * 9_000, "<" * 2_899 + "&" * 99, "é🚀\n" * 3_000])
@pytest.mark.parametrize("blockers", [0, 1, 300])
def test_texts_are_never_too_long_for_a_block(slack: SlackServer, text: str, blockers: int) -> None:
    web = slack_module.client(TOKEN)
    people = {f"p{n}": Person(name=f"Person {n}", slack=f"U0{n:09}" if n % 2 == 0 else "") for n in range(blockers)}
    update = Update(key="root", text=text, root=True, mention=tuple(people))
    root = slack_module.send(web, "release", update, people, None)
    assert slack_module.send(web, "release", update, people, root) == root
    sent = only(slack.channel.messages)
    told_, _, names = sent.shown.rpartition("\n") if blockers else (sent.shown, "", "")
    assert told_.endswith(" … (cut)")
    # what is left is the beginning, with no escape cut in two
    kept = told_.removesuffix(" … (cut)")
    assert text.startswith(kept)
    assert len(kept) > 350
    assert bool(sent.mentions) == bool(blockers) == bool(names)


def test_a_run_with_a_long_reason_is_told(slack: SlackServer, begin: Callable[..., Run]) -> None:
    run = begin()
    with run.carried() as runner:
        runner.listeners.append(hold(run, "& so on " * 2_000))
        run.go(runner)
    assert told(slack) == run.story()
    assert "holding" in only(slack.channel.roots).source
    assert run.said == []


# the token


@pytest.mark.attack("secrets")
def test_the_token_is_nowhere_but_in_the_header(
    slack: SlackServer,
    begin: Callable[..., Run],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    slack.next(BROKEN, refused("msg_too_long"), CLOSED)
    run = begin(four__sql="SELECT 1/0")
    run.to_the_end(patience=30)
    slack.always(refused("invalid_auth"))
    with run.carried(resumed=True):
        assert "SLACK" not in repr(run.sender)
        assert TOKEN not in repr(vars(run.sender))
    tables = run.rows(
        "SELECT format('SELECT t::text FROM %I.%I AS t', schemaname, tablename) FROM pg_tables WHERE schemaname = 'gonogo'"
    )
    kept = [row for (query,) in tables for row in run.rows(query)]
    assert len(kept) > 40
    assert any("msg_too_long" in line or "invalid_auth" in line for (line,) in kept)
    out, err = capfd.readouterr()
    for text in (*(row[0] for row in kept), *run.said, out, err, caplog.text, *(call.body for call in slack.calls)):
        assert TOKEN not in text
    assert {call.headers["authorization"] for call in slack.calls} == {f"Bearer {TOKEN}"}


@pytest.mark.attack("secrets")
def test_a_malformed_token_shows_nowhere_either(
    begin: Callable[..., Run],
    slack: SlackServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-canary\nxoxb-second-line")
    run = begin()
    run.to_the_end(patience=0.5)
    out, err = capfd.readouterr()
    assert run.said
    for text in (*run.said, out, err, caplog.text):
        assert "xoxb" not in text
    assert slack.calls == []


def test_a_token_may_end_in_a_newline(slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", f" {TOKEN}\n")
    assert begin().to_the_end().said == []
    assert slack.channel.messages


def test_failures_of_slack_write_nothing_on_the_terminal(
    slack: SlackServer, begin: Callable[..., Run], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    slack.next(CLOSED, BROKEN, GARBAGE, HALF_JSON)
    begin().to_the_end(patience=30)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


# the database fails, not Slack


def test_a_sender_that_cannot_reach_the_database_says_so(
    slack: SlackServer, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin()
    runner = acquire_run(run.database, run.id, actor="tester", keys=NOBODY)

    def fail(*_: object, **__: object) -> None:
        raise GonogoError("cannot reach it")

    broken_database = Database(url=run.database.url)
    monkeypatch.setattr(type(broken_database), "connect", fail)
    sender = Sender(broken_database, runner.plan, run.id, run.said.append)
    sender.start()
    sender.finish(0.3)
    sender.join(5)
    assert not sender.is_alive()
    assert run.said
    monkeypatch.undo()
    runner.close()
    assert slack.calls == []


# the server of these tests answers as Slack does


def test_the_server_speaks_as_slack_does(slack: SlackServer) -> None:
    web = WebClient(token=TOKEN, base_url=slack.url, retry_handlers=[])
    assert web.auth_test()["user"] == "gonogo"
    assert web.api_call("auth.test", params={"a": "b"})["ok"]
    first = web.chat_postMessage(channel="#release", text="one")
    form = {"channel": "release", "text": "two", "thread_ts": first["ts"], "reply_broadcast": "1", "blocks": "[]"}
    second = web.api_call("chat.postMessage", data=form)
    third = web.api_call("chat.postMessage", data=form, files={"x": b"y"})
    assert first["ts"] < second["ts"] < third["ts"]
    assert first["channel"] == second["channel"] == slack.channel.id
    assert [m.source for m in slack.channel.thread(slack.channel.roots[0])] == ["two", "two"]
    assert [m.broadcast for m in slack.channel.messages] == [False, True, True]
    web.chat_update(channel=first["channel"], ts=first["ts"], text="one, edited @here")
    assert (slack.channel.roots[0].source, slack.channel.roots[0].edits) == ("one, edited @here", ["one"])
    assert slack.channel.roots[0].mentions == ["!here"]


def section(text: str) -> dict[str, Any]:
    """A block."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@pytest.mark.parametrize(
    ("error", "method", "given"),
    [
        ("channel_not_found", "chat_postMessage", {"channel": "#nowhere", "text": "x"}),
        ("channel_not_found", "chat_update", {"channel": "#release", "ts": "1.0", "text": "x"}),
        ("message_not_found", "chat_update", {"ts": "1.0", "text": "x"}),
        ("msg_too_long", "chat_postMessage", {"text": "x" * 40_001}),
        ("no_text", "chat_postMessage", {"text": "", "attachments": [{"fallback": "x"}]}),
        ("invalid_blocks", "chat_postMessage", {"text": "x", "blocks": [section("x" * 3_001)]}),
        ("invalid_blocks", "chat_postMessage", {"text": "x", "blocks": [section("")]}),
        ("invalid_blocks", "chat_postMessage", {"text": "x", "blocks": [section("x")] * 51}),
        ("ratelimited", "chat_postMessage", {"text": "x"}),
    ],
)
def test_the_server_refuses_what_slack_refuses(slack: SlackServer, error: str, method: str, given: dict[str, Any]) -> None:
    web = WebClient(token=TOKEN, base_url=slack.url, retry_handlers=[])
    if error == "ratelimited":
        slack.per_second = 2
        web.chat_postMessage(channel="release", text="x")
        web.chat_postMessage(channel="release", text="x")
    with pytest.raises(SlackApiError) as refusal:
        getattr(web, method)(**{"channel": slack.channel.id, **given})
    answer = refusal.value.response
    assert answer["error"] == error
    assert (answer.status_code, answer.headers.get("Retry-After")) == ((429, "1") if error == "ratelimited" else (200, None))
    for token, word in (("xoxb-other", "invalid_auth"), ("", "not_authed")):
        with pytest.raises(SlackApiError, match=word):
            WebClient(token=token, base_url=slack.url).auth_test()
