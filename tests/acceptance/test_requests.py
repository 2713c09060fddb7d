"""Steps that ask a web service: done once, reversed by another request, in doubt after a crash, never with a secret in sight."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo, start

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {{db: {{database: $TEST_URL}}}}
inputs: {{version: {{default: v2}}}}
phases:
  - phase: one
    tasks:
      - task: work
        steps:
          - {{step: table, sql: a.sql, undo: a.undo.sql}}
          - step: deploy
            http:
              {{method: POST, url: "$SERVICE/{path}", headers: {{X-Token: "$TOKEN"}}, body: {{version: "{{{{ version }}}}"}},
                {more}}}
            undo: {{method: PUT, url: "$SERVICE/back", body: [v1], status: 204}}
            {settle}
"""


class Service:
    """A web service that keeps what it was asked, and answers as the path says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []
        self.state: object = "deployed"
        #: what happens once it has heard a request whose answer drips
        self.heard: Callable[[], object] = lambda: None
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                service.asked.append((self.command, self.path, body, dict(self.headers)))
                if self.path in ("/slow", "/slower"):
                    time.sleep(3 if self.path == "/slow" else 20)
                if self.path == "/drip":
                    service.heard()
                    self.send_response(200)
                    self.end_headers()
                    with suppress(OSError):
                        for _ in range(200):
                            self.wfile.write(b".")
                            time.sleep(0.2)
                    return
                status = {"/back": 204, "/busy": 503}.get(self.path, 200)
                said = json.dumps({"state": service.state, "by": self.headers.get("X-Token")}).encode() if status != 204 else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_PUT = do_POST  # noqa: N815 - as http.server calls it

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(timeout=5)


class Desk:
    def __init__(self, make: Make, url: str, root: Path, service: Service) -> None:
        self.make, self.url, self.root = make, url, root
        self.env = environment(TEST_URL=url, SERVICE=service.url, TOKEN="t0p-s3cret")

    def book(self, path: str = "deploy", more: str = "status: 200", settle: str = "") -> None:
        text = BOOK.format(path=path, more=more, settle=settle)
        self.make(text, a__sql="CREATE TABLE made (id int);\n", a__undo__sql="DROP TABLE made;\n")

    def __call__(self, *command: str) -> CompletedProcess[str]:
        return gonogo(*command, cwd=self.root, env=self.env)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def desk(make_project: Make, url: str, tmp_path: Path, service: Service) -> Desk:
    return Desk(make_project, url, tmp_path, service)


@pytest.mark.attack("secrets")
def test_a_request_is_made_once_and_reversed_by_its_own_and_shows_no_secret(desk: Desk, service: Service) -> None:
    desk.book(more="status: [200, 201], field: state, equals: deployed")
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(how, path, body) for how, path, body, _ in service.asked] == [("POST", "/deploy", {"version": "v2"})]
    sent = service.asked[0][3]
    assert sent["X-Token"] == "t0p-s3cret"
    assert re.fullmatch(r"book-[0-9a-f]{6}/\d+", sent["Idempotency-Key"])
    assert "POST $SERVICE/deploy done in" in done.stdout

    back = desk("rollback", "book", "--without-prefect")
    assert back.returncode == 11, back.stdout + back.stderr
    assert service.asked[1][:3] == ("PUT", "/back", ["v1"])
    assert desk.ask("SELECT to_regclass('made')::text") == [(None,)]
    assert desk.ask("SELECT count(*) FROM gonogo.event WHERE body::text LIKE '%s3cret%'") == [(0,)]
    kept = "SELECT body->>'output' FROM gonogo.event WHERE kind = 'script done' AND body->>'status' = '200'"
    assert desk.ask(kept) == [('{"state": "deployed", "by": "***"}',)]
    assert "s3cret" not in done.stdout + back.stdout


@pytest.mark.parametrize(
    ("path", "more", "why"),
    [
        ("busy", "status: 200", "POST $SERVICE/busy answered 503"),
        ("deploy", "field: state, equals: ready", "POST $SERVICE/deploy: state is 'deployed', not 'ready'"),
        ("slower", "status: 200", "POST $SERVICE/slower: took longer than 4s; it may have done its work"),
        ("drip", "status: 200", "POST $SERVICE/drip: took longer than 4s; it may have done its work"),
    ],
)
def test_another_answer_than_asked_for_fails_and_what_it_may_have_done_is_reversed(
    desk: Desk, service: Service, path: str, more: str, why: str
) -> None:
    desk.book(path, more, "within: 4s")
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    assert f"work.deploy failed: {why}" in done.stdout
    assert service.paths == [f"/{path}", "/back"], "asked once, and reversed"


def test_a_service_that_is_not_there_was_not_asked_so_nothing_of_it_is_reversed(desk: Desk, service: Service) -> None:
    desk.book()
    desk.env["SERVICE"] = "http://127.0.0.1:9"
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "work.deploy failed: POST $SERVICE/deploy: ConnectError" in done.stdout
    assert service.asked == []
    assert desk.ask("SELECT count(*) FROM gonogo.event WHERE kind = 'undo done'") == [(1,)], "the table alone"


@pytest.mark.parametrize(("settle", "code", "paths"), [("within: 20s", 4, ["/slow"]), ("again: safe", 0, ["/slow", "/slow"])])
def test_a_request_whose_runner_died_is_in_doubt_unless_it_may_be_made_again(
    desk: Desk, service: Service, settle: str, code: int, paths: list[str]
) -> None:
    desk.book("slow", settle=settle)
    process = start("run", "book", "--without-prefect", cwd=desk.root, env=desk.env)
    while not service.asked and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    done = desk("resume", "book", "--without-prefect")
    assert done.returncode == code, done.stdout + done.stderr
    assert service.paths == paths
    assert len({sent["Idempotency-Key"] for _, _, _, sent in service.asked}) == 1, "a service that knows the key does it once"
    if code == 4:
        assert "work.deploy is in doubt" in done.stdout
        assert desk("resume", "book", "--without-prefect", "--settle", "done").returncode == 0


def test_a_rehearsal_asks_nobody_beyond_the_copy(desk: Desk, service: Service) -> None:
    desk.book()
    done = desk("rehearse", "book")
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.asked == []


@pytest.mark.parametrize("gone", [False, True])
def test_what_may_have_been_done_is_reversed_also_where_it_may_be_done_again(desk: Desk, service: Service, gone: bool) -> None:
    desk.book("slow", settle="again: safe")
    process = start("run", "book", "--without-prefect", cwd=desk.root, env=desk.env)
    while not service.asked and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    if gone:
        # the second try never reaches the service, whose first answer nobody heard
        elsewhere = {**desk.env, "SERVICE": "http://127.0.0.1:9"}
        done = gonogo("resume", "book", "--without-prefect", cwd=desk.root, env=elsewhere)
        assert done.returncode == 12, "its undo does not reach it either"
        done = desk("rollback", "book", "--without-prefect", "--continue")
    else:
        done = desk("rollback", "book", "--without-prefect", "--reason", "tried")
    assert done.returncode == 11, done.stdout + done.stderr
    assert service.paths == ["/slow", "/back"]


def test_a_trip_ends_a_request_at_once_and_it_is_reversed(desk: Desk, service: Service) -> None:
    desk.book("drip")
    book = desk.root / "runbooks/book.yaml"
    seen = "    watch: [seen]\n    every: 100ms\nchecks:\n"
    seen += '  seen: {query: SELECT count(*) FROM heard, expect: "= 0", roll_back_if: "> 0 in 3 of 3"}\n'
    book.write_text(book.read_text(encoding="utf-8").rstrip() + "\n" + seen, encoding="utf-8")
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE heard (id int)")
    service.heard = lambda: desk.ask("INSERT INTO heard VALUES (1) RETURNING id")
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    # the answer drips for forty seconds
    assert "POST $SERVICE/drip: it was ended; it may have done its work" in done.stdout
    assert service.paths == ["/drip", "/back"]


def test_a_request_that_is_made_again_after_a_failure_is_another_one(desk: Desk, service: Service) -> None:
    desk.book("busy")
    book = desk.root / "runbooks/book.yaml"
    book.write_text(book.read_text(encoding="utf-8").rstrip() + "\n    on_failure: hold\n", encoding="utf-8")
    assert desk("run", "book", "--without-prefect").returncode == 4
    held = desk("resume", "book", "--without-prefect", "--settle", "not-done")
    assert held.returncode == 4, held.stdout + held.stderr
    assert service.paths == ["/busy", "/busy"]
    assert len({sent["Idempotency-Key"] for _, _, _, sent in service.asked}) == 2


@pytest.mark.attack("secrets")
@pytest.mark.parametrize(
    ("token", "state"),
    [
        ("s3cret-token\n", "\ud800 half a letter"),
        ('s3cret"tok\\en', "x" * 70_000),
        ("s3cret-" + "x" * 40, "y" * 63_980),
        ("s3cret-tok", "deployed\0"),
    ],
)
def test_whatever_a_service_answers_the_ledger_can_hold_it_and_no_form_of_a_secret_is_in_it(
    desk: Desk, service: Service, token: str, state: str
) -> None:
    service.state = state + token
    desk.env["TOKEN"] = token
    desk.book(more="field: state, equals: ready")
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    assert len(done.stdout) < 20_000
    assert desk("status", "book").returncode == 0
    assert desk("report", "book", "--format", "md").returncode == 0
    assert desk.ask("SELECT count(*) FROM gonogo.event WHERE body->>'why' LIKE '%s3cret%' OR body::text LIKE '%s3cret%'") == [
        (0,)
    ]
    assert "s3cret" not in done.stdout


@pytest.mark.parametrize("token", ["caf\u00e9", "two\nlines"])
def test_a_request_that_cannot_be_made_was_not_made(desk: Desk, service: Service, token: str) -> None:
    desk.env["TOKEN"] = token
    desk.book()
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert service.asked == []
    assert token not in done.stdout


@pytest.mark.attack("inputs")
def test_an_input_names_no_environment_variable(desk: Desk, service: Service) -> None:
    desk.book(path="deploy/{{ version }}/$TOKEN")
    done = desk("run", "book", "--without-prefect", "--input", "version=$TOKEN.${SERVICE}.$$")
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.paths == ["/deploy/$TOKEN.$%7BSERVICE%7D.$$/t0p-s3cret"]
    assert service.asked[0][2] == {"version": "$TOKEN.${SERVICE}.$$"}
