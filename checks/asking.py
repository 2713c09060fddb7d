"""How a question is put to the database: read-only, for a time, as a role that may see less than its owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection, find_ours_first, in_transaction, milliseconds, transaction
from gonogo.postgres.own_types import NO_VIEWS, why_not_compared
from gonogo.postgres.pooled import find_theirs

Finds: TypeAlias = Literal["ours", "theirs", "types"]
_STATEMENTS = b"""
SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
#: how many of the things that a number counts are told
FEW = 10


@contextmanager
def asking(question: Question, connection: Connection, *, one_snapshot: bool = False, finds: Finds = "ours") -> Iterator[None]:
    """Ask inside one transaction that leaves nothing behind, under the check's own time limit, role and settings.

    Args:
        question: what is asked.
        connection: where; inside a transaction it is asked in a part of that.
        one_snapshot: whether all that is asked sees the same moment.
        finds: where names and operators are found: `ours` for a query of gonogo's own, `theirs` for one that a project wrote, and
            `types` for one of gonogo's own that compares values of types that a project made.
    """
    check = question.check
    inside = in_transaction(connection)
    with transaction(connection, read_only=not check.writes, keep=False):
        if one_snapshot and not inside:
            connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(f"SET LOCAL statement_timeout = {milliseconds(check.within)}".encode())
        if finds == "theirs":
            connection.execute(find_theirs(connection).encode())
        else:
            # a table that somebody replaces by a view while it is waited for
            connection.execute(NO_VIEWS.encode())
        if finds == "types":
            find_ours_first(connection)
        for name, value in check.settings.items():
            connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
        if check.role:
            connection.execute(b"SET LOCAL row_security = on")
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(check.role)))
        yield


def require_comparable(connection: Connection, table: sql.Composable, columns: Sequence[str]) -> None:
    """Refuse to compare values of a type whose casts or operators somebody else wrote: that would run them.

    Args:
        connection: where.
        table: whose columns.
        columns: their names.

    Raises:
        StepError: there is such a column.
    """
    if why := why_not_compared(connection, table.as_string(None), columns):
        raise StepError(f"{why}; ask with a query of your own")


def table_name(text: str) -> sql.Identifier:
    """Return a table's name, quoted; without a schema it is one of `public`."""
    schema, _, table = text.rpartition(".")
    return sql.Identifier(schema or "public", table)


def column_of(text: str) -> tuple[sql.Identifier, str]:
    """Return the table, quoted, and the column that `table.column` or `schema.table.column` means."""
    table, _, column = text.rpartition(".")
    return table_name(table), column


def busiest(question: Question, connection: Connection, query: str, most: int, *, needs_texts: bool) -> list[TupleRow]:
    """Ask pg_stat_statements, which lies in the schema that somebody chose for it.

    It holds the statements of every database of the server; where one of those has another encoding, their texts may not be
    readable here.

    Args:
        question: the check.
        connection: where.
        query: with `{view}` where the view's name belongs, and one parameter.
        most: how many statements at most.
        needs_texts: whether it can do nothing without the texts of statements, which are NULL then.

    Raises:
        StepError: it is not there, or its texts are needed and cannot be read.
    """
    try:
        return _busiest(question, connection, query, most, texts=True)
    except (psycopg.errors.CharacterNotInRepertoire, psycopg.errors.UntranslatableCharacter):
        if needs_texts:
            raise StepError(
                "the texts of pg_stat_statements cannot be read here: it holds statements of a database with another encoding"
            ) from None
        return _busiest(question, connection, query, most, texts=False)


def _busiest(question: Question, connection: Connection, query: str, most: int, *, texts: bool) -> list[TupleRow]:
    with asking(question, connection):
        row = connection.execute(_STATEMENTS).fetchone()
        if row is None:
            raise StepError("the extension pg_stat_statements is not there; CREATE EXTENSION pg_stat_statements")
        view = sql.SQL("{}({})").format(sql.Identifier(str(row[0]), "pg_stat_statements"), sql.Literal(texts))
        return connection.execute(sql.SQL(query).format(view=view), [most]).fetchall()


def one_number(connection: Connection, text: str) -> tuple[Decimal | float | int | None, int | None, str]:
    """Return what a query answers: its number, how much data that rests on, and why there is none.

    Raises:
        StepError: what it answers is not one number.
    """
    cursor = connection.execute(text.encode())
    if cursor.description is None:
        raise StepError("the query answers no rows at all; a check is a SELECT")
    width, rows = len(cursor.description), cursor.fetchmany(2)
    if width > 2:
        raise StepError(f"the query has {width} columns; one number, and how much data")
    if not rows:
        return None, None, "the query answered no row"
    if len(rows) > 1:
        raise StepError("the query answered more than one row; one number is asked for")
    value, count = rows[0][0], rows[0][1] if width == 2 else None
    rests_on = int(count) if isinstance(count, (int, float, Decimal)) and Decimal(str(count)).is_finite() else None
    if value is None:
        return None, rests_on, "the query answered NULL"
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise StepError(f"the query answered {type(value).__name__}, not a number")
    return value, rests_on, ""


def counted(name: str, found: dict[str, int], *, about: str = "") -> Measurement:
    """Return a measurement that counts things, and tells of the first few.

    Args:
        name: the check.
        found: how many of each there are.
        about: what they are.
    """
    notes = tuple(f"{what}: {count:,}{about}" for what, count in list(found.items())[:FEW] if count)
    return Measurement(check=name, numbers={"value": str(sum(found.values()))}, notes=notes)


def listed(name: str, found: list[str], **more: Any) -> Measurement:
    """Return a measurement whose number is how many things there are, and that tells of the first few."""
    return Measurement(check=name, numbers={"value": str(len(found))}, notes=tuple(found[:FEW]), **more)
