"""Split and classify SQL with PostgreSQL's own parser (postgast); refuse what must not be in a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from gonogo.core.text.plain import point_at
from gonogo.errors import BadInput, Problem
from gonogo.sql.alone import refusal
from gonogo.sql.lasting import Lasting, lasts
from gonogo.sql.locks import Lock, destroys, locks_of, makes
from gonogo.sql.privileges import Need, needs_of
from gonogo.sql.tree import label

#: its stubs are no Python that a type checker reads, and would stop the type checker of every project that imports gonogo
postgast: Any = import_module("postgast")

_META = re.compile(r"\\\S+")
_COPY = re.compile(r"\bcopy\b[^;]*\bfrom\s+stdin\b[^;]*;\s*\n", re.IGNORECASE)
_TRANSACTION = {
    "TRANS_STMT_BEGIN": "BEGIN",
    "TRANS_STMT_START": "START TRANSACTION",
    "TRANS_STMT_COMMIT": "COMMIT",
    "TRANS_STMT_ROLLBACK": "ROLLBACK",
    "TRANS_STMT_SAVEPOINT": "SAVEPOINT",
    "TRANS_STMT_RELEASE": "RELEASE",
    "TRANS_STMT_ROLLBACK_TO": "ROLLBACK TO",
    "TRANS_STMT_PREPARE": "PREPARE TRANSACTION",
    "TRANS_STMT_COMMIT_PREPARED": "COMMIT PREPARED",
    "TRANS_STMT_ROLLBACK_PREPARED": "ROLLBACK PREPARED",
}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement of a script."""

    text: str
    #: where its first word stands in the script, counted from 1
    line: int
    #: the name that PostgreSQL's parser gives it, such as index_stmt
    node: str
    #: whether it may run inside a transaction
    transactional: bool
    #: whether it sets a session parameter
    sets: bool
    #: what an interrupted one must be asked about, and its object
    act: str = ""
    object: str = ""
    #: the locks that it takes, and the table that it makes
    locks: tuple[Lock, ...] = ()
    makes: str = ""
    #: why it takes time that grows with a table, if it does
    lasts: Lasting | None = None
    #: whether it changes what belongs to the whole server
    shared: bool = False
    #: the tables whose rows, or columns, it destroys
    destroys: tuple[str, ...] = ()
    #: the rights that it needs
    needs: tuple[Need, ...] = ()


def split(text: str, file: str) -> list[Statement]:
    """Return the statements of a script.

    Args:
        text: the rendered SQL.
        file: the name for messages.

    Raises:
        BadInput: it does not parse, or holds what a script must not: psql's meta-commands,
            COPY with the client, transaction control.
    """
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadInput(
            Problem(file=file, line=line, message="contains a NUL byte (\\0), which PostgreSQL would treat as the end of the SQL")
        )
    try:
        tree = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise BadInput(_syntax_problem(text, file, error)) from None
    except DecodeError:
        message = "an expression is nested deeper than can be read, about 45 levels of a || b || c; use concat(), or break it up"
        raise BadInput(Problem(file=file, line=_deep_line(text), message=message)) from None
    raw = text.encode()
    statements, problems = [], []
    line, counted = 1, 0
    for item in tree.stmts:
        length = item.stmt_len or len(raw) - item.stmt_location
        piece = raw[item.stmt_location : item.stmt_location + length].decode()
        # from where the last one began: counted from the top, many statements would take the square of their time
        line += raw.count(b"\n", counted, item.stmt_location)
        counted = item.stmt_location
        node = item.stmt.WhichOneof("node") or ""
        inner = getattr(item.stmt, node)
        if why := _refusal(node, inner):
            problems.append(Problem(file=file, line=line, message=why))
        statements.append(_classify(piece.strip(), line, node, inner))
    if problems:
        raise BadInput(*problems)
    return statements


def meaning(text: str) -> str:
    """Return a script without its comments and layout, for the seal."""
    return str(postgast.deparse(postgast.parse(text)))


def _deep_line(text: str) -> int:
    """Return the line of the first statement that is nested too deep."""
    at = 0
    for statement in postgast.split(text):
        at = text.index(statement, at)
        try:
            postgast.parse(statement)
        except DecodeError:
            break
        at += len(statement)
    return text[:at].count("\n") + 1


def _syntax_problem(text: str, file: str, error: Any) -> Problem:
    position = max(0, (error.cursorpos or 1) - 1)
    before = text[:position]
    line = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1) + 1
    if meta := _META.match(text, position):
        message = f"{meta.group()} is a command of psql, not SQL; write SQL for it"
        return Problem(file=file, line=line, column=column, message=message)
    if copy := _COPY.search(before):
        message = "COPY FROM STDIN talks to a client: use INSERT, or COPY with a file on the server"
        return Problem(file=file, line=before[: copy.start()].count("\n") + 1, message=message)
    # as it was counted: other ends of lines are none here
    shown = text.split("\n")[line - 1]
    message = f"SQL: {error.message}\n{point_at(shown, column - 1)}"
    return Problem(file=file, line=line, column=column, message=message)


def _refusal(node: str, inner: Any) -> str:
    if node == "transaction_stmt":
        name = _TRANSACTION.get(label(inner, "kind"), "transaction control")
        return f"{name} here: gonogo begins and ends the transaction itself, with its ledger entry in it; leave it out"
    if node == "copy_stmt" and not inner.is_program and not inner.filename:
        direction = "FROM STDIN" if inner.is_from else "TO STDOUT"
        return f"COPY {direction} talks to a client: use INSERT, or COPY with a file on the server"
    if node == "discard_stmt" and label(inner, "target") == "DISCARD_ALL":
        return "DISCARD ALL cannot run inside a transaction; gonogo resets the session after each script, so leave it out"
    if node == "variable_set_stmt" and label(inner, "kind") == "VAR_RESET_ALL":
        return "RESET ALL would reset what gonogo knows the transaction by; it resets the session itself, so leave it out"
    if node == "variable_set_stmt" and inner.name.lower() in _LIMITS and _lifts(inner):
        name = inner.name.lower()
        return (
            f"SET {name} lifts the limit that keeps a script from standing in everybody's way; leave it out, and write"
            f" `{name}:` at the step where it needs another one"
        )
    return ""


#: what a script may set otherwise, and never lift
_LIMITS = frozenset({"lock_timeout", "statement_timeout"})


def _lifts(inner: Any) -> bool:
    """Say whether a SET makes a limit none: what rounds to 0 milliseconds stands for that."""
    for argument in inner.args:
        const = argument.a_const
        text = str(const.ival.ival) if const.HasField("ival") else const.fval.fval or const.sval.sval
        found = _AMOUNT.fullmatch(text.strip())
        if found and abs(float(found[1])) * _MILLISECONDS[found[2] or "ms"] < 1:
            return True
    return False


_AMOUNT = re.compile(r"([+-]?\d*\.?\d+)\s*(us|ms|s|min|h|d)?")
_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


_SHARED = frozenset(
    {
        *("create_role_stmt", "alter_role_stmt", "alter_role_set_stmt", "drop_role_stmt", "grant_role_stmt"),
        *("createdb_stmt", "dropdb_stmt", "alter_database_stmt", "alter_database_set_stmt", "alter_system_stmt"),
        *("create_table_space_stmt", "drop_table_space_stmt", "drop_owned_stmt", "reassign_owned_stmt"),
    }
)


def _classify(text: str, line: int, node: str, inner: Any) -> Statement:
    alone = refusal(node, inner)
    sets = node in ("variable_set_stmt", "discard_stmt") or (node == "select_stmt" and "set_config" in text.lower())
    return Statement(
        text=text,
        line=line,
        node=node,
        transactional=alone is None,
        sets=sets,
        act=alone[0].act if alone else "",
        object=alone[1] if alone else "",
        locks=tuple(locks_of(node, inner)),
        makes=makes(node, inner),
        lasts=lasts(node, inner),
        shared=node in _SHARED,
        destroys=tuple(destroys(node, inner)),
        needs=tuple(needs_of(node, inner)),
    )
