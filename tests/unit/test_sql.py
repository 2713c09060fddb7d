from __future__ import annotations

import postgast
import pytest

from gonogo.errors import BadInput
from gonogo.sql.overwrites import may_overwrite, overwrites
from gonogo.sql.parse import Statement, meaning, split


def texts(sql: str) -> list[str]:
    return [statement.text for statement in split(sql, "f.sql")]


def one(sql: str) -> Statement:
    (statement,) = split(sql, "f.sql")
    return statement


# splitting


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", []),
        (" ;; \n; ", []),
        ("-- SELECT 1;", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 2;", ["SELECT ';'", "SELECT 2"]),
        ("SELECT 'it''s; so'; SELECT 2", ["SELECT 'it''s; so'", "SELECT 2"]),
        (r"SELECT E'\'; '; SELECT 2", [r"SELECT E'\'; '", "SELECT 2"]),
        ("SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", "SELECT 2"]),
        ('SELECT 1 AS "a;b"; SELECT 2', ['SELECT 1 AS "a;b"', "SELECT 2"]),
        ("SELECT U&'\\003b;'; SELECT 2", ["SELECT U&'\\003b;'", "SELECT 2"]),
        ("SELECT B'01;'", None),
        ("SELECT $$a; b$$; SELECT 2", ["SELECT $$a; b$$", "SELECT 2"]),
        ("SELECT $a$ $$;$$ ; $b$ ; $a$; SELECT 2", ["SELECT $a$ $$;$$ ; $b$ ; $a$", "SELECT 2"]),
        ("SELECT $é$;$é$; SELECT 2", ["SELECT $é$;$é$", "SELECT 2"]),
        ("SELECT 1 -- ; '\n; SELECT 2", ["SELECT 1 -- ; '", "SELECT 2"]),
        ("SELECT /* ; ' */ 1; SELECT 2", ["SELECT /* ; ' */ 1", "SELECT 2"]),
        ("SELECT /* a /* ; */ ; */ 1; SELECT 2", ["SELECT /* a /* ; */ ; */ 1", "SELECT 2"]),
        ("SELECT 5 % 2, '%s', '%(a)s'; SELECT 2", ["SELECT 5 % 2, '%s', '%(a)s'", "SELECT 2"]),
        ("SELECT ':name', a::text FROM t; SELECT 2", ["SELECT ':name', a::text FROM t", "SELECT 2"]),
        ("SELECT 'é😀'; SELECT 'ü'; SELECT 3", ["SELECT 'é😀'", "SELECT 'ü'", "SELECT 3"]),
        ("SELECT '{{ x }}', '{% y %}'; SELECT 2", ["SELECT '{{ x }}', '{% y %}'", "SELECT 2"]),
    ],
)
def test_statements_end_where_postgresql_says_they_do(sql: str, expected: list[str] | None) -> None:
    if expected is None:
        assert texts(sql) == [sql]
    else:
        assert texts(sql) == expected


def test_the_statements_of_a_function_are_part_of_it() -> None:
    plain = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; COMMIT; RETURN 2; END $$"
    atomic = "CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END"
    procedure = "CREATE PROCEDURE h() BEGIN ATOMIC INSERT INTO t VALUES (1); DELETE FROM t; END"
    block = "DO $$ BEGIN DELETE FROM t; END $$"
    assert texts(f"{plain};\n{atomic};\n{procedure};\n{block};\nSELECT 3") == [plain, atomic, procedure, block, "SELECT 3"]


def test_what_is_split_means_the_same_together() -> None:
    sql = "CREATE TABLE t (a int); -- one\n/* two */ INSERT INTO t VALUES ($$;$$); SELECT 'é;' ;;"
    apart = texts(sql)
    assert len(apart) == 3
    assert meaning("; ".join(apart)) == meaning(sql)


# lines


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1;\nSELECT 2;", [1, 2]),
        ("\n\n  SELECT 1;\n\n\tSELECT 2", [3, 5]),
        ("-- é\nSELECT 'ü😀';\n-- 😀 ;\n\nSELECT 2", [2, 5]),
        ("/* a\n b */ SELECT 1", [2]),
        ("/* a\n /* b\n */ c ; \n */\n SELECT 1;\nSELECT 2", [5, 6]),
        ("/* * / ** */ SELECT 1", [1]),
        ("SELECT 'a\nb';SELECT 2;\nSELECT\n3; SELECT 4", [1, 2, 3, 4]),
        ("SELECT 1; -- the end of it\n-- and another\nSELECT 2", [1, 3]),
        ("SELECT 1\n;\n\nSELECT 2", [1, 4]),
        ("SELECT $$\n\n$$;\nSELECT 2", [1, 4]),
    ],
)
def test_a_statement_stands_and_begins_at_its_first_word(sql: str, expected: list[int]) -> None:
    found = split(sql, "f.sql")
    assert [statement.line for statement in found] == expected
    assert all(statement.text.startswith("SELECT") for statement in found)


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELEC 1", "f.sql:1:1: "),
        ("SELECT 1;\n  SELEC 1", "f.sql:2:3: "),
        ("SELECT 'é😀' x y", "f.sql:1:15: "),
        ("-- é\n/* 😀 */ SELECT x y z", "f.sql:2:20: "),
        ("SELECT 1;\nSELECT (1", "f.sql:2:10: "),
        ("SELECT '\\d';\n\nSELEC", "f.sql:3:1: "),
        ("SELECT $$\n\\d\n$$;\nSELEC", "f.sql:4:1: "),
    ],
)
def test_a_syntax_error_is_shown_where_it_is(sql: str, place: str) -> None:
    with pytest.raises(BadInput) as raised:
        split(sql, "f.sql")
    message = str(raised.value)
    assert message.startswith(place + "SQL: ")
    first, shown, caret = message.splitlines()
    assert first
    (problem,) = raised.value.problems
    assert shown.strip() == sql.splitlines()[problem.line - 1].strip()
    assert caret.index("^") - 4 == problem.column - 1


@pytest.mark.parametrize("command", ["\\d", "\\i", "\\copy", "\\set", "\\gset", "\\connect", "\\!", "\\echo"])
def test_a_command_of_psql_is_named(command: str) -> None:
    with pytest.raises(BadInput, match="is a command of psql, not SQL; write SQL for it") as raised:
        split(f"SELECT 1;\n {command} x\nSELECT 2;", "f.sql")
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (2, 2)
    assert problem.message.startswith(command + " ")


def test_a_backslash_in_text_is_no_command_of_psql() -> None:
    assert len(split("SELECT '\n\\d\n';\nSELECT $$\n\\copy\n$$;", "f.sql")) == 2


# what runs alone


ALONE = [
    ("CREATE INDEX CONCURRENTLY i ON t (a)", "create index", '"i"'),
    ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a) WHERE a > 0", "create index", '"s"."i"'),
    ('CREATE INDEX CONCURRENTLY "I""x" ON "S""x".t (a)', "create index", '"S""x"."I""x"'),
    ("CREATE INDEX CONCURRENTLY ON t (a)", "create index", ""),
    ("DROP INDEX CONCURRENTLY i", "drop index", '"i"'),
    ("DROP INDEX CONCURRENTLY IF EXISTS s.i", "drop index", '"s"."i"'),
    ('DROP INDEX CONCURRENTLY "a.b"', "drop index", '"a.b"'),
    ("DROP INDEX CONCURRENTLY a, b", "drop index", ""),
    ("REINDEX TABLE CONCURRENTLY s.t", "reindex", '"s"."t"'),
    ("REINDEX (CONCURRENTLY) INDEX i", "reindex", '"i"'),
    ("REINDEX SCHEMA s", "reindex", ""),
    ("REINDEX DATABASE d", "reindex", ""),
    ("REINDEX SYSTEM d", "reindex", ""),
    ("VACUUM", "vacuum", ""),
    ("VACUUM (FULL, ANALYZE) t", "vacuum", ""),
    ("CLUSTER", "cluster", ""),
    ("CREATE DATABASE d", "create database", ""),
    ("DROP DATABASE d", "drop database", ""),
    ("ALTER DATABASE d SET TABLESPACE s", "alter database", ""),
    ("ALTER SYSTEM SET work_mem = '1GB'", "alter system", ""),
    ("ALTER SYSTEM RESET ALL", "alter system", ""),
    ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", "alter subscription", ""),
    ("ALTER SUBSCRIPTION s ADD PUBLICATION p", "alter subscription", ""),
    ("CREATE TABLESPACE s LOCATION '/s'", "create tablespace", ""),
    ("DROP TABLESPACE s", "drop tablespace", ""),
    ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "create subscription", ""),
    ("DROP SUBSCRIPTION s", "drop subscription", ""),
    ("ALTER TABLE s.p DETACH PARTITION q CONCURRENTLY", "detach", '"s"."p"'),
]


@pytest.mark.parametrize(("sql", "act", "thing"), ALONE)
def test_what_cannot_run_in_a_transaction_runs_alone_and_knows_what_to_ask_about(sql: str, act: str, thing: str) -> None:
    found = one(sql)
    assert (found.transactional, found.act, found.object) == (False, act, thing)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX i ON t (a)",
        "CREATE INDEX concurrently_not ON t (a)",
        "DROP INDEX i",
        "DROP TABLE t",
        "REINDEX TABLE t",
        "REINDEX INDEX i",
        "ANALYZE t",
        "CLUSTER t USING i",
        "ALTER TABLE p DETACH PARTITION q",
        "ALTER TABLE p ATTACH PARTITION q FOR VALUES IN (1)",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
        "ALTER TYPE e ADD VALUE 'x'",
        "ALTER DATABASE d CONNECTION LIMIT 5",
        "ALTER DATABASE d SET work_mem = '1GB'",
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ VACUUM $$",
        "DO $$ BEGIN EXECUTE 'CREATE INDEX CONCURRENTLY i ON t (a)'; END $$",
        "SELECT 'CREATE INDEX CONCURRENTLY i ON t (a)'",
        "COPY t FROM '/tmp/f'",
        "COPY t TO PROGRAM 'cat'",
        "LOCK TABLE t",
        "TRUNCATE t",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "CALL p()",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "GRANT SELECT ON t TO public",
        "COMMENT ON TABLE t IS 'VACUUM'",
    ],
)
def test_everything_else_runs_in_a_transaction(sql: str) -> None:
    found = one(sql)
    assert (found.transactional, found.act, found.object) == (True, "", "")


@pytest.mark.parametrize(
    ("sql", "sets"),
    [
        ("SET search_path = a", True),
        ("SET LOCAL work_mem = '1GB'", True),
        ("SET ROLE someone", True),
        ("SET SESSION AUTHORIZATION someone", True),
        ("RESET work_mem", True),
        ("DISCARD PLANS", True),
        ("SELECT set_config('search_path', 'a', false)", True),
        ("SELECT pg_catalog.SET_CONFIG('a.b', 'c', true)", True),
        ("SELECT 1", False),
        ("UPDATE t SET a = 1", False),
        ("ALTER TABLE t SET (fillfactor = 70)", False),
    ],
)
def test_a_statement_that_sets_something_for_the_session_is_known(sql: str, sets: bool) -> None:
    assert one(sql).sets is sets


def test_every_statement_is_classified_for_itself() -> None:
    found = split("SET a.b = 1; CREATE TABLE t (a int); CREATE INDEX CONCURRENTLY i ON t (a); SELECT 1", "f.sql")
    assert [(s.transactional, s.sets, s.act) for s in found] == [
        (True, True, ""),
        (True, False, ""),
        (False, False, "create index"),
        (True, False, ""),
    ]


# what is refused


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("BEGIN", "BEGIN"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("COMMIT", "COMMIT"),
        ("COMMIT AND CHAIN", "COMMIT"),
        ("END", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("ABORT", "ROLLBACK"),
        ("SAVEPOINT s", "SAVEPOINT"),
        ("RELEASE s", "RELEASE"),
        ("ROLLBACK TO s", "ROLLBACK TO"),
        ("PREPARE TRANSACTION 't'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 't'", "COMMIT PREPARED"),
        ("ROLLBACK PREPARED 't'", "ROLLBACK PREPARED"),
    ],
)
def test_a_script_does_not_control_its_transaction(sql: str, word: str) -> None:
    with pytest.raises(BadInput) as raised:
        split(f"SELECT 1;\n\n-- now\n{sql};\nSELECT 2", "f.sql")
    (problem,) = raised.value.problems
    assert problem.line == 4
    assert problem.message.startswith(f"{word} here: ")


@pytest.mark.parametrize(
    "sql", ["COPY t FROM STDIN", "COPY t (a) FROM STDIN WITH (FORMAT csv)", "COPY t TO STDOUT", "COPY (SELECT 1) TO STDOUT"]
)
def test_a_script_does_not_copy_to_or_from_a_client(sql: str) -> None:
    with pytest.raises(BadInput, match="talks to a client"):
        split(sql, "f.sql")


def test_data_that_follows_a_copy_is_told_from_a_syntax_error() -> None:
    with pytest.raises(BadInput, match=r"f\.sql:2: COPY FROM STDIN talks to a client"):
        split("SELECT 1;\nCOPY t (a, b) FROM stdin;\n1\tx\n\\.\n", "f.sql")


@pytest.mark.parametrize("sql", ["DISCARD ALL", "RESET ALL"])
def test_a_script_does_not_reset_what_gonogo_knows_its_transaction_by(sql: str) -> None:
    with pytest.raises(BadInput, match=f"{sql} .*leave it out"):
        split(sql, "f.sql")


def test_everything_that_must_not_be_in_a_script_is_said_at_once() -> None:
    with pytest.raises(BadInput) as raised:
        split("BEGIN;\nSELECT 1;\nCOPY t FROM STDIN;\nCOMMIT;", "f.sql")
    assert [problem.line for problem in raised.value.problems] == [1, 3, 4]


def test_text_after_a_nul_is_not_silently_left_out() -> None:
    with pytest.raises(BadInput, match=r"f\.sql:2: contains a NUL byte"):
        split("SELECT 1;\n\0; DROP TABLE t", "f.sql")


@pytest.mark.parametrize(
    "deep", ["||".join(["'a'"] * 80), "f(" * 300 + "1" + ")" * 300, "CASE WHEN a THEN 1 ELSE " * 60 + "0" + " END" * 60]
)
def test_what_is_too_deep_to_be_read_is_refused_with_its_line_and_not_a_crash(deep: str) -> None:
    with pytest.raises(BadInput, match=r"f\.sql:2: an expression is nested deeper than can be read"):
        split(f"SELECT 1;\nSELECT {deep};\nSELECT 3", "f.sql")


@pytest.mark.parametrize(
    "wide", [" OR ".join(["a = 1"] * 999), ", ".join(["1"] * 9999), "concat(" + ", ".join(["'a'"] * 999) + ")"]
)
def test_what_is_only_wide_is_read(wide: str) -> None:
    assert one(f"SELECT {wide}").transactional


# meaning


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SELECT 1", "select\n  1 ; -- one"),
        ("UPDATE t SET a = 1 WHERE b", "/* x */ update T set A=1\n\twhere B;"),
        ("SELECT 'a'; SELECT 2", "SELECT 'a';;\n\nSELECT 2;"),
    ],
)
def test_comments_and_layout_do_not_change_the_meaning(left: str, right: str) -> None:
    assert meaning(left) == meaning(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SELECT 1", "SELECT 2"),
        ("SELECT 'a'", "SELECT 'A'"),
        ("SELECT a", 'SELECT "A"'),
        ("UPDATE t SET a = 1", "UPDATE t SET a = 1 WHERE true"),
        ("DROP TABLE t", "DROP TABLE IF EXISTS t"),
        ("SELECT '--'", "SELECT ''"),
        ("DO $$ BEGIN NULL; END $$", "DO $$ BEGIN RETURN; END $$"),
        ("SELECT 1; SELECT 2", "SELECT 2; SELECT 1"),
    ],
)
def test_anything_else_does(left: str, right: str) -> None:
    assert meaning(left) != meaning(right)


def test_the_parser_is_postgresqls_own() -> None:
    with pytest.raises(postgast.PgQueryError):
        postgast.parse("SELECT FROM FROM")


@pytest.mark.parametrize(
    "sql",
    [
        "SET lock_timeout = 0",
        "SET lock_timeout = '0'",
        "SET LOCAL statement_timeout TO 0",
        "SET statement_timeout = '0ms'",
        "SET lock_timeout = '0.0'",
        "SET lock_timeout = ' 0 '",
        "SET lock_timeout = 0.3",
        "SET lock_timeout = '400us'",
        "SET lock_timeout = '-0'",
        'SET "LOCK_TIMEOUT" = 0',
    ],
)
def test_a_script_does_not_lift_the_limits_that_let_others_through(sql: str) -> None:
    with pytest.raises(BadInput, match=r"lifts the limit .* write `(lock|statement)_timeout:` at the step"):
        split(f"SELECT 1; {sql};", "a.sql")


@pytest.mark.parametrize(
    "sql",
    [
        "SET lock_timeout = '500ms'",
        "SET LOCAL statement_timeout = 60000",
        "SET work_mem = 0",
        "SET lock_timeout = '05s'",
        "RESET lock_timeout",
        "SET lock_timeout TO DEFAULT",
    ],
)
def test_a_script_may_set_another_limit(sql: str) -> None:
    assert len(split(f"{sql};", "a.sql")) == 1


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("UPDATE shop.item SET price = 1", ('"shop"."item"',)),
        ("MERGE INTO item USING new ON true WHEN MATCHED THEN UPDATE SET price = 1", ('"item"',)),
        ("INSERT INTO item VALUES (1) ON CONFLICT (id) DO UPDATE SET price = 1", ('"item"',)),
        ("INSERT INTO item VALUES (1) ON CONFLICT DO NOTHING", ()),
        ("INSERT INTO item SELECT 1", ()),
        ("WITH x AS (UPDATE item SET price = 1 RETURNING 1) INSERT INTO log SELECT * FROM x", ('"item"',)),
        ('UPDATE a SET b = 1; UPDATE "A" SET b = 1; UPDATE a SET b = 2', ('"a"', '"A"')),
        ("ALTER TABLE item ALTER price TYPE bigint", ('"item"',)),
        ("ALTER TABLE item ADD price int", ()),
        ("ALTER TABLE item ADD price int NOT NULL DEFAULT 1", ()),
        ("ALTER TABLE item ADD code uuid DEFAULT gen_random_uuid()", ('"item"',)),
        ("ALTER TABLE item ADD twice int GENERATED ALWAYS AS (price * 2) STORED", ('"item"',)),
        ("ALTER TABLE item SET UNLOGGED", ('"item"',)),
        ("DELETE FROM item; TRUNCATE item; DROP TABLE item; CREATE INDEX ON item (price)", ()),
    ],
)
def test_the_tables_whose_rows_a_script_may_write_again_are_read_from_it(text: str, tables: tuple[str, ...]) -> None:
    assert overwrites(text) == tables
    assert may_overwrite(text) or not tables


@pytest.mark.parametrize("text", ["DO $$ BEGIN END $$", "CALL refresh()", "SELECT refresh()"])
def test_a_script_that_runs_what_is_not_in_its_text_may_write_any_row_again(text: str) -> None:
    assert may_overwrite(text)
    assert overwrites(text) == ()


@pytest.mark.parametrize(
    "sql", ["SELECT (\n", "SELECT (\n\n", "SELECT (\r\n", "CREATE TABLE a (\n  id int,\n", "SELECT 1;\n(\n\u2028"]
)
def test_a_script_that_ends_too_soon_is_a_syntax_error_in_its_last_line(sql: str) -> None:
    with pytest.raises(BadInput, match=f"f.sql:{sql.count(chr(10)) + 1}:1: SQL: syntax error at"):
        split(sql, "f.sql")
