"""The locks that a plan tells of are those that the server takes, on both versions."""

from __future__ import annotations

import psycopg
import pytest
from support.servers import Server

from gonogo.sql.locks import MODES
from gonogo.sql.parse import split

SCHEMA = """
CREATE TABLE a (id int PRIMARY KEY, x int);
CREATE TABLE b (id int PRIMARY KEY);
CREATE TABLE c (id int REFERENCES b(id), CONSTRAINT positive CHECK (id > 0) NOT VALID);
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE part (id int);
CREATE VIEW seen AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
CREATE UNIQUE INDEX kept_one ON kept (one);
CREATE INDEX a_x ON a (x);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION noted();
CREATE POLICY mine ON a;
CREATE TYPE mood AS ENUM ('good');
"""
STATEMENTS = [
    "ALTER TABLE a ADD COLUMN c int",
    "ALTER TABLE a ADD COLUMN c int REFERENCES b(id)",
    "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES b(id) NOT VALID",
    "ALTER TABLE c VALIDATE CONSTRAINT positive",
    "ALTER TABLE a ALTER x SET STATISTICS 10",
    "ALTER TABLE a ALTER x SET NOT NULL",
    "ALTER TABLE a DISABLE TRIGGER ALL",
    "ALTER TABLE a SET (fillfactor = 70)",
    "ALTER TABLE a RENAME TO d",
    "ALTER TABLE a RENAME x TO y",
    "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM (1) TO (2)",
    "ALTER TYPE mood RENAME TO feeling",
    "CREATE TABLE n (id int REFERENCES b(id))",
    "CREATE TABLE n PARTITION OF parts FOR VALUES FROM (5) TO (6)",
    "CREATE TABLE n () INHERITS (a)",
    "CREATE INDEX i ON a (x)",
    "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION noted()",
    "CREATE POLICY p ON a",
    "DROP TABLE a",
    "DROP VIEW seen",
    "DROP TRIGGER noted ON a",
    "DROP POLICY mine ON a",
    "TRUNCATE a",
    "LOCK TABLE a IN SHARE MODE",
    "LOCK TABLE a",
    "REFRESH MATERIALIZED VIEW kept",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY kept",
    "CLUSTER a USING a_pkey",
    "REINDEX TABLE a",
    "COMMENT ON TABLE a IS 'x'",
    "INSERT INTO a VALUES (1)",
    "UPDATE a SET x = 1",
    "DELETE FROM a",
    "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE",
]
HELD = """
SELECT relation::regclass::text, mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = ANY (
  SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm'))
"""


@pytest.fixture
def connection(any_server: Server) -> psycopg.Connection:
    return psycopg.connect(any_server.database(), autocommit=True)


def test_the_locks_that_are_told_are_at_least_those_that_the_server_takes(connection: psycopg.Connection) -> None:
    connection.execute(SCHEMA)
    wrong = []
    with connection:
        for sql in STATEMENTS:
            connection.execute("BEGIN")
            connection.execute(sql.encode())
            held: dict[str, str] = {}
            for table, mode in connection.execute(HELD).fetchall():
                said = "".join(f" {c}" if c.isupper() else c for c in mode.removesuffix("Lock")).strip().upper()
                if said in MODES:
                    held[table] = max(held.get(table, said), said, key=MODES.index)
            connection.execute("ROLLBACK")
            [statement] = split(sql, "f")
            told = {table: mode for mode, table in statement.locks}
            made = {statement.makes, "d" if "RENAME TO d" in sql else ""}
            for table, mode in held.items():
                name = "a" if table in made and "RENAME TO d" in sql else table
                if table in made and name == table:
                    continue
                if name not in told or MODES.index(told[name]) < MODES.index(mode):
                    wrong.append(f"{sql}: the server takes {mode} on {table}, told {told}")
                elif name == "a" and told[name] != mode:
                    wrong.append(f"{sql}: told {told[name]} on {table}, the server takes {mode}")
    assert wrong == []
