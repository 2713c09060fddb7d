"""What was told of a run, where, and what could not be delivered."""

from __future__ import annotations

from gonogo.postgres.connection import Connection


def read(connection: Connection, run: str) -> list[tuple[str, str, str]]:
    """Return the updates of a run that were delivered: the key of each, where, and under which number there."""
    query = "SELECT key, channel, ts FROM gonogo.delivery WHERE run = %s AND error IS NULL ORDER BY id"
    return [(str(key), channel, ts) for key, channel, ts in connection.execute(query, [run]).fetchall()]


def note(connection: Connection, run: str, seq: int, key: str, channel: str | None, ts: str | None, error: str | None) -> None:
    """Keep that an update was told, and where; or why it was not.

    Args:
        connection: to the target.
        run: the run.
        seq: the event that it tells of; 0 where it is none of the run's.
        key: which update.
        channel: where it is.
        ts: under which number there.
        error: why it could not be delivered.
    """
    connection.execute(
        "INSERT INTO gonogo.delivery (run, seq, key, channel, ts, error, at) VALUES (%s, %s, %s, %s, %s, %s, pg_catalog.now())",
        [run, seq, key, channel, ts, error],
    )
