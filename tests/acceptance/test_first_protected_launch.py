"""docs/guides/first-protected-launch.md, gone through as it stands: TLS, a master role that is no superuser, PgBouncer."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo
from support.gate_desk import Desk
from support.pooler import PGBOUNCER, pooling
from support.secured import Secured, secured
from support.servers import DEBIAN_15

from gonogo.project import ROOT

PAGE = (ROOT / "docs" / "guides" / "first-protected-launch.md").read_text(encoding="utf-8")
FILE = re.compile(r"```(?:yaml|sql)\n(?:#|--) (?P<path>\S+)\n(?P<text>.*?)```", re.DOTALL)
COMMAND = re.compile(r"(?m)^\$ gonogo (?P<words>.+)$")
pytestmark = [
    pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="Debian's PostgreSQL 15 is not installed"),
    pytest.mark.skipif(not PGBOUNCER.is_file(), reason="PgBouncer is not installed"),
]
#: what a master role of a managed service may: databases and roles, signals; no superuser, and no row security passed by
MASTER = "LOGIN NOSUPERUSER CREATEDB CREATEROLE NOBYPASSRLS IN ROLE pg_monitor, pg_signal_backend"
SHOP = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customers, placed_at timestamptz DEFAULT now());
INSERT INTO customers SELECT g, 'customer ' || g FROM generate_series(1, 300) g;
INSERT INTO orders (customer) SELECT 1 + g % 300 FROM generate_series(1, 5000) g;
CREATE ROLE shop_app LOGIN;
GRANT SELECT, INSERT ON orders TO shop_app; GRANT SELECT ON customers TO shop_app
"""


@contextmanager
def shopping(address: str) -> Iterator[list[str]]:
    """Place and read orders through the pooler, as the application does; yield what went wrong."""
    over, wrong = threading.Event(), list[str]()

    def shop() -> None:
        while not over.wait(0.02):
            try:
                with psycopg.connect(address, autocommit=True, prepare_threshold=None) as connection:
                    connection.execute("SET ROLE shop_app")
                    connection.execute("SELECT count(*) FROM orders WHERE customer = 7")
                    connection.execute("RESET ROLE")
            except psycopg.Error as error:
                wrong.append(str(error))

    thread = threading.Thread(target=shop)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


class Reader:
    """Somebody who types what the page says."""

    def __init__(self, project: Path, desk: Desk) -> None:
        self.project, self.desk = project, desk

    def type(self, command: str) -> CompletedProcess[str]:
        words = shlex.split(command)
        person = words[words.index("--as") + 1] if "--as" in words else ""
        if words[:2] == ["people", "enroll"]:
            self.desk.enroll(words[2])
            return CompletedProcess(words, 0, "", "")
        if person:
            words += ["--code", self.desk.code(person)]
        if words[0] in ("run", "resume", "rollback"):
            words.append("--without-prefect")
        done = gonogo(*words, cwd=self.project, env=self.desk.env)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done


@pytest.fixture(scope="module")
def managed() -> Iterator[Secured]:
    with secured() as running:
        running.login("deploy", "p@ss/w:rd", MASTER)
        yield running


def test_the_page_leads_to_a_protected_launch_and_back_and_no_call_of_the_application_fails(
    managed: Secured, tmp_path: Path
) -> None:
    for found in FILE.finditer(PAGE):
        file = tmp_path / found["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found["text"], encoding="utf-8")
    name = managed.database("deploy")
    direct = managed.address(name, "deploy:p%40ss%2Fw%3Ard")
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(SHOP)
    with pooling(managed.server.url_of(name), "transaction") as pooled, shopping(pooled) as wrong:
        desk = Desk(tmp_path, direct, "production")
        desk.env = environment(SHOP_DATABASE_URL=pooled, SHOP_DIRECT_URL=direct)
        reader, answers = Reader(tmp_path, desk), dict[str, CompletedProcess[str]]()
        for command in COMMAND.findall(PAGE):
            if "--reason" in command:
                assert not [done.stdout + done.stderr for done in answers.values() if done.returncode not in (0, 4)]
                with psycopg.connect(direct, autocommit=True) as connection:
                    connection.execute("INSERT INTO orders (customer, status) VALUES (5, 'paid')")
            answers[command] = reader.type(command)

    codes = {command: done.returncode for command, done in answers.items()}
    said = {command: done.stdout + done.stderr for command, done in answers.items()}
    # who launches and who asks for a rollback leaves it to the others: nothing failed, and it waits
    assert {command: code for command, code in codes.items() if code} == {
        "run shop-orders --target production --as lead --no-wait": 4,
        'rollback shop-orders --target production --reason "we try it once" --as lead': 4,
        "rollback shop-orders --target production --accept-loss --as owner": 11,
    }, json.dumps(said, indent=1)
    assert "verify-full" in said["doctor --target production"] or "TLS" in said["doctor --target production"]
    assert not [text for text in said.values() if "cannot be measured" in text]
    events = {row[0]: row[1] for row in _events(direct)}
    assert events["backup proved"]["tables"] == 2
    assert len(events["go"]["votes"]) == 2
    assert events["rollback proved"]["objects"] > 5
    assert wrong == []
    for text in said.values():
        assert "p@ss" not in text
        assert "p%40ss" not in text


def _events(url: str) -> list[tuple[str, dict[str, Any]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT kind, body FROM gonogo.event ORDER BY seq").fetchall()
