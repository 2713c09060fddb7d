"""What the owners of a database wrote does not run with a superuser's rights as its definitions are made or read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.servers import Server, visit

from gonogo.errors import Refused
from gonogo.postgres.connection import Database
from gonogo.postgres.scratch import ScratchServer
from gonogo.recovery import dump
from gonogo.recovery.manifest import BackupFailed
from gonogo.recovery.run_when_made import calls_without_a_column, run_when_made

OWN = """
CREATE SCHEMA app;
CREATE TABLE app.seen (what text);
CREATE FUNCTION app.sprung(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RAISE EXCEPTION 'SPRUNG'; END IF;
  RETURN true;
END $$;
CREATE FUNCTION app.seven(what text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM app.sprung(what); RETURN 7; END $$;
CREATE DOMAIN app.word AS text CHECK (app.sprung(VALUE));
CREATE DOMAIN app.short AS text CHECK (length(VALUE) < 9);
CREATE TYPE app.pair AS (a int, w app.word);
CREATE TYPE app.plain AS (a int, w app.short);
CREATE TABLE app.t (n int, p app.pair, w app.word DEFAULT 'x', s app.short[] DEFAULT '{x}');
INSERT INTO app.t VALUES (1, '(1,x)');
"""
RUNS = {
    "a default": "ALTER TABLE app.t ALTER p SET DEFAULT '(1,x)'",
    "the default of an array": "CREATE TABLE app.u (l app.word[] DEFAULT '{x}')",
    "the default of a domain": "CREATE DOMAIN app.fixed AS app.pair DEFAULT '(1,x)'",
    "a view": "CREATE VIEW app.v AS SELECT '(1,x)'::app.pair AS p",
    "a constraint": "ALTER TABLE app.t ADD CHECK (p IS DISTINCT FROM '(2,x)'::app.pair)",
    "a trigger's condition": "CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    " CREATE TRIGGER f BEFORE UPDATE ON app.t FOR EACH ROW WHEN (NEW.p IS DISTINCT FROM '(1,x)'::app.pair)"
    " EXECUTE FUNCTION app.fires()",
    "a policy": "CREATE POLICY mine ON app.t USING (p IS DISTINCT FROM '(1,x)'::app.pair)",
    "an index": "CREATE INDEX i ON app.t ((p IS DISTINCT FROM '(1,x)'::app.pair))",
    "a function's default": "CREATE FUNCTION app.f(p app.pair DEFAULT '(1,x)') RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "an aggregate's start": "CREATE FUNCTION app.add(app.word, text) RETURNS app.word LANGUAGE sql AS 'SELECT $1';"
    " CREATE AGGREGATE app.all(text) (sfunc = app.add, stype = app.word, initcond = 'x')",
    "a partition's bound": "CREATE TABLE app.l (w app.word) PARTITION BY LIST (w);"
    " CREATE TABLE app.l1 PARTITION OF app.l FOR VALUES IN ('x')",
    "a generated column": "ALTER TABLE app.t ADD g int GENERATED ALWAYS AS (n + app.seven('x')) STORED",
    "a constant index": "CREATE INDEX i ON app.t ((n + app.seven('x')))",
    "a constant condition of an index": "CREATE INDEX i ON app.t (n) WHERE app.seven('x') = 7 AND n > 0",
    "a constraint of a partition": "CREATE TABLE app.r (n int) PARTITION BY RANGE (n);"
    " CREATE TABLE app.r1 PARTITION OF app.r (CHECK (n > app.seven('x') - 9)) FOR VALUES FROM (1) TO (9)",
    "statistics": "CREATE STATISTICS app.s ON (n + app.seven('x')), n FROM app.t",
    "a range of such values": "CREATE TYPE app.span AS RANGE (subtype = app.word);"
    " CREATE TABLE app.o (s app.span DEFAULT '[a,b)')",
    "an operator of their own": "CREATE FUNCTION app.plus(text, text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
    " 'BEGIN RETURN app.seven($1); END'; CREATE OPERATOR app.%% (leftarg = text, rightarg = text, function = app.plus);"
    " ALTER TABLE app.t ADD g int GENERATED ALWAYS AS (n + ('a' OPERATOR(app.%%) 'b')) STORED",
    "a partition's key": "CREATE TABLE app.k (n int) PARTITION BY RANGE ((n + app.seven('x')))",
}
HARMLESS = {
    "nothing more": "SELECT 1",
    "a default of the domain itself": "CREATE TABLE app.u (w app.word DEFAULT 'y', v app.short DEFAULT 'z')",
    "a generated column of a column": "ALTER TABLE app.t ADD g int GENERATED ALWAYS AS (app.seven(n::text)) STORED",
    "an index of a column": "CREATE INDEX i ON app.t (app.seven(n::text)) WHERE app.seven(n::text) = 7",
    "a view of the columns": "CREATE VIEW app.v AS SELECT n, p, w FROM app.t",
    "a record without such a domain": "ALTER TABLE app.t ADD q app.plain DEFAULT '(1,x)'",
    "a constraint for each row": "ALTER TABLE app.t ADD CHECK (app.seven('x') = 7 AND n < 9)",
    "a function that takes one": "CREATE FUNCTION app.f(p app.pair) RETURNS int LANGUAGE sql AS 'SELECT 1'",
}


@pytest.fixture
def owned(any_server: Server) -> Iterator[tuple[str, str]]:
    """A database, and its owner, who is no superuser."""
    url, role = any_server.database(), f"writer_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {role}".encode())
        connection.execute(f"SET ROLE {role}; {OWN}".encode())
    yield url, role
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def define(url: str, role: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET ROLE {role}; {text}".encode())


@pytest.mark.attack("copies")
@pytest.mark.parametrize("case", RUNS)
def test_a_definition_that_would_run_what_its_owner_wrote_is_not_read_or_made_by_a_superuser(
    owned: tuple[str, str], tmp_path: Path, case: str
) -> None:
    define(*owned, RUNS[case])

    with pytest.raises(BackupFailed, match="runs what their owners wrote, with a superuser's rights") as told:
        dump.take(Database(url=owned[0]), tmp_path / "b", lambda _: None)

    assert "SPRUNG" not in str(told.value)
    assert not (tmp_path / "b").exists()


def nowhere() -> str:
    raise Refused("no other server")


@pytest.mark.attack("copies")
def test_what_its_owner_may_take_no_superuser_restores(owned: tuple[str, str], tmp_path: Path) -> None:
    define(*owned, RUNS["a default"])
    made = dump.take(Database(url=owned[0], role=owned[1]), tmp_path / "b", lambda _: None)

    with pytest.raises(BackupFailed, match=r"default value for column p of table app\.t"):
        dump.prove(made, ScratchServer(database=Database(url=owned[0]), spare=nowhere), lambda _: None)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_runs_for_each_row_or_as_the_tables_owner_comes_back(owned: tuple[str, str], tmp_path: Path, case: str) -> None:
    define(*owned, HARMLESS[case])

    made = dump.take(Database(url=owned[0]), tmp_path / "b", lambda _: None)

    proof = dump.prove(made, ScratchServer(database=Database(url=owned[0]), spare=nowhere), lambda _: None)
    assert proof.tables == len(made.manifest.tables)


def test_a_superusers_own_definitions_are_not_meant(any_server: Server) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OWN.encode().replace(b"RAISE EXCEPTION 'SPRUNG'", b"NULL"))
        for text in RUNS.values():
            connection.execute(f"BEGIN; {text}".encode())
            assert run_when_made(connection) == ()
            connection.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("kept", "constant"),
    [
        ("{FUNCEXPR :funcid 17 :args ({CONST :constvalue 4 [ 1 0 ]})}", True),
        ("{FUNCEXPR :funcid 17 :args ({VAR :varno 1})}", False),
        ("{OPEXPR :opno 5 :opfuncid 3 :args ({VAR :varno 1} {FUNCEXPR :funcid 17 :args <>})}", True),
        ("{FUNCEXPR :funcid 17 :args ({OPEXPR :opno 5 :opfuncid 3 :args ({CONST} {VAR :varno 1})})}", False),
        ("{FUNCEXPR :funcid 18 :args <>}", False),
        ("({FUNCEXPR :funcid 17 :args ({VAR :varno 1})} {OPEXPR :opno 2 :opfuncid 17 :args ({CONST})})", True),
        (r"{FUNCEXPR :funcid 17 :args ({CONST :name \{VAR\ \}}{VAR :varno 1})}", False),
    ],
)
def test_a_call_with_constants_alone_is_found_wherever_it_stands(kept: str, constant: bool) -> None:
    assert calls_without_a_column(kept, {"17"}) is constant


def test_the_query_finds_nothing_in_an_empty_database(any_server: Server) -> None:
    with visit(Database(url=any_server.database())) as connection:
        assert run_when_made(connection) == ()
