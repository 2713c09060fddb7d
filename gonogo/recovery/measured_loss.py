"""What an undo destroys, measured by running it twice: once behind a savepoint, to see which tables it touches.

That is taken back, the rows at stake are noted, it runs again, and what is there then is compared with them. The text of a
statement is never read: cascades, triggers, functions, rules and DO blocks count like the statement itself.

A row is at stake when somebody else than the run wrote it after the step: its xmin names the transaction that wrote it last. It
is lost when it is gone, when a column of it holds another value, or when a column of it that held a value is gone.

What cannot be seen: what acts beyond the database, rows that the application deleted and the undo brings back, the content of
large objects and of foreign tables. What the run itself wrote again after the application did: see `written_over`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from gonogo import clock
from gonogo.postgres.connection import FIND_OURS, Connection, full_name
from gonogo.postgres.pooled import reset_all, reset_role, to_default
from gonogo.postgres.schemas import USERS_SCHEMAS
from gonogo.postgres.sqlstates import TRANSIENT
from gonogo.recovery.data_loss import WROTE
from gonogo.recovery.rows_at_stake import CannotFollow, Stake, lost, note
from gonogo.recovery.undo_locks import MODE_OF, held_locks, known_locks, lock_statements, patience_of, strongest, take
from gonogo.recovery.written_over import noted

#: each table, with what a statement can do to it; temporary tables belong to sessions
_STATE = f"""
SELECT c.oid::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_relation_filenode(c.oid)::bigint,
  a.columns, i.parents, pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT
  pg_catalog.string_agg(pg_catalog.concat_ws(' ', attnum, atttypid, atttypmod), ',' ORDER BY attnum) AS columns
  FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a
CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(inhparent::bigint ORDER BY inhseqno) AS parents
  FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid) i
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {USERS_SCHEMAS}
"""
_OF_THESE = " AND c.oid = ANY (%s::oid[])"
#: the system columns of a table are written once, as it is made
_MADE_SINCE = f"""
SELECT NOT pg_catalog.pg_visible_in_snapshot(({WROTE})::text::xid8, %s::pg_catalog.pg_snapshot)
FROM pg_catalog.pg_attribute AS t,
 (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS id) AS next
WHERE t.attrelid = %s AND t.attnum = -1
"""
#: our own queries see every row, and find names where nobody else writes
OURS = (
    f"{FIND_OURS}SET LOCAL row_security = off;SET LOCAL statement_timeout = '15s';"
    # a value must not read differently because a script sets how it is written
    "SET LOCAL TimeZone = 'UTC';SET LOCAL DateStyle = 'ISO';SET LOCAL IntervalStyle = 'postgres';SET LOCAL bytea_output = 'hex'"
)
#: what of that is taken back for a script
_OURS = ("search_path", "statement_timeout", "lock_timeout", "timezone", "datestyle", "intervalstyle", "bytea_output")
#: how long a lock is waited for that nobody knew of, or one of a row, behind those that are held already
_UNKNOWN = "100ms"


class Touched(NamedTuple):
    """The tables that a script works on, by number, with the lock that it takes on each."""

    #: whose rows or columns it changes
    changed: Mapping[int, str]
    #: what it only keeps writers out of: what a dropped table referred to, views, what LOCK names
    locked: Mapping[int, str]


class CannotMeasure(Exception):
    """What an undo destroys cannot be measured here; the text says why. The transaction is of no use any more."""


class ScriptRefused(CannotMeasure):
    """One of several scripts is refused by the server, after the ones before it."""

    def __init__(self, message: str, number: int) -> None:
        self.number = number
        super().__init__(message)


class TouchedMore(CannotMeasure):
    """A script touched tables that nobody knew it to touch, so what was at stake there was not noted."""

    def __init__(self, tables: Sequence[str]) -> None:
        self.tables = tables
        super().__init__(f"the second trial changed {', '.join(tables)}, and the first one did not")


@dataclass(frozen=True, kw_only=True)
class UndoScript:
    """One script of an undo, and which rows count as written since."""

    text: str
    #: a snapshot of just before the step that it reverses, and that step
    since: str
    step: int = 0
    #: why the tables that were there before the step lose nothing; or why those of these names do, new ones too
    keeps: str | Mapping[str, str] = ""
    #: what it runs under, as SQL: its limits, and which rows it sees
    settings: str = ""
    #: it sets session parameters, a role among them
    sets: bool = False
    #: the locks that its statements are known to take: `ACCESS EXCLUSIVE on orders`
    locks: Sequence[str] = ()

    def prefix(self, connection: Connection) -> str:
        """Return what goes before its text: the settings of the session, not ours, and nothing that an earlier try prepared."""
        return f"DEALLOCATE ALL;{to_default(connection, *_OURS)}{self.settings}"

    def suffix(self, connection: Connection) -> str:
        """Return what goes after it: deferred triggers destroy, too."""
        return f"\n;SET CONSTRAINTS ALL IMMEDIATE;{reset_role(connection) if self.sets else ''}{OURS}"


class _Table(NamedTuple):
    name: str
    file: int | None
    columns: str | None
    parents: Sequence[int] | None
    updated: int
    deleted: int


def measure(
    connection: Connection,
    run: str,
    undos: Sequence[UndoScript],
    *,
    touched: Sequence[Touched] | None = None,
    within: float | None = None,
) -> tuple[list[dict[str, int]], list[Touched]]:
    """Run some undo scripts in the open transaction, and say how many rows each destroys that somebody wrote since.

    Args:
        connection: in a transaction, which the caller commits or rolls back.
        run: the run whose own rows do not count.
        undos: the scripts, in the order in which they run.
        touched: the tables that each of them touches, where that is known already.
        within: the seconds that it may keep others waiting, where the caller rolls it back: then a script runs again only where
            rows are at stake. Without it, all have run at the end.

    Returns:
        For each script, the rows by table, -1 where the number cannot be known; and the tables that each touches.

    Raises:
        CannotMeasure: it cannot be measured; ScriptRefused where a script is refused, TouchedMore where it touches more than was
            known.
        psycopg.Error: the server refused a script for real, a lock was not to be had, or the connection is lost.
    """
    with _measuring(connection):
        _require_means(connection)
        began = clock.monotonic()
        by_script = _lock_and_look(connection, undos, touched, within)
        known, before = strongest(each.changed for each in by_script), _state(connection)
        tables = {oid: before[oid].name for oid in sorted(known) if oid in before}
        first = min(undos, key=lambda undo: int(undo.since.split(":")[0]))
        stakes = note(connection, run, tables, first.since, min(undo.step for undo in undos), noted(connection, run))
        waived = [_waived(connection, undo, stakes) for undo in undos]
    if within is not None and all(stake.is_empty for stake in stakes):
        return [{} for _ in undos], by_script
    found, state, numbers = [], before, [stake.oid for stake in stakes]
    for number, (undo, kept) in enumerate(zip(undos, waived, strict=True), 1):
        _require_time(began, within)
        _run(connection, undo, within)
        with _measuring(connection):
            was, state = {oid: state[oid] for oid in numbers if oid in state}, _state(connection, numbers)
            changed, last = _touched(was, state), number == len(undos)
            gone = {s.name: lost(connection, s, undo.since, undo.step, touched=s.oid in changed, last=last) for s in stakes}
        found.append({stake.name: gone[stake.name] for stake in stakes if gone[stake.name] and stake.oid not in kept})
    with _measuring(connection):
        if more := _touched(before, _state(connection)) - set(known):
            raise TouchedMore(sorted(before[oid].name for oid in more))
    return found, by_script


def _lock_and_look(
    connection: Connection, undos: Sequence[UndoScript], touched: Sequence[Touched] | None, within: float | None
) -> list[Touched]:
    """Return the tables that some scripts touch, all of which are locked then as the scripts lock them."""
    settings = f"{to_default(connection, *_OURS)}{undos[0].settings}"
    patience, held = patience_of(connection, settings) if within is None else 0.0, list[str]()
    connection.execute("SAVEPOINT gonogo_known")
    if touched is None:
        known = known_locks(connection, (lock for undo in undos for lock in undo.locks))
        # a script that acts as another role may take locks that this one may not
        with suppress(psycopg.errors.InsufficientPrivilege):
            held = take(connection, lock_statements(connection, known), patience)
    by_script = _look(connection, undos, within) if touched is None else list(touched)
    # also what they only lock, in one order: who comes to it late may wait for a call that waits for what is changed
    wanted = lock_statements(connection, strongest(locks for each in by_script for locks in each))
    if not set(wanted) <= set(held):
        # one more behind those that are held for a while could be what a call has, which waits for them
        connection.execute("ROLLBACK TO SAVEPOINT gonogo_known")
        take(connection, wanted, patience)
    return by_script


def _require_means(connection: Connection) -> None:
    """See that it can be measured here.

    Raises:
        CannotMeasure: it cannot.
    """
    counts, temporary = connection.execute(
        "SELECT pg_catalog.current_setting('track_counts') = 'on',"
        " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')"
    ).fetchone() or (False, False)
    if not counts:
        raise CannotMeasure("track_counts is off")
    if not temporary:
        raise CannotMeasure("the role may not make temporary tables in this database (GRANT TEMPORARY)")


@contextmanager
def _measuring(connection: Connection) -> Iterator[None]:
    """What goes wrong as it is measured is not the script's fault, and must not fail it."""
    try:
        connection.execute(OURS.encode())
        yield
    except CannotFollow as error:
        raise CannotMeasure(str(error)) from None
    except psycopg.Error as error:
        if connection.closed or (error.sqlstate or "") in TRANSIENT:
            raise
        raise CannotMeasure(str(error).splitlines()[0]) from None


def _run(connection: Connection, undo: UndoScript, within: float | None, *, trial: bool = False) -> None:
    """Run a script; one of several begins with nothing that another one set.

    Args:
        connection: in a transaction.
        undo: the script.
        within: the seconds that it may take, where it is one of several.
        trial: it gives way where it would have to wait, as one of several does.
    """
    limits = f"SET LOCAL lock_timeout = '{_UNKNOWN}';" if trial or within is not None else ""
    first = f"{reset_all(connection)};" if within is not None else ""
    if within is not None:
        limits += f"SET LOCAL statement_timeout = '{within:g}s';"
    connection.execute(f"{first}{undo.prefix(connection)}{limits}{undo.text}{undo.suffix(connection)}".encode())


def _require_time(began: float, within: float | None) -> None:
    if within is not None and clock.monotonic() - began > within:
        raise CannotMeasure(f"it would keep others waiting for more than {within:g} s")


def _look(connection: Connection, undos: Sequence[UndoScript], within: float | None) -> list[Touched]:
    """Run scripts behind a savepoint, take that back, and return the tables that each touched."""
    before, found = _state(connection), list[Touched]()
    began = clock.monotonic()
    connection.execute("SAVEPOINT gonogo_look")
    for number, undo in enumerate(undos):
        _require_time(began, within)
        try:
            _run(connection, undo, within, trial=True)
        except psycopg.Error as error:
            if connection.closed or (error.sqlstate or "") in TRANSIENT:
                raise
            raise ScriptRefused(str(error).splitlines()[0], number) from None
        # what a script touches, it has locked
        held = held_locks(connection)
        here = {oid: table for oid, table in before.items() if oid in held}
        after = _state(connection, list(here))
        changed = _touched(here, after)
        locked = {oid: mode for oid, mode in held_locks(connection, only=MODE_OF).items() if oid not in changed}
        found.append(Touched({oid: held[oid] for oid in changed}, locked))
        before = {**{oid: table for oid, table in before.items() if oid not in here}, **after}
    # the locks go with it: whoever waited for them gets in here, and is noted
    connection.execute("ROLLBACK TO SAVEPOINT gonogo_look;RELEASE SAVEPOINT gonogo_look")
    connection.execute(OURS.encode())
    return found


def _state(connection: Connection, these: list[int] | None = None) -> dict[int, _Table]:
    """Return the tables that are there, or some of them."""
    if these is None:
        rows = connection.execute(_STATE.encode()).fetchall()
    else:
        # the percent signs of the one form are no parameters, and those of the other are doubled
        rows = connection.execute((_STATE.replace("%", "%%") + _OF_THESE).encode(), [these]).fetchall()
    return {int(row[0]): _Table(*row[1:]) for row in rows}


def _touched(before: Mapping[int, _Table], after: Mapping[int, _Table]) -> frozenset[int]:
    """Return the tables that are gone, have other columns or parents, were written anew, updated, or deleted from.

    The counts hold what was taken back, too: their differences mean something, and they themselves nothing.
    """
    return frozenset(oid for oid, was in before.items() if (now := after.get(oid)) is None or was[1:] != now[1:])


def _waived(connection: Connection, undo: UndoScript, stakes: Iterable[Stake]) -> frozenset[int]:
    """Return the tables whose rows a step is said to keep elsewhere: those that it names, or those that were there before it."""
    if not undo.keeps:
        return frozenset()
    if not isinstance(undo.keeps, str):
        names = [full_name(connection, table) for table in undo.keeps]
        named = connection.execute("SELECT pg_catalog.to_regclass(t)::oid::bigint FROM pg_catalog.unnest(%s::text[]) t", [names])
        return frozenset(int(row[0]) for row in named.fetchall() if row[0] is not None)
    made = {stake.oid: connection.execute(_MADE_SINCE.encode(), [undo.since, stake.oid]).fetchone() for stake in stakes}
    return frozenset(oid for oid, row in made.items() if row != (True,))
