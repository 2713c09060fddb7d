"""What is said to take a moment reads and writes none of a table's rows; what is said to take long does, on a real server."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from support.servers import Server

from gonogo.sql.blocking import blocking
from gonogo.sql.parse import split

ROWS = 1000
SETUP = f"""
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE other (id int PRIMARY KEY);
INSERT INTO other SELECT generate_series(1, {ROWS});
CREATE TABLE t (id int NOT NULL, n int, other int, name varchar(20), at timestamptz, d numeric(8,2));
INSERT INTO t SELECT g, g, g, 'n' || g, now(), g FROM generate_series(1, {ROWS}) g;
CREATE INDEX plain ON t (n);
CREATE UNIQUE INDEX ready ON t (id);
ALTER TABLE t ADD CONSTRAINT later CHECK (n > 0) NOT VALID;
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE part (id int);
INSERT INTO part SELECT generate_series(1, {ROWS});
CREATE TABLE bound (id int, CHECK (id IS NOT NULL AND id >= 20000 AND id < 30000));
INSERT INTO bound SELECT generate_series(20001, 20000 + {ROWS});
CREATE FUNCTION trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
"""
#: statements that read or write no row of a table that is there
MOMENTS = (
    "ALTER TABLE t ADD COLUMN c int",
    "ALTER TABLE t ADD COLUMN c int DEFAULT 5",
    "ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 5",
    "ALTER TABLE t ADD COLUMN c text DEFAULT 'x'::text",
    "ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now()",
    "ALTER TABLE t ADD COLUMN c timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "ALTER TABLE t ADD COLUMN c mood DEFAULT 'good'",
    "ALTER TABLE t DROP COLUMN n",
    "ALTER TABLE t ALTER COLUMN n SET DEFAULT 5",
    "ALTER TABLE t ALTER COLUMN id DROP NOT NULL",
    "ALTER TABLE t ALTER COLUMN n SET STATISTICS 500",
    "ALTER TABLE t ALTER COLUMN name SET STORAGE EXTERNAL",
    "ALTER TABLE t RENAME COLUMN n TO m",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t SET SCHEMA information_schema",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0) NOT VALID",
    "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (other) REFERENCES other NOT VALID",
    "ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX ready",
    "ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX ready",
    "ALTER TABLE t DROP CONSTRAINT later",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE t REPLICA IDENTITY FULL",
    "ALTER TABLE t SET (fillfactor = 70)",
    "CREATE TRIGGER c BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trigger()",
    "CREATE POLICY c ON t USING (true)",
    "DROP INDEX plain",
    "DROP TABLE t",
    "INSERT INTO t (id) VALUES (5000)",
    "COMMENT ON TABLE t IS 'x'",
)
#: statements that read or write all of them
LONG = (
    "ALTER TABLE t ADD COLUMN c uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE t ADD COLUMN c timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE t ADD COLUMN c serial",
    "ALTER TABLE t ADD COLUMN c bigint GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE t ADD COLUMN c int GENERATED ALWAYS AS (n * 2) STORED",
    "ALTER TABLE t ADD COLUMN c int CHECK (c > 0)",
    "ALTER TABLE t ADD COLUMN c int UNIQUE",
    "ALTER TABLE t ALTER COLUMN n TYPE bigint",
    "ALTER TABLE t ALTER COLUMN d TYPE text USING d::text",
    "ALTER TABLE t ALTER COLUMN n SET NOT NULL",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0)",
    "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (other) REFERENCES other",
    "ALTER TABLE t ADD CONSTRAINT c UNIQUE (n)",
    "ALTER TABLE t ADD PRIMARY KEY (id)",
    "ALTER TABLE t VALIDATE CONSTRAINT later",
    "ALTER TABLE t SET UNLOGGED",
    "CREATE INDEX c ON t (n)",
    "CREATE UNIQUE INDEX c ON t (n)",
    "REINDEX TABLE t",
    "REINDEX INDEX plain",
    "CLUSTER t USING plain",
    "UPDATE t SET n = n + 1",
    "DELETE FROM t",
    "INSERT INTO t SELECT id + 5000, n FROM t",
    "ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM (1) TO (10000)",
    "CREATE TABLE c AS SELECT * FROM t",
)
#: what depends on what only the server knows: said to take long, though it does not here
PERHAPS = ("ALTER TABLE parts ATTACH PARTITION bound FOR VALUES FROM (20000) TO (30000)", "ALTER TABLE t ALTER name TYPE text")
_READ = """
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_user_tables
"""
_FILES = "SELECT oid::int, pg_relation_filenode(oid)::int FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i')"


@pytest.fixture(params=["18", "15"])
def connection(request: pytest.FixtureRequest, server: Server) -> Any:
    url = server.database() if request.param == "18" else request.getfixturevalue("old_url")
    with psycopg.connect(url, autocommit=True) as opened:
        opened.execute(SETUP.encode())
        yield opened


def test_what_takes_long_touches_every_row_and_what_takes_a_moment_touches_none(connection: psycopg.Connection[Any]) -> None:
    wrong = []
    for statement in (*MOMENTS, *LONG, *PERHAPS):
        with connection.transaction(force_rollback=True):
            files = dict(connection.execute(_FILES.encode()).fetchall())
            before = connection.execute(_READ.encode()).fetchone()
            connection.execute(statement.encode())
            after = connection.execute(_READ.encode()).fetchone()
            kept = dict(connection.execute(_FILES.encode()).fetchall())
        assert before
        assert after
        written_again = any(kept.get(each, file) != file for each, file in files.items())
        touched = after[0] - before[0] >= ROWS or written_again
        (read,) = split(statement, "one")
        if touched is not (statement in LONG) or bool(read.lasts) is not (statement not in MOMENTS):
            wrong.append((statement, read.lasts, touched, after[0] - before[0]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("script", "together", "said"),
    [
        ("ALTER TABLE t ADD COLUMN c int", True, ["takes ACCESS EXCLUSIVE on t for a moment"]),
        ("CREATE INDEX i ON t (n)", True, ["takes SHARE on t: the index is built meanwhile"]),
        (
            "ALTER TABLE t ADD COLUMN c int; UPDATE t SET c = 1",
            True,
            ["takes ACCESS EXCLUSIVE on t: it is held while `UPDATE t SET ...` runs after it"],
        ),
        ("ALTER TABLE t ADD COLUMN c int; UPDATE t SET c = 1", False, ["takes ACCESS EXCLUSIVE on t for a moment"]),
        ("CREATE TABLE u (id int); ALTER TABLE t ADD COLUMN c int", True, ["takes ACCESS EXCLUSIVE on t for a moment"]),
        (
            "ALTER TABLE t ADD COLUMN c int; ALTER TABLE t ALTER n SET NOT NULL",
            True,
            ["takes ACCESS EXCLUSIVE on t: it is held while `ALTER TABLE t ...` runs after it"],
        ),
        ("ALTER TABLE t ADD COLUMN c int; SELECT setval('s', 5)", True, ["takes ACCESS EXCLUSIVE on t for a moment"]),
        ("UPDATE t SET n = 1", True, []),
        ("CREATE INDEX CONCURRENTLY i ON t (n)", False, []),
    ],
)
def test_a_lock_lasts_as_long_as_what_runs_after_it_in_its_transaction(script: str, together: bool, said: list[str]) -> None:
    assert [each.said for each in blocking(split(script, "one"), together=together)] == said


def test_a_table_that_nobody_has_seen_yet_blocks_nobody() -> None:
    statements = split("CREATE TABLE t (id int); CREATE INDEX i ON t (id); ALTER TABLE other ADD x int", "one")
    assert [each.lock for each in blocking(statements, {"t"})] == ["ACCESS EXCLUSIVE on other"]
