"""What an undo destroys of what others wrote is what a person counts by hand, however the undo is written."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import psycopg
import pytest
from support.servers import Server
from support.waiting import until

from gonogo.recovery.measured_loss import CannotMeasure, UndoScript, measure
from gonogo.recovery.undo_locks import lock_statements

Connection = psycopg.Connection[tuple[object, ...]]

#: a hundred rows, of which the application then adds three and changes five
BOOKS = (
    "CREATE TABLE book (id int PRIMARY KEY, title text, shelf text);"
    " INSERT INTO book SELECT g, 'old' FROM generate_series(1, 100) g;"
)
WROTE = (
    "INSERT INTO book VALUES (101, 'new', 'x'), (102, 'new', 'x'), (103, 'new', NULL); UPDATE book SET shelf = 'y' WHERE id <= 5;"
)
TREE = """
CREATE TABLE author (id int PRIMARY KEY);
CREATE TABLE work (id int PRIMARY KEY, author int REFERENCES author ON DELETE CASCADE);
CREATE TABLE page (id int PRIMARY KEY, work int REFERENCES work ON DELETE CASCADE);
CREATE TABLE prize (id int PRIMARY KEY, author int REFERENCES author ON DELETE SET NULL);
INSERT INTO author VALUES (1), (2);
"""
GREW = """
INSERT INTO work VALUES (1, 1), (2, 2);
INSERT INTO page VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO prize VALUES (1, 1), (2, NULL);
"""
PARTS = """
CREATE TABLE log (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (100);
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (100) TO (200);
"""
LOGGED = "INSERT INTO log VALUES (1, 'a'), (101, 'b');"
TRIGGER = "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NULL; END $$;"
DESK = "CREATE TABLE desk (id int PRIMARY KEY); INSERT INTO desk VALUES (102);"


class Shape(NamedTuple):
    """An undo, and the rows that it destroys of those that others wrote."""

    before: str
    wrote: str
    undo: str
    lost: dict[str, int]


SHAPES = {
    "delete all": Shape(BOOKS, WROTE, "DELETE FROM book", {"book": 8}),
    "delete some": Shape(BOOKS, WROTE, "DELETE FROM book WHERE id > 101", {"book": 2}),
    "delete only old rows": Shape(BOOKS, WROTE, "DELETE FROM book WHERE id BETWEEN 50 AND 60", {}),
    "cascade over two levels": Shape(TREE, GREW, "DELETE FROM author WHERE id = 1", {"work": 1, "page": 2, "prize": 1}),
    "drop table": Shape(BOOKS, WROTE, "DROP TABLE book", {"book": 8}),
    "drop table in which nobody wrote": Shape(BOOKS, "SELECT 1", "DROP TABLE book", {}),
    "drop column": Shape(BOOKS, WROTE, "ALTER TABLE book DROP COLUMN shelf", {"book": 7}),
    "drop column in which nobody wrote": Shape(
        BOOKS, "UPDATE book SET title = 'z' WHERE id < 4", "ALTER TABLE book DROP COLUMN shelf", {}
    ),
    "drop column that holds its default": Shape(
        BOOKS + "ALTER TABLE book ADD COLUMN sold int NOT NULL DEFAULT 7;",
        "UPDATE book SET title = 'z' WHERE id < 4",
        "ALTER TABLE book DROP COLUMN sold",
        {},
    ),
    "drop column with a default, written": Shape(
        BOOKS + "ALTER TABLE book ADD COLUMN sold int NOT NULL DEFAULT 7;",
        "UPDATE book SET sold = 8 WHERE id < 4",
        "ALTER TABLE book DROP COLUMN sold",
        {"book": 3},
    ),
    "drop generated column": Shape(
        BOOKS + "ALTER TABLE book ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED;",
        WROTE,
        "ALTER TABLE book DROP COLUMN twice",
        {},
    ),
    "drop type cascade": Shape(
        "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t (id int PRIMARY KEY, m mood); CREATE TABLE u (m mood, k int);",
        "INSERT INTO t VALUES (1, 'a'), (2, NULL); INSERT INTO u VALUES ('a', 1), ('b', 2)",
        "DROP TYPE mood CASCADE",
        {"t": 1, "u": 2},
    ),
    "drop domain cascade": Shape(
        "CREATE DOMAIN price AS int CHECK (VALUE > 0); CREATE TABLE t (id int PRIMARY KEY, p price);",
        "INSERT INTO t VALUES (1, 5), (2, NULL)",
        "DROP DOMAIN price CASCADE",
        {"t": 1},
    ),
    "drop schema cascade": Shape(
        "CREATE SCHEMA inner_; CREATE TABLE inner_.t (id int PRIMARY KEY);",
        "INSERT INTO inner_.t VALUES (1), (2)",
        "DROP SCHEMA inner_ CASCADE",
        {"inner_.t": 2},
    ),
    "do block": Shape(BOOKS, WROTE, "DO $$ BEGIN EXECUTE 'DEL' || 'ETE FROM book WHERE id = 101'; END $$", {"book": 1}),
    "do block that takes a part back": Shape(
        BOOKS,
        WROTE,
        "DO $$ BEGIN BEGIN DELETE FROM book; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END;"
        " DELETE FROM book WHERE id = 101; END $$",
        {"book": 1},
    ),
    "function": Shape(
        BOOKS + "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM book WHERE id > 100';",
        WROTE,
        "SELECT f()",
        {"book": 3},
    ),
    "trigger": Shape(
        BOOKS
        + DESK
        + TRIGGER.format("DELETE FROM book;")
        + "CREATE TRIGGER g AFTER DELETE ON desk FOR EACH ROW EXECUTE FUNCTION act();",
        WROTE,
        "DELETE FROM desk",
        {"book": 8},
    ),
    "deferred trigger": Shape(
        BOOKS
        + DESK
        + TRIGGER.format("DELETE FROM book WHERE id = 102;")
        + "CREATE CONSTRAINT TRIGGER g AFTER DELETE ON desk DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION act();",
        WROTE,
        "DELETE FROM desk",
        {"book": 1},
    ),
    "rule": Shape(
        BOOKS + DESK + "CREATE RULE r AS ON DELETE TO desk DO ALSO DELETE FROM book WHERE id = OLD.id;",
        WROTE,
        "DELETE FROM desk",
        {"book": 1},
    ),
    "view": Shape(
        BOOKS + "CREATE VIEW v AS SELECT id, shelf FROM book;", WROTE, "UPDATE v SET shelf = 'z' WHERE id = 101", {"book": 1}
    ),
    "type by null": Shape(BOOKS, WROTE, "ALTER TABLE book ALTER shelf TYPE int USING NULL", {"book": 7}),
    "type that keeps values": Shape(BOOKS, WROTE, "ALTER TABLE book ALTER shelf TYPE varchar(10)", {}),
    "type of the key, wider": Shape(BOOKS, WROTE, "ALTER TABLE book ALTER id TYPE bigint", {}),
    "type that cuts": Shape(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric(10,4));",
        "INSERT INTO t VALUES (2, 2.1234), (3, 2.5)",
        "ALTER TABLE t ALTER n TYPE numeric(10,1)",
        {"t": 1},
    ),
    "there and back by text": Shape(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric);",
        "INSERT INTO t VALUES (2, 2.50)",
        "ALTER TABLE t ALTER n TYPE text; ALTER TABLE t ALTER n TYPE numeric USING n::numeric",
        {},
    ),
    "update over newer values": Shape(BOOKS, WROTE, "UPDATE book SET shelf = NULL", {"book": 7}),
    "update that leaves them": Shape(BOOKS, WROTE, "UPDATE book SET shelf = coalesce(shelf, 'filled')", {"book": 1}),
    "update to the same": Shape(BOOKS, WROTE, "UPDATE book SET title = title", {}),
    "update of the key": Shape(BOOKS, WROTE, "UPDATE book SET id = id + 1000", {"book": 8}),
    "truncate": Shape(BOOKS, WROTE, "TRUNCATE book", {"book": 8}),
    "truncate cascade": Shape(
        BOOKS + "CREATE TABLE loan (id int PRIMARY KEY, book int REFERENCES book);",
        WROTE + "INSERT INTO loan VALUES (1, 101), (2, NULL)",
        "TRUNCATE book CASCADE",
        {"book": 8, "loan": 2},
    ),
    "truncate after delete": Shape(BOOKS, WROTE, "DELETE FROM book WHERE id = 1; TRUNCATE book", {"book": 8}),
    "truncate and fill from a copy": Shape(
        BOOKS + "CREATE TABLE kept AS TABLE book;", WROTE, "TRUNCATE book; INSERT INTO book SELECT * FROM kept", {"book": 8}
    ),
    "merge": Shape(
        BOOKS,
        WROTE,
        "MERGE INTO book b USING (SELECT generate_series(99, 102) AS g) s ON b.id = s.g WHEN MATCHED AND g > 101 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET title = 'merged'",
        {"book": 2},
    ),
    "insert on conflict": Shape(
        BOOKS,
        WROTE,
        "INSERT INTO book VALUES (101, 'mine', 'x') ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title",
        {"book": 1},
    ),
    "partition dropped": Shape(PARTS, LOGGED, "DROP TABLE log_2", {"log_2": 1}),
    "partition detached": Shape(PARTS, LOGGED, "ALTER TABLE log DETACH PARTITION log_2", {}),
    "partitioned table emptied": Shape(PARTS, LOGGED, "DELETE FROM log", {"log_1": 1, "log_2": 1}),
    "parent deleted from": Shape(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c () INHERITS (p);",
        "INSERT INTO p VALUES (1); INSERT INTO c VALUES (2)",
        "DELETE FROM p",
        {"p": 1, "c": 1},
    ),
    "renamed back": Shape(
        BOOKS + "ALTER TABLE book RENAME TO novel;", "INSERT INTO novel VALUES (101)", "ALTER TABLE novel RENAME TO book", {}
    ),
    "column renamed back": Shape(
        BOOKS + "ALTER TABLE book RENAME shelf TO place;",
        "UPDATE book SET place = 'z' WHERE id < 5",
        "ALTER TABLE book RENAME place TO shelf",
        {},
    ),
    "column made anew with its values": Shape(
        BOOKS,
        "UPDATE book SET shelf = '7' WHERE id < 5",
        "ALTER TABLE book ADD s2 int; UPDATE book SET s2 = shelf::int; ALTER TABLE book DROP COLUMN shelf;"
        " ALTER TABLE book RENAME s2 TO shelf",
        {},
    ),
    "two columns swapped by name": Shape(
        BOOKS,
        WROTE,
        "ALTER TABLE book RENAME title TO z; ALTER TABLE book RENAME shelf TO title; ALTER TABLE book RENAME z TO shelf",
        {},
    ),
    "no key, deleted": Shape(
        "CREATE TABLE t (a text); INSERT INTO t VALUES ('o'), ('p');",
        "INSERT INTO t VALUES ('o'), ('q')",
        "DELETE FROM t WHERE a = 'q'",
        {"t": 1},
    ),
    "no key, updated": Shape(
        "CREATE TABLE t (a text, b int);", "INSERT INTO t VALUES ('o', 1), ('q', 2)", "UPDATE t SET b = 5 WHERE a = 'q'", {"t": 1}
    ),
    "no key, column dropped": Shape(
        "CREATE TABLE t (a text, b int);", "INSERT INTO t VALUES ('o', 1), ('q', NULL)", "ALTER TABLE t DROP COLUMN b", {"t": 1}
    ),
    "key of two columns, in another order": Shape(
        "CREATE TABLE t (a int, b int, v text, PRIMARY KEY (b, a));",
        "INSERT INTO t VALUES (1, 2, 'x'), (2, 1, 'y')",
        "UPDATE t SET v = 'z' WHERE a = 1",
        {"t": 1},
    ),
    "names that need quotes": Shape(
        'CREATE SCHEMA "Odd ""one"; CREATE TABLE "Odd ""one"."T %s {x}" ("I d" int PRIMARY KEY, "v" text);',
        """INSERT INTO "Odd ""one"."T %s {x}" VALUES (1, 'a')""",
        """DELETE FROM "Odd ""one"."T %s {x}" """,
        {'"Odd ""one"."T %s {x}"': 1},
    ),
    "rows that a policy hides": Shape(
        BOOKS + "ALTER TABLE book ENABLE ROW LEVEL SECURITY; ALTER TABLE book FORCE ROW LEVEL SECURITY;",
        WROTE,
        "DELETE FROM book",
        {"book": 8},
    ),
    "materialized view": Shape(
        BOOKS + "CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM book;", WROTE, "DROP MATERIALIZED VIEW m", {}
    ),
    "index": Shape(BOOKS + "CREATE INDEX i ON book (title);", WROTE, "DROP INDEX i", {}),
    "a type with braces in its name": Shape(
        "CREATE TYPE \"a{b}\" AS ENUM ('x', 'y'); CREATE TABLE t (id \"a{b}\" PRIMARY KEY, v int);",
        "INSERT INTO t VALUES ('x', 1), ('y', 2)",
        "DELETE FROM t WHERE v = 1",
        {"t": 1},
    ),
    "moments that are written otherwise afterwards": Shape(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz);",
        "INSERT INTO t SELECT g, now() FROM generate_series(1, 9) g",
        "SET LOCAL timezone = 'Asia/Tokyo'; SET LOCAL datestyle = 'German'; DELETE FROM t WHERE id = 9; UPDATE t SET at = at",
        {"t": 1},
    ),
    "columns that hold their defaults": Shape(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT generate_series(1, 9);"
        " ALTER TABLE t ADD made timestamptz NOT NULL DEFAULT now(), ADD tags text[] DEFAULT ARRAY['a', 'b'],"
        " ADD cost numeric(9,2) DEFAULT 0.5, ADD kind text DEFAULT 'it''s';",
        "UPDATE t SET n = 1 WHERE id < 6",
        "ALTER TABLE t DROP made, DROP tags, DROP cost, DROP kind",
        {},
    ),
    "a prepared statement": Shape(
        BOOKS, WROTE, "PREPARE p (int) AS DELETE FROM book WHERE id = $1; EXECUTE p(101); DEALLOCATE p", {"book": 1}
    ),
    "a prepared statement that stays": Shape(
        BOOKS, WROTE, "PREPARE p (int) AS DELETE FROM book WHERE id = $1; EXECUTE p(101)", {"book": 1}
    ),
    "another answer the second time": Shape(
        BOOKS + "CREATE SEQUENCE s;",
        WROTE,
        "DO $$ BEGIN IF nextval('s') = 1 THEN DELETE FROM book WHERE id = 101;"
        " ELSE DELETE FROM book WHERE id > 100; END IF; END $$",
        {"book": 3},
    ),
}


def fresh(server: Server) -> Iterator[Connection]:
    with psycopg.connect(server.database(), autocommit=True) as connection:
        # of the ledger, only what says which transactions were the run's
        connection.execute("CREATE SCHEMA gonogo; CREATE TABLE gonogo.event (run text, seq int, kind text, body json)")
        yield connection


@pytest.fixture
def anywhere(any_server: Server) -> Iterator[Connection]:
    yield from fresh(any_server)


@pytest.fixture
def here(server: Server) -> Iterator[Connection]:
    yield from fresh(server)


def now(connection: Connection) -> str:
    row = connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").fetchone()
    assert row is not None
    return f"{row[0]}:{row[0]}:"


def loss(connection: Connection, *undos: UndoScript, for_real: bool = False) -> list[dict[str, int]]:
    connection.execute("BEGIN")
    try:
        found, _ = measure(connection, "run", undos, within=None if for_real else 30)
    finally:
        connection.execute("ROLLBACK")
    return [{name.removeprefix("public."): count for name, count in rows.items()} for rows in found]


@pytest.mark.parametrize("name", SHAPES)
def test_what_an_undo_destroys_is_what_a_person_counts_by_hand(anywhere: Connection, name: str) -> None:
    shape = SHAPES[name]
    anywhere.execute(shape.before.encode())
    since = now(anywhere)
    anywhere.execute(shape.wrote.encode())
    undo = UndoScript(text=shape.undo, since=since)

    assert loss(anywhere, undo) == [shape.lost], "beforehand"
    assert loss(anywhere, undo, for_real=True) == [shape.lost], "as it runs"


def test_several_undos_count_each_row_once_at_the_first_that_destroys_it(here: Connection) -> None:
    here.execute(BOOKS.encode())
    since = now(here)
    here.execute(WROTE.encode())
    texts = ("DELETE FROM book WHERE id = 103", "ALTER TABLE book DROP COLUMN shelf", "DROP TABLE book")

    assert loss(here, *(UndoScript(text=text, since=since) for text in texts)) == [{"book": 1}, {"book": 7}, {}]


def test_what_was_in_a_column_before_its_step_is_the_steps_own(here: Connection) -> None:
    here.execute(BOOKS.encode())
    first = now(here)
    here.execute("UPDATE book SET title = 'touched' WHERE id < 11")
    here.execute("ALTER TABLE book ADD COLUMN made timestamptz DEFAULT now()")
    second = now(here)
    undos = [
        UndoScript(text="ALTER TABLE book DROP COLUMN made", since=second),
        UndoScript(text="UPDATE book SET shelf = NULL", since=first),
    ]

    assert loss(here, *undos) == [{}, {}]


def test_what_the_run_wrote_itself_is_nobodys_loss(here: Connection) -> None:
    here.execute(BOOKS.encode())
    since = now(here)
    here.execute("BEGIN; INSERT INTO book VALUES (200, 'filled', 'f'); INSERT INTO gonogo.event VALUES ('run', 1); COMMIT")
    here.execute("INSERT INTO book VALUES (201, 'theirs', 'f')")

    assert loss(here, UndoScript(text="DELETE FROM book WHERE id >= 200", since=since)) == [{"book": 1}]


def test_what_is_kept_elsewhere_is_not_lost_but_a_new_table_must_be_named(here: Connection) -> None:
    here.execute(BOOKS.encode())
    since = now(here)
    here.execute("CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1)")
    here.execute(WROTE.encode())
    text = "DROP TABLE book, fresh"

    assert loss(here, UndoScript(text=text, since=since)) == [{"book": 8, "fresh": 1}]
    assert loss(here, UndoScript(text=text, since=since, keeps="in the archive")) == [{"fresh": 1}]
    assert loss(here, UndoScript(text=text, since=since, keeps={"public.fresh": "in book"})) == [{"book": 8}]
    assert loss(here, UndoScript(text=text, since=since, keeps={"fresh": "in book", "book": "too", "nowhere": ""})) == [{}]


def test_where_nothing_counts_what_statements_do_it_is_not_measured(here: Connection) -> None:
    here.execute(BOOKS.encode())
    here.execute("SET track_counts = off")
    with pytest.raises(CannotMeasure, match="track_counts is off"):
        loss(here, UndoScript(text="DELETE FROM book", since=now(here)))


def test_rows_that_the_role_may_not_read_are_an_unknown_number(server: Server) -> None:
    for connection in fresh(server):
        connection.execute(BOOKS.encode())
        connection.execute("CREATE FUNCTION wipe() RETURNS void SECURITY DEFINER LANGUAGE sql AS 'DELETE FROM public.book'")
        connection.execute(
            "DROP ROLE IF EXISTS blind; CREATE ROLE blind;"
            " GRANT ALL ON SCHEMA gonogo TO blind; GRANT SELECT ON gonogo.event TO blind"
        )
        since = now(connection)
        connection.execute(WROTE.encode())
        connection.execute(
            "GRANT TRIGGER, REFERENCES, UPDATE (id) ON book TO blind; GRANT DELETE ON book TO blind; SET ROLE blind"
        )
        assert loss(connection, UndoScript(text="SELECT wipe()", since=since)) == [{"book": -1}]


def test_what_the_role_may_not_do_is_said_and_nothing_is_called_measured(server: Server) -> None:
    for connection in fresh(server):
        row = connection.execute("SELECT current_database()").fetchone()
        assert row is not None
        connection.execute(f"REVOKE TEMPORARY ON DATABASE {row[0]} FROM PUBLIC".encode())
        connection.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain; SET ROLE plain")
        with pytest.raises(CannotMeasure, match="GRANT TEMPORARY"):
            loss(connection, UndoScript(text="SELECT 1", since=now(connection)))


def test_a_limit_of_the_step_is_the_scripts_and_not_that_of_measuring_it(here: Connection) -> None:
    here.execute("CREATE TABLE big AS SELECT g AS id, repeat('x', 50) AS pad FROM generate_series(1, 300000) g")
    here.execute("ALTER TABLE big ADD PRIMARY KEY (id); ALTER TABLE big ADD note text")
    since = now(here)
    here.execute("UPDATE big SET pad = 'y' WHERE id % 2 = 0")
    undo = UndoScript(text="ALTER TABLE big DROP COLUMN note", since=since, settings="SET LOCAL statement_timeout = '20ms';")
    assert loss(here, undo, for_real=True) == [{}]


def test_readers_go_on_while_the_rows_at_stake_are_noted(here: Connection) -> None:
    here.execute(BOOKS.encode())
    since = now(here)
    here.execute(WROTE.encode())
    here.execute("BEGIN")
    measure(here, "run", [UndoScript(text="DELETE FROM book WHERE id = 101", since=since)])
    with psycopg.connect(here.info.dsn, host=here.info.host, autocommit=True) as reader:
        reader.execute("SET lock_timeout = '2s'")
        assert reader.execute("SELECT count(*) FROM book").fetchone() == (103,)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reader.execute("SET lock_timeout = '100ms'; UPDATE book SET title = 'x' WHERE id = 7")
    here.execute("ROLLBACK")


PAY = "BEGIN; INSERT INTO payment VALUES (DEFAULT, 1); UPDATE account SET total = total + 1 WHERE id = 1; COMMIT"


def test_what_is_measured_beside_live_calls_gives_way_and_none_of_them_dies(here: Connection) -> None:
    here.execute(
        "CREATE TABLE account (id int PRIMARY KEY, total int); INSERT INTO account SELECT g, 0 FROM generate_series(1, 2000) g;"
        " CREATE TABLE payment (id serial PRIMARY KEY, account int)"
    )
    since, over, paid = now(here), threading.Event(), threading.Barrier(4)

    def pay() -> int:
        calls = 0
        with psycopg.connect(here.info.dsn, host=here.info.host, autocommit=True) as connection:
            while not over.is_set():
                connection.execute(PAY.encode())
                calls += 1
                if calls == 1:
                    paid.wait()
                # calls that leave no gap would meet in the middle for ever, and nothing would ever be measured
                time.sleep(0.005)
        return calls

    # each takes its locks in the other order than the calls do
    texts = ("UPDATE account SET total = 0", "ALTER TABLE payment DROP COLUMN account", "ALTER TABLE account DROP COLUMN total")
    locks = ((), ("ACCESS EXCLUSIVE on payment",), ("ACCESS EXCLUSIVE on account",))
    undos = [UndoScript(text=text, since=since, locks=known) for text, known in zip(texts, locks, strict=True)]
    with ThreadPoolExecutor(3) as callers:
        paying = [callers.submit(pay) for _ in range(3)]
        # there is something to measure only once each of them has paid
        paid.wait()
        found = []
        for tries in range(60):
            try:
                found.append(loss(here, *undos))
            except (psycopg.errors.LockNotAvailable, CannotMeasure):
                continue
            if tries >= 10:
                break
        over.set()

    assert all(each.result() > 1 for each in paying), "no call died, and they went on meanwhile"
    assert found, "it was measured all the same"
    assert all(rows[0]["account"] == 1 and rows[1]["payment"] > 0 for rows in found)


def test_it_keeps_nobody_waiting_for_longer_than_it_may(here: Connection) -> None:
    here.execute(BOOKS.encode())
    undo = UndoScript(text="SELECT pg_sleep(20)", since=now(here))
    here.execute("BEGIN")
    began = time.monotonic()
    with pytest.raises((psycopg.errors.QueryCanceled, CannotMeasure)):
        measure(here, "run", [undo, undo], within=0.5)
    assert time.monotonic() - began < 15
    here.execute("ROLLBACK")


def test_what_an_undo_only_locks_is_locked_before_what_it_changes_so_that_no_call_waits_for_it_while_it_waits(
    here: Connection,
) -> None:
    """A user who is deleted takes what is theirs along: it holds the user, and wants what the undo drops."""
    here.execute("CREATE TABLE person (id int PRIMARY KEY); INSERT INTO person VALUES (1), (2)")
    since = now(here)
    here.execute("CREATE TABLE thing (person int REFERENCES person ON DELETE CASCADE); INSERT INTO thing VALUES (1), (2)")
    undo = UndoScript(text="DROP TABLE thing", since=since, settings="SET LOCAL lock_timeout = '20s';")
    here.execute("BEGIN")
    _, touched = measure(here, "run", [undo], within=5)
    here.execute("ROLLBACK")
    with psycopg.connect(here.info.dsn, host=here.info.host) as call, ThreadPoolExecutor(1) as beside:
        # ACCESS EXCLUSIVE is not to be had on the one any more
        call.execute("SELECT FROM person WHERE id = 1")

        def run() -> None:
            here.execute("BEGIN")
            measure(here, "run", [undo], touched=touched)
            here.execute("COMMIT")

        running = beside.submit(run)
        # it tries for as long as its step may, and not only some times
        time.sleep(5)
        call.execute("SET LOCAL lock_timeout = '1s'; INSERT INTO thing VALUES (2)")
        call.commit()
        running.result(timeout=30)
    row = here.execute("SELECT to_regclass('thing') IS NULL").fetchone()
    assert row == (True,)


def test_a_view_is_locked_before_what_it_reads_as_every_call_does(here: Connection) -> None:
    """A reader of the view has its lock, and waits for the table: who has that and wants the view ends the call."""
    here.execute("CREATE TABLE person (id int PRIMARY KEY); CREATE VIEW people AS SELECT id FROM person")
    undo = UndoScript(
        # the reader looks for a deadlock a second after it began to wait
        text="LOCK TABLE ONLY person; SELECT pg_sleep(0.9); DROP VIEW people",
        since=now(here),
        settings="SET LOCAL lock_timeout = '5s';",
        locks=("ACCESS EXCLUSIVE on person", "ACCESS EXCLUSIVE on people"),
    )
    over, read = threading.Event(), threading.Event()

    def look() -> int:
        calls = 0
        with psycopg.connect(here.info.dsn, host=here.info.host, autocommit=True) as connection:
            while not over.is_set():
                connection.execute("SELECT count(*) FROM people")
                calls += 1
                read.set()
        return calls

    with ThreadPoolExecutor(2) as callers:
        looking = [callers.submit(look) for _ in range(2)]
        read.wait(timeout=20)
        try:
            for within in (None, 5):
                here.execute("BEGIN")
                measure(here, "run", [undo], within=within)
                here.execute("ROLLBACK")
        finally:
            over.set()
    assert all(each.result() > 1 for each in looking), "no call died"


def test_whoever_waits_for_a_lock_of_the_undo_is_let_in_before_it_looks_for_a_deadlock(here: Connection) -> None:
    """The undo has the first table, waits for the second one, and would wait for a call that waits for the first."""
    here.execute("CREATE TABLE first (id int); CREATE TABLE second (id int); CREATE TABLE third (id int)")
    locks = tuple(f"ACCESS EXCLUSIVE on {name}" for name in ("first", "second", "third"))
    undo = UndoScript(text="DROP TABLE third, second, first", since=now(here), locks=locks)

    def undone() -> None:
        here.execute("BEGIN")
        with suppress(psycopg.errors.LockNotAvailable, CannotMeasure):
            measure(here, "run", [undo], within=30)
        here.execute("ROLLBACK")

    with (
        psycopg.connect(here.info.dsn, host=here.info.host) as other,
        psycopg.connect(here.info.dsn, host=here.info.host) as call,
        psycopg.connect(here.info.dsn, host=here.info.host, autocommit=True) as looking,
        ThreadPoolExecutor(2) as beside,
    ):
        other.execute("INSERT INTO second VALUES (1)")
        call.execute("INSERT INTO third VALUES (1)")
        measuring = beside.submit(undone)
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'second'::regclass AND NOT granted)"
        until(lambda: looking.execute(waits).fetchone() == (True,))
        calling = beside.submit(lambda: call.execute("INSERT INTO first VALUES (1)"))
        time.sleep(0.85)
        other.commit()
        calling.result(timeout=60)
        call.commit()
        measuring.result(timeout=60)
    assert here.execute("SELECT count(*) FROM first, third").fetchone() == (1,)


def test_locks_are_taken_in_one_order_and_no_more_of_them_than_the_undo_takes(anywhere: Connection) -> None:
    anywhere.execute(
        """
        CREATE TABLE leaf (id int); CREATE TABLE whole (id int) PARTITION BY RANGE (id);
        ALTER TABLE whole ATTACH PARTITION leaf FOR VALUES FROM (1) TO (9);
        CREATE VIEW below AS SELECT id FROM whole; CREATE VIEW "Above" AS SELECT id FROM below
        """
    )
    rows = anywhere.execute(
        "SELECT relname, oid::bigint FROM pg_class WHERE relname IN ('leaf', 'whole', 'below', 'Above')"
    ).fetchall()
    number = {str(name): int(str(oid)) for name, oid in rows}
    wanted = {number["leaf"]: "ACCESS EXCLUSIVE", number["below"]: "ACCESS EXCLUSIVE", number["whole"]: "EXCLUSIVE"}
    wanted[number["Above"]] = "ACCESS EXCLUSIVE"
    anywhere.execute("BEGIN")
    statements = lock_statements(anywhere, wanted)
    words = [re.sub(r" OWNER TO \S+", "", statement) for statement in statements]
    assert words == [
        'ALTER VIEW public."Above"',
        "ALTER VIEW public.below",
        "LOCK TABLE ONLY public.whole IN EXCLUSIVE MODE",
        "LOCK TABLE ONLY public.leaf IN ACCESS EXCLUSIVE MODE",
    ]
    anywhere.execute(statements[0].encode())
    held = anywhere.execute(
        "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock'"
    ).fetchall()
    assert held == [('"Above"',)]
    anywhere.execute("ROLLBACK")
