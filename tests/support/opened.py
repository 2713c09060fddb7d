"""A run that was opened on a real database, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg

from gonogo.keys import Keys
from gonogo.planning.load import load_runbook
from gonogo.postgres.connection import Database
from gonogo.project import Project
from gonogo.run.acquire import LiveRunner, acquire_run
from gonogo.run.begin import begin
from support.prepared import prepare
from support.servers import Server


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A run that was opened on a database, and how to become its runner."""

    database: Database
    run: str
    keys: Keys

    def runner(self, database: Database | None = None, *, take_over: bool = False) -> LiveRunner:
        """Become its runner."""
        return acquire_run(database or self.database, self.run, actor="tester", keys=self.keys, take_over=take_over)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Ask the database, as somebody else; return the rows of the last statement."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []


def open_run(server: Server, project: Path, before: str) -> Opened:
    """Open a run of a project's one runbook on a database of its own.

    Args:
        server: where the database is made.
        project: the folder of the project, whose runbook is book.yaml.
        before: what is there before it, as SQL.
    """
    file = project / "runbooks" / "book.yaml"
    database = Database(url=server.database())
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(before.encode())
    prepared = prepare(load_runbook(file), file, Project(root=project))
    with database.connect("gonogo/begin") as connection:
        run, *_ = begin(connection, prepared, "tester")
    return Opened(database=database, run=run, keys=Keys(file=project / "keys.json"))
