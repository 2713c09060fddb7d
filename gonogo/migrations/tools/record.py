"""What is the same for all tools: a table, and what is written into it as a change is done or taken back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gonogo.migrations.changes import Change


@dataclass(frozen=True, kw_only=True)
class Record:
    """How a tool records what is done.

    Attributes:
        tool: its name.
        table: the table, as the tool names it; it is found by the role's own search path, unless a schema stands before it.
        key: returns by what the table knows a change.
        done: a query: the keys of what is done, as text.
        add: returns the SQL that records a change; it is given the change before it in the folder, if there is one.
        drop: returns the SQL that takes that back.
        newest_only: whether the table holds the newest change only.
        reads_as: what its files read as besides, since other tools call theirs alike.
        repeats: returns whether a change is one that the tool does again whenever its file was edited.
    """

    tool: str
    table: str
    key: Callable[[Change], str]
    done: str
    add: Callable[[Change, Change | None], str]
    drop: Callable[[Change, Change | None], str]
    newest_only: bool = False
    reads_as: tuple[str, ...] = ()
    repeats: Callable[[Change], bool] = lambda _: False


def literal(text: str) -> str:
    """Return a text as SQL."""
    # a backslash is only a backslash in a plain string; E'' would make more of it
    return "'" + text.replace("'", "''") + "'"


def leading_digits(change: Change) -> str:
    """Return the number with which a change's name begins, as it is written there."""
    found = re.match(r"\d+", change.name)
    return found.group() if found else change.name


def number(change: Change) -> str:
    """Return the number with which a change's name begins."""
    found = leading_digits(change)
    return str(int(found)) if found.isdecimal() else found


def rest(change: Change) -> str:
    """Return what stands after that number, in words."""
    return re.sub(r"^\d+[-_ .]*", "", change.name).replace("_", " ")


def newest_applied(table: str) -> str:
    """Return a query of what is done where what was taken back has a row of its own, too: the newest one says how it is."""
    return (
        "SELECT version_id::text FROM (SELECT DISTINCT ON (version_id) version_id, is_applied"
        f" FROM {table} ORDER BY version_id, id DESC) AS newest WHERE is_applied"
    )


def file_of(change: Change) -> Path:
    """Return the file of a change."""
    return Path(change.forward[0].file)


def row_each(
    tool: str,
    table: str,
    column: str,
    key: Callable[[Change], str],
    more: Callable[[Change], dict[str, str]] = lambda _: {},
    *,
    done: str = "",
    reads_as: tuple[str, ...] = (),
) -> Record:
    """Return the record of a tool that keeps a row for each change.

    Args:
        tool: its name.
        table: the table.
        column: the column that names the change.
        key: returns what stands there.
        more: returns what stands in other columns, as SQL.
        done: a query of the keys of what is done, where that is not every row's.
        reads_as: what its files read as besides.
    """

    def add(change: Change, _: Change | None) -> str:
        columns = {column: literal(key(change)), **more(change)}
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"

    def drop(change: Change, _: Change | None) -> str:
        return f"DELETE FROM {table} WHERE {column} = {literal(key(change))}"

    known = done or f"SELECT {column}::text FROM {table}"
    return Record(tool=tool, table=table, key=key, done=known, add=add, drop=drop, reads_as=reads_as)


def not_as_it_was(record: Record, before: Change | None, chosen: Sequence[Change]) -> str:
    """Return a query with a number: 0 where the record stands just before some changes.

    Args:
        record: whose.
        before: the change that must be the newest that is done, if any.
        chosen: the changes that must not be done.
    """
    if record.newest_only:
        return _stands_elsewhere(record, before)
    once = [change for change in chosen if not record.repeats(change)]
    missing = f"NOT EXISTS (SELECT FROM {_done(record)} WHERE key = {literal(record.key(before))})" if before else "false"
    return f"SELECT {_count(record, once)} + CASE WHEN {missing} THEN 1 ELSE 0 END"


def not_recorded(record: Record, chosen: Sequence[Change]) -> str:
    """Return a query with the number of changes that are not recorded as done."""
    if record.newest_only:
        return _stands_elsewhere(record, chosen[-1])
    return f"SELECT {len(chosen)} - {_count(record, chosen)}"


def _done(record: Record) -> str:
    return f"({record.done}) AS done(key)"


def _count(record: Record, changes: Sequence[Change]) -> str:
    if not changes:
        return "0"
    keys = ", ".join(literal(record.key(change)) for change in changes)
    return f"(SELECT count(DISTINCT key) FROM {_done(record)} WHERE key IN ({keys}))"


def _stands_elsewhere(record: Record, at: Change | None) -> str:
    newest = f"coalesce((SELECT string_agg(key, ',') FROM {_done(record)}), '')"
    return f"SELECT CASE WHEN {newest} = {literal(record.key(at) if at else '')} THEN 0 ELSE 1 END"
