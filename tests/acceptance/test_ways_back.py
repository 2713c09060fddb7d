"""Every way back leads back, says first what it would destroy, and is proved: switches, undo, restore."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from support.command import environment, gonogo, start, status
from support.desk import BEFORE, BOOK, GOOD, Desk, lay
from support.servers import Server
from support.waiting import until

Make = Callable[..., Path]
WAYS = BOOK.replace(
    "phases:",
    "backup: {recover_within: 5m}\nrollback: {levels: [feature, undo, data, restore],"
    " feature: {sql: off.sql, prove: [is_off]}, data: {sql: [copy.sql], prove: [is_back]}}\nphases:",
    1,
).replace("checks:", 'checks:\n  is_off: {sql: is_off.sql, expect: "= 0"}\n  is_back: {sql: is_back.sql, expect: "= 2000"}')
RESTORES = BOOK.replace("phases:", "backup: {}\nrollback: {levels: [restore, undo]}\nphases:", 1)
ACL = "SELECT array_agg(a::text ORDER BY a::text) FROM pg_database, unnest(datacl) a WHERE datname = current_database()"
SWITCHES = {
    "a__sql": "CREATE TABLE flag (on_ bool); INSERT INTO flag VALUES (true); CREATE TABLE copy AS SELECT * FROM item;\n",
    "a__undo__sql": "DROP TABLE flag, copy;\n",
    "b__sql": "DELETE FROM sale; DELETE FROM item WHERE id > 1500;\n",
    "b__undo__sql": "INSERT INTO item SELECT * FROM copy ON CONFLICT DO NOTHING;\n",
    "off__sql": "UPDATE flag SET on_ = false;\n",
    "copy__sql": "INSERT INTO item SELECT * FROM copy ON CONFLICT DO NOTHING;\n",
    "is_off__sql": "SELECT count(*) FROM flag WHERE on_\n",
    "is_back__sql": "SELECT count(*) FROM item\n",
}


NOT_MEASURED = (
    "1 of public.extra (estimated by transaction numbers: book/b.undo.sql has effects that no rollback of its transaction undoes)"
)


def one(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def kinds(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [str(row[0]) for row in connection.execute("SELECT kind FROM gonogo.event ORDER BY seq").fetchall()]


def owned_by(server: Server, role: str) -> tuple[str, str]:
    """Make a database whose owner may make none; return its URL for the superuser, and for the owner."""
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}")
        connection.execute(f"CREATE ROLE {role} LOGIN; ALTER SCHEMA public OWNER TO {role}")
        connection.execute(f"ALTER DATABASE {connection.info.dbname} OWNER TO {role}")
    return url, url.replace("postgres:@", f"{role}@").replace("postgres@", f"{role}@")


def run(desk: Desk, code: int = 0) -> str:
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def back(desk: Desk, *more: str, code: int = 11) -> str:
    done = desk("rollback", "book", "--without-prefect", *more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def desk(make_project: Make, server: Server) -> Callable[..., Desk]:
    return lambda book=RESTORES, **files: lay(make_project, server, book, **files)


@pytest.fixture
def any_desk(make_project: Make, any_server: Server) -> Callable[..., Desk]:
    return lambda book=RESTORES, **files: lay(make_project, any_server, book, **files)


def test_a_feature_is_switched_off_and_the_run_then_rolled_back_further(desk: Callable[..., Desk]) -> None:
    here = desk(WAYS, **{**SWITCHES, "b__sql": "DELETE FROM item WHERE id > 1900;\n"})
    run(here)

    told = back(here, "--reason", "people are confused")

    assert "the level feature is done" in told
    assert one(here.url, "SELECT on_ FROM flag") is False
    refused = here("run", "book", "--without-prefect")
    assert refused.returncode == 3
    assert "was rolled back by the level feature, and what it did is still there" in refused.stderr

    told = back(here, "--level", "undo")
    assert "schema objects as before" in told
    assert one(here.url, "SELECT to_regclass('flag')") is None
    assert one(here.url, "SELECT count(*) FROM item") == 2000


def test_rows_are_put_back_from_their_copies(desk: Callable[..., Desk]) -> None:
    here = desk(WAYS, **SWITCHES)
    run(here)

    back(here, "--level", "data")

    assert one(here.url, "SELECT count(*) FROM item") == 2000
    assert one(here.url, "SELECT on_ FROM flag") is True


def test_a_level_of_its_own_waits_for_a_person_where_it_would_destroy_what_somebody_wrote_since(
    any_desk: Callable[..., Desk],
) -> None:
    here = any_desk(WAYS, **{**SWITCHES, "copy__sql": SWITCHES["copy__sql"] + "UPDATE item SET name = 'put back';\n"})
    run(here)
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("UPDATE item SET name = 'of the application' WHERE id <= 3")
        connection.execute("UPDATE flag SET on_ = false")

    told = back(here, "--level", "data", code=4)

    assert "the level `data` would destroy rows that were written since: 3 of public.item (measured)" in told
    assert one(here.url, "SELECT count(*) FROM item WHERE name = 'of the application'") == 3
    assert one(here.url, "SELECT count(*) FROM item") == 1500
    told = back(here, "--continue", "--accept-loss")
    assert "lost with it, written by others: 3 of public.item" in told
    assert one(here.url, "SELECT count(*) FROM item WHERE name = 'put back'") == 2000


def test_a_level_that_is_said_to_keep_what_was_written_does_not_wait(desk: Callable[..., Desk]) -> None:
    here = desk(WAYS.replace("feature: {sql: off.sql,", "feature: {sql: off.sql, keeps: {flag: it is a switch},"), **SWITCHES)
    run(here)
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("UPDATE flag SET on_ = true")

    assert "the level feature is done" in back(here)

    assert one(here.url, "SELECT on_ FROM flag") is False


def test_a_level_that_does_not_do_what_it_is_for_is_not_called_done(desk: Callable[..., Desk]) -> None:
    here = desk(WAYS, **{**SWITCHES, "off__sql": "SELECT 1;\n"})
    run(here)

    told = back(here, code=12)

    assert "is_off: 1 is not = 0" in told
    assert "--level restore" in told


def test_a_backup_is_restored_beside_and_swapped_in_and_the_failed_database_is_kept(any_desk: Callable[..., Desk]) -> None:
    here = any_desk()
    name = one(here.url, "SELECT current_database()")
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {name} SET search_path TO public, pg_catalog; GRANT CONNECT ON DATABASE {name} TO PUBLIC"
        )
        before = connection.execute(ACL).fetchone()
    run(here)
    with psycopg.connect(here.url, autocommit=True) as connection:
        # whoever reads the ledger elsewhere does so afterwards, too
        connection.execute("GRANT USAGE ON SCHEMA gonogo TO pg_monitor; GRANT SELECT ON gonogo.event TO pg_monitor, PUBLIC")
    with psycopg.connect(here.url) as waiting:
        back(here, "--reason", "wrong", "--accept-loss")
        with pytest.raises(psycopg.OperationalError):
            waiting.execute("SELECT 1")

    with psycopg.connect(here.url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('extra'), count(*) FROM item").fetchone() == (None, 2000)
        assert connection.execute("SHOW search_path").fetchone() == ("public, pg_catalog",)
        assert connection.execute(ACL).fetchone() == before
        rights = (("event", "SELECT"), ("event", "INSERT"), ("run", "SELECT"))
        may = [f"has_table_privilege('pg_monitor', 'gonogo.{table}', '{right}')" for table, right in rights]
        query = f"SELECT has_schema_privilege('pg_monitor', 'gonogo', 'USAGE'), {', '.join(may)}"
        assert connection.execute(query.encode()).fetchone() == (True, True, False, False)
        kept = connection.execute("SELECT body->>'kept' FROM gonogo.event WHERE kind = 'backup restored'").fetchone()
    assert kept is not None
    with psycopg.connect(here.url.replace(f"/{name}?", f"/{kept[0]}?"), autocommit=True) as failed:
        assert failed.execute("SELECT count(*) FROM extra").fetchone() == (2000,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            failed.execute("DELETE FROM extra")
    assert here("ledger", "verify", "book").returncode == 0
    assert run(here), "a new run begins on the restored database"


def test_a_role_that_may_not_make_databases_restores_in_place(make_project: Make, any_server: Server) -> None:
    owner, weak = owned_by(any_server, "weak_owner")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm" if _has(connection, "pg_trgm") else "SELECT 1")
    with psycopg.connect(weak, autocommit=True) as connection:
        connection.execute(
            BEFORE + "CREATE SCHEMA app; CREATE VIEW app.names AS SELECT name FROM item; CREATE TYPE mood AS ENUM ('a');"
        )
    here = Desk(make_project(RESTORES, **GOOD), weak)
    run(here)

    told = back(here, "--accept-loss")

    assert "restoring in place" in told
    with psycopg.connect(weak, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('extra'), count(*) FROM app.names").fetchone() == (None, 2000)
    assert "backup restored" in kinds(weak)


@pytest.mark.attack("copies")
def test_who_may_everything_and_acts_as_a_role_restores_beside_and_lends_no_owner_their_rights(
    make_project: Make, any_server: Server, open_path: Path
) -> None:
    url, role, mark = any_server.database(), f"lent_{os.getpid()}", open_path / "mark"
    open_path.chmod(0o777)
    tries = f"SET ROLE NONE; COPY (SELECT 1) TO PROGRAM ''cat > {mark}''"
    trap = (
        "CREATE FUNCTION sprung(int) RETURNS boolean LANGUAGE plpgsql AS"
        f" $$ BEGIN BEGIN EXECUTE '{tries}'; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN true; END $$;"
        "CREATE TABLE trapped (id int CHECK (sprung(id))); INSERT INTO trapped VALUES (1);"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}".encode())
        connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {role}".encode())
        connection.execute(f"SET ROLE {role}; {BEFORE}; {trap}".encode())
    assert mark.exists(), "the trap can spring"
    mark.unlink()
    here = Desk(make_project(RESTORES.replace("{database:", f"{{role: {role}, database:"), **GOOD), url)
    run(here)

    told = back(here, "--accept-loss")

    assert "restoring in place" not in told
    assert not mark.exists(), "no program ran"
    assert one(url, "SELECT count(*) FROM trapped") == 1
    any_server.forget(url, role)


def _has(connection: psycopg.Connection[Any], extension: str) -> bool:
    query = "SELECT count(*) FROM pg_available_extensions WHERE name = %s"
    return connection.execute(query, [extension]).fetchone() == (1,)


def test_rows_that_the_application_wrote_since_are_named_and_need_a_person(desk: Callable[..., Desk]) -> None:
    files = {"b__sql": "CREATE TABLE extra (id int); INSERT INTO extra SELECT id FROM item;\n"}
    here = desk(BOOK, **files)
    run(here)
    with psycopg.connect(here.url, autocommit=True) as connection:
        for number in range(7):
            connection.execute("INSERT INTO extra VALUES (%s)", [number])

    told = back(here, code=4)

    assert "undoing work.second would destroy rows that were written since: 7 of public.extra (measured)" in told
    assert one(here.url, "SELECT count(*) FROM extra") == 2007, "nothing is destroyed before a person knows"
    assert status("book", here.project, here.env)["status"] == "rolling back"

    back(here, "--continue", "--accept-loss")
    assert one(here.url, "SELECT to_regclass('extra')") is None


def test_a_restore_says_how_many_rows_by_table_would_be_lost(desk: Callable[..., Desk]) -> None:
    here = desk()
    run(here)
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("INSERT INTO sale (item) SELECT 1 FROM generate_series(1, 5)")
        connection.execute("UPDATE item SET name = name || '!' WHERE id <= 3")

    told = back(here, code=4)

    assert "restoring the backup would destroy rows that were written since: 3 of public.item, 5 of public.sale" in told
    assert one(here.url, "SELECT count(*) FROM sale") == 505


def test_what_keeps_its_rows_elsewhere_and_what_has_a_journal_is_not_guessed(desk: Callable[..., Desk]) -> None:
    book = BOOK.replace("undo: b.undo.sql}", "undo: b.undo.sql, keeps: {extra: every row is in item too}}")
    files = {"b__sql": "CREATE TABLE extra (id int);\n"}
    here = desk(book, **files)
    run(here)
    write(here.url, "INSERT INTO extra VALUES (1)")
    back(here)

    (here.project / "runbooks/book.yaml").write_text(
        BOOK.replace("undo: b.undo.sql}", 'undo: b.undo.sql, journal: "SELECT count(*) FROM extra WHERE id = 9"}')
    )
    run(here)
    write(here.url, "INSERT INTO extra VALUES (1), (9)")
    assert "1 of extra (by the step's journal)" in back(here, code=4)
    write(here.url, "DELETE FROM extra WHERE id = 9")
    back(here, "--continue")


def test_a_reason_why_old_tables_keep_their_rows_says_nothing_of_a_new_one(desk: Callable[..., Desk]) -> None:
    book = BOOK.replace("undo: b.undo.sql}", "undo: b.undo.sql, keeps: every row is in item too}")
    here = desk(
        book,
        b__sql="CREATE TABLE extra (id int); ALTER TABLE item ADD COLUMN shade text;\n",
        b__undo__sql="DROP TABLE extra; ALTER TABLE item DROP COLUMN shade;\n",
    )
    run(here)
    write(here.url, "UPDATE item SET shade = 'red' WHERE id < 4")
    back(here)

    run(here)
    write(here.url, "INSERT INTO extra VALUES (1); UPDATE item SET shade = 'red' WHERE id < 4")
    assert "destroy rows that were written since: 1 of public.extra (measured)" in back(here, code=4)


METRICS = """
CREATE TABLE metric (id int PRIMARY KEY, name text);
CREATE TABLE event (id serial PRIMARY KEY, metric int REFERENCES metric ON DELETE CASCADE);
"""


def test_what_goes_by_cascade_is_told_before_the_first_undo_and_nothing_is_undone(any_desk: Callable[..., Desk]) -> None:
    book = BOOK.replace(
        "- {step: second, sql: b.sql, undo: b.undo.sql}",
        "- {step: second, sql: b.sql, undo: b.undo.sql}\n          - {step: third, sql: c.sql, undo: c.undo.sql}",
    )
    assert "third" in book
    here = any_desk(
        book,
        b__sql="INSERT INTO metric VALUES (1, 'calls');\n",
        b__undo__sql="DELETE FROM metric WHERE id = 1;\n",
        c__sql="CREATE VIEW newest AS SELECT 1 AS one;\n",
        c__undo__sql="DROP VIEW newest;\n",
    )
    write(here.url, METRICS)
    run(here)
    write(here.url, "INSERT INTO event (metric) VALUES (1), (1), (NULL)")

    told = back(here, "--reason", "wrong price", code=4)

    assert "undoing work.second would destroy rows that were written since: 2 of public.event (measured)" in told
    assert one(here.url, "SELECT to_regclass('newest')") == "newest", "not one undo has run"
    assert one(here.url, "SELECT count(*) FROM event") == 3

    told = back(here, "--continue", "--accept-loss", "--reason", "they are only test calls")
    assert "lost with it, written by others: 2 of public.event" in told
    assert "only test calls" in told
    assert one(here.url, "SELECT count(*) FROM event") == 1
    report = here("report", "book", "--format", "md").stdout
    assert "- 2 of public.event" in report
    assert "only test calls" in report


def test_an_undo_that_touches_another_table_each_time_holds_and_destroys_nothing(desk: Callable[..., Desk]) -> None:
    fickle = (
        "DO $$ BEGIN IF nextval('turn') % 2 = 1 THEN DELETE FROM sale WHERE id = 1; ELSE DELETE FROM visit; END IF; END $$;\n"
    )
    here = desk(BOOK, b__sql="SELECT 1;\n", b__undo__sql=fickle)
    write(here.url, "CREATE SEQUENCE turn; CREATE TABLE visit (id int PRIMARY KEY)")
    run(here)
    write(here.url, "INSERT INTO visit SELECT generate_series(1, 9)")

    told = back(here, code=4)

    assert "an unknown number of public.visit" in told
    assert one(here.url, "SELECT count(*) FROM visit") == 9


def test_an_undo_that_destroys_more_as_it_runs_than_beforehand_is_taken_back(desk: Callable[..., Desk]) -> None:
    # twice beforehand it changes nothing; for good, it deletes
    late = "UPDATE visit SET id = id; DO $$ BEGIN IF nextval('turn') > 2 THEN DELETE FROM visit; END IF; END $$;\n"
    here = desk(BOOK, b__sql="SELECT 1;\n", b__undo__sql=late)
    write(here.url, "CREATE SEQUENCE turn; CREATE TABLE visit (id int PRIMARY KEY)")
    run(here)
    write(here.url, "INSERT INTO visit SELECT generate_series(1, 9)")

    told = back(here, code=4)

    assert "undoing work.second would destroy rows that were written since: 9 of public.visit (measured)" in told
    assert one(here.url, "SELECT count(*) FROM visit") == 9
    back(here, "--continue", "--accept-loss")
    assert one(here.url, "SELECT count(*) FROM visit") == 0


def test_columns_in_which_nobody_wrote_are_dropped_without_a_question(any_desk: Callable[..., Desk]) -> None:
    here = any_desk(
        BOOK,
        b__sql="ALTER TABLE item ADD phone text, ADD score int NOT NULL DEFAULT 0, ADD kind text DEFAULT 'a';\n",
        b__undo__sql="ALTER TABLE item DROP COLUMN phone, DROP COLUMN score, DROP COLUMN kind;\n",
    )
    run(here)
    write(here.url, "UPDATE item SET name = name || '!' WHERE id < 30; INSERT INTO item (id, name) VALUES (9001, 'new')")

    back(here)

    assert one(here.url, "SELECT count(*) FROM item WHERE name LIKE '%!' OR id = 9001") == 30


def test_what_no_transaction_takes_back_is_not_tried_beforehand(desk: Callable[..., Desk]) -> None:
    here = desk(
        BOOK,
        b__sql="CREATE TABLE extra (id serial PRIMARY KEY);\n",
        b__undo__sql="SELECT setval('turn', 100); DROP TABLE extra;\n",
    )
    write(here.url, "CREATE SEQUENCE turn")
    run(here)
    write(here.url, "INSERT INTO extra DEFAULT VALUES; SELECT setval('turn', 500)")

    told = back(here, code=4)

    assert NOT_MEASURED in told
    assert one(here.url, "SELECT last_value FROM turn") == 500, "nothing is undone, this neither"


def test_a_row_that_comes_while_an_undo_waits_is_seen_whatever_isolation_the_database_has(desk: Callable[..., Desk]) -> None:
    here = desk(BOOK, b__sql="ALTER TABLE item ADD note text;\n", b__undo__sql="ALTER TABLE item DROP COLUMN note;\n")
    write(
        here.url,
        f"ALTER DATABASE {one(here.url, 'SELECT current_database()')} SET default_transaction_isolation = 'repeatable read'",
    )
    run(here)
    with psycopg.connect(here.url) as writer:
        writer.execute("INSERT INTO item (id, name, note) VALUES (9001, 'late', 'precious')")
        process = start("rollback", "book", "--without-prefect", cwd=here.project, env=here.env)
        until(lambda: one(here.url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active'"))
        writer.commit()
    told = process.communicate(timeout=120)[0]

    assert process.returncode == 4, told
    assert one(here.url, "SELECT note FROM item WHERE id = 9001") == "precious"


def test_what_cannot_be_measured_is_estimated_and_called_so(desk: Callable[..., Desk]) -> None:
    book = BOOK.replace("- {step: second, sql: b.sql, undo: b.undo.sql}", "- {step: second, sql: b.sql, undo: b.undo.sql}")
    here = desk(
        book,
        b__sql="CREATE TABLE extra (id int PRIMARY KEY);\n",
        b__undo__sql="COPY item TO PROGRAM 'cat > /dev/null'; DROP TABLE extra;\n",
    )
    run(here)
    write(here.url, "INSERT INTO extra VALUES (1)")

    told = back(here, code=4)

    assert NOT_MEASURED in told
    back(here, "--continue", "--accept-loss")


def test_a_trip_waits_for_a_person_where_its_undo_would_destroy_rows(desk: Callable[..., Desk]) -> None:
    book = BOOK.replace(
        "checks:",
        "    soak: 30s\n    watch: [broken]\n    every: 100ms\nchecks:\n  broken: {sql: broken.sql, roll_back_if: '> 0'}",
    )
    files = {"b__sql": "CREATE TABLE extra (id int);\n", "broken__sql": "SELECT count(*) FROM sale WHERE id > 600\n"}
    here = desk(book, **files)
    told: list[str] = []
    runner = threading.Thread(target=lambda: told.append(run(here, code=4)))
    runner.start()
    while one(here.url, "SELECT to_regclass('extra')") is None:
        time.sleep(0.1)
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("INSERT INTO extra VALUES (1); INSERT INTO sale (item) SELECT 1 FROM generate_series(1, 200)")
    runner.join(timeout=180)

    assert "TRIPPED" in told[0]
    assert "would destroy rows that were written since: 1 of public.extra" in told[0]


def test_an_undo_that_fails_spells_out_the_next_safe_commands_and_a_restore_takes_over(desk: Callable[..., Desk]) -> None:
    book = RESTORES.replace("[restore, undo]", "[undo, restore]")
    here = desk(book, b__undo__sql="DROP TABLE not_there;\n")
    run(here)

    told = back(here, code=12)

    assert "gonogo rollback book --target db --continue" in told
    assert "gonogo rollback book --target db --level restore" in told
    shown = status("book", here.project, here.env)
    assert [way["command"] for way in shown["ways"]][:2] == [
        "gonogo rollback book --target db --continue",
        "gonogo resume book --target db --settle done",
    ]
    back(here, "--continue", code=12)

    back(here, "--level", "restore", "--accept-loss")
    assert one(here.url, "SELECT to_regclass('extra')") is None
    assert "rollback proved" in kinds(here.url)


@pytest.mark.parametrize("where", ["while it is built", "before the swap"])
def test_a_restore_whose_process_dies_leaves_the_one_or_the_other_and_goes_on(desk: Callable[..., Desk], where: str) -> None:
    """The process is killed while the new database is built, and after the old one takes no connections."""
    here = desk()
    run(here)
    name = one(here.url, "SELECT current_database()")
    side = f"{name}_restored_"
    if where == "while it is built":
        condition = f"SELECT count(*) FROM pg_database WHERE datname LIKE '{side}%'"
    else:
        condition = f"SELECT count(*) FROM pg_database WHERE datname = '{name}' AND NOT datallowconn"
    maintenance = here.url.replace(f"/{name}?", "/postgres?")
    import subprocess
    import sys

    command = [sys.executable, "-m", "gonogo", "rollback", "book", "--without-prefect", "--accept-loss"]
    process = subprocess.Popen(command, cwd=here.project, env=here.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with psycopg.connect(maintenance, autocommit=True) as connection:
        while process.poll() is None:
            if connection.execute(condition.encode()).fetchone() != (0,):
                process.kill()
                break
    assert process.wait() == -9, "it was killed in time"

    done = here("rollback", "book", "--without-prefect", "--continue", "--accept-loss")
    if done.returncode == 3:
        time.sleep(6)
        done = here("rollback", "book", "--without-prefect", "--continue", "--accept-loss")

    assert done.returncode == 11, done.stdout + done.stderr
    assert one(here.url, "SELECT to_regclass('extra')") is None
    assert one(maintenance, f"SELECT count(*) FROM pg_database WHERE datname LIKE '{side}%'") == 0
    assert kinds(here.url).count("backup restored") == 1
    assert json.loads(here("ledger", "verify", "book", "--json").stdout)["ok"]


def test_another_backup_is_taken_and_proved_at_the_end(desk: Callable[..., Desk]) -> None:
    here = desk(BOOK.replace("phases:", "backup: {after: true}\nphases:", 1))

    run(here)

    assert kinds(here.url).count("backup proved") == 2
    folders = sorted(folder.name for folder in (here.project / ".gonogo/backups").iterdir())
    assert ["-after-" in folder for folder in folders] == [True, False]
    listed = json.loads(here("backup", "list", "book", "--json").stdout)
    assert len(listed) == 2
    assert not any(row["outlived"] for row in listed)


def write(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def test_a_name_as_long_as_they_get_in_letters_of_two_bytes_is_restored_and_not_dropped(
    make_project: Make, server: Server
) -> None:
    name = "ä" * 31 + "x"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_conninfo(server.url, dbname=name)
    write(url, BEFORE)
    here = Desk(make_project(RESTORES, **GOOD), url)
    run(here)

    back(here, "--accept-loss")

    assert one(url, "SELECT count(*) FROM item") == 2000


def test_rows_that_are_committed_while_the_restore_is_built_are_not_lost_without_a_word(desk: Callable[..., Desk]) -> None:
    here = desk()
    write(here.url, "CREATE TABLE bulk AS SELECT g, md5(g::text) FROM generate_series(1, 200000) g")
    run(here)
    over = threading.Event()
    written: list[int] = []

    def keep_writing() -> None:
        while not over.is_set():
            try:
                with psycopg.connect(here.url, autocommit=True) as connection:
                    while not over.is_set():
                        connection.execute("INSERT INTO sale (item) VALUES (1)")
                        written.append(1)
                        time.sleep(0.02)
            except psycopg.Error:
                time.sleep(0.05)

    writer = threading.Thread(target=keep_writing)
    with psycopg.connect(
        here.url.replace(f"/{one(here.url, 'SELECT current_database()')}?", "/postgres?"), autocommit=True
    ) as look:
        process = start("rollback", "book", "--without-prefect", cwd=here.project, env=here.env)
        while look.execute("SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_restored\\_%'").fetchone() == (0,):
            assert process.poll() is None
        writer.start()
    said, _ = process.communicate(timeout=180)
    over.set()
    writer.join()

    assert process.returncode == 4, said
    assert "would destroy rows that were written since" in said
    assert one(here.url, "SELECT count(*) FROM sale") == 500 + len(written), "the target is open again, and has them all"


@pytest.mark.attack("in the way")
def test_status_does_not_open_a_target_that_is_being_swapped_nor_swaps_in_a_strangers_database(desk: Callable[..., Desk]) -> None:
    here = desk()
    run(here)
    name = one(here.url, "SELECT current_database()")
    outside = here.url.replace(f"/{name}?", "/postgres?")
    other = name.replace("_", "z")
    with psycopg.connect(outside, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {other}_restored_abcdef")
        connection.execute(
            f"COMMENT ON DATABASE {other}_restored_abcdef IS 'gonogo swaps in the restore of ''{other}'' for the run book-abcdef'"
        )
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        stranger = here("status", "book")
        connection.execute("SELECT pg_advisory_lock(hashtext(%s), 4711)", [f"gonogo restores {name}"])
        busy = here("status", "book")
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        connection.execute(f"DROP DATABASE {other}_restored_abcdef")

    assert (stranger.returncode, busy.returncode) == (3, 3)
    assert "and no gonogo restore is in progress" in stranger.stderr
    assert "is under way" in busy.stderr
    assert one(here.url, "SELECT to_regclass('extra')::text") == "extra"


def test_a_prepared_transaction_stops_the_swap_and_what_was_there_is_open_and_whole(
    make_project: Make, server_15: Server
) -> None:
    here = lay(make_project, server_15, RESTORES)
    run(here)
    write(here.url, "BEGIN; INSERT INTO sale (item) VALUES (1); PREPARE TRANSACTION 'open'")
    told = back(here, "--accept-loss", code=12)
    write(here.url, "COMMIT PREPARED 'open'")
    assert "a prepared transaction is open" in told
    assert one(here.url, "SELECT count(*) FROM sale") == 501


@pytest.mark.parametrize(
    ("made", "undo"),
    [
        ('CREATE TABLE "Extra" (id int);', 'DROP TABLE "Extra";'),
        ("CREATE SCHEMA app; CREATE TABLE app.extra (id int);", "SET search_path = app; DROP TABLE extra; DROP SCHEMA app;"),
        (
            "CREATE TABLE extra (id int);",
            "WITH gone AS (DELETE FROM extra RETURNING 1) SELECT count(*) FROM gone; DROP TABLE extra;",
        ),
        ("CREATE SCHEMA app; CREATE TABLE app.extra (id int);", "DROP SCHEMA app CASCADE;"),
    ],
    ids=["a quoted name", "another search_path", "a delete in a WITH", "a whole schema"],
)
def test_what_an_undo_destroys_is_found_however_it_is_written(desk: Callable[..., Desk], made: str, undo: str) -> None:
    here = desk(BOOK, b__sql=made + "\n", b__undo__sql=undo + "\n")
    run(here)
    table = '"Extra"' if "Extra" in made else "app.extra" if "app" in made else "extra"
    write(here.url, f"INSERT INTO {table} VALUES (1), (2)")

    told = back(here, code=4)

    assert "would destroy rows that were written since: 2 of" in told
    assert one(here.url, f"SELECT count(*) FROM {table}") == 2


def test_a_transaction_that_was_open_as_the_backup_was_taken_and_commits_later_is_counted(desk: Callable[..., Desk]) -> None:
    here = desk(RESTORES, a__sql="CREATE TABLE other (id int);\n", a__undo__sql="DROP TABLE other;\n")
    with psycopg.connect(here.url) as older:
        older.execute("INSERT INTO sale (item) SELECT 1 FROM generate_series(1, 7)")
        run(here)
        older.commit()

    assert "restoring the backup would destroy rows that were written since: 7 of public.sale" in back(here, code=4)
    assert one(here.url, "SELECT count(*) FROM sale") == 507


def test_what_was_accepted_or_counted_once_does_not_stand_for_what_was_written_later(desk: Callable[..., Desk]) -> None:
    here = desk(
        BOOK,
        b__sql="CREATE TABLE extra (id int);\n",
        b__undo__sql="SELECT 1/(SELECT count(*)::int FROM old); DROP TABLE extra;\n",
    )
    write(here.url, "CREATE TABLE old (id int)")
    run(here)
    assert "division by zero" in back(here, code=12)
    write(here.url, "INSERT INTO extra VALUES (1); INSERT INTO old VALUES (1)")

    told = back(here, "--continue", code=4)

    assert "1 of public.extra" in told
    assert one(here.url, "SELECT count(*) FROM extra") == 1


def test_the_way_that_is_named_is_the_one_that_is_taken(desk: Callable[..., Desk]) -> None:
    here = desk()
    run(here)
    write(here.url, "INSERT INTO sale (item) VALUES (1)")
    assert "restoring the backup would destroy" in back(here, code=4)

    back(here, "--level", "undo")

    assert "backup restored" not in kinds(here.url)
    assert one(here.url, "SELECT count(*) FROM sale") == 501
    assert one(here.url, "SELECT to_regclass('extra')") is None


def test_a_restore_is_refused_where_another_run_changed_the_database_after_the_backup(desk: Callable[..., Desk]) -> None:
    here = desk()
    run(here)
    other = BOOK.replace("runbook: book", "runbook: other").replace("work", "more")
    (here.project / "runbooks/other.yaml").write_text(other)
    folder = here.project / "sql_templates/other"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.sql").write_text(f"CREATE TABLE other_{name} (id int);\n")
        (folder / f"{name}.undo.sql").write_text(f"DROP TABLE other_{name};\n")
    (folder / "quiet.sql").write_text("SELECT 0\n")
    assert here("run", "other", "--without-prefect").returncode == 0

    told = back(here, "--accept-loss", code=12)

    assert "the run other-" in told
    assert "changed this database after the backup; roll that back first" in told


def test_tables_that_are_called_like_what_is_left_alone_come_back_in_place(make_project: Make, server: Server) -> None:
    _, weak = owned_by(server, "plain_owner")
    write(
        weak,
        BEFORE
        + 'CREATE TABLE "PUBLICATION" AS SELECT 1 AS id; CREATE TABLE "EXTENSION" AS SELECT 1 AS id; SELECT lo_create(4711)',
    )
    here = Desk(make_project(RESTORES, **GOOD), weak)
    run(here)
    with psycopg.connect(weak) as idle:
        idle.execute("SELECT count(*) FROM item")
        told = back(here, "--accept-loss", code=12)
        assert "lock timeout" in told, "it does not wait for ever, nor queue everybody behind it"

    back(here, "--continue", "--accept-loss")

    assert one(weak, 'SELECT (SELECT count(*) FROM "PUBLICATION") + (SELECT count(*) FROM "EXTENSION")') == 2
    assert one(weak, "SELECT count(*) FROM pg_largeobject_metadata") == 1


@pytest.fixture
def in_the_way(any_server: Server) -> Iterator[Callable[[str], None]]:
    """A login that may only connect, and holds every lock that it can name, in each database that it is told of."""
    with psycopg.connect(any_server.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS in_the_way")
        connection.execute("CREATE ROLE in_the_way LOGIN")
    held: list[psycopg.Connection[Any]] = []

    def hold(name: str) -> None:
        for database in ("postgres", name):
            url = any_server.url_of(database).replace("postgres:@", "in_the_way@").replace("postgres@", "in_the_way@")
            held.append(connection := psycopg.connect(url, autocommit=True))
            for what in (f"gonogo restores {name}", "gonogo looks: book~monitor"):
                connection.execute("SELECT pg_advisory_lock(hashtext(%s), n) FROM generate_series(0, 999) n", [what])
            connection.execute("SELECT pg_advisory_lock(7470966), pg_advisory_lock(7470966, hashtext(%s))", [name])
            connection.execute("SELECT pg_advisory_lock(1735290735, hashtext('book~monitor'))")

    yield hold
    for connection in held:
        connection.close()
    with psycopg.connect(any_server.url, autocommit=True) as connection:
        connection.execute("DROP ROLE in_the_way")


@pytest.mark.attack("in the way")
def test_a_login_that_may_only_connect_stops_no_first_run_and_no_restore(
    any_desk: Callable[..., Desk], in_the_way: Callable[[str], None]
) -> None:
    here = any_desk()
    name = str(one(here.url, "SELECT current_database()"))
    in_the_way(name)
    run(here)

    back(here, "--accept-loss")

    assert one(here.url, "SELECT to_regclass('extra')") is None
    assert "backup restored" in kinds(here.url)


#: names that end whatever quote a text was put into
ODD_NAMES = [
    "dollar$gonogo$x",
    "it's",
    'dou"ble',
    "back\\slash",
    "$$",
    "$1",
    "%s {0} :x",
    "new\nline",
    "-- no",
    "/* no",
    "a; SELECT 1/0",
]


@pytest.mark.attack("in the way")
@pytest.mark.parametrize("way", ["undo", "place"])
def test_rows_written_since_are_guarded_whatever_their_tables_are_called(
    way: str, make_project: Make, any_server: Server
) -> None:
    _, url = owned_by(any_server, f"odd_owner_{way}")
    write(url, BEFORE)
    tables = [psycopg.sql.Identifier(name).as_string() for name in ODD_NAMES]
    files = {
        "b__sql": "".join(f"CREATE TABLE {table} (i int);\n" for table in tables),
        "b__undo__sql": "".join(f"DROP TABLE {table};\n" for table in tables),
    }
    here = Desk(make_project(RESTORES if way == "place" else BOOK, **{**GOOD, **files}), url)
    run(here)
    for table in tables:
        write(url, f"INSERT INTO {table} VALUES (1)")

    told = back(here, code=4)
    assert all(f"1 of public.{table}".split("\n")[0] in told for table in tables), told
    back(here, "--continue", "--accept-loss")

    assert one(url, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace") == 2


@pytest.mark.attack("in the way")
def test_a_database_of_somebody_else_is_not_swapped_in_whatever_its_comment_says(desk: Callable[..., Desk]) -> None:
    here = desk()
    run(here)
    name = str(one(here.url, "SELECT current_database()"))
    outside, side = here.url.replace(f"/{name}?", "/postgres?"), f"{name}_restored_abcdef"
    with psycopg.connect(outside, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger CREATEDB")
        connection.execute(f"CREATE DATABASE {side} OWNER stranger")
        connection.execute(f"COMMENT ON DATABASE {side} IS 'gonogo swaps in the restore of ''{name}'' for the run book-abcdef'")
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        told = here("status", "book")
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        connection.execute(f"DROP DATABASE {side}")
        connection.execute("DROP ROLE stranger")
    assert told.returncode == 3
    assert "no gonogo restore is in progress" in told.stderr
    assert one(here.url, "SELECT to_regclass('extra')::text") == "extra"


def test_a_trip_in_the_middle_of_the_work_does_not_switch_off_what_is_not_there_yet(desk: Callable[..., Desk]) -> None:
    here = desk(WAYS, **{**SWITCHES, "b__sql": "SELECT 1/0;\n"})

    assert "schema objects as before" in run(here, code=11)


def test_prune_leaves_the_backups_of_a_runbook_whose_name_begins_alike(desk: Callable[..., Desk]) -> None:
    here = desk()
    assert here("backup", "take", "book").returncode == 0
    taken = next((here.project / ".gonogo/backups").iterdir())
    old = taken.with_name(taken.name.replace("book-", "book-orders-"))
    taken.rename(old)
    for _ in range(2):
        assert here("backup", "take", "book").returncode == 0
    (here.project / "runbooks/book.yaml").write_text(RESTORES.replace("backup: {}", "backup: {keep: 1ms}"))

    done = here("backup", "prune", "book", "--yes", "--json")

    assert len(json.loads(done.stdout)["backups"]) == 1
    assert old.is_dir()
    (old / "manifest.json").write_text("[]")
    old.rename(taken)
    damaged = here("backup", "list", "book")
    assert damaged.returncode == 3
    assert "is damaged" in damaged.stderr


PHASES = """
runbook: book
targets: {db: {database: $TEST_URL}}
backup: {each_phase: true}
rollback: {levels: [undo, restore], reach: phase}
phases:
  - phase: one
    tasks: [{task: first, steps: [{step: colour, sql: a.sql, undo: a.undo.sql}]}]
  - phase: two
    gate: {go_if: [quiet]}
    tasks: [{task: second, steps: [{step: extra, sql: b.sql, undo: b.undo.sql}]}]
    verify: [fine]
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
  fine: {sql: fine.sql, expect: "= 0"}
"""
FINE = {"fine__sql": "SELECT 0\n"}


def colour_and_extra(url: str) -> tuple[bool, bool]:
    colour = "SELECT count(*) = 1 FROM information_schema.columns WHERE column_name = 'colour'"
    return bool(one(url, colour)), one(url, "SELECT to_regclass('extra')") is not None


def test_a_phase_is_rolled_back_by_itself_and_launched_again_by_undo_and_by_restore(any_desk: Callable[..., Desk]) -> None:
    here = any_desk(PHASES, **FINE)
    run(here)
    refused = here("rollback", "book", "--phase", "three")
    assert refused.returncode == 2
    assert "this run's phases are one, two" in refused.stderr

    told = back(here)
    assert "PHASE ROLLED BACK" in told
    assert "as at the start of phase two" in told
    assert colour_and_extra(here.url) == (True, False)
    assert "its newest phase was rolled back" in here("status", "book").stdout

    run(here)
    assert colour_and_extra(here.url) == (True, True)
    assert kinds(here.url).count("run opened") == 1, "the same run goes on"

    one(here.url, "INSERT INTO item (id, name) VALUES (9999, 'late') RETURNING id")
    held = back(here, "--phase", "two", "--level", "restore", code=4)
    assert "restoring the backup would destroy rows that were written since: 1 of public.item" in held
    back(here, "--continue", "--accept-loss")
    assert colour_and_extra(here.url) == (True, False)
    assert one(here.url, "SELECT count(*) FROM item WHERE id = 9999") == 0

    run(here)
    back(here, "--phase", "two", "--level", "restore", "--accept-loss")
    assert colour_and_extra(here.url) == (True, False), "a second restore keeps the first failed database too"

    # to the estimate every row that was restored is new
    told = back(here, "--phase", "one", "--accept-loss")
    assert "ROLLED BACK" in told
    assert colour_and_extra(here.url) == (False, False)


def test_a_phase_that_fails_rolls_back_only_itself_where_the_runbook_says_so(desk: Callable[..., Desk]) -> None:
    here = desk(PHASES, fine__sql="SELECT count(*) FROM extra\n")
    told = run(here, code=11)
    assert "VERIFY FAILED" in told
    assert "PHASE ROLLED BACK" in told
    assert colour_and_extra(here.url) == (True, False)
    refused = here("rollback", "book", "--phase", "two", "--level", "feature")
    assert refused.returncode == 2


def test_a_rehearsal_names_a_phase_whose_way_back_takes_something_of_an_earlier_one(desk: Callable[..., Desk]) -> None:
    greedy = {
        "b__undo__sql": "DROP TABLE extra; ALTER TABLE item DROP COLUMN colour;\n",
        "a__undo__sql": "ALTER TABLE item DROP COLUMN IF EXISTS colour;\n",
    }
    here = desk(PHASES, **{**FINE, **greedy})
    done = here("rehearse", "book")
    assert done.returncode == 10, done.stdout + done.stderr
    assert "the rollback of the phase two by itself does not restore" in done.stdout
    assert "column public.item.colour is missing" in done.stdout

    good = desk(PHASES, **FINE)("rehearse", "book", "--json")
    assert good.returncode == 0, good.stdout + good.stderr
    evidence = json.loads(good.stdout)
    assert [(phase["phase"], phase["verdict"]) for phase in evidence["phases"]] == [("two", "restores exactly")]


def test_prune_leaves_what_an_unfinished_run_may_be_restored_from_and_takes_what_a_killed_backup_left(
    desk: Callable[..., Desk],
) -> None:
    here = desk(PHASES, **FINE)
    assert here("run", "book", "--without-prefect", "--phase", "one").returncode == 0
    book, folder = here.project / "runbooks/book.yaml", here.project / ".gonogo/backups"
    (named,) = folder.iterdir()
    for _ in range(2):
        assert here("backup", "take", "book").returncode == 0
    left = folder / ".book-123456-before-20250101T000000-abcd.partial"
    left.mkdir()
    os.utime(left, (0, 0))
    (folder / ".book-123456-before-20250101T000000-ef01.partial").mkdir()
    book.write_text(PHASES.replace("each_phase: true", "each_phase: true, keep: 1ms"), encoding="utf-8")

    done = here("backup", "prune", "book", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{named} stays: the run " in done.stdout
    assert "is not over, and may be restored from it" in done.stdout
    assert named.is_dir()
    assert not left.exists()
    assert len(list(folder.iterdir())) == 3, "the one that is needed, the newest one, and the one that is being taken"

    elsewhere = environment(TEST_URL="postgresql://127.0.0.1:9/x")
    unset = gonogo("backup", "prune", "book", "--yes", cwd=here.project, env=elsewhere)
    assert "no target that can be reached is the database it was taken from" in unset.stdout
    assert named.is_dir()
    book.write_text(PHASES, encoding="utf-8")
    assert here("rollback", "book", "--without-prefect", "--reason", "tried").returncode == 11
    book.write_text(PHASES.replace("each_phase: true", "each_phase: true, keep: 1ms"), encoding="utf-8")
    assert here("backup", "prune", "book", "--yes").returncode == 0
    assert not named.exists(), "its run is over"
