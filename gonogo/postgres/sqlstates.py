"""What the server's errors mean for whoever may try again."""

from __future__ import annotations

#: a statement that took too long, or that somebody cancelled
QUERY_CANCELED = "57014"
#: a lock that was not to be had in time
NO_LOCK = "55P03"
#: what the server undoes by itself and a second try may pass: locks, deadlocks, serialization
TRANSIENT = frozenset({NO_LOCK, "40P01", "40001"})
#: a table, a column, a function, a type or a schema is not there
NOT_THERE = frozenset({"42P01", "42703", "42883", "42704", "3F000"})
#: what took the connection with it
LOST = frozenset({"57P01", "57P02", "57P03", "08006", "08003", "08000"})
