"""A runbook whose gate asks people, on a target that is open and on one that is protected, and the codes of its people."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pyotp

from gonogo.core.engine.events import Kind
from support.command import environment, gonogo

BOOK = """
runbook: book
targets: {open: {database: $TEST_URL}, guarded: {database: $TEST_URL, protected: true}}
people:
  lead: {name: Technical lead, roles: [technical_lead]}
  owner: {name: Project owner, roles: [project_owner]}
  dev: {name: Developer}
backup: {waived: the table is empty}
rehearsal: {waived: it makes one table}
phases:
  - phase: one
    gate:
      go_if: [quiet]
      approve: {roles: [technical_lead, project_owner], quorum: 2, within: 30m}
    tasks:
      - task: table
        steps: [{sql: a.sql, undo: a.undo.sql}]
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
rollback:
  authority: {roles: [technical_lead, project_owner], quorum: 2}
"""
FILES = {
    "a__sql": "CREATE TABLE made (id int);\n",
    "a__undo__sql": "DROP TABLE made;\n",
    "quiet__sql": "SELECT count(*) FROM old WHERE note = 'busy'\n",
}
FORGED = "SELECT gonogo.append((SELECT id FROM gonogo.run ORDER BY opened DESC LIMIT 1), %s, %s, %s::json, false)"


class Desk:
    """The commands of a project, and the codes of its people."""

    def __init__(self, project: Path, url: str, target: str) -> None:
        self.project, self.url, self.target = project, url, target
        self.env = environment(TEST_URL=url)
        self.codes: dict[str, pyotp.TOTP] = {}
        self.given: dict[str, int] = {}

    def __call__(self, *arguments: str) -> CompletedProcess[str]:
        done = gonogo(*arguments, cwd=self.project, env=self.env)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def enroll(self, *people: str, again: bool = False) -> None:
        for person in people:
            found = re.search(r"otpauth://\S+", self("people", "enroll", person, *(["--again"] if again else [])).stdout)
            assert found
            made = pyotp.parse_uri(found.group())
            assert isinstance(made, pyotp.TOTP)
            self.codes[person] = made

    def code(self, person: str) -> str:
        """Return a code of a person's that counts now and was not given before, of a new key where the old one has none left."""
        now = int(time.time()) // 30
        step = max(now, self.given.get(person, 0) + 1)
        if step > now + 1:
            self.enroll(person, again=True)
            step = now
        self.given[person] = step
        return self.codes[person].at(step * 30)

    def launch(self, *more: str) -> CompletedProcess[str]:
        return self("run", "book", "-t", self.target, "--without-prefect", "--no-wait", *more)

    def go(self, person: str, *more: str, decision: str = "go") -> CompletedProcess[str]:
        return self(decision, "book", "-t", self.target, "--as", person, *more)

    def resume(self, *more: str) -> CompletedProcess[str]:
        return self("resume", "book", "-t", self.target, "--without-prefect", *more)

    def bodies(self, kind: Kind) -> list[dict[str, object]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "SELECT body FROM gonogo.event WHERE kind = %s ORDER BY seq"
            return [row[0] for row in connection.execute(query, [str(kind)]).fetchall()]

    def forge(self, kind: Kind, actor: str, **body: object) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(FORGED, [str(kind), actor, json.dumps(body)])

    def made(self) -> bool:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT to_regclass('made') IS NOT NULL").fetchone()
        return bool(row and row[0])


def launched(make_project: Callable[..., Path], url: str) -> Desk:
    """Return a desk whose run on the protected target was launched by the lead, and whose gate waits."""
    desk = Desk(make_project(BOOK, **FILES), url, "guarded")
    desk.enroll("lead", "owner", "dev")
    done = desk.launch("--as", "lead", "--code", desk.code("lead"))
    assert done.returncode == 4, done.stderr
    return desk
