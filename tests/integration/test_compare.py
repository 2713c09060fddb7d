"""Fingerprints see every change of meaning, and none of layout; on both versions of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.servers import Server, visit

from gonogo.core.plan.fingerprint import differences
from gonogo.errors import StepError
from gonogo.postgres.checksum import checksum
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.fingerprint import fingerprint

SCHEMA = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE TABLE app.parent (id int PRIMARY KEY, note text NOT NULL DEFAULT 'x');
CREATE TABLE app.child (id bigint GENERATED ALWAYS AS IDENTITY, parent int REFERENCES app.parent, mood app.mood, CHECK (id > 0));
CREATE INDEX child_parent ON app.child (parent);
CREATE VIEW app.seen AS SELECT id FROM app.parent;
CREATE SEQUENCE app.numbers;
CREATE FUNCTION app.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE INSERT ON app.parent FOR EACH ROW EXECUTE FUNCTION app.noted();
ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.parent USING (id > 0);
GRANT SELECT ON app.parent TO PUBLIC;
COMMENT ON TABLE app.parent IS 'what it is';
CREATE DOMAIN app.code AS text;
CREATE FUNCTION app.longer(text, text) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$SELECT CASE WHEN length($1) < length($2) THEN $2 ELSE $1 END$$;
CREATE AGGREGATE app.longest(text) (SFUNC = app.longer, STYPE = text);
CREATE TABLE app.base (id int);
CREATE TABLE app.heir (id int) INHERITS (app.base);
CREATE STATISTICS app.pair ON id, parent FROM app.child;
"""
CHANGES = {
    "a column's type": ("ALTER TABLE app.parent ALTER note TYPE varchar(40)", "column app.parent.note"),
    "a column's default": ("ALTER TABLE app.parent ALTER note SET DEFAULT 'y'", "column app.parent.note"),
    "a column that may be NULL": ("ALTER TABLE app.parent ALTER note DROP NOT NULL", "column app.parent.note"),
    "a new column": ("ALTER TABLE app.parent ADD more int", "column app.parent.more is new"),
    "a constraint": ("ALTER TABLE app.child DROP CONSTRAINT child_id_check", "constraint app.child child_id_check is missing"),
    "a constraint that is not validated": (
        "ALTER TABLE app.child ADD CONSTRAINT late CHECK (id < 9) NOT VALID",
        "constraint app.child late is new",
    ),
    "an index": ("DROP INDEX app.child_parent", "index app.child_parent is missing"),
    "a view": ("CREATE OR REPLACE VIEW app.seen AS SELECT id FROM app.parent WHERE id > 1", "view app.seen"),
    "a function": ("CREATE OR REPLACE FUNCTION app.one() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function app.one()"),
    "a trigger that was switched off": ("ALTER TABLE app.parent DISABLE TRIGGER noted", "trigger app.parent noted"),
    "row security switched off": ("ALTER TABLE app.parent DISABLE ROW LEVEL SECURITY", "table app.parent"),
    "a policy": ("ALTER POLICY mine ON app.parent USING (id > 1)", "policy app.parent mine"),
    "a grant": ("REVOKE SELECT ON app.parent FROM PUBLIC", "table app.parent"),
    "a comment": ("COMMENT ON TABLE app.parent IS 'something else'", "table app.parent"),
    "an enum's value": ("ALTER TYPE app.mood ADD VALUE 'so so'", "type app.mood"),
    "a sequence": ("ALTER SEQUENCE app.numbers INCREMENT 5", "sequence app.numbers"),
    "a foreign key switched off": ("ALTER TABLE app.child DISABLE TRIGGER ALL", "constraint app.child child_parent_fkey"),
    "a domain that refuses NULL": ("ALTER DOMAIN app.code SET NOT NULL", "type app.code"),
    "an heir": ("ALTER TABLE app.heir NO INHERIT app.base", "table app.heir"),
    "an aggregate's body": (
        "CREATE OR REPLACE AGGREGATE app.longest(text) (SFUNC = app.longer, STYPE = text, INITCOND = 'x')",
        "aggregate app.longest(text)",
    ),
    "a type's grant": ("REVOKE USAGE ON TYPE app.mood FROM PUBLIC", "type app.mood"),
    "a type's comment": ("COMMENT ON TYPE app.mood IS 'new'", "type app.mood"),
    "a schema's comment": ("COMMENT ON SCHEMA app IS 'new'", "schema app"),
    "how a column is stored": ("ALTER TABLE app.parent ALTER note SET STORAGE EXTERNAL", "column app.parent.note"),
    "how much is known of a column": ("ALTER TABLE app.parent ALTER note SET STATISTICS 10", "column app.parent.note"),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC",
        "default privileges of ",
    ),
    "statistics": ("DROP STATISTICS app.pair", "statistics app.pair is missing"),
    "a publication": ("CREATE PUBLICATION told FOR TABLE app.parent", "publication told is new"),
    "whose a sequence is": ("ALTER SEQUENCE app.numbers OWNED BY app.parent.id", "sequence app.numbers"),
    "a setting of the database": (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 5000', current_database()); END $$",
        "setting of everyone is new",
    ),
    "a dropped table": ("DROP TABLE app.child", "table app.child is missing"),
}
ROWS = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN code AS char(4);
CREATE TABLE things (id int, a text, b text, j json, p point, d date, n numeric, jb jsonb, i interval, f float8, big bigint,
  at timestamptz, mood mood, moods mood[], code code, list numeric[], none text);
INSERT INTO things SELECT g, 'a' || g, 'b' || g, '{"k": 1}', point(g, 1), date '2025-01-01' + g, g, '{"n": 1.0}', '1 day', 0, g,
  timestamptz '2025-01-01 00:00:00+00' + g * interval '1 s', 'good', '{good,bad}', 'a', '{1.0}', NULL
FROM generate_series(1, 100) AS g;
INSERT INTO things (id, a, b) VALUES (NULL, NULL, NULL), (7, 'same', 'same'), (7, 'same', 'same');
"""
LOSSES = {
    "a value swapped between two rows": "UPDATE things SET a = CASE id WHEN 1 THEN 'a2' ELSE 'a1' END WHERE id IN (1, 2)",
    "two columns swapped in a row": "UPDATE things SET a = b, b = a WHERE id = 3",
    "a pair of equal rows turned into another pair": "UPDATE things SET a = 'other' WHERE a = 'same'",
    "a deleted row": "DELETE FROM things WHERE id = 5",
    "a row that is there twice": "INSERT INTO things SELECT * FROM things WHERE id = 5",
    "a value that became NULL": "UPDATE things SET d = NULL WHERE id = 6",
    "a JSON value": "UPDATE things SET j = '{\"k\": 2}' WHERE id = 8",
    "digits after the point": "UPDATE things SET n = n + 0.00 WHERE id = 10",
    "digits inside JSON": "UPDATE things SET jb = '{\"n\": 1.00}' WHERE id = 10",
    "a day that became 24 hours": "UPDATE things SET i = '24 hours' WHERE id = 10",
    "the sign of a zero": "UPDATE things SET f = '-0' WHERE id = 10",
    "a number beyond 32 bits whose halves cancel out": "UPDATE things SET big = 10::bigint << 32 WHERE id = 10",
    "a moment whose bits cancel out": (
        "UPDATE things SET at = 'epoch'::timestamptz + ((2::numeric ^ 32) * 1234567) * interval '1 us' WHERE id = 10"
    ),
    "an enum": "UPDATE things SET mood = 'bad' WHERE id = 10",
    "an enum in a list": "UPDATE things SET moods = '{bad,good}' WHERE id = 10",
    "a domain's value": "UPDATE things SET code = 'b' WHERE id = 10",
    "digits in a list": "UPDATE things SET list = '{1.00}' WHERE id = 10",
    "nothing that became something empty": "UPDATE things SET none = '' WHERE id = 10",
    "two numbers exchanged between two rows": "UPDATE things SET big = 101 - big WHERE big IN (1, 100)",
    "a point": "UPDATE things SET p = point(0, 0) WHERE id = 9",
}


@pytest.fixture
def connection(any_server: Server) -> Iterator[Connection]:
    with visit(Database(url=any_server.database())) as connection:
        yield connection


def test_each_change_of_the_schema_is_named_and_undoing_it_ends_the_difference(connection: Connection) -> None:
    connection.execute(SCHEMA.encode())
    before = fingerprint(connection).objects
    assert differences(before, fingerprint(connection).objects) == []
    for what, (sql, named) in CHANGES.items():
        if "ENUM" in sql or "ADD VALUE" in sql:
            continue
        connection.execute(b"BEGIN")
        connection.execute(sql.encode())
        told = differences(before, fingerprint(connection).objects)
        connection.execute(b"ROLLBACK")
        assert any(line.startswith(named) for line in told), f"{what}: {told}"
    connection.execute(CHANGES["an enum's value"][0].encode())
    assert differences(before, fingerprint(connection).objects)[0].startswith("type app.mood")


def test_what_a_server_calls_a_not_null_is_no_difference_and_a_not_null_is(connection: Connection) -> None:
    connection.execute(b"CREATE TABLE t (a int NOT NULL, b text)")
    before = fingerprint(connection).objects
    connection.execute(b"ALTER TABLE t RENAME a TO c; ALTER TABLE t ALTER c DROP NOT NULL")
    connection.execute(b"ALTER TABLE t ALTER c SET NOT NULL; ALTER TABLE t RENAME c TO a")
    assert differences(before, fingerprint(connection).objects) == []
    connection.execute(b"ALTER TABLE t ALTER a DROP NOT NULL")
    assert any("t.a was not null" in told for told in differences(before, fingerprint(connection).objects))


def test_the_order_of_columns_and_the_ledger_are_not_part_of_the_schema(connection: Connection) -> None:
    connection.execute(b"CREATE TABLE t (a int, b text)")
    before = fingerprint(connection).objects
    connection.execute(b"ALTER TABLE t DROP a; ALTER TABLE t ADD a int; CREATE SCHEMA gonogo; CREATE TABLE gonogo.x ()")

    assert differences(before, fingerprint(connection).objects) == []


@pytest.mark.parametrize("loss", LOSSES)
def test_a_checksum_sees_what_a_count_or_a_plain_sum_would_not(connection: Connection, loss: str) -> None:
    connection.execute(ROWS.encode())
    before = checksum(connection, "things")
    connection.execute(LOSSES[loss].encode())

    assert checksum(connection, "things") != before


def test_a_checksum_does_not_depend_on_the_order_of_rows_or_columns(connection: Connection) -> None:
    connection.execute(ROWS.encode())
    before = checksum(connection, "things")
    columns = "none, list, code, moods, mood, at, big, f, i, jb, n, d, p, j, b, a, id"
    connection.execute(f"CREATE TABLE again AS SELECT {columns} FROM things ORDER BY random()".encode())

    assert checksum(connection, "again") == before


#: a value of every type whose form might differ between versions, and of types that each database numbers again
EVERY_TYPE = """
CREATE TYPE filler AS (x int); CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN code AS varchar(9);
CREATE TABLE every AS SELECT true AS a, 2::int2 AS b, 3 AS c, 4::int8 AS d, 5.50::numeric AS e, '-0'::float4 AS f,
  'NaN'::float8 AS g,
  'h'::text AS h, 'i'::varchar AS i, 'j'::char(5) AS j, 'k'::name AS k, 'l'::"char" AS l, '\\x6d'::bytea AS m,
  date '0044-03-15 BC' AS n,
  time '24:00' AS o, timetz '10:00+02' AS p, timestamp 'infinity' AS q, timestamptz '2025-10-26 02:30+02' AS r,
  interval '1 mon -1 day 1 us' AS s, gen.u AS t, '{"a": 1.0}'::json AS u, '{"a": 1.0}'::jsonb AS v,
  '{1,NULL,3}'::int[] AS x, '{{a,b}}'::text[] AS y, int4range(1, 5) AS z, point(1, 2) AS aa, box(point(1, 2), point(3, 4)) AS ab,
  inet '10.0.0.1/8' AS ac, macaddr '08:00:2b:01:02:03' AS ad, B'101' AS ae, 'a:1'::tsvector AS af, 'a & b'::tsquery AS ag,
  16384::oid AS ah, 'pg_class'::regclass AS ai, '12.34'::money AS aj,
  'good'::mood AS ak, '{bad,good}'::mood[] AS al, ROW(7)::filler AS am,
  'c'::code AS an, '$.a'::jsonpath AS ao, '0/16B3748'::pg_lsn AS ap, NULL::int AS aq
FROM (SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid) AS gen(u)
"""


def test_a_checksum_is_the_same_in_another_database_of_another_version(server: Server, server_15: Server) -> None:
    found = []
    for other, before in ((server, ""), (server, "CREATE TYPE another AS ENUM ('x');"), (server_15, "")):
        with visit(Database(url=other.database())) as connection:
            connection.execute((before + EVERY_TYPE).encode())
            found.append(checksum(connection, "every"))

    assert len(set(found)) == 1, found


def test_a_table_that_is_not_there_is_an_error_not_an_empty_sum(connection: Connection) -> None:
    with pytest.raises(StepError, match="there is no table nothing"):
        checksum(connection, "nothing")


def test_a_checksum_sees_letters_that_a_collation_holds_equal(server_15: Server) -> None:
    # the embedded server is built without ICU
    with visit(Database(url=server_15.database())) as connection:
        connection.execute(b"CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        connection.execute(b"CREATE TABLE words (word text COLLATE blind)")
        connection.execute(b"INSERT INTO words VALUES ('Word')")
        before = checksum(connection, "words")
        connection.execute(b"UPDATE words SET word = 'word'")

        assert checksum(connection, "words") != before
