"""Buttons in Slack: real runs and a real page server, told to a server that speaks Slack's Web API and Socket Mode."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest
from support.command import environment, start
from support.gate_desk import BOOK, FILES, Desk
from support.slack_server import TOKEN, Message
from support.slack_socket import APP_TOKEN, SocketSlack, buttons
from support.waiting import until

from gonogo.core.engine.events import Event, Kind
from gonogo.ledger import store
from gonogo.postgres.connection import Database

pytestmark = pytest.mark.timeout(600)
Make = Callable[..., Path]
ADA, BOB, DEV, EVE = "U0ADA", "U0BOB", "U0DEV", "U0EVE"
PRESSED = (
    BOOK.replace("lead: {name: Technical lead,", f"lead: {{name: Technical lead, slack: {ADA},")
    .replace("owner: {name: Project owner,", f"owner: {{name: Project owner, slack: {BOB},")
    .replace("dev: {name: Developer}", f"dev: {{name: Developer, slack: {DEV}}}")
    .replace("phases:", 'updates: {slack: "#release", blockers: [lead], escalate: [{after: 1s, to: [owner]}]}\nphases:', 1)
    .replace("      go_if: [quiet]", "      go_if: [quiet]\n      confirm: [{item: told, owner: dev, evidence: true}]")
    .replace(
        "        steps: [{sql: a.sql, undo: a.undo.sql}]",
        "        steps: [{sql: a.sql, undo: a.undo.sql}]\n    watch: [few, bad]\n    every: 200ms\n    soak: 60s",
    )
    .replace(
        "checks:",
        'checks:\n  few: {query: "SELECT 7", roll_back_if: "> 9 in 2 of 3"}\n'
        "  bad: {query: \"SELECT count(*) FROM old WHERE note = 'bad'\", roll_back_if: '> 0', then: hold}",
    )
)


@pytest.fixture
def slack() -> Iterator[SocketSlack]:
    with SocketSlack() as running:
        yield running


@pytest.fixture(params=["open"])
def desk(make_project: Make, old_url: str, slack: SocketSlack, request: pytest.FixtureRequest) -> Desk:
    made = Desk(make_project(PRESSED, **FILES), old_url, request.param)
    tokens = {"SLACK_API_URL": slack.url, "SLACK_BOT_TOKEN": TOKEN, "SLACK_APP_TOKEN": APP_TOKEN}
    clean = {key: value for key, value in environment(TEST_URL=old_url, **tokens).items() if "proxy" not in key.lower()}
    made.env = clean
    if request.param == "guarded":
        made.enroll("lead", "owner", "dev")
    return made


@contextmanager
def heard(desk: Desk, slack: SocketSlack) -> Iterator[None]:
    """Serve the project's pages, and hear its buttons."""
    process = start("page", "--port", free_port(), cwd=desk.project, env=desk.env)
    try:
        until(lambda: slack.connections, 60)
        yield
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said, said
    assert TOKEN not in said
    assert APP_TOKEN not in said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def asking(desk: Desk, slack: SocketSlack) -> Iterator[Message]:
    """Launch a run that waits at its gate; yield the message that asks."""
    who = ("--as", "dev", "--code", desk.code("dev")) if desk.target == "guarded" else ()
    run = start("run", "book", "--target", desk.target, "--without-prefect", *who, cwd=desk.project, env=desk.env)
    try:
        yield until(lambda: [m for m in slack.channel.seen if "gonogo:go" in [b["action_id"] for b in buttons(m)]])[0]
    finally:
        if run.poll() is None:
            run.terminate()
        run.communicate(timeout=60)


def happened(desk: Desk, kind: Kind) -> list[Event]:
    with Database(url=desk.url).connect("gonogo/look") as connection:
        return [event for event in store.read(connection, store.runs(connection)[0].id) if event.kind is kind]


def confirm(slack: SocketSlack, message: Message) -> None:
    """Confirm the item, with its evidence, as the developer does."""
    seen = len(slack.opened)
    slack.press(message, "confirm told", DEV)
    until(lambda: len(slack.opened) > seen)
    assert not slack.submit(slack.opened[-1], DEV, words="told at noon")


def test_a_gate_is_decided_by_buttons_and_each_is_answered(slack: SocketSlack, desk: Desk) -> None:
    with heard(desk, slack), asking(desk, slack) as message:
        assert [button["text"]["text"] for button in buttons(message)] == ["Go", "No-go", "Confirm told"]
        confirm(slack, message)
        slack.answer_to(slack.press(message, "go", ADA))
        until(lambda: slack.whispered(ADA))
        assert slack.whispered(ADA) == ["lead says go; 1 of 2 said go; waits for project_owner"]
        slack.answer_to(slack.press(message, "go", BOB))
        until(lambda: happened(desk, Kind.VERIFIED))
        (root,) = slack.channel.roots
        until(lambda: [button["text"]["text"] for button in buttons(root)] == ["Hold", "Roll back"])
        slack.press(root, "hold", DEV)
        until(lambda: happened(desk, Kind.HOLD))
    assert [event.actor for event in happened(desk, Kind.VOTE)] == ["lead", "owner"]
    assert happened(desk, Kind.HOLD)[0].actor == "dev"


@pytest.mark.parametrize(
    ("who", "why"),
    [(EVE, "none of this runbook's people"), (DEV, "holds none of the roles"), ("", "none of this runbook's people")],
)
def test_who_may_not_decide_is_told_why_and_nothing_happens(slack: SocketSlack, desk: Desk, who: str, why: str) -> None:
    with heard(desk, slack), asking(desk, slack) as message:
        slack.answer_to(slack.press(message, "go", who))
        until(lambda: slack.whispered(who))
        assert why in slack.whispered(who)[0]
        assert not happened(desk, Kind.GO)


def test_what_is_stale_doubled_forged_or_late_does_nothing(slack: SocketSlack, desk: Desk) -> None:
    with heard(desk, slack), asking(desk, slack) as message:
        bound = json.loads(buttons(message)[0]["value"])
        forged = [
            {**bound, "asked": bound["asked"] - 1},
            {**bound, "run": "book-000000"},
            {**bound, "runbook": "../../etc/passwd"},
            {**bound, "target": "nowhere"},
            {"run": bound["run"]},
        ]
        for value in [*map(json.dumps, forged), "not json", "[]", ""]:
            slack.answer_to(slack.press(message, "go", ADA, value=value or " "))
        until(lambda: len(slack.whispered(ADA)) == 8)
        assert all(text.startswith("It does not count: ") for text in slack.whispered(ADA))
        assert not happened(desk, Kind.VOTE)
        # Slack sends an envelope again, and a press that it is not sure of
        first = slack.press(message, "go", ADA, stamp="1.5")
        slack.answer_to(first)
        until(lambda: happened(desk, Kind.VOTE))
        slack.answer_to(slack.press(message, "go", ADA, stamp="1.5"))
        slack.answer_to(slack.press(message, "go", ADA))
        until(lambda: len(slack.whispered(ADA)) == 10)
        assert "has voted already" in slack.whispered(ADA)[-1]
        slack.answer_to(slack.press(message, "no-go", BOB))
        until(lambda: happened(desk, Kind.NO_GO))
        slack.answer_to(slack.press(message, "go", BOB))
        until(lambda: len(slack.whispered(BOB)) == 2)
        assert "is not asked of this run now" in slack.whispered(BOB)[-1]
    assert [event.actor for event in happened(desk, Kind.VOTE)] == ["lead", "owner"]


@pytest.mark.parametrize("desk", ["guarded"], indirect=True)
def test_on_a_protected_target_a_form_asks_for_the_code(slack: SocketSlack, desk: Desk) -> None:
    with heard(desk, slack), asking(desk, slack) as message:
        slack.answer_to(slack.press(message, "go", ADA))
        form = until(lambda: slack.opened)[0]
        assert not happened(desk, Kind.VOTE), "a press alone says nothing"
        wrong = slack.submit(form, ADA, code="000000", words="")
        assert wrong["response_action"] == "errors"
        assert "code" in wrong["errors"]["code"]
        code = desk.code("lead")
        another = slack.submit(form, BOB, code=code, words="")
        assert another["response_action"] == "errors", "somebody else's code proves nobody"
        assert not slack.submit(form, ADA, code=code, words="backups are there")
        until(lambda: happened(desk, Kind.VOTE))
        again = slack.submit(form, ADA, code=desk.code("lead"), words="")
        assert "has voted already" in again["errors"]["code"]
        typed = slack.command("hold book guarded", DEV)
        assert "asked to hold" in typed
    (vote,) = happened(desk, Kind.VOTE)
    assert (vote.actor, vote.body.proved, vote.body.comment) == ("lead", True, "backups are there")  # type: ignore[attr-defined]


def test_commands_say_where_a_run_stands_and_hold_it(slack: SocketSlack, desk: Desk) -> None:
    with heard(desk, slack), asking(desk, slack):
        assert "waiting for go or no-go, 0% of the work done" in slack.command("status book open", ADA)
        assert "none of this runbook's people" in slack.command("status book open", EVE)
        assert "there is no runbook" in slack.command("status nothing", ADA)
        for odd in ("", "drop book", "status", "status a b c d"):
            assert slack.command(odd, ADA).startswith("say `status`")
        assert "asked to hold" in slack.command("hold book", ADA)
        until(lambda: happened(desk, Kind.HOLD))


def test_a_connection_that_breaks_or_is_renewed_hears_the_next_press(slack: SocketSlack, desk: Desk) -> None:
    with heard(desk, slack), asking(desk, slack) as message:
        old = list(slack.connections)
        slack.refresh()
        until(lambda: slack.connections and slack.connections[-1] not in old, 60)
        confirm(slack, message)
        old = list(slack.connections)
        slack.drop()
        until(lambda: slack.connections and slack.connections[-1] not in old, 120)
        slack.answer_to(slack.press(message, "go", ADA))
        until(lambda: happened(desk, Kind.VOTE))


def test_what_needs_people_is_acknowledged_under_its_message_or_under_a_later_call(slack: SocketSlack, desk: Desk) -> None:
    with heard(desk, slack), asking(desk, slack) as message:
        confirm(slack, message)
        for who in (ADA, BOB):
            slack.answer_to(slack.press(message, "go", who))
        until(lambda: happened(desk, Kind.VERIFIED))
        with psycopg.connect(desk.url, autocommit=True) as connection:
            connection.execute("UPDATE old SET note = 'bad' WHERE ctid = (SELECT min(ctid) FROM old)")
        calls = until(lambda: [m for m in slack.channel.seen if "gonogo:acknowledge" in [b["action_id"] for b in buttons(m)]])
        older = json.dumps(json.loads(buttons(calls[0])[0]["value"]) | {"asked": 1})
        slack.answer_to(slack.press(calls[0], "acknowledge", ADA, value=older))
        until(lambda: slack.whispered(ADA)[1:])
        assert "another thing by now" in slack.whispered(ADA)[-1]
        # no process works on the run any more: the monitor calls the next one
        until(lambda: desk("monitor", "book", "--target", "open") and [m for m in slack.channel.seen if "Level 1" in m.source])
        later = until(lambda: [m for m in slack.channel.seen if "Level 1" in m.source and buttons(m)])[0]
        slack.answer_to(slack.press(later, "acknowledge", BOB))
        until(lambda: happened(desk, Kind.ACKNOWLEDGED))
    assert [event.actor for event in happened(desk, Kind.ACKNOWLEDGED)] == ["owner"]


def test_where_nobody_hears_them_a_message_has_no_buttons(slack: SocketSlack, desk: Desk) -> None:
    run = start("run", "book", "--target", "open", "--without-prefect", "--no-wait", cwd=desk.project, env=desk.env)
    run.communicate(timeout=60)
    assert slack.channel.seen
    assert not [button for message in slack.channel.seen for button in buttons(message)]


@pytest.mark.parametrize("presses", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_of_many_presses_by_anybody_none_counts_wrongly(slack: SocketSlack, desk: Desk, presses: int) -> None:
    chance = Random(18)  # noqa: S311 - it is a test
    with heard(desk, slack), asking(desk, slack) as message:
        bound = json.loads(buttons(message)[0]["value"])

        def press(number: int) -> str:
            who = chance.choice([ADA, DEV, EVE, "U0NOBODY", ""])
            wrong = {**bound, chance.choice(["asked", "run", "runbook", "target"]): chance.choice([0, "x", "nowhere", None])}
            value = json.dumps(wrong) if who == ADA or number % 3 else json.dumps(bound)
            return slack.press(message, "go", who, value=value, stamp=f"{number}.1")

        with ThreadPoolExecutor(8) as pool:
            sent = list(pool.map(press, range(presses)))
        for envelope in sent:
            slack.answer_to(envelope, 120)
        until(lambda: len(slack.whispers) == presses)
        assert all(text.startswith("It does not count: ") for _, text in slack.whispers)
        assert not happened(desk, Kind.VOTE)
        slack.answer_to(slack.press(message, "go", ADA))
        until(lambda: happened(desk, Kind.VOTE))
    assert len(happened(desk, Kind.VOTE)) == 1
