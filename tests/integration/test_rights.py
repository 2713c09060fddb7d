"""What a statement needs and a role lacks is told before it runs; what it has, or the run itself makes, is not."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.servers import Server, visit

from gonogo.postgres.connection import Connection, Database
from gonogo.sql.parse import split
from gonogo.sql.privileges import missing

SCHEMA = """
CREATE SCHEMA theirs; CREATE SCHEMA ours AUTHORIZATION weak_one; CREATE TABLE theirs.orders (id int PRIMARY KEY, n int);
CREATE TABLE ours.items (id int PRIMARY KEY, parent int REFERENCES ours.items);
CREATE TABLE ours.lines (item int REFERENCES ours.items);
ALTER TABLE ours.items OWNER TO weak_one; ALTER TABLE ours.lines OWNER TO weak_one; GRANT USAGE ON SCHEMA theirs TO weak_one;
GRANT SELECT, INSERT ON theirs.orders TO weak_one; GRANT UPDATE (n) ON theirs.orders TO weak_one;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE VIEW theirs.seen AS SELECT * FROM theirs.orders;
"""
#: a statement, and what is said of it; the server refuses just those
CASES = {
    "ALTER TABLE theirs.orders ADD c int": "weak_one may not alter theirs.orders, which belongs to postgres",
    "DROP TABLE theirs.orders CASCADE": "weak_one may not alter theirs.orders, which belongs to postgres",
    "CREATE INDEX ON theirs.orders (n)": "weak_one may not alter theirs.orders, which belongs to postgres",
    "ALTER VIEW theirs.seen RENAME TO saw": "weak_one may not alter theirs.seen, which belongs to postgres",
    "DELETE FROM theirs.orders": "weak_one may not delete from theirs.orders",
    "TRUNCATE theirs.orders": "weak_one may not truncate theirs.orders",
    "INSERT INTO theirs.seen VALUES (1, 1)": "weak_one may not insert into theirs.seen",
    "CREATE TABLE made (id int)": "weak_one may not create in",
    "CREATE TABLE theirs.made (id int)": "weak_one may not create in theirs",
    "CREATE FUNCTION theirs.f() RETURNS int LANGUAGE sql AS 'SELECT 1'": "weak_one may not create in theirs",
    "CREATE SCHEMA more": "weak_one may not make the schema more",
    "CREATE EXTENSION amcheck": "weak_one may not make the extension amcheck: it needs a superuser",
    "CREATE EXTENSION pg_trgm": "weak_one may not make the extension pg_trgm",
    "ALTER TABLE ours.items DISABLE TRIGGER ALL": "weak_one may not switch all triggers of ours.items: those of",
    "CREATE ROLE another": "weak_one may not make roles",
    "CREATE POLICY p ON theirs.orders": "weak_one may not alter theirs.orders, which belongs to postgres",
    # what it may
    "ALTER TABLE ours.items ADD c int": "",
    "CREATE INDEX ON ours.lines (item)": "",
    "ALTER TABLE ours.items DISABLE TRIGGER USER": "",
    "INSERT INTO theirs.orders VALUES (7, 1)": "",
    "UPDATE theirs.orders SET n = 2": "",
    "CREATE TABLE ours.made (id int)": "",
    "CREATE TEMP TABLE made (id int)": "",
    "CREATE EXTENSION IF NOT EXISTS plpgsql": "",
    "DROP TABLE IF EXISTS ours.never": "",
}


@pytest.fixture
def weak(any_server: Server) -> Iterator[Connection]:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS weak_one")
        connection.execute("CREATE ROLE weak_one LOGIN")
        connection.execute(SCHEMA.encode())
    with visit(Database(url=url)) as connection:
        connection.execute("SET ROLE weak_one")
        yield connection
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY weak_one CASCADE")
        connection.execute("DROP ROLE weak_one")


def test_just_what_the_server_would_refuse_is_told_beforehand(weak: Connection) -> None:
    for sql, expected in CASES.items():
        told = missing(weak, [need for statement in split(sql, "x.sql") for need in statement.needs])
        weak.execute("BEGIN")
        try:
            weak.execute(sql.encode())
            refused = ""
        except psycopg.errors.InsufficientPrivilege as error:
            refused = str(error)
        weak.execute("ROLLBACK")
        assert bool(told) == bool(refused), f"{sql}: {told}, and the server said {refused!r}"
        assert told == [] if not expected else told[0].startswith(expected), f"{sql}: {told}"


def test_who_changes_rights_on_the_way_and_a_superuser_are_not_asked(weak: Connection) -> None:
    needs = [need for s in split("SET ROLE postgres; ALTER TABLE theirs.orders ADD c int", "x.sql") for need in s.needs]
    assert missing(weak, needs) == []
    weak.execute("RESET ROLE")
    needs = [need for s in split("ALTER TABLE theirs.orders ADD c int", "x.sql") for need in s.needs]
    assert needs
    assert missing(weak, needs) == []
