"""What the server is doing: `activity: connections`, `expect: "< 80%"`.

One cheap query each, over the server's own views. What is found is named: who blocks whom, which transaction is old.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from checks.asking import FEW, asking
from checks.kind import Question
from gonogo import clock
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection

#: how long the WAL is looked at, in seconds
_LOOK = 0.2
_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})
#: the number, and a line for each thing that it counts; the sessions of gonogo itself are not counted
_QUERIES: Mapping[str, str] = {
    "connections": """
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::numeric
  / (pg_catalog.current_setting('max_connections')::int - pg_catalog.current_setting('superuser_reserved_connections')::int),
  (SELECT pg_catalog.array_agg(pg_catalog.format('%%s of %%s', n, who) ORDER BY n DESC)
   FROM (SELECT count(*) AS n, coalesce(nullif(application_name, ''), usename, 'nobody') AS who
         FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 2 ORDER BY 1 DESC LIMIT 5) AS t)
""",
    "blocked": """
SELECT count(*), pg_catalog.array_agg(pg_catalog.format('%%s waits %%s s for a lock, blocked by %%s: %%s', pid,
  round(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(since, state_change))::numeric, 1),
  pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(pid), ' and '), pg_catalog.left(query, 60)))
FROM (SELECT a.*, (SELECT min(l.waitstart) FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND NOT l.granted) AS since
      FROM pg_catalog.pg_stat_activity a WHERE a.wait_event_type = 'Lock') AS waiting
""",
    "oldest_transaction": """
SELECT coalesce(max(extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)), 0)::numeric,
  (pg_catalog.array_agg(pg_catalog.format('%%s of %%s since %%s: %%s', pid, coalesce(usename, '?'), xact_start::timestamp(0),
    pg_catalog.left(query, 60)) ORDER BY xact_start))[1:3]
FROM pg_catalog.pg_stat_activity
WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
  AND NOT (application_name LIKE 'gonogo/%%' AND usename = session_user)
""",
    "long_queries": """
SELECT count(*), (pg_catalog.array_agg(pg_catalog.format('%%s of %%s since %%s: %%s', pid, coalesce(usename, '?'),
  query_start::timestamp(0), pg_catalog.left(query, 60)) ORDER BY query_start))[1:5]
FROM pg_catalog.pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND NOT (application_name LIKE 'gonogo/%%' AND usename = session_user)
  AND query_start < pg_catalog.clock_timestamp() - %(older_than)s::interval
""",
    "dumps": """
SELECT count(DISTINCT coalesce(leader_pid, pid)), pg_catalog.array_agg(pg_catalog.format('%%s of %%s since %%s', pid,
  coalesce(usename, '?'), backend_start::timestamp(0)))
FROM pg_catalog.pg_stat_activity WHERE application_name IN ('pg_dump', 'pg_dumpall', 'pg_basebackup')
""",
    "replication_lag": """
SELECT max(extract(epoch FROM coalesce(replay_lag, '0'::interval)))::numeric,
  pg_catalog.array_agg(pg_catalog.format('%%s (%%s) is %%s behind', coalesce(application_name, '?'), state,
    coalesce(replay_lag, '0'::interval)))
FROM pg_catalog.pg_stat_replication
""",
    "dead_rows": """
SELECT max(share), (pg_catalog.array_agg(pg_catalog.format('%%s: %%s dead rows, last autovacuum %%s', name, dead,
  coalesce(at::text, 'never')) ORDER BY share DESC))[1:3]
FROM (SELECT relid::pg_catalog.regclass::text AS name, n_dead_tup AS dead, last_autovacuum::timestamp(0) AS at,
        n_dead_tup::numeric / (n_live_tup + n_dead_tup) AS share
      FROM pg_catalog.pg_stat_user_tables WHERE n_live_tup + n_dead_tup >= 1000 AND schemaname <> 'gonogo') AS t
""",
}
_NOTHING: Mapping[str, str] = {
    "replication_lag": "no standby is connected",
    "dead_rows": "no table has a thousand rows",
}


def measure(question: Question, connection: Connection) -> Measurement:
    """Ask what the server is doing."""
    what = str(question.check.activity)
    return _OTHERS[what](question, connection) if what in _OTHERS else _ask(question, connection, what)


def _ask(question: Question, connection: Connection, what: str) -> Measurement:
    with asking(question, connection):
        if what != "dead_rows" and not _sees_everybody(connection):
            raise StepError("the role sees its own sessions only, so this would look quiet: GRANT pg_monitor TO it")
        row = connection.execute(_QUERIES[what].encode(), {"older_than": question.check.older_than}).fetchone()
    if row is None or row[0] is None:
        return Measurement(check=question.name, missing=_NOTHING.get(what, "the server gave no answer"))
    notes = tuple(str(line) for line in (row[1] or ())[:FEW])
    return Measurement(check=question.name, numbers={"value": str(row[0])}, notes=notes)


def _sees_everybody(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')").fetchone()
    return bool(row and row[0])


def _wal_rate(question: Question, connection: Connection) -> Measurement:
    """Look at the WAL twice: how many bytes a second were written in between, by everybody."""
    query = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')"
    with asking(question, connection):
        first, began = connection.execute(query).fetchone(), clock.monotonic()
        clock.sleep(_LOOK)
        second, took = connection.execute(query).fetchone(), clock.monotonic() - began
    written = (second[0] if second else 0) - (first[0] if first else 0)
    return Measurement(check=question.name, numbers={"value": f"{float(written) / took:.0f}"})


def _disk_free(question: Question, connection: Connection) -> Measurement:
    """See how much room the server's disk has; only where that disk is this machine's."""
    if (connection.info.host or "") not in _LOCAL and not (connection.info.host or "").startswith("/"):
        raise StepError("the server is on another machine, whose disk SQL cannot see; ask with `run:`")
    with asking(question, connection):
        row = connection.execute("SELECT pg_catalog.current_setting('data_directory')").fetchone()
    folder = Path(str(row[0])) if row else Path()
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise StepError(f"{folder}: {error.strerror}") from None
    share = f"{found.f_bavail / max(found.f_blocks, 1):.0%} of the disk of {folder}"
    return Measurement(check=question.name, numbers={"value": str(found.f_bavail * found.f_frsize)}, notes=(share,))


_OTHERS: Mapping[str, Callable[[Question, Connection], Measurement]] = {"wal_rate": _wal_rate, "disk_free": _disk_free}
