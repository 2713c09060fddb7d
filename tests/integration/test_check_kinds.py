"""Every kind of check, on a real server: what it counts, and that it names what it counted."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from support.servers import Server, open_folder, visit
from support.waiting import until

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo.core.engine.verdict import Judgement, Measurement, Verdict, judge_all
from gonogo.core.model.check import Check
from gonogo.core.plan.plan import Plan, Script
from gonogo.core.plan.seal import digest
from gonogo.postgres import embedded
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.fingerprint import fingerprint

SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, email text, country text NOT NULL, age int);
INSERT INTO customer SELECT g, 'c' || g || '@example.org', 'IT', 20 + g FROM generate_series(1, 10) g;
CREATE TABLE bill (id serial PRIMARY KEY, customer int, total numeric, tenant int DEFAULT 1);
INSERT INTO bill (customer, total) SELECT g, 10 FROM generate_series(1, 10) g;
CREATE TABLE payment (amount numeric);
INSERT INTO payment VALUES (60), (40);
CREATE ROLE {role};
GRANT SELECT ON bill TO {role};
ALTER TABLE bill ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bill USING (tenant = current_setting('app.tenant')::int);
"""
Ask = Callable[..., Measurement]
_roles = itertools.count()


@pytest.fixture
def database(any_server: Server) -> Iterator[tuple[Connection, Database, str]]:
    url = any_server.database()
    role = f"app_{next(_roles)}"
    with visit(Database(url=url)) as connection:
        connection.execute(SCHEMA.format(role=role).encode())
        yield connection, Database(url=url), role
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


@pytest.fixture
def ask(database: tuple[Connection, Database, str], tmp_path: Path) -> Ask:
    connection, reached, _ = database

    def put(check: dict[str, Any], text: str = "", before: Measurement | None = None, untrusted: str = "") -> Measurement:
        made = Check.model_validate({"expect": "= 0", **check})
        script = Script(source=f"checks/{made.own}.py" if made.own else "q.sql", sha256=digest(text))
        plan = Plan.model_construct(checks={"c": made}, questions={"c": script} if text else {})
        environment = CheckEnvironment(texts={script.sha256: text}, root=tmp_path, database=reached, untrusted=untrusted)
        return measure(plan, "c", environment, connection, before)

    return put


def value(measured: Measurement) -> float:
    assert (measured.error, measured.missing) == ("", "")
    return float(measured.numbers["value"])


def judged(check: dict[str, Any], measured: Measurement, before: Measurement | None = None) -> Judgement:
    made = Check.model_validate({"expect": "= 0", **check})
    return judge_all(made.expectations, made.breach, measured, before, at_least=made.least)


def test_a_query_in_the_runbook_and_two_that_must_agree(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    assert value(ask({"query": "SELECT count(*) FROM customer"})) == 10
    books = {"equal": ["SELECT sum(total) FROM bill", "SELECT sum(amount) FROM payment"]}
    assert value(ask(books)) == 0
    database[0].execute("INSERT INTO payment VALUES (0.01)")
    assert judged(books, ask(books)).sentence == "-0.01 is not = 0: the first is 100, the second 100.01"
    assert ask({"equal": ["SELECT NULL::int", "SELECT 1"]}).missing == "the query answered NULL: SELECT NULL::int"
    assert "more than one row" in ask({"equal": ["SELECT 1", "SELECT id FROM bill"]}).error


@pytest.mark.parametrize(
    ("call", "share", "why"),
    [
        ("SELECT true", "0.000000", ""),
        ("SELECT false", "1.000000", "answered False, not true"),
        ("SELECT NULL::boolean", "1.000000", "answered None, not true"),
        ("SELECT 1", "1.000000", "answered 1, not true"),
        ("SELECT true WHERE false", "1.000000", "answered no row, not true"),
        ("VALUES (true), (false)", "1.000000", "answered several rows, not true"),
        ("SELECT 1/0", "1.000000", "22012 division by zero"),
        ("UPDATE payment SET amount = amount + 1; SELECT sum(amount) = 102 FROM payment", "0.000000", ""),
        # every second one, in one session
        ("SELECT 1 / (nextval('turn') % 2) = 1", "0.500000", "22012 division by zero"),
    ],
)
def test_calls_fail_by_raising_or_by_their_answer_and_each_is_taken_back_by_itself(
    ask: Ask, database: tuple[Connection, Database, str], call: str, share: str, why: str
) -> None:
    database[0].execute("CREATE SEQUENCE turn START 1")
    found = ask({"calls": "calls.sql", "samples": 20, "writes": True}, text=call)
    assert (found.numbers["value"], found.count) == (share, 20), found
    assert found.numbers["failed"] == str(round(float(share) * 20))
    assert [note.split(" calls: ")[1] for note in found.notes] == ([why] if why else [])


def test_orphans_are_counted_by_every_foreign_key_also_a_composite_or_unvalidated_one_and_by_columns_without(
    ask: Ask, database: tuple[Connection, Database, str]
) -> None:
    connection = database[0]
    connection.execute("INSERT INTO bill (customer) VALUES (77), (78), (NULL)")
    missing_votes = {"orphans": {"child": "bill.customer", "parent": "public.customer.id"}}
    assert judged(missing_votes, ask(missing_votes)).sentence == "2 is not = 0: bill.customer in public.customer.id: 2"
    assert value(ask({"orphans": "all"})) == 0, "there is no foreign key yet"
    connection.execute("ALTER TABLE bill ADD CONSTRAINT paid_by FOREIGN KEY (customer) REFERENCES customer NOT VALID")
    assert ask({"orphans": "all"}).notes == ("bill (paid_by): 2",)
    connection.execute("""CREATE TABLE "Odd Name" (a int, b int, UNIQUE (a, b)); CREATE TABLE c (x int, y int);
        INSERT INTO "Odd Name" VALUES (1, 1); INSERT INTO c VALUES (1, 1), (1, 2), (NULL, 9);
        ALTER TABLE c ADD CONSTRAINT two FOREIGN KEY (x, y) REFERENCES "Odd Name" (a, b) NOT VALID""")
    assert ask({"orphans": "all"}).notes == ("bill (paid_by): 2", "c (two): 1")


def test_values_that_break_a_rule_are_counted_by_rule(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    rules = {"table": "customer", "columns": "age", "min": 21, "max": 30}
    assert value(ask({"values": rules})) == 0
    database[0].execute("""INSERT INTO customer VALUES (11, NULL, 'IT', 20), (12, 'c1@example.org', 'XX', 31)""")
    assert ask({"values": rules}).notes == ("age below 21: 1", "age above 30: 1")
    assert value(ask({"values": {"table": "customer", "columns": "email", "null": False, "unique": True}})) == 2
    assert value(ask({"values": {"table": "public.customer", "columns": "country", "one_of": ["IT"]}})) == 1
    assert "42P01" in ask({"values": {"table": "nowhere", "columns": "a", "null": False}}).error


def test_what_postgresql_keeps_although_it_is_not_sound(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    connection, sound = database[0], {"sound": ["constraints", "indexes", "sequences"]}
    assert value(ask(sound)) == 0
    connection.execute("ALTER TABLE bill ADD CONSTRAINT big CHECK (total > 0) NOT VALID")
    connection.execute("INSERT INTO customer VALUES (20, 'c1@example.org', 'IT', 1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY once ON customer (email)")
    connection.execute("INSERT INTO bill (id, customer) VALUES (500, 1)")
    told = ask(sound).notes
    assert [line.split(" ")[0:2] for line in told] == [
        ["constraint", "big"],
        ["index", "once"],
        ["sequence", "public.bill_id_seq"],
    ]


def test_objects_that_are_missing_or_there_and_a_schema_that_drifts(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    connection, _, role = database
    wanted = {"objects": {"exist": ["table public.bill", "table public.gone"], "absent": ["table public.payment"]}}
    assert ask(wanted).notes == ("table public.gone is missing", "table public.payment is there")

    grants = {"structure": {"only": "grants"}}
    everything: dict[str, Any] = {"structure": {}}
    before, whole = ask(grants), ask(everything)
    expected = fingerprint(connection).model_dump_json()
    connection.execute("ALTER TABLE customer ADD COLUMN note text")
    assert value(ask(grants, before=before)) == 0, "a column is no grant"
    assert judged(everything, ask(everything, before=whole)).sentence == "1 is not = 0: column public.customer.note is new"
    assert value(ask({"structure": {"like": "expected.json"}}, expected)) == 1
    assert "gonogo objects" in ask({"structure": {"like": "expected.json"}}, "no json").error
    connection.execute(f"REVOKE ALL ON bill FROM {role}".encode())
    told = ask(grants, before=before).notes
    assert len(told) == 1
    assert told[0].startswith("grants on table public.bill was")


def test_columns_that_no_key_could_join(ask: Ask) -> None:
    pairs = {"same_type": [["bill.customer", "customer.id"], ["bill.customer", "customer.email"]]}
    assert ask(pairs).notes == ("bill.customer is integer, customer.email is text",)
    assert ask({"same_type": [["bill.x", "customer.x"]]}).error == "there is no column bill.x", (
        "two that are missing are not alike"
    )


def test_a_role_sees_what_its_policies_show_it(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    asked = {"query": "SELECT count(*) FROM bill", "role": database[2]}
    assert value(ask({**asked, "settings": {"app.tenant": "1"}})) == 10
    assert value(ask({**asked, "settings": {"app.tenant": "2"}})) == 0
    assert "42501" in ask({"query": "SELECT count(*) FROM customer", "role": database[2]}).error
    assert value(ask({"query": "SELECT count(*) FROM customer"})) == 10, "the role was for that question alone"


def test_a_policy_is_gone_too_where_its_table_does_not_heed_it(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    connection, policies = database[0], {"structure": {"only": "policies"}}
    before = ask(policies)
    connection.execute("ALTER TABLE bill DISABLE ROW LEVEL SECURITY")
    assert value(ask(policies, before=before)) == 1


def test_a_grant_to_a_role_with_a_blank_in_its_name_is_seen(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    connection, grants = database[0], {"structure": {"only": "grants"}}
    name = f"my {database[2]}"
    connection.execute(f'CREATE ROLE "{name}"; GRANT SELECT ON bill TO "{name}"')
    before = ask(grants)
    connection.execute(f'GRANT ALL ON bill TO "{name}"')
    assert value(ask(grants, before=before)) == 1
    connection.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def test_a_sequence_that_a_default_uses_without_owning_it_is_looked_at_and_one_of_text_is_no_number(
    ask: Ask, database: tuple[Connection, Database, str]
) -> None:
    database[0].execute("""CREATE SEQUENCE s; CREATE TABLE a (id int DEFAULT nextval('s')); INSERT INTO a VALUES (9);
        CREATE SEQUENCE t; CREATE TABLE b (id text DEFAULT 'B-' || nextval('t')); ALTER SEQUENCE t OWNED BY b.id;
        INSERT INTO b VALUES ('B-7')""")
    assert ask({"sound": "sequences"}).notes == ("sequence public.s is at 1, and a.id holds 9",)


def test_a_role_that_sees_its_own_sessions_only_gets_no_quiet_server(database: tuple[Connection, Database, str]) -> None:
    connection, reached, role = database
    connection.execute(f"ALTER ROLE {role} LOGIN".encode())
    with visit(Database(url=reached.url, role=role)) as weak:
        plan = Plan.model_construct(checks={"c": Check.model_validate({"activity": "blocked", "expect": "= 0"})}, questions={})
        assert "GRANT pg_monitor" in measure(plan, "c", CheckEnvironment(), weak).error


@pytest.mark.parametrize("count", ["'NaN'::float8", "'Infinity'::numeric"])
def test_an_amount_of_data_that_is_no_number_is_none(ask: Ask, count: str) -> None:
    found = ask({"query": f"SELECT 1, {count}", "at_least": "5"})
    assert (found.count, found.error) == (None, "")
    assert judged({"query": "SELECT 1", "at_least": 5}, found).verdict is Verdict.INCONCLUSIVE


def test_whatever_a_check_raises_is_an_error_and_no_silence(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    broken = OWN.replace('return "no number"', 'raise OSError("the network is down")')
    (tmp_path / "checks/word.py").write_text(broken, encoding="utf-8")
    assert ask({"own": "word"}, broken).error == "OSError: the network is down"


def test_buffers_and_the_shape_of_a_plan_change_with_an_index_and_nothing_else(
    ask: Ask, database: tuple[Connection, Database, str]
) -> None:
    connection, text = database[0], "SELECT * FROM big WHERE id = 777"
    connection.execute("CREATE TABLE big AS SELECT g AS id, repeat('x', 100) AS pad FROM generate_series(1, 20000) g")
    connection.execute("CREATE INDEX big_id ON big (id)")
    connection.execute("VACUUM ANALYZE big")
    kind = {"buffers": "q.sql", "expect": ["<= baseline + 20%", "unchanged"]}
    before = ask(kind, text)
    assert judged(kind, ask(kind, text, before), before).verdict is Verdict.PASS
    connection.execute("DROP INDEX big_id")
    found = judged(kind, ask(kind, text, before), before)
    assert found.verdict is Verdict.FAIL
    assert "Index Scan on big_id" in found.sentence
    assert "Seq Scan on big" in found.sentence


def test_throughput_is_what_pgbench_says(ask: Ask) -> None:
    made = ask({"throughput": {"script": "q.sql", "clients": 2, "lasts": "1s"}, "expect": ">= 1"}, "SELECT 1;\n")
    assert value(made) > 10
    assert made.count is not None
    assert float(made.numbers["latency"]) > 0
    broken = ask({"throughput": {"script": "q.sql", "lasts": "1s"}}, "SELECT * FROM nowhere;")
    assert broken.error or broken.missing


def test_the_busiest_statements_are_compared_with_what_they_took_before(server_15: Server) -> None:
    url = server_15.database()
    with visit(Database(url=url)) as connection:
        check = Check.model_validate({"statements": 5, "expect": "<= 2"})
        plan = Plan.model_construct(checks={"c": check}, questions={})
        environment = CheckEnvironment()
        assert "pg_stat_statements is not there" in measure(plan, "c", environment, connection).error
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE FUNCTION work(s float8) RETURNS int LANGUAGE sql AS 'SELECT pg_sleep(s); SELECT 1'")
        for _ in range(6):
            connection.execute("SELECT work(0.005)")
        before = measure(plan, "c", environment, connection)
        assert before.facts
        assert measure(plan, "c", environment, connection, before).missing
        for _ in range(6):
            connection.execute("SELECT work(0.05)")
        after = measure(plan, "c", environment, connection, before)
        assert value(after) > 4
        assert "SELECT work" in after.notes[0] or "the statement " in after.notes[0]
        assert judge_all(check.expectations, None, after, before).verdict is Verdict.FAIL


def test_statements_of_a_database_with_another_encoding_keep_no_check_from_its_answer(server_15: Server) -> None:
    url = server_15.database()
    with visit(Database(url=url)) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE DATABASE bytes ENCODING SQL_ASCII TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        try:
            with psycopg.connect(url, dbname="bytes", client_encoding="SQL_ASCII", autocommit=True) as bytes_:
                bytes_.execute(b"SELECT 1 AS a\xefve")
            connection.execute("SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = 'nowhere'), 0)")
            for _ in range(6):
                connection.execute("SELECT count(*) FROM pg_class")
            check = Check.model_validate({"statements": 5, "expect": "<= 2"})
            plan = Plan.model_construct(checks={"c": check}, questions={})
            before = measure(plan, "c", CheckEnvironment(), connection)
            assert before.facts, before.error
            for _ in range(6):
                connection.execute("SELECT count(*) FROM pg_class")
            after = measure(plan, "c", CheckEnvironment(), connection, before)
            assert after.numbers, after
        finally:
            connection.execute("DROP DATABASE bytes WITH (FORCE)")
            connection.execute("SELECT pg_stat_statements_reset()")


def test_a_busy_statement_that_is_planned_otherwise_is_named() -> None:
    with open_folder() as folder:
        data = folder / "pg"
        with embedded.running(data) as url, psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements")
        with embedded.running(data) as url, visit(Database(url=url)) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE big AS SELECT generate_series(1, 20000) AS id")
            connection.execute("CREATE INDEX big_id ON big (id)")
            connection.execute("ANALYZE big")
            for number in range(5):
                connection.execute(f"SELECT * FROM big WHERE id = {number}".encode())
            # among all: which of a few is slow says how busy the machine is
            check = Check.model_validate({"plans": 50, "expect": "= 0"})
            plan, environment = Plan.model_construct(checks={"c": check}, questions={}), CheckEnvironment()
            before = measure(plan, "c", environment, connection)
            assert any("big_id" in shape for shape in before.facts.values()), before
            assert value(measure(plan, "c", environment, connection, before)) == 0
            connection.execute("DROP INDEX big_id")
            after = measure(plan, "c", environment, connection, before)
            assert value(after) == 1
            assert "SELECT * FROM big WHERE id" in after.notes[0]
            assert "became Seq Scan on big" in after.notes[0]


# what the server is doing


@pytest.mark.parametrize("what", ["connections", "blocked", "oldest_transaction", "long_queries", "dumps", "wal_rate"])
def test_a_quiet_server_answers_with_a_small_number(ask: Ask, what: str) -> None:
    assert value(ask({"activity": what})) < (0.9 if what == "connections" else 1e9)


def test_no_standby_and_no_large_table_are_no_data_and_never_a_pass(ask: Ask) -> None:
    for what, why in (("replication_lag", "no standby"), ("dead_rows", "no table has a thousand rows")):
        assert why in ask({"activity": what}).missing


def test_who_waits_for_a_lock_and_who_blocks_are_named(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    url = database[1].url
    with psycopg.connect(url) as blocker, psycopg.connect(url) as waiter:
        blocker.execute("LOCK TABLE customer")
        waiting = threading.Thread(target=lambda: waiter.execute("SELECT * FROM customer"))
        waiting.start()
        for _ in range(50):
            if value(found := ask({"activity": "blocked"})):
                break
            time.sleep(0.05)
        assert value(found) == 1
        assert f"{waiter.info.backend_pid} waits" in found.notes[0]
        assert f"blocked by {blocker.info.backend_pid}: SELECT * FROM customer" in found.notes[0]
        old = ask({"activity": "oldest_transaction"})
        assert value(old) > 0
        assert "LOCK TABLE customer" in old.notes[0]
        blocker.rollback()
        waiting.join()


def test_queries_are_long_by_the_line_that_is_drawn(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    with psycopg.connect(database[1].url) as busy, suppress(psycopg.errors.QueryCanceled):
        asleep = ThreadPoolExecutor(1).submit(busy.execute, "SELECT pg_sleep(60)")
        until(lambda: value(ask({"activity": "long_queries", "older_than": "300ms"})) == 1)
        assert value(ask({"activity": "long_queries", "older_than": "5m"})) == 0
        busy.cancel()
        asleep.result()


@pytest.mark.attack("in the way")
def test_a_session_of_somebody_elses_that_calls_itself_gonogo_is_counted(
    ask: Ask, database: tuple[Connection, Database, str]
) -> None:
    connection, reached, _ = database
    connection.execute("DROP ROLE IF EXISTS pretender")
    connection.execute("CREATE ROLE pretender LOGIN")
    url = reached.url.replace("postgres:@", "pretender@").replace("postgres@", "pretender@")
    with psycopg.connect(url, application_name="gonogo/book-abcdef") as pretender:
        pretender.execute("SELECT 1")
        assert "pretender" in str(ask({"activity": "oldest_transaction"}).notes)
    connection.execute("DROP ROLE pretender")


def test_dead_rows_are_told_by_table(ask: Ask, database: tuple[Connection, Database, str]) -> None:
    connection = database[0]
    connection.execute("CREATE TABLE churned AS SELECT g FROM generate_series(1, 2000) g")
    connection.execute("ALTER TABLE churned SET (autovacuum_enabled = off)")
    connection.execute("DELETE FROM churned WHERE g <= 1000")
    connection.execute("SELECT pg_stat_force_next_flush()")
    for _ in range(50):
        if not (found := ask({"activity": "dead_rows"})).missing and value(found) > 0:
            break
        time.sleep(0.1)
    assert value(found) == pytest.approx(0.5)
    assert found.notes[0].startswith("churned: 1000 dead rows")


def test_the_disk_is_that_of_the_server_where_it_is_here(ask: Ask) -> None:
    found = ask({"activity": "disk_free", "expect": "> 0"})
    # another account's folder cannot always be looked into, and then it says so
    assert found.error or value(found) > 0


# outside


class Service(BaseHTTPRequestHandler):
    """A small web service, and a Prometheus beside it."""

    answers: ClassVar[dict[str, tuple[int, Any]]] = {}

    def do_GET(self) -> None:
        if self.path.startswith("/drip/"):
            self._drip()
            return
        status, body = self.answers.get(self.path.split("?")[0], (404, {}))
        text = json.dumps(body).encode() if not isinstance(body, bytes) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _drip(self) -> None:
        """Answer a byte at a time, each well within the time of a read."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            for _ in range(200):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    def vector(*values: str) -> tuple[int, Any]:
        return 200, {"status": "success", "data": {"resultType": "vector", "result": [{"value": [0, v]} for v in values]}}

    Service.answers = {
        "/health": (200, {"status": "healthy", "database": {"pool": [3, 20]}}),
        "/ill": (500, {"status": "unhealthy"}),
        "/text": (200, b"no json"),
        "/one/api/v1/query": vector("0.25"),
        "/two/api/v1/query": vector("1", "2"),
        "/none/api/v1/query": vector(),
        "/nan/api/v1/query": vector("NaN"),
        "/bad/api/v1/query": (400, {"status": "error", "errorType": "bad_data", "error": "parse error"}),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_is_judged_by_status_latency_share_of_errors_and_a_field(
    ask: Ask, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE", service)
    good = {"http": "$SERVICE/health", "samples": 5, "expect": ["errors = 0", "p95 < 5 s"]}
    assert judged(good, ask(good)).verdict is Verdict.PASS
    ill = {"http": f"{service}/ill", "samples": 4, "expect": "errors <= 1%"}
    assert judged(ill, ask(ill)).sentence == "errors 1 is not <= 0.01: it answered 500"
    field = {"http": {"url": f"{service}/health", "field": "database.pool.1"}, "expect": "= 20"}
    assert value(ask(field)) == 20
    healthy = {"http": {"url": f"{service}/health", "field": "status", "equals": "healthy"}, "expect": "= 1"}
    assert judged(healthy, ask(healthy)).verdict is Verdict.PASS
    for url, why in (("/ill", "it answered 500"), ("/text", "not JSON")):
        assert why in ask({"http": {"url": service + url, "field": "status"}, "expect": "= 1"}).missing
    gone = {"http": "http://127.0.0.1:9/", "samples": 2, "within": "2s", "expect": "errors = 0"}
    assert judged(gone, ask(gone)).verdict is Verdict.FAIL
    quick = {**gone, "expect": "p95 < 500 ms"}
    assert judged(quick, ask(quick)).verdict is Verdict.INCONCLUSIVE, "how soon it refuses is no latency"
    monkeypatch.setenv("PW", "sup3rs/cret")
    assert "sup3rs" not in str(ask({"http": "http://user:$PW@127.0.0.1:9/", "samples": 1}))
    assert "NOT_SET is not set" in ask({"http": "$NOT_SET/x"}).error


@pytest.mark.parametrize(
    ("at", "verdict", "why"),
    [
        ("one", Verdict.PASS, "0.25 is < 0.5"),
        ("two", Verdict.ERROR, "answered 2 series"),
        ("none", Verdict.INCONCLUSIVE, "answered no series"),
        ("nan", Verdict.INCONCLUSIVE, "no finite number for value: NaN"),
        ("bad", Verdict.ERROR, "bad_data: parse error"),
    ],
)
def test_prometheus_answers_one_number_or_none(ask: Ask, service: str, at: str, verdict: Verdict, why: str) -> None:
    check = {"prometheus": {"url": f"{service}/{at}", "query": "rate(errors[1m])"}, "expect": "< 50%"}
    found = judged(check, ask(check))
    assert (found.verdict, why in found.sentence) == (verdict, True), found


@pytest.mark.parametrize("kind", ["http", "prometheus"])
def test_a_service_that_answers_a_byte_at_a_time_is_left_when_its_time_is_over(ask: Ask, service: str, kind: str) -> None:
    asked = {"http": f"{service}/drip/"} if kind == "http" else {"prometheus": {"url": f"{service}/drip", "query": "up"}}
    began = time.monotonic()

    found = ask(
        {**asked, "samples": 1, "within": "1s", "expect": "< 1"} if kind == "http" else {**asked, "within": "1s", "expect": "< 1"}
    )

    assert time.monotonic() - began < 8
    assert "took longer than 1s" in found.error + str(found.notes)


@pytest.mark.attack("secrets")
def test_what_a_prometheus_server_says_holds_none_of_its_secrets(ask: Ask, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT", "s3cr3t-tenant")
    Service.answers["/s3cr3t-tenant/api/v1/query"] = (
        400,
        {"status": "error", "errorType": "bad_data", "error": "no tenant s3cr3t-tenant"},
    )
    found = ask({"prometheus": {"url": f"{service}/$TENANT", "query": "up"}, "expect": "< 1"})
    assert "no tenant ***" in found.error
    assert "s3cr3t" not in str(found)


@pytest.mark.parametrize(("pattern", "why"), [("(a|aa)+$", "took longer than 2 s to look for"), ("(a+)+$", "nothing like")])
def test_a_pattern_that_would_look_for_ever_is_given_up(ask: Ask, pattern: str, why: str) -> None:
    text, began = "a" * 60 + "b", time.monotonic()
    found = ask({"run": {"argv": [sys.executable, "-c", f"print({text!r})"], "pattern": pattern}})
    assert why in found.missing
    assert time.monotonic() - began < 60, "two seconds, on a machine that is not busy"


def test_a_program_answers_by_its_exit_code_or_a_number_in_its_output(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, database: tuple[Connection, Database, str]
) -> None:
    def program(code: str, **more: Any) -> dict[str, Any]:
        return {"run": {"argv": [sys.executable, "-c", code], **more}}

    assert value(ask(program("pass"))) == 0
    failed = program("import sys; print('table orders is missing', file=sys.stderr); sys.exit(3)")
    assert judged(failed, ask(failed)).sentence == "3 is not = 0: table orders is missing"
    assert value(ask(program('print(\'{"metrics": {"p95": 12.5}}\')', field="metrics.p95"))) == 12.5
    assert value(ask(program("print('p95=41.5 ms')", pattern=r"p95=([0-9.]+)"))) == 41.5
    assert ask(program("print('p95 is gone')", pattern=r"p95=([0-9.]+)")).missing.startswith("its output has nothing like")
    assert "ended with 1" in ask(program("raise SystemExit(1)", field="a")).error
    assert "no such program" in ask({"run": ["not-to-be-found"]}).error
    slow = ask({**program("import time; time.sleep(9)"), "within": "300ms"})
    assert "took longer than 300ms" in slow.error

    monkeypatch.setenv("API_TOKEN", "s3cr3t-token")
    shown = program("import os; print(os.environ['API_TOKEN'], os.environ.get('EDITOR'))", environment="API_TOKEN", pattern="(x)")
    monkeypatch.setenv("EDITOR", "vi")
    assert "s3cr3t" not in str(ask({**shown, "run": {**shown["run"], "pattern": ""}}).notes)
    assert "*** None" in ask({**shown, "run": {**shown["run"], "pattern": ""}}).notes[0]
    reach = "import os; print(os.environ['PGDATABASE'])"
    assert ask(program(reach)).notes[0] == database[0].info.dbname
    assert "is not set" in ask(program("pass", environment="NOT_SET_AT_ALL")).error


def test_no_program_is_run_that_somebody_wrote_into_the_ledger(ask: Ask, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    asked = ask({"run": ["touch", str(mark)]}, untrusted="the programs of this run are not signed")
    assert asked.error == "the programs of this run are not signed"
    assert not mark.exists()


OWN = """
from gonogo import Ask, check

@check("margin")
def margin(ask: Ask):
    return ask.number("SELECT %s::numeric * count(*) FROM bill", ask.given["price"]), 7

@check("word")
def word(ask: Ask):
    return "no number"
"""


def test_a_check_of_the_projects_own_is_asked_and_only_as_it_was_approved(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/margin.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "checks/word.py").write_text(OWN, encoding="utf-8")
    made = ask({"own": "margin", "given": {"price": 3}}, OWN)
    assert (value(made), made.count) == (30, 7)
    assert "KeyError" in ask({"own": "margin"}, OWN).error
    assert ask({"own": "word"}, OWN).error == "word answered str, not a number"
    (tmp_path / "checks/margin.py").write_text(OWN + "# changed", encoding="utf-8")
    assert "is not the file that was approved" in ask({"own": "margin", "given": {"price": 3}}, OWN).error
    writes = OWN.replace("SELECT %s::numeric * count(*) FROM bill", "DELETE FROM bill WHERE %s = 3 RETURNING 1")
    (tmp_path / "checks/margin.py").write_text(writes, encoding="utf-8")
    assert "25006" in ask({"own": "margin", "given": {"price": 3}}, writes).error
