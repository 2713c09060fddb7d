"""Rules for the values of columns: `values: {table: users, columns: email, null: false, unique: true}`."""

from __future__ import annotations

from psycopg import sql

from checks.asking import asking, counted, require_comparable, table_name
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check_kinds import Values
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the rows that break each rule."""
    rule = question.check.values
    if rule is None:
        return Measurement(check=question.name, missing="it names no values")
    found: dict[str, int] = {}
    with asking(question, connection, one_snapshot=True, finds="types"):
        require_comparable(connection, table_name(rule.table), rule.columns)
        for said, condition in _conditions(rule):
            query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table_name(rule.table), condition)
            row = connection.execute(query).fetchone()
            found[said] = int(row[0]) if row else 0
        if rule.unique:
            found[f"{', '.join(rule.columns)} not unique"] = _doubled(connection, rule)
    return counted(question.name, found)


def _conditions(rule: Values) -> list[tuple[str, sql.Composable]]:
    made: list[tuple[str, sql.Composable]] = []
    for name in rule.columns:
        column = sql.Identifier(name)
        if not rule.null:
            made.append((f"{name} NULL", sql.SQL("{} IS NULL").format(column)))
        if rule.min is not None:
            made.append((f"{name} below {rule.min}", sql.SQL("{} < {}").format(column, sql.Literal(rule.min))))
        if rule.max is not None:
            made.append((f"{name} above {rule.max}", sql.SQL("{} > {}").format(column, sql.Literal(rule.max))))
        if rule.one_of:
            known = sql.SQL(", ").join(sql.Literal(value) for value in rule.one_of)
            made.append((f"{name} none of those there are", sql.SQL("{} NOT IN ({})").format(column, known)))
    return made


def _doubled(connection: Connection, rule: Values) -> int:
    """Return how many rows there are too many, for each to be alone with its values."""
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in rule.columns)
    given = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in rule.columns)
    query = sql.SQL("SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {} WHERE {} GROUP BY {}) AS t WHERE n > 1")
    row = connection.execute(query.format(table_name(rule.table), given, columns)).fetchone()
    return int(row[0]) if row else 0
