"""An application that uses a database all the while, and keeps what went wrong for it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class Calls:
    """What an application does: statements, each drawn by lot. One that answers says `ok`, or what is wrong."""

    statements: tuple[str, ...]
    #: the role that it has
    role: str = ""


@dataclass
class Made:
    """What came of it."""

    calls: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


@contextmanager
def calling(url: str, calls: Calls, workers: int = 2) -> Iterator[Made]:
    """Let some workers call all the while; what went wrong is counted by its reason."""
    made, over, guard = Made(), threading.Event(), threading.Lock()

    def work(seed: int) -> None:
        lot = random.Random(seed)  # noqa: S311 - nothing secret
        with psycopg.connect(url, autocommit=True) as connection:
            if calls.role:
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(calls.role)))
            # what is prepared may not change its columns (0A000): that is PostgreSQL's rule for SELECT *
            connection.prepare_threshold = None
            while not over.wait(0.01):
                statement = lot.choice(calls.statements)
                try:
                    cursor = connection.execute(statement.encode())
                    row = cursor.fetchone() if cursor.description else None
                    why = "" if row is None or row[0] == "ok" else str(row[0])
                except psycopg.Error as error:
                    why = f"{error.sqlstate} {str(error).splitlines()[0]} in {statement[:60]}"
                with guard:
                    made.calls += 1
                    if why:
                        made.wrong[why] += 1

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=30)
