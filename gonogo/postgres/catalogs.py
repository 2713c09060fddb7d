"""The system catalogs, read whole: every object with all that the server records of it, in names instead of numbers.

Nothing is listed that is looked at. The server says itself which catalogs and columns it has, and which of them refers to
which (`pg_get_catalog_foreign_keys`, "System Information Functions" in PostgreSQL's manual); what is left out stands in
`not_compared`, with its reason. So a catalog that a newer version brings is compared from its first day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from gonogo import clock
from gonogo.errors import StepError
from gonogo.postgres.catalog_query import Query, make_query
from gonogo.postgres.connection import Connection, in_transaction

#: seconds for which a reading is tried that others disturb: in a transaction of the caller's it may see the same again; the pause
_PATIENCE, _INSIDE, _PAUSE = 30.0, 1.0, 0.02
_MEMBER = "member of extension "

_COLUMNS = """
SELECT c.relname, c.relisshared, a.attname, t.typname, a.attnotnull, has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
#: what a row is called by: the oldest unique index that is not on its own number
_KEYS = """
SELECT DISTINCT ON (1) indrelid::regclass::text, ARRAY(SELECT attname::text FROM unnest(indkey) WITH ORDINALITY u(k, n)
  JOIN pg_attribute ON attrelid = indrelid AND attnum = k ORDER BY n)
FROM pg_index JOIN pg_class c ON c.oid = indrelid
WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND indisunique AND NOT EXISTS (
  SELECT FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey) AND attname = 'oid')
ORDER BY 1, indexrelid
"""
_REFERENCES = "SELECT fktable::text, fkcols::text[], pktable::text FROM pg_get_catalog_foreign_keys()"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Every object of a database, with what the server records of it: a line for each thing that it says."""

    objects: Mapping[str, str]
    #: the same of what all databases of the server share: roles, tablespaces, settings
    shared: Mapping[str, str]
    #: what could not be read, for want of the right to
    unseen: tuple[str, ...]


def read(connection: Connection) -> Reading:
    """Read the catalogs.

    The functions that write definitions look at what is there now and not at the snapshot: beside somebody else's DDL they may
    fail. Such a reading is taken again; one that succeeds is whole.

    Args:
        connection: where; in a transaction of the caller's, it should be REPEATABLE READ.

    Raises:
        StepError: somebody changes the schema all the time, or the role may not read a catalog without which nothing has a name.
    """
    inside = in_transaction(connection)
    deadline = clock.monotonic() + (_INSIDE if inside else _PATIENCE)
    while True:
        try:
            with connection.transaction():
                if not inside:
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                return _read(connection, sees_others=inside)
        except psycopg.errors.InsufficientPrivilege as error:
            said = str(error).splitlines()[0]
            grant = f"GRANT SELECT ON pg_catalog.{said.rpartition(' ')[2]} TO {connection.info.user}"
            raise StepError(f"the schema cannot be read: {said}; {grant}") from None
        except (psycopg.errors.InternalError_, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject) as error:
            if clock.monotonic() > deadline:
                raise StepError(f"the schema cannot be read while somebody changes it: {str(error).strip()}") from None
            clock.sleep(_PAUSE)


def _read(connection: Connection, *, sees_others: bool) -> Reading:
    before = connection.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
    # temporary tables last, or one that is called like a catalog would be read in its place
    connection.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)")
    query = make_query(
        tuple(connection.execute(_COLUMNS).fetchall()),
        tuple((fk, tuple(columns), pk) for fk, columns, pk in connection.execute(_REFERENCES).fetchall()),
        tuple((catalog, tuple(columns)) for catalog, columns in connection.execute(_KEYS).fetchall()),
    )
    found = _Found()
    for row in _built_in(connection, query, sees_others=sees_others):
        found.add(*row)
    # where the server does not know what its bytes mean, it refuses to send some of them as anything else
    unknown = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
    if unknown:
        connection.execute("SET LOCAL client_encoding = 'SQL_ASCII'")
    for catalog, of, number, part, name, text, shared in connection.execute(query.text.encode()):
        found.add(_read_text(catalog) or "", of, number, part, _read_text(name), _read_text(text), shared)
    if unknown:
        connection.execute("SET LOCAL client_encoding = 'UTF8'")
    for title, asked in _ELSEWHERE.items():
        found.unseen += _elsewhere(connection, title, asked, found)
    connection.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [before[0] if before else ""])
    return Reading(
        objects=found.written(shared=False),
        shared=found.written(shared=True),
        unseen=(*query.unseen, *found.unseen),
    )


#: what was read of the rows that every server has, by what is another once one of them is written
_kept: dict[tuple[object, ...], list[tuple[Any, ...]]] = {}
_KEPT = 16


def _built_in(connection: Connection, query: Query, *, sees_others: bool) -> list[tuple[Any, ...]]:
    """Return the digests over the rows that every server has: read again where one of them was written since."""
    marks = _marks(connection, query)
    if (known := _kept.get(marks)) is not None:
        return known
    read = connection.execute(query.built_in.encode()).fetchall()
    # in a transaction of the caller's, which may see what others commit, a row may have been written meanwhile
    if not sees_others or _marks(connection, query) == marks:
        while len(_kept) >= _KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[marks] = read
    return read


def _marks(connection: Connection, query: Query) -> tuple[object, ...]:
    return (query.built_in, *(connection.execute(query.marks.encode()).fetchone() or ()))


def _read_text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


#: what concerns the whole server and is in no catalog
_ELSEWHERE = {
    "settings by ALTER SYSTEM": "SELECT 'setting of the server ' || name, 'is ' || setting FROM pg_file_settings"
    " WHERE sourcefile ~ 'postgresql[.]auto[.]conf$'",
    "replication slots": "SELECT 'replication slot ' || slot_name, concat_ws(' ', 'is', plugin, slot_type, two_phase)"
    " FROM pg_replication_slots WHERE NOT temporary AND coalesce(database, current_database()) = current_database()",
}


def _elsewhere(connection: Connection, title: str, query: str, found: _Found) -> list[str]:
    try:
        with connection.transaction():
            for name, text in connection.execute(query.encode()).fetchall():
                found.add("pg_settings", 0, 0, 0, name, text, True)
    except psycopg.errors.InsufficientPrivilege:
        return [title]
    return []


@dataclass(kw_only=True)
class _Found:
    """What is read, row by row, and put together by object."""

    lines: dict[tuple[str, bool], list[tuple[str, str]]] = field(default_factory=dict)
    #: the object that a number of a catalog means
    names: dict[tuple[int, int, int], tuple[str, bool]] = field(default_factory=dict)
    #: what is said about objects in catalogs of their own, until all of them are known
    about: list[tuple[tuple[int, int, int], str, str]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def add(self, catalog: str, of: int, number: int, part: int, name: str | None, text: str | None, shared: bool) -> None:
        """Take in a row: of an object, or about one."""
        if name is None:
            self.about.append(((of, number, part), catalog, text or ""))
            return
        self.lines.setdefault((name, shared), []).append((catalog, text or ""))
        if number:
            self.names[(of, number, part)] = (name, shared)

    def written(self, *, shared: bool) -> dict[str, str]:
        """Return the text of each object; the lines of catalogs that say something of the same one follow each other."""
        for key, catalog, text in self.about:
            if (name := self.names.get(key)) is not None:
                self.lines[name].append((catalog, text))
        self.about.clear()
        self._gather_members()
        return {
            name: "\n".join(text for _, text in sorted(lines) if text)
            for (name, of_server), lines in sorted(self.lines.items())
            if of_server is shared
        }

    def _gather_members(self) -> None:
        """Put what belongs to an extension into a line of that extension: its count and digest."""
        members: dict[str, list[str]] = {}
        for key, lines in list(self.lines.items()):
            extension = next((text for _, text in lines if text.startswith(_MEMBER)), "").removeprefix(_MEMBER)
            if extension:
                members.setdefault(extension, []).append("\0".join([key[0], *(text for _, text in sorted(self.lines.pop(key)))]))
        for extension, said in members.items():
            digest = hashlib.sha256("\0".join(sorted(said)).encode()).hexdigest()[:16]
            self.lines.setdefault((f"extension {extension}", False), []).append(("", f"members {len(said)}, digest {digest}"))
