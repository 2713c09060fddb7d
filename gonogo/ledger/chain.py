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


def _raw(connection: Connection, run: str) -> Iterator[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, kind, (extract(epoch FROM at) * 1000000)::bigint, (extract(epoch FROM began) * 1000000)::bigint,"
            " actor, body::text, previous, hash FROM gonogo.event WHERE run = %s ORDER BY seq",
            [run],
        )
        yield from cursor


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
