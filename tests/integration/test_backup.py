"""A backup counts only when it was restored and is what was there: real dumps, real damage, on both versions."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest
from support.servers import Server

from gonogo.core.engine.events import BackupProof
from gonogo.core.model.rollback import Backup as Rule
from gonogo.postgres import embedded
from gonogo.postgres.connection import Database
from gonogo.postgres.scratch import ScratchServer
from gonogo.recovery import dump
from gonogo.recovery.manifest import BackupFailed, BackupFolder, digest_of, require_same

SCHEMA = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE TABLE app.parent (id int PRIMARY KEY, note text NOT NULL DEFAULT 'x', mood app.mood);
CREATE TABLE app.child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int REFERENCES app.parent, price numeric);
CREATE TABLE app.heap (word text);
CREATE FUNCTION app.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE INSERT ON app.parent FOR EACH ROW EXECUTE FUNCTION app.noted();
ALTER TABLE app.parent DISABLE TRIGGER noted;
ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.parent USING (id > 0);
CREATE VIEW app.seen AS SELECT id FROM app.parent;
CREATE INDEX child_parent ON app.child (parent);
GRANT SELECT ON app.parent TO PUBLIC;
INSERT INTO app.parent SELECT g, 'n' || g, 'good' FROM generate_series(1, 5000) g;
INSERT INTO app.child (parent, price) SELECT g, g + 0.10 FROM generate_series(1, 5000) g;
INSERT INTO app.heap SELECT 'same' FROM generate_series(1, 10);
INSERT INTO app.heap VALUES (NULL);
CREATE SCHEMA gonogo; CREATE TABLE gonogo.mine (id int);
"""


@pytest.fixture
def database(any_server: Server) -> Database:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return Database(url=url)


@pytest.fixture
def database_18(server: Server) -> Database:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return Database(url=url)


def quietly(_: str) -> None:
    """Tell nobody."""


def nowhere() -> str:
    raise AssertionError("the target's own server can prove it")


def prove(made: BackupFolder, database: Database) -> BackupProof:
    return dump.prove(made, ScratchServer(database=database, spare=nowhere), quietly)


def test_a_backup_is_restored_and_compared_row_by_row_and_object_by_object(database: Database, tmp_path: Path) -> None:
    made = dump.take(database, tmp_path / "b", quietly)
    proved = prove(made, database)

    assert proved.tables == 3
    assert made.manifest.tables["app.heap"].startswith("11:")
    assert not any("gonogo" in name for name in made.manifest.fingerprint)
    assert {file.stat().st_mode & 0o777 for file in (made.folder).rglob("*") if file.is_file()} == {0o600}
    assert made.folder.stat().st_mode & 0o777 == 0o700
    with psycopg.connect(database.url) as connection:
        query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'gonogo_scratch%'"
        assert connection.execute(query).fetchone() == (0,), "the scratch database is gone"


def test_rows_written_while_it_is_taken_are_neither_in_the_dump_nor_in_its_sums(database: Database, tmp_path: Path) -> None:
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not over.is_set():
                connection.execute(
                    "INSERT INTO app.child (parent, price) VALUES (1, 1.5); DELETE FROM app.heap WHERE ctid = '(0,1)'"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = dump.take(database, tmp_path / "b", quietly)
    finally:
        over.set()
        writer.join()

    prove(made, database)


def flip(folder: Path) -> None:
    file = max((f for f in (folder / "dump").iterdir() if f.suffix == ".gz"), key=lambda f: f.stat().st_size)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def cut(folder: Path) -> None:
    file = max((f for f in (folder / "dump").iterdir() if f.suffix == ".gz"), key=lambda f: f.stat().st_size)
    file.write_bytes(file.read_bytes()[:-100])


def lose(folder: Path) -> None:
    next(f for f in (folder / "dump").iterdir() if f.suffix == ".gz").unlink()


def forget(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "told"), [(flip, "sha256 differs"), (cut, "sha256 differs"), (lose, "is missing"), (forget, "is not a backup")]
)
def test_a_damaged_backup_proves_nothing(server: Server, tmp_path: Path, damage: object, told: str) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    made = dump.take(Database(url=url), tmp_path / "b", quietly)
    damage(made.folder)  # type: ignore[operator]

    with pytest.raises(BackupFailed, match=told):
        prove(made, Database(url=url))


def kill_when_seen(program: bytes, sign: bytes) -> tuple[threading.Thread, threading.Event]:
    """Kill a program as soon as it runs with a sign in its arguments."""
    killed = threading.Event()

    def kill() -> None:
        for _ in range(4000):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    words = (folder / "cmdline").read_bytes()
                except OSError:
                    continue
                if program in words and sign in words:
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed.set()
                    return
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    return killer, killed


MUCH = "CREATE TABLE much AS SELECT g, repeat(md5(g::text), 20) AS t FROM generate_series(1, 200000) g"


def test_a_dump_that_is_killed_is_no_backup_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MUCH)
    killer, killed = kill_when_seen(b"pg_dump", str(tmp_path).encode())
    with pytest.raises(BackupFailed, match="dumping failed"):
        dump.take(Database(url=url), tmp_path / "b", quietly)
    killer.join()

    assert killed.is_set()
    assert list(tmp_path.iterdir()) == []


def test_a_restore_that_is_killed_proves_nothing_and_its_scratch_database_is_gone(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MUCH)
    made = dump.take(Database(url=url), tmp_path / "b", quietly)
    killer, killed = kill_when_seen(b"pg_restore", str(tmp_path).encode())
    with pytest.raises(BackupFailed, match="restoring failed"):
        prove(made, Database(url=url))
    killer.join()

    assert killed.is_set()
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'gonogo_scratch%'"
        assert connection.execute(query).fetchone() == (0,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk: what happens on a full one is not seen here")
def test_a_disk_that_fills_up_meanwhile_is_no_backup_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        # as random bytes do not compress, the dump, which writes them as text, is larger than the table
        connection.execute("CREATE TABLE noise (b bytea); ALTER TABLE noise ALTER b SET STORAGE EXTERNAL")
        for _ in range(40):
            connection.execute("INSERT INTO noise VALUES (%s)", [os.urandom(100_000)])
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4500k", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {mounted.stderr.decode()}")
    try:
        with pytest.raises(BackupFailed, match=r"No space left on device|dumping failed"):
            dump.take(Database(url=url), disk / "b", quietly)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_role_that_may_not_read_a_table_gets_no_backup(server: Server, tmp_path: Path) -> None:
    url = server.database()
    name = url.split("/")[3].split("?")[0]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; CREATE TABLE secret AS SELECT 1")
    weak = url.replace("postgres:@", "reader@").replace("postgres@", "reader@")
    with pytest.raises(BackupFailed, match="permission denied for table secret"):
        dump.take(Database(url=weak), tmp_path / "b", quietly)
    assert list(tmp_path.iterdir()) == []
    assert name in url


def test_a_backup_of_some_tables_holds_their_rows_and_every_definition(tmp_path: Path, database_18: Database) -> None:
    rule = Rule(tables=("app.parent",), schemas=())
    made = dump.take(database_18, tmp_path / "b", quietly, rule)
    proved = prove(made, database_18)

    assert list(made.manifest.tables) == ["app.parent"]
    assert "the rows of app.child" in str(proved.uncovered)
    with pytest.raises(BackupFailed, match=r"app\.child refers to app\.parent, whose rows the backup leaves out"):
        dump.take(database_18, tmp_path / "c", quietly, Rule(tables=("app.child",)))
    with pytest.raises(BackupFailed, match=r"there is no table app\.nobody"):
        dump.take(database_18, tmp_path / "d", quietly, Rule(tables=("app.nobody",)))


def test_a_disk_that_is_too_full_is_told_before_anything_is_dumped(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT g FROM generate_series(1, 100000) g")
    usage = os.statvfs(tmp_path)
    assert usage.f_bavail > 0
    monkeypatch.setattr("gonogo.recovery.dump.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())

    with pytest.raises(BackupFailed, match="MB free; the tables have"):
        dump.take(Database(url=url), tmp_path / "b", quietly)


def test_what_the_dump_does_not_cover_is_named(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT lo_create(0); CREATE UNLOGGED TABLE fleeting (id int)")

    made = dump.take(Database(url=url), tmp_path / "b", quietly)

    assert made.manifest.uncovered == ("large objects", "unlogged tables")


def test_no_password_is_in_a_process_list(server: Server, tmp_path: Path) -> None:
    url = server.database()
    name = url.split("/")[3].split("?")[0]
    secret = f"{url.replace('postgres:@', 'postgres:c4nary-secret@')}"
    seen: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.extend(subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, check=True).stdout.splitlines())

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT g, repeat('x', 500) AS x FROM generate_series(1, 50000) g")
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        dump.take(Database(url=secret), tmp_path / "b", quietly)
    finally:
        over.set()
        watcher.join()

    mine = [line for line in seen if name.encode() in line and b"pg_dump" in line]
    assert mine, "the dump was seen"
    assert not [line for line in mine if b"c4nary" in line]


def test_definitions_that_are_written_another_way_after_a_restore_are_the_same(any_server: Server, tmp_path: Path) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (s varchar CHECK (s IN ('a', 'b'))); CREATE VIEW v AS SELECT s FROM t WHERE s IN ('a', 'b');"
            " GRANT SELECT ON t TO PUBLIC; REVOKE SELECT ON t FROM PUBLIC; INSERT INTO t VALUES ('a'), ('a');"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (s)")
    made = dump.take(Database(url=url), tmp_path / "b", quietly)

    proved = prove(made, Database(url=url))

    assert "indexes that are INVALID" in str(proved.uncovered)


def test_a_partitioned_table_is_its_partitions(database_18: Database, tmp_path: Path) -> None:
    with psycopg.connect(database_18.url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE app.log (at date) PARTITION BY RANGE (at);"
            " CREATE TABLE app.log_25 PARTITION OF app.log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
            " INSERT INTO app.log VALUES ('2025-05-05')"
        )
    made = dump.take(database_18, tmp_path / "b", quietly, Rule(tables=("app.log",)))

    assert made.manifest.tables["app.log_25"].startswith("1:")
    with pytest.raises(BackupFailed, match=r"no table app\.seen that holds rows"):
        dump.take(database_18, tmp_path / "c", quietly, Rule(tables=("app.seen",)))


def test_a_scratch_database_that_a_killed_process_left_is_gone_with_the_next_proof(database_18: Database, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    here = platform.node()
    with psycopg.connect(database_18.url, autocommit=True) as connection:
        for process in (dead.pid, os.getpid()):
            connection.execute(f"CREATE DATABASE gonogo_scratch_{process}_left".encode())
            connection.execute(
                f"COMMENT ON DATABASE gonogo_scratch_{process}_left IS 'scratch of process {process} on {here}'".encode()
            )

        prove(dump.take(database_18, tmp_path / "b", quietly), database_18)

        query = "SELECT datname FROM pg_database WHERE datname LIKE 'gonogo_scratch%left'"
        assert connection.execute(query).fetchall() == [(f"gonogo_scratch_{os.getpid()}_left",)], "only those of the dead"
        connection.execute(f"DROP DATABASE gonogo_scratch_{os.getpid()}_left".encode())


@pytest.mark.attack("copies")
def test_a_folder_with_another_backup_than_the_one_that_was_proved_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    proved = digest_of(tmp_path)
    require_same(tmp_path, proved)
    require_same(tmp_path, "")
    (tmp_path / "manifest.json").write_text("{ }", encoding="utf-8")
    with pytest.raises(BackupFailed, match="not the backup that was proved for this run"):
        require_same(tmp_path, proved)
    with pytest.raises(BackupFailed, match="is not a backup"):
        require_same(tmp_path / "gone", proved)


def test_what_is_computed_again_or_belongs_to_an_extension_is_named_as_not_covered(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE sold (n int); INSERT INTO sold VALUES (1); CREATE MATERIALIZED VIEW best AS SELECT * FROM sold;"
            " CREATE MATERIALIZED VIEW later AS SELECT * FROM sold WITH NO DATA; INSERT INTO sold VALUES (2);"
            " CREATE TABLE rates (n int); INSERT INTO rates VALUES (1); ALTER EXTENSION plpgsql ADD TABLE rates"
        )

    made = dump.take(Database(url=url), tmp_path / "b", quietly)

    assert list(made.manifest.uncovered) == [
        "the rows of the materialized view public.best, which is computed again",
        "the rows of public.rates, which the extension plpgsql owns",
    ]


#: all that a table's owner can make a server run while its rows come back, each asking for what a superuser may
TRAP = """
CREATE FUNCTION app.sprung(what text) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE tried text;
BEGIN
  FOREACH tried IN ARRAY ARRAY['ALTER ROLE {role} SUPERUSER', 'COPY (SELECT 1) TO PROGRAM ''touch {file}''',
    'ALTER ROLE {role}_victim PASSWORD ''stolen''', 'SET ROLE {role}_victim', 'ALTER ROLE {role}_victim PASSWORD ''stolen''',
    'SET SESSION AUTHORIZATION DEFAULT', 'SET SESSION AUTHORIZATION postgres', 'SET ROLE postgres', 'GRANT postgres TO {role}',
    'ALTER ROLE {role} SUPERUSER', 'CREATE ROLE {role}_more SUPERUSER', 'GRANT pg_execute_server_program TO {role}'] LOOP
    BEGIN EXECUTE tried; EXCEPTION WHEN OTHERS THEN NULL; END;
  END LOOP;
  RETURN true;
END $f$;
-- what must be immutable is called so, and calls what is not
CREATE FUNCTION app.trap(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN RETURN app.sprung(what); END $f$;
CREATE DOMAIN app.word AS text CHECK (app.sprung(VALUE));
CREATE TYPE app.pair AS (a int, b text);
CREATE TABLE app.checked (id int PRIMARY KEY CHECK (app.sprung('check')), word app.word,
  made boolean GENERATED ALWAYS AS (app.trap(id::text)) STORED, filled boolean DEFAULT app.sprung('default'));
INSERT INTO app.checked (id, word) VALUES (1, 'a'), (2, 'b');
CREATE FUNCTION app.of_row(r app.checked) RETURNS boolean LANGUAGE sql AS $$ SELECT app.sprung(r.word::text) $$;
ALTER TABLE app.checked ADD CONSTRAINT whole CHECK (app.of_row(checked));
CREATE INDEX trapped ON app.checked (app.trap(id::text));
CREATE UNIQUE INDEX partly ON app.checked (id) WHERE app.trap(id::text);
CREATE TABLE app.child (id int REFERENCES app.checked, note text);
INSERT INTO app.child VALUES (1, 'x');
CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM app.sprung('trigger'); RETURN NEW; END $$;
CREATE TRIGGER fires BEFORE INSERT OR UPDATE ON app.child FOR EACH ROW EXECUTE FUNCTION app.fires();
CREATE MATERIALIZED VIEW app.kept AS SELECT id FROM app.checked WHERE app.sprung(id::text);
CREATE TABLE app.parts (id int CHECK (app.sprung(id::text))) PARTITION BY LIST (id);
CREATE TABLE app.part PARTITION OF app.parts FOR VALUES IN (1);
INSERT INTO app.parts VALUES (1);
ALTER TABLE app.child ADD CONSTRAINT later CHECK (app.sprung(note)) NOT VALID;
CREATE TYPE app.odd AS (n int);
CREATE FUNCTION app.as_int(o app.odd) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $f$
BEGIN PERFORM app.sprung('cast'); RETURN o.n; END $f$;
CREATE CAST (app.odd AS int) WITH FUNCTION app.as_int(app.odd) AS IMPLICIT;
CREATE TABLE app.refers (o app.odd);
INSERT INTO app.refers VALUES (ROW(1)::app.odd);
ALTER TABLE app.refers ADD CONSTRAINT by_cast FOREIGN KEY (o) REFERENCES app.checked (id);
COMMENT ON CONSTRAINT by_cast ON app.refers IS 'validated as it is restored';
"""


@pytest.mark.attack("copies")
@pytest.mark.parametrize("where", ["the target's own server", "a server of gonogo's own"])
def test_nothing_that_a_tables_owner_wrote_runs_as_gonogo_while_it_is_restored(
    any_server: Server, tmp_path: Path, open_path: Path, where: str
) -> None:
    url, done, role = any_server.database(), open_path / "done", f"owner_{os.getpid()}"
    open_path.chmod(0o777)
    own = where.startswith("a server")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN; CREATE SCHEMA app AUTHORIZATION {role}".encode())
        # another owner, in whose name nothing may be done
        connection.execute(f"CREATE ROLE {role}_victim LOGIN PASSWORD 'old'; CREATE TABLE theirs AS SELECT 1 AS n".encode())
        connection.execute(f"ALTER TABLE theirs OWNER TO {role}_victim".encode())
        password = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [f"{role}_victim"]).fetchone()
        with psycopg.connect(url, user=role, autocommit=True) as owner:
            owner.execute(TRAP.format(role=role, file=done).encode())
        try:
            made = dump.take(Database(url=url), tmp_path / "backup", quietly)
            room = ScratchServer(database=Database(url=url), spare=nowhere)
            if own:
                with embedded.running(open_path / "own") as elsewhere:
                    dump.prove(made, ScratchServer(database=Database(url=url), spare=nowhere, server=elsewhere), quietly)
                    with psycopg.connect(elsewhere) as there:
                        powers = "SELECT rolname FROM pg_roles WHERE rolsuper AND oid >= 16384 OR rolname LIKE 'gonogo_loader%'"
                        assert there.execute(powers.encode()).fetchall() == []
            else:
                dump.prove(made, room, quietly)
            assert not done.exists(), "no program ran"
            left = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolsuper AND oid >= 16384 OR rolname LIKE 'gonogo_loader%%' OR"
                " rolname = %s AND pg_has_role(oid, 'pg_execute_server_program', 'member')",
                [role],
            )
            assert left.fetchall() == []
            found = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [f"{role}_victim"]).fetchone()
            assert found == password, "what one owner wrote did not act as another"
        finally:
            connection.execute(f"DROP OWNED BY {role}, {role}_victim CASCADE; DROP ROLE IF EXISTS {role}_more".encode())
            connection.execute(f"DROP ROLE {role}, {role}_victim".encode())


def test_what_a_superuser_owns_and_what_only_its_owner_may_call_comes_back_too(any_server: Server, tmp_path: Path) -> None:
    url, role = any_server.database(), f"odd owner {os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"""CREATE ROLE "{role}"; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
            CREATE FUNCTION pos(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN $1 > 0; END';
            CREATE TABLE t (a int CHECK (pos(a))); INSERT INTO t VALUES (1);
            ALTER TABLE t ADD CONSTRAINT later CHECK (a > 7) NOT VALID;
            CREATE FUNCTION neg(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN $1 < 0; END';
            ALTER FUNCTION neg(int) OWNER TO "{role}"; REVOKE ALL ON FUNCTION neg(int) FROM PUBLIC;
            CREATE TABLE u (a int CHECK (neg(a))); INSERT INTO u VALUES (-1); ALTER TABLE u OWNER TO "{role}";
            ALTER TABLE u ADD CONSTRAINT later CHECK (a > 7) NOT VALID""".encode()
        )
        try:
            assert prove(dump.take(Database(url=url), tmp_path / "backup", quietly), Database(url=url)).tables == 2
        finally:
            connection.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"'.encode())
