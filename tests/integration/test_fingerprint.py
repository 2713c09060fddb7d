"""The fingerprint sees whatever the server records, because nobody lists what it looks at."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support.rich import CHANGES, drop_subscription, fill
from support.servers import DEBIAN_15, Server, open_folder, running_15, visit

from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.errors import StepError, Unreachable
from gonogo.postgres import catalog_query, catalogs, embedded, not_compared
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.fingerprint import fingerprint

pytestmark = pytest.mark.xdist_group("fingerprint")


@pytest.fixture(scope="module", params=["18", "15"])
def rich(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A rich database, which each test leaves as it was."""
    server: Server = request.getfixturevalue("server" if request.param == "18" else "server_15")
    with visit(Database(url=server.database())) as connection:
        fill(connection)
        yield connection
        drop_subscription(connection)


def told(before: Fingerprint, after: Fingerprint) -> list[str]:
    """What differs, the server's part included."""
    behind = [note for note in after.behind if note not in before.behind]
    return behind + differences(before.objects, after.objects) + differences(before.shared, after.shared)


def rolled_back(connection: Connection, change: str) -> Fingerprint:
    """The fingerprint after a change that is taken back."""
    connection.execute("BEGIN")
    try:
        connection.execute(change.encode())
        return fingerprint(connection, sequences=True)
    finally:
        connection.execute("ROLLBACK")


@pytest.fixture(scope="module")
def start(rich: Connection) -> Fingerprint:
    """How it was before."""
    return fingerprint(rich)


@pytest.mark.parametrize("change", CHANGES)
def test_each_single_change_is_named(rich: Connection, start: Fingerprint, change: str) -> None:
    statement = change.format(database=rich.info.dbname)
    notes = told(start, rolled_back(rich, statement))

    assert any(note.startswith(CHANGES[change]) for note in notes), notes


def _columns(connection: Connection) -> list[tuple[str, str, str]]:
    """Every column of every catalog that is not left out with a reason, with its type."""
    rows = connection.execute(
        "SELECT c.relname, a.attname, t.typname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_type t ON t.oid = a.atttypid WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2"
    ).fetchall()
    return [
        (str(catalog), str(column), str(kind))
        for catalog, column, kind in rows
        if catalog not in not_compared.CATALOGS and column not in not_compared.COLUMNS.get(str(catalog), {}) and column != "oid"
    ]


#: another value of each type
_OTHER: Mapping[str, str] = {
    "bool": "NOT {c}",
    "char": "'z'::\"char\"",
    "int2": "coalesce({c}, 0) + 1",
    "int4": "coalesce({c}, 0) + 1",
    "int8": "{c} + 1",
    "float4": "{c} + 1",
    "text": "coalesce({c}, '') || 'x'",
    "name": "({c}::text || 'x')::name",
    "oid": "CASE WHEN {c} = 23 THEN 25 ELSE 23 END",
    "regproc": "CASE WHEN {c}::oid = 1242 THEN 1243 ELSE 1242 END::oid::regproc",
    "_text": "coalesce({c}, '{{}}') || 'x=y'::text",
    "timestamptz": "coalesce({c}, '2030-01-01') + '1 day'",
}
#: columns whose other value the server itself stumbles over, or that only say what another one does
_NOT_ALONE = {
    "pg_attribute.attcompression": "a method that the server does not know",
    "pg_attribute.atttypid": "seen as the type: the changes above have it",
    "pg_class.relkind": "another kind needs other rows beside it",
    "pg_class.relam": "a table's file has the form of its access method",
    "pg_class.reltablespace": "a file lies in it",
    "pg_class.relisshared": "a shared relation lies elsewhere",
    "pg_class.relpersistence": "a file has another name",
    "pg_class.reltoastrelid": "the server makes it; its options are compared",
    "pg_constraint.contypid": "part of the name, for a domain",
    "pg_type.typbasetype": "says something of a domain alone",
    "pg_proc.prokind": "a window function and an aggregate have rows beside",
    "pg_proc.prolang": "another language reads the source otherwise",
}


@pytest.mark.parametrize("version", ["18", "15"])
def test_each_column_of_each_catalog_counts_unless_somebody_wrote_down_why_not(version: str) -> None:
    if version == "15" and not DEBIAN_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed")
    # a server of its own: what is written into its catalogs may end it
    with open_folder() as folder:
        running = embedded.running(folder / "18") if version == "18" else running_15(folder)
        with running as found:
            database = Database(url=found if isinstance(found, str) else found.url)
            with visit(database) as connection:
                fill(connection)
                start, columns = fingerprint(connection), _columns(connection)
            chosen = columns if os.environ.get("GONOGO_LONG") else columns[:: max(1, len(columns) // 40)]
            outcomes = {column: _seen(database, start, *column) for column in chosen}
    missed = [f"{catalog}.{column}" for (catalog, column, _), seen in outcomes.items() if seen is False]
    assert not missed, " ".join(missed)
    assert sum(seen is True for seen in outcomes.values()) >= len(chosen) // 3


def _seen(database: Database, start: Fingerprint, catalog: str, column: str, kind: str) -> bool | None:
    """Say whether another value in a column is seen; None where there is no other value, or no row."""
    if kind not in _OTHER or f"{catalog}.{column}" in _NOT_ALONE:
        return None
    connection = _back(database)
    row = f"SELECT ctid FROM {catalog} WHERE {_own_row(catalog)} ORDER BY ctid LIMIT 1"
    try:
        connection.execute("SET allow_system_table_mods = on")
        connection.execute("BEGIN")
        done = connection.execute(
            f"UPDATE {catalog} SET {column} = {_OTHER[kind].format(c=column)} WHERE ctid = ({row})".encode()
        )
        return bool(told(start, fingerprint(connection))) if done.rowcount else None
    except (psycopg.Error, StepError):
        # a reading that fails is noticed, too
        return True
    finally:
        connection.close()


def _back(database: Database) -> Connection:
    """Connect, also to a server that is just coming back."""
    for _ in range(100):
        try:
            return visit(database)
        except Unreachable:
            time.sleep(0.1)
    raise AssertionError("the server did not come back")


def _own_row(catalog: str) -> str:
    """A condition for a row that the rich database has by itself."""
    own = {
        "pg_attribute": "attrelid = 'app.bill'::regclass AND attname = 'paid'",
        "pg_class": "oid = 'app.bill'::regclass",
        "pg_index": "indexrelid = 'app.person_lower'::regclass",
        "pg_sequence": "seqrelid = 'app.numbers_seq'::regclass",
        "pg_type": "oid = 'app.mood'::regtype",
        "pg_database": "datname = current_database()",
        "pg_authid": "rolname = 'clerk'",
        "pg_inherits": "inhrelid = 'app.vip'::regclass",
        "pg_trigger": "NOT tgisinternal AND tgrelid = 'app.person'::regclass",
        "pg_constraint": "conname = 'later'",
        "pg_proc": "proname = 'plus'",
        "pg_depend": "false",
        "pg_partitioned_table": "true",
        "pg_foreign_table": "true",
        "pg_aggregate": "aggfnoid = 'app.total(int)'::regprocedure",
        "pg_range": "rngtypid = 'app.span'::regtype",
        "pg_rewrite": "rulename = 'no_more'",
        "pg_description": "objoid = 'app.person'::regclass",
        "pg_ts_config_map": "mapcfg = 'app.words'::regconfig",
        "pg_opclass": "opcname = 'numbers_ops'",
        "pg_db_role_setting": "false",
        "pg_auth_members": "true",
        "pg_shdescription": "false",
        "pg_replication_origin": "false",
        "pg_tablespace": "spcname = 'pg_default'",
        "pg_language": "lanname = 'plpgsql'",
        "pg_namespace": "nspname = 'app'",
    }
    return own.get(catalog, "oid >= 16384")


#: what changes nothing that anybody made
_NOTHING = (
    "VACUUM FULL app.person",
    "VACUUM (FREEZE) app.person",
    "ANALYZE",
    "REINDEX TABLE app.person",
    "CLUSTER app.person",
    "CREATE TEMPORARY TABLE pg_class (a int); DROP TABLE pg_temp.pg_class",
    "ALTER TABLE app.bill ADD COLUMN n int; ALTER TABLE app.bill DROP COLUMN n",
    "ALTER TABLE app.bill RENAME TO note; ALTER TABLE app.note RENAME TO bill",
    "ALTER TABLE app.bill ALTER paid SET NOT NULL; ALTER TABLE app.bill ALTER paid DROP NOT NULL",
    "ALTER TABLE app.person REPLICA IDENTITY FULL; ALTER TABLE app.person REPLICA IDENTITY USING INDEX person_known",
    "GRANT DELETE ON app.pad TO clerk; REVOKE DELETE ON app.pad FROM clerk",
    "SELECT nextval('app.numbers_seq')",
)


@pytest.mark.parametrize("nothing", _NOTHING)
def test_what_changes_nothing_is_no_difference(rich: Connection, start: Fingerprint, nothing: str) -> None:
    for statement in nothing.split("; "):
        rich.execute(statement.encode())

    assert told(start, fingerprint(rich)) == []


def test_a_dump_that_is_restored_has_the_same_fingerprint(rich: Connection, start: Fingerprint, tmp_path: Path) -> None:
    old = rich.info.server_version < 160000
    tools = DEBIAN_15 if old else embedded.program("pg_dump").parent
    name = f"{rich.info.dbname}_again"
    at = ["-h", rich.info.host, "-U", rich.info.user]
    rich.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    subprocess.run([tools / "pg_dump", *at, "-Fc", "-f", tmp_path / "dump", rich.info.dbname], check=True, timeout=180)
    subprocess.run([tools / "pg_restore", *at, "-d", name, tmp_path / "dump"], check=True, timeout=180)

    with psycopg.connect(host=rich.info.host, user=rich.info.user, dbname=name, autocommit=True) as again:
        notes = told(start, fingerprint(again))
        drop_subscription(again)
    rich.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    # pg_dump does not switch a subscription on, nor keep what belongs to the database and not to what is in it
    assert [note for note in notes if not note.startswith(("subscription from_far", "the database"))] == []


_OF_A_SESSION = (
    "CREATE TYPE pg_temp.tm AS ENUM ('a')",
    "CREATE TYPE pg_temp.sp AS RANGE (SUBTYPE = float8)",
    "CREATE AGGREGATE pg_temp.ag (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE TEXT SEARCH CONFIGURATION pg_temp.tc (COPY = english)",
    "CREATE TEMPORARY TABLE pg_class (a int PRIMARY KEY, b serial)",
)


@pytest.mark.parametrize("made", _OF_A_SESSION)
def test_what_another_session_makes_for_itself_is_no_difference(rich: Connection, start: Fingerprint, made: str) -> None:
    with psycopg.connect(rich.info.dsn, autocommit=True) as other:
        other.execute(made.encode())
        assert told(start, fingerprint(rich)) == []


@pytest.mark.parametrize(
    "column",
    [
        "doc jsonb DEFAULT jsonb_build_object('n', nextval('free'))",
        "flag boolean DEFAULT nextval('free') > 0",
        "name text DEFAULT nextval('free')",
        "id bigserial",
    ],
)
def test_a_sequence_is_compared_with_numbers_only_whatever_takes_its_default_from_it(rich: Connection, column: str) -> None:
    rich.execute("BEGIN")
    try:
        rich.execute(f"CREATE SEQUENCE free; CREATE TABLE taken ({column})".encode())
        assert fingerprint(rich, sequences=True).behind == ()
    finally:
        rich.execute("ROLLBACK")


def test_a_sequence_of_rows_that_a_policy_hides_is_named_as_not_seen(rich: Connection) -> None:
    rich.execute("BEGIN")
    try:
        rich.execute(
            "CREATE TABLE hidden (id bigserial PRIMARY KEY); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, OWNER TO clerk;"
            " GRANT ALL ON SCHEMA public TO clerk; ALTER TABLE hidden FORCE ROW LEVEL SECURITY; SET LOCAL ROLE clerk"
        )
        assert "how far public.hidden_id_seq is behind its column" in fingerprint(rich, sequences=True).unseen
    finally:
        rich.execute("ROLLBACK")


def test_names_are_written_alike_whatever_the_database_says_of_quotes(rich: Connection, start: Fingerprint) -> None:
    name = sql.Identifier(rich.info.dbname)
    rich.execute(sql.SQL("ALTER DATABASE {} SET quote_all_identifiers = on").format(name))
    try:
        with visit(Database(url=f"host={rich.info.host} user={rich.info.user} dbname={rich.info.dbname}")) as again:
            assert [note for note in told(start, fingerprint(again)) if not note.startswith("setting of")] == []
    finally:
        rich.execute(sql.SQL("ALTER DATABASE {} RESET quote_all_identifiers").format(name))


def test_no_two_objects_have_one_name(rich: Connection) -> None:
    rich.execute(
        'CREATE SCHEMA "app.x"; CREATE TABLE "app.x".y (); CREATE TABLE app."x.y" (); CREATE FUNCTION app.f(int) RETURNS int'
        " LANGUAGE sql RETURN 1; CREATE FUNCTION app.f(text) RETURNS int LANGUAGE sql RETURN 1"
    )
    found = fingerprint(rich).objects
    rich.execute('DROP SCHEMA "app.x" CASCADE; DROP TABLE app."x.y"; DROP FUNCTION app.f(int); DROP FUNCTION app.f(text)')

    assert {'table "app.x".y', 'table app."x.y"', "function app.f(integer)", "function app.f(text)"} <= found.keys()
    # each says once what kind of thing it is and whose
    assert [name for name, text in found.items() if sum(line.startswith("owner ") for line in text.split("\n")) > 1] == []


def test_a_superuser_misses_nothing_but_passwords_and_a_plain_role_says_what_it_could_not_read(rich: Connection) -> None:
    assert fingerprint(rich).unseen == ("passwords of roles",)

    rich.execute("SET ROLE clerk")
    try:
        unseen = fingerprint(rich).unseen
    finally:
        rich.execute("RESET ROLE")
    assert {"pg_user_mapping.*", "pg_subscription.subconninfo"} <= set(unseen)


def test_a_reading_beside_somebody_elses_changes_is_whole(rich: Connection, start: Fingerprint) -> None:
    over = threading.Event()

    def change() -> None:
        with psycopg.connect(rich.info.dsn, autocommit=True) as other:
            for n in itertools.count():
                if over.is_set():
                    return
                other.execute(f"CREATE TABLE app.passing_{n} (id int PRIMARY KEY, note text DEFAULT 'x')".encode())
                other.execute(f"DROP TABLE app.passing_{n}".encode())

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(10):
            seen = {note.split(" ")[1].split(".")[1].split("_pkey")[0] for note in told(start, fingerprint(rich))}
            assert len({name for name in seen if name.startswith("passing")}) <= 1
    finally:
        over.set()
        thread.join()


def test_what_an_older_gonogo_recorded_is_compared_in_its_own_form(rich: Connection) -> None:
    first = fingerprint(rich, form=1)
    read_again = Fingerprint.model_validate(dict(first.objects))

    assert read_again.form == 1
    assert differences(read_again.objects, fingerprint(rich, read_again.form).objects) == []


def test_the_query_is_made_once_for_a_server_and_a_role(rich: Connection) -> None:
    catalog_query.make_query.cache_clear()
    fingerprint(rich)
    fingerprint(rich)

    assert catalog_query.make_query.cache_info().misses == 1


def test_bytes_that_are_no_text_are_compared_all_the_same(any_server: Server) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        name = f"{connection.info.dbname}_bytes"
        connection.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'".encode())
    bytes_ = url.replace(f"/{name.removesuffix('_bytes')}?", f"/{name}?")
    with psycopg.connect(bytes_, autocommit=True) as connection:
        connection.execute("SET client_encoding = 'SQL_ASCII'")
        connection.execute(b"CREATE TABLE \"na\xefve\" (note text DEFAULT 'caf\xe9')")
        with Database(url=bytes_).connect("test") as looking:
            before = fingerprint(looking)
            assert before.objects['column public."na\\xefve".note'].startswith("default 'caf\\xe9'::text")
            connection.execute(b"COMMENT ON TABLE \"na\xefve\" IS '\xff'")
            assert set(before.objects.items()) ^ set(fingerprint(looking).objects.items())


#: what changes a row that every server has, or how it is written, or only where it lies
_BUILT_IN = (
    "ALTER FUNCTION pg_catalog.lower(text) COST {n}",
    "REVOKE EXECUTE ON FUNCTION pg_catalog.upper(text) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION pg_catalog.upper(text) TO PUBLIC",
    "COMMENT ON FUNCTION pg_catalog.lower(text) IS '{n}'",
    "CREATE OR REPLACE FUNCTION pg_catalog.boolin(text) RETURNS int LANGUAGE sql AS 'SELECT {n}'",
    "DROP FUNCTION IF EXISTS pg_catalog.boolin(text)",
    "VACUUM FULL pg_catalog.pg_proc",
    "VACUUM pg_catalog.pg_description",
    "CREATE TABLE mine_{n} (id int)",
)


@pytest.mark.parametrize("seed", range(2))
def test_what_was_read_before_of_the_servers_own_rows_is_what_would_be_read_now(any_server: Server, seed: int) -> None:
    chance, database = random.Random(seed), Database(url=any_server.database())  # noqa: S311 - a test's own dice
    with visit(database) as connection, visit(database) as other:
        connection.execute("SET allow_system_table_mods = on")
        for n in range(1, 16):
            chosen, how = chance.choice(_BUILT_IN).format(n=n), chance.choice(("kept", "taken back", "inside"))
            if how == "kept" or chosen.startswith("VACUUM"):
                connection.execute(chosen.encode())
            elif how == "taken back":
                connection.execute(f"BEGIN; {chosen}".encode())
                fingerprint(connection)
                connection.execute("ROLLBACK")
            else:
                with connection.transaction():
                    connection.execute(chosen.encode())
                    inside = fingerprint(connection)
                    catalogs._kept.clear()
                    assert inside == fingerprint(connection), chosen
            found = fingerprint(chance.choice((connection, other)))
            catalogs._kept.clear()
            assert found == fingerprint(connection), (chosen, how)


def test_a_role_of_another_name_is_seen_in_the_grants_of_the_servers_own_rows(any_server: Server) -> None:
    first, second = f"ren_a_{os.getpid()}", f"ren_b_{os.getpid()}"
    swap = f"ALTER ROLE {first} RENAME TO ren_c; ALTER ROLE {second} RENAME TO {first}; ALTER ROLE ren_c RENAME TO {second}"
    with visit(Database(url=any_server.database())) as connection:
        connection.execute(f"CREATE ROLE {first}; CREATE ROLE {second}".encode())
        connection.execute(f"GRANT EXECUTE ON FUNCTION pg_sleep(float8) TO {first}".encode())
        try:
            before = fingerprint(connection)
            connection.execute(swap.encode())
            assert "what PostgreSQL itself has in pg_proc" in "".join(told(before, fingerprint(connection)))
        finally:
            connection.execute(f"REVOKE EXECUTE ON FUNCTION pg_sleep(float8) FROM {first}, {second}".encode())
            connection.execute(f"DROP ROLE {first}, {second}".encode())


def test_a_role_that_may_not_read_the_schema_is_told_what_to_grant(any_server: Server) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE nearly_blind LOGIN; REVOKE SELECT ON pg_catalog.pg_sequence FROM PUBLIC")
        try:
            weak = url.replace("postgres:@", "nearly_blind:@").replace("postgres@", "nearly_blind@")
            with (
                Database(url=weak).connect("test") as looking,
                pytest.raises(StepError, match=r"GRANT SELECT ON pg_catalog\.pg_sequence TO nearly_blind"),
            ):
                fingerprint(looking)
        finally:
            connection.execute("GRANT SELECT ON pg_catalog.pg_sequence TO PUBLIC; DROP ROLE nearly_blind")
