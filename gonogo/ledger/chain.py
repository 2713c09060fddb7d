"""The chain of hashes that the events of a run form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from gonogo.postgres.connection import Connection


def verify(connection: Connection, run: str) -> tuple[int, list[str]]:
    """Recompute the hash chain of a run; return how many events it has, and what is wrong with it."""
    problems: list[str] = []
    previous, expected = b"", 1
    for row in _raw(connection, run):
        seq, kind, at, began, actor, body, said_previous, said_hash = row
        fields = [run, str(seq), kind, str(at), str(began), actor, body]
        hashed = hashlib.sha256(previous + "\x1f".join(fields).encode()).digest()
        if seq != expected:
            problems.append(f"event {expected} is missing: the next one is {seq}")
        if bytes(said_previous) != previous:
            problems.append(f"event {seq} does not follow from the one before it")
        elif bytes(said_hash) != hashed:
            problems.append(f"event {seq} ({kind}, by {actor}) was changed after it was recorded")
        previous, expected = bytes(said_hash), seq + 1
    head = connection.execute("SELECT seq FROM gonogo.run WHERE id = %s", [run]).fetchone()
    if head and head[0] != expected - 1:
        problems.append(f"the run has {head[0]} events, but only {expected - 1} are there: the newest were removed")
    return expected - 1, problems


def wrong_scripts(connection: Connection, run: str) -> list[str]:
    """Return which of the scripts that a run's plan names are missing, or are not what they were."""
    rows = connection.execute(_WRONG_SCRIPTS, [run]).fetchall()
    return [
        f"the script {sha256[:12]} {'was changed after it was recorded' if there else 'is missing'}" for sha256, there in rows
    ]


#: every sha256 that stands in the plan, as a script, a query or an undo
_WRONG_SCRIPTS = """
SELECT named.sha256, script.text IS NOT NULL
FROM (
  SELECT DISTINCT found #>> '{}' AS sha256
  FROM gonogo.event, LATERAL pg_catalog.jsonb_path_query(body::jsonb, '$.plan.**.sha256') AS found
  WHERE run = %s AND seq = 1
) AS named
LEFT JOIN gonogo.script USING (sha256)
WHERE script.text IS NULL
   OR pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(script.text, 'UTF8')), 'hex') <> named.sha256
ORDER BY 1
"""


#: how many events are read at a time
_AT_ONCE = 1000


def _raw(connection: Connection, run: str) -> Iterator[Any]:
    query = (
        "SELECT seq, kind, (extract(epoch FROM at) * 1000000)::bigint, (extract(epoch FROM began) * 1000000)::bigint,"
        " actor, body::text, previous, hash FROM gonogo.event WHERE run = %s ORDER BY seq"
    )
    with connection.cursor() as cursor:
        # a run may have more of them than fit into memory
        yield from cursor.stream(query, [run], size=_AT_ONCE)


def export(connection: Connection, run: str) -> Iterator[str]:
    """Yield every event of a run as a line of JSON, with its hash: the chain can be checked without the database."""
    for seq, kind, at, began, actor, body, previous, hashed in _raw(connection, run):
        yield json.dumps(
            {
                "run": run,
                "seq": seq,
                "kind": kind,
                "at_us": at,
                "began_us": began,
                "actor": actor,
                "body": json.loads(body),
                "body_text": body,
                "previous": bytes(previous).hex(),
                "hash": bytes(hashed).hex(),
            }
        )
