"""Small wrongs, each planted by itself: a value that is another, a row too few or too many, a grant, an index, a constraint gone.

Whoever plants one takes it back. What the schema itself refuses could not have gone wrong unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeAlias

import psycopg
from psycopg import sql

from gonogo.postgres.connection import Connection
from gonogo.postgres.own_types import why_not_written
from gonogo.rehearsal.holdings import Thing, Written

Statement: TypeAlias = sql.SQL | sql.Composed


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """Something small that is wrong where a step wrote."""

    step: str
    #: what is wrong, and where: a column, a table, an object
    what: str
    where: str
    #: the ways to plant it, each a list of statements, the likeliest first; one that changes nothing, or is refused, gives way
    ways: tuple[tuple[Statement, ...], ...]


class Refused(Exception):
    """The schema refuses a wrong, whichever way it is planted."""


class NotPlanted(Exception):
    """A wrong cannot be planted; the text says why."""


def wrongs(connection: Connection, step: str, made: Written, seed: int) -> Iterator[Wrong]:
    """Yield the wrongs of a step: one of each sort for each thing that it wrote, in turn.

    Args:
        connection: the copy, as it is now; what a later step took away is left out.
        step: its name.
        made: what it wrote.
        seed: chooses the rows.
    """
    keys = dict(_foreign_keys(connection))
    types = {(str(table), str(column)): str(category) for table, column, category in connection.execute(_TYPES.encode())}
    there = {table for table, _ in types}
    written = {table for table, _ in made.columns}.union(made.grown) & there
    open_ = {table for table in written if not why_not_written(connection, table)}
    values = [key for key in made.columns if key in types and key[0] in open_]
    tables = [table for table in made.grown if table in open_]
    things = list(_still_there(connection, made.things))
    groups: Sequence[Iterable[Wrong]] = (
        [_another_value(step, table, column, types[table, column], seed) for table, column in values],
        [_not_filled(step, table, column, seed) for table, column in values],
        [_another_row(step, table, column, *keys[table, column], seed) for table, column in values if (table, column) in keys],
        [_missing_row(step, table, seed) for table in tables],
        [_doubled_row(connection, step, table, seed) for table in tables],
        [wrong for thing in things for wrong in _of_thing(connection, step, thing)],
    )
    for several in zip_longest(*groups):
        yield from (wrong for wrong in several if wrong is not None)


def plant(connection: Connection, wrong: Wrong) -> None:
    """Plant a wrong in the open transaction.

    Raises:
        Refused: the schema refuses it.
        NotPlanted: it cannot be planted here.
    """
    refused = ""
    for way in wrong.ways:
        connection.execute("SAVEPOINT gonogo_way")
        try:
            changed = 1
            for statement in way:
                cursor = connection.execute(statement)
                changed = cursor.rowcount if cursor.statusmessage and cursor.statusmessage[:6] in _ROWS else changed
            # what is deferred would refuse it at the end
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            if connection.closed:
                raise
            connection.execute("ROLLBACK TO SAVEPOINT gonogo_way")
            if (error.sqlstate or "")[:2] == "23":
                refused = str(error).splitlines()[0]
            continue
        if changed:
            connection.execute("RELEASE SAVEPOINT gonogo_way")
            return
        connection.execute("ROLLBACK TO SAVEPOINT gonogo_way")
    if refused:
        raise Refused(refused)
    raise NotPlanted("there is no row, or no other value, to make it of")


_ROWS = ("UPDATE", "DELETE", "INSERT")
#: each column that can be written, with the category of its type where that is PostgreSQL's own: else its operators are not
_TYPES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname,
  CASE WHEN t.oid >= 16384 THEN '' WHEN t.typname = 'uuid' THEN 'uuid' ELSE t.typcategory::text END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE c.relkind = 'r'
"""
_KEYS = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname,
  pg_catalog.format('%I.%I', fn.nspname, f.relname), fa.attname
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
JOIN pg_catalog.pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = k.confkey[1]
WHERE k.contype = 'f' AND pg_catalog.cardinality(k.conkey) = 1
  AND (a.atttypid = fa.atttypid OR a.atttypid < 16384 AND fa.atttypid < 16384)
"""
#: another value of a category of types, where no other row has one
_OTHER = {
    "N": "{c} + 1",
    "S": "{c} || 'x'",
    "B": "NOT {c}",
    "D": "{c} + interval '1 day'",
    "T": "{c} + interval '1 day'",
    "uuid": "pg_catalog.md5({c}::text)::uuid",
}


def _foreign_keys(connection: Connection) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    for table, column, of, key in connection.execute(_KEYS.encode()):
        yield (str(table), str(column)), (str(of), str(key))


def _row_of(table: str, seed: int, condition: str = "true", column: str = "") -> sql.Composed:
    """Return which row of a table is chosen: the same one for the same seed."""
    return sql.SQL(
        "ctid = (SELECT r.ctid FROM ONLY {table} AS r WHERE "
        + condition
        + " ORDER BY pg_catalog.md5(r.ctid::text || {seed}) LIMIT 1)"
    ).format(table=sql.SQL(table), seed=sql.Literal(str(seed)), c=sql.Identifier(column) if column else sql.SQL(""))


def _quiet(table: str, statement: Statement) -> tuple[Statement, ...]:
    """Return a change of rows without the triggers of a project: what is stored is wrong, not what anybody did."""
    name = sql.SQL(table)
    off = sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name)
    return off, statement, sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name)


def _set(table: str, column: str, value: sql.Composable, seed: int) -> tuple[Statement, ...]:
    c = sql.Identifier(column)
    row = _row_of(table, seed, "r.{c} IS NOT NULL", column)
    update = sql.SQL("UPDATE ONLY {t} AS t SET {c} = {value} WHERE {row} AND ROW({value})::text <> ROW(t.{c})::text")
    return _quiet(table, update.format(t=sql.SQL(table), c=c, value=value, row=row))


def _another_value(step: str, table: str, column: str, category: str, seed: int) -> Wrong:
    c = sql.Identifier(column)
    other = sql.SQL(
        "(SELECT o.{c} FROM ONLY {t} AS o WHERE o.{c} IS NOT NULL AND ROW(o.{c})::text <> ROW(t.{c})::text"
        " ORDER BY pg_catalog.md5(o.ctid::text || {seed}) LIMIT 1)"
    ).format(c=c, t=sql.SQL(table), seed=sql.Literal(str(seed + 1)))
    made = [_set(table, column, other, seed)]
    if category in _OTHER:
        made.append(_set(table, column, sql.SQL(_OTHER[category]).format(c=sql.SQL("t.{}").format(c)), seed))
    return Wrong(step=step, what="another value", where=f"{table}.{column}", ways=tuple(made))


def _not_filled(step: str, table: str, column: str, seed: int) -> Wrong:
    return Wrong(step=step, what="no value", where=f"{table}.{column}", ways=(_set(table, column, sql.SQL("NULL"), seed),))


def _another_row(step: str, table: str, column: str, of: str, key: str, seed: int) -> Wrong:
    other = sql.SQL(
        "(SELECT o.{key} FROM ONLY {of} AS o WHERE ROW(o.{key})::text <> ROW(t.{c})::text"
        " ORDER BY pg_catalog.md5(o.ctid::text || {seed}) LIMIT 1)"
    ).format(key=sql.Identifier(key), of=sql.SQL(of), c=sql.Identifier(column), seed=sql.Literal(str(seed)))
    return Wrong(step=step, what="refers to another row", where=f"{table}.{column}", ways=(_set(table, column, other, seed),))


def _missing_row(step: str, table: str, seed: int) -> Wrong:
    def delete(number: int) -> tuple[Statement, ...]:
        statement = sql.SQL("DELETE FROM ONLY {t} WHERE {row}").format(t=sql.SQL(table), row=_row_of(table, seed + number))
        return _quiet(table, statement)

    # a row that others refer to cannot go; one of several may
    return Wrong(step=step, what="a row is missing", where=table, ways=tuple(delete(number) for number in range(5)))


def _doubled_row(connection: Connection, step: str, table: str, seed: int) -> Wrong:
    found = connection.execute(_COPIED.encode(), [table]).fetchall()
    # what the server makes by itself, or counts up, is made anew
    names = sql.SQL(", ").join(sql.Identifier(str(name)) for name, fresh in found if not fresh)
    insert = sql.SQL("INSERT INTO {t} ({names}) SELECT {names} FROM ONLY {t} WHERE {row}").format(
        t=sql.SQL(table), names=names, row=_row_of(table, seed)
    )
    return Wrong(step=step, what="a row is there twice", where=table, ways=(_quiet(table, insert),) if found else ())


_COPIED = """
SELECT a.attname, a.attidentity <> '' OR (k.key AND a.atthasdef)
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_catalog.pg_index i
  WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey)) AS key) k
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""


def _still_there(connection: Connection, things: Iterable[Thing]) -> Iterator[Thing]:
    """Yield the objects that no later step took away, by what they belong to."""
    for thing in things:
        query, name = "SELECT pg_catalog.to_regclass(%s) IS NOT NULL", thing.of
        if thing.kind == "function" or thing.of.startswith("FUNCTION "):
            query, name = "SELECT pg_catalog.to_regprocedure(%s) IS NOT NULL", thing.of.removeprefix("FUNCTION ") or thing.name
        row = connection.execute(query, [name.removeprefix("TABLE ").removeprefix("SEQUENCE ")]).fetchone()
        if row and row[0]:
            yield thing


def _of_thing(connection: Connection, step: str, thing: Thing) -> Iterator[Wrong]:
    """Yield what can be wrong with an object."""

    def wrong(what: str, *statements: str, where: str = "") -> Wrong:
        return Wrong(
            step=step,
            what=what,
            where=where or f"{thing.kind} {thing.name} of {thing.of}",
            ways=(tuple(map(sql.SQL, statements)),),
        )

    name, of = _literally(thing.name), _literally(thing.of)
    match thing.kind:
        case "index":
            yield wrong("gone", f"DROP INDEX {name}", where=f"index {thing.name}")
        case "constraint":
            yield wrong("gone", f"ALTER TABLE {of} DROP CONSTRAINT {name}")
            row = connection.execute(_DEFINITION, [thing.of, thing.name]).fetchone()
            if row is not None and row[0] in ("c", "f") and "NOT VALID" not in row[1]:
                again = f"ALTER TABLE {of} ADD CONSTRAINT {name} {_literally(str(row[1]))} NOT VALID"
                yield wrong("not validated", f"ALTER TABLE {of} DROP CONSTRAINT {name}", again)
        case "trigger":
            yield wrong("switched off", f"ALTER TABLE {of} DISABLE TRIGGER {name}")
        case "policy":
            yield wrong("gone", f"DROP POLICY {name} ON {of}")
        case "row security":
            yield wrong("switched off", f"ALTER TABLE {of} DISABLE ROW LEVEL SECURITY", where=f"row security of {thing.of}")
        case "grant":
            privilege, _, grantee = name.partition(" TO ")
            where = f"GRANT {thing.name.replace(' TO ', f' ON {thing.of} TO ')}"
            yield wrong("missing", f"REVOKE {privilege} ON {of} FROM {grantee}", where=where)
        case "function":
            yield from _failing(connection, step, thing)
        case _:
            raise AssertionError(thing.kind)


_DEFINITION = """
SELECT contype, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
WHERE conrelid = pg_catalog.to_regclass(%s) AND pg_catalog.quote_ident(conname) = %s
"""
_FUNCTION = """
SELECT pg_catalog.pg_get_functiondef(p.oid), pg_catalog.format('%%I.%%I', n.nspname, p.proname),
  pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid), p.proretset,
  p.pronargs, p.prorettype = 'void'::pg_catalog.regtype, p.provariadic <> 0 OR p.proargmodes IS NOT NULL, n.nspname
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid = pg_catalog.to_regprocedure(%s)
"""
#: the name of what a function did, while another body calls it
_INNER = "gonogo_was"


def _failing(connection: Connection, step: str, thing: Thing) -> Iterator[Wrong]:
    """Yield that a function raises in a third of its calls: it is copied under another name, and its own body calls that."""
    row = connection.execute(_FUNCTION, [thing.name]).fetchone()
    if row is None:
        return
    text, full, arguments, result, many, count, void, odd, schema = row
    if odd:
        # parameters that go out, or any number of them, cannot be handed on by number
        return
    inner = sql.Identifier(str(schema), _INNER).as_string(None)
    # the head of a definition that the server wrote: CREATE OR REPLACE FUNCTION schema.name(
    copy = str(text).replace(f"FUNCTION {full}(", f"FUNCTION {inner}(", 1)
    call = f"{inner}({', '.join(f'${number + 1}' for number in range(count))})"
    does = f"RETURN QUERY SELECT * FROM {call}; RETURN;" if many else f"PERFORM {call}; RETURN;" if void else f"RETURN {call};"
    body = f"BEGIN IF random() < 1.0 / 3 THEN RAISE EXCEPTION 'planted'; END IF; {does} END"
    wrapper = (
        f"CREATE OR REPLACE FUNCTION {full}({arguments}) RETURNS {result} LANGUAGE plpgsql VOLATILE AS $gonogo${body}$gonogo$"
    )
    ways = (tuple(sql.SQL(_literally(statement)) for statement in (copy, wrapper)),)
    yield Wrong(step=step, what="raises in a third of its calls", where=f"function {thing.name}", ways=ways)


def _literally(text: str) -> str:
    """Return a text for `sql.SQL`, which would read braces."""
    return text.replace("{", "{{").replace("}", "}}")
