"""What is wrong with migrations that others wrote is found: each refusal by its line, each rollback that does not restore."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo
from support.public_migrations import write_migrations
from support.servers import Server, open_folder

from gonogo.postgres.embedded import program

PLAN = """\
# Shop migration

- [ ] Backups are tested
- [x] Staging is ready

Queries take at most 200 ms.

## Phase 1: tables

```sql
CREATE TABLE tag (id int PRIMARY KEY, name text);
\\i helpers.sql
ALTER TABLE item ADD COLUMN colour text, ADD COLUMN size int;
CREATE INDEX item_size ON item (size);
```

Rollback:

```sql
DROP TABLE tag;
ALTER TABLE item DROP COLUMN colour;
```

## Phase 2: rules

```sql
CREATE TABLE day (at timestamptz, d date GENERATED ALWAYS AS (date(at)) STORED);
CREATE VIEW prices AS SELECT * FROM price;
ALTER TABLE item ADD COLUMN price numeric;
```

## Phase 3: prices

```sql
CREATE TABLE price (item int REFERENCES item, amount numeric);
```

### Phase 3 rollback

```sql
DROP TABLE price;
```

## Validation

```sql
SELECT count(*) FROM item WHERE colour IS NULL; -- should be 0
SELECT count(*) FROM item WHERE shade IS NULL;
```

```bash
npm test
```
"""
SCHEMA = "CREATE TABLE item (id int PRIMARY KEY, name text);\n"
UP, DOWN = "CREATE TABLE {0} (id int);\n", "DROP TABLE {0};\n"


@pytest.fixture
def clinic() -> Iterator[Path]:
    """A project without anything; what is examined runs on a server of its own."""
    with open_folder() as folder:
        yield folder


def doctor(clinic: Path, *command: object, code: int, within: int = 280) -> dict[str, Any]:
    done = gonogo("doctor", *command, "--json", cwd=clinic, env=environment(), timeout=within)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_plan_in_markdown_is_examined_statement_by_statement_and_change_by_change(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "PLAN.md").write_text(PLAN, encoding="utf-8")
    (tmp_path / "before.sql").write_text(SCHEMA, encoding="utf-8")
    found = doctor(clinic, tmp_path / "PLAN.md", "--schema", tmp_path / "before.sql", code=10)
    told = {(f["line"], f["kind"]): (f["what"], f["fix"]) for f in found["findings"]}
    assert set(told) == {
        (12, "refused"),
        (13, "blocks"),
        (14, "blocks"),
        (20, "does not restore"),
        (27, "no rollback"),
        (27, "refused"),
        (28, "refused"),
        (29, "blocks"),
        (35, "blocks"),
        (48, "query refused"),
    }
    assert {(f["line"], f["level"]) for f in found["findings"] if f["kind"] == "blocks"} == {
        (13, "warning"),
        (14, "warning"),
        (29, "note"),
        (35, "note"),
    }, "the first one is held while the index is built"
    assert told[12, "refused"][0] == r"\i is a command of psql, not SQL; write SQL for it"
    assert "column public.item.size is new" in told[20, "does not restore"][0]
    assert told[27, "refused"][0] == "42P17 generation expression is not immutable"
    assert told[28, "refused"] == (
        '42P01 relation "price" does not exist',
        "it is made later, at line 35 of PLAN.md: this must come after that",
    )
    assert told[48, "query refused"][0] == '42703 column "shade" does not exist'
    assert found["restores"] == ["003-phase-3-prices"]


FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "golang-migrate": ("golang-migrate", {"1_a.up.sql": UP, "1_a.down.sql": DOWN, "2_b.up.sql": UP, "10_c.up.sql": UP}),
    "Flyway": ("Flyway", {"V1__a.sql": UP, "U1__a.sql": DOWN, "V1_1__b.sql": UP, "V10__c.sql": UP}),
    "dbmate": (
        "dbmate",
        {
            "1_a.sql": "-- migrate:up\n" + UP + "-- migrate:down\n" + DOWN,
            "2_b.sql": "-- migrate:up\n" + UP,
            "3_c.sql": "-- migrate:up\n" + UP,
        },
    ),
    "goose": (
        "goose",
        {
            "1_a.sql": "-- +goose Up\n" + UP + "-- +goose Down\n" + DOWN,
            "2_b.sql": "-- +goose Up\n" + UP,
            "3_c.sql": "-- +goose Up\n" + UP,
        },
    ),
    "diesel": ("diesel", {"1_a/up.sql": UP, "1_a/down.sql": DOWN, "2_b/up.sql": UP, "3_c/up.sql": UP}),
    "sqitch": (
        "sqitch",
        {
            "sqitch.plan": "%project=x\n\na 2025-01-01T00:00:00Z\nb [a] 2025-01-01T00:00:00Z\nc 2025-01-01T00:00:00Z\n",
            "deploy/a.sql": UP,
            "revert/a.sql": DOWN,
            "deploy/b.sql": UP,
            "deploy/c.sql": UP,
            "verify/a.sql": "SELECT id FROM {0};\n",
        },
    ),
    "numbered": ("numbered files", {"001_a.sql": UP, "001_a.down.sql": DOWN, "002_b.sql": UP, "010_c.sql": UP}),
}


#: tools that write both ways into one file, and the lines by which they tell them apart
BOTH = {
    "sql-migrate": ("-- +migrate Up\n", "-- +migrate Down\n"),
    "micrate": ("-- +micrate Up\n", "-- +micrate Down\n"),
    "node-pg-migrate": ("-- Up Migration\n", "-- Down Migration\n"),
    "shmig": ("-- ==== UP ====\n", "-- ==== DOWN ====\n"),
    "rambler": ("-- rambler up\n", "-- rambler down\n"),
    "Play": ("# --- !Ups\n", "# --- !Downs\n"),
    "tern": ("", "---- create above / drop below ----\n"),
    "MyBatis": ("-- // a change\n", "-- //@UNDO\n"),
}
FORMS |= {
    name: (name, {"1_a.sql": up + UP + down + DOWN, "2_b.sql": up + UP, "3_c.sql": up + UP}) for name, (up, down) in BOTH.items()
}
FORMS["Prisma"] = (
    "Prisma",
    {"1_a/migration.sql": UP, "1_a/down.sql": DOWN, "2_b/migration.sql": UP, "3_c/migration.sql": UP},
)
_TABLE, _GONE = "CREATE TABLE a (id int);\n", "DROP TABLE a;\n"
#: what a folder holds, and what is found: of how many changes, which findings, how many rollbacks that restore
ODD: dict[str, tuple[dict[str, str], int, set[tuple[str, str]], int]] = {
    "a byte order mark": ({"1_a.sql": f"\ufeff-- +goose Up\n{_TABLE}-- +goose Down\n{_GONE}"}, 1, set(), 1),
    "a transaction around all": (
        {"1_a.up.sql": f"-- why\nBEGIN;\n{_TABLE}COMMIT;\n", "1_a.down.sql": f"begin transaction;{_GONE}end;"},
        1,
        set(),
        1,
    ),
    "a word that is not COMMIT": (
        {"1_a.up.sql": _TABLE, "1_a.down.sql": f"BEGIN;\n{_GONE}COMMIT:;\n"},
        1,
        {("1_a.down.sql", "refused"), ("1_a.down.sql", "rollback fails")},
        0,
    ),
    "a comment before the last semicolon": (
        {"1_a.up.sql": "CREATE TABLE a (id int) -- kept\n;", "1_a.down.sql": _GONE},
        1,
        set(),
        1,
    ),
    "names that only sound like rollbacks": (
        {
            "1_a.sql": _TABLE,
            "2_scale_down.sql": "CREATE TABLE b ();",
            "3_may_rollback.sql": "DROP TABLE b;",
            "3_may_rollback.undo.sql": "CREATE TABLE b ();",
        },
        3,
        {("1_a.sql", "no rollback"), ("2_scale_down.sql", "no rollback"), ("3_may_rollback.sql", "blocks")},
        1,
    ),
    "Flyway's repeatable ones, subfolders and callbacks": (
        {
            "V1__a.sql": _TABLE,
            "U1__a.sql": _GONE,
            "more/V2__b.sql": "DROP TABLE missing;",
            "R__v.sql": "CREATE VIEW v AS SELECT id FROM a;",
            "beforeMigrate.sql": "SELECT 1;",
            "notes.sql": "SELECT 1;",
        },
        3,
        {("V2__b.sql", "refused"), ("R__v.sql", "no rollback"), ("beforeMigrate.sql", "left out"), ("notes.sql", "left out")},
        1,
    ),
    "what holds inside one transaction": (
        {
            "1_a.up.sql": "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p DEFERRABLE"
            " INITIALLY DEFERRED);"
            " INSERT INTO c VALUES (1); INSERT INTO p VALUES (1); CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 2 AS i;"
            " INSERT INTO p SELECT i FROM x; LOCK TABLE p; SET LOCAL search_path = pg_catalog; SELECT count(*) FROM pg_class;",
            "1_a.down.sql": "DROP TABLE c, p;",
        },
        1,
        set(),
        1,
    ),
    "what is refused inside one transaction": (
        {
            "1_a.up.sql": "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE a (m mood);",
            "1_a.down.sql": "DROP TABLE a; DROP TYPE mood;",
            "2_b.up.sql": "ALTER TYPE mood ADD VALUE 'happy';\nINSERT INTO a VALUES ('happy');",
            "2_b.down.sql": "SELECT 1;",
        },
        2,
        {("2_b.up.sql", "refused"), ("2_b.down.sql", "does not restore")},
        1,
    ),
    "what one leaves in its session": (
        {
            "1_a.up.sql": "CREATE TEMP TABLE kept AS SELECT 1; SET search_path = nowhere;",
            "1_a.down.sql": "SELECT 1;",
            "2_b.up.sql": f"SELECT * FROM kept;\n{_TABLE}",
            "2_b.down.sql": _GONE,
        },
        2,
        {("2_b.up.sql", "refused")},
        2,
    ),
    "a role": ({"1_a.up.sql": f"CREATE ROLE reader; {_TABLE}", "1_a.down.sql": f"{_GONE} DROP ROLE reader;"}, 1, set(), 1),
    "one that no runbook takes": (
        {
            "1_a.up.sql": _TABLE,
            "1_a.down.sql": _GONE,
            "2_b.up.sql": "SET statement_timeout = '1h';\nCREATE INDEX CONCURRENTLY i ON a (id);",
            "2_b.down.sql": "DROP INDEX CONCURRENTLY i;",
        },
        2,
        {("2_b.up.sql", "not examined")},
        1,
    ),
    "a change that was reworked": (
        {
            "sqitch.plan": "%project=x\n\nf 2025-01-01T00:00:00Z\n@v1 2025-01-01T00:00:00Z\nf [f@v1] 2025-01-01T00:00:00Z\n",
            "deploy/f@v1.sql": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
            "revert/f@v1.sql": "DROP FUNCTION f();",
            "deploy/f.sql": "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';",
            "revert/f.sql": "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        },
        2,
        set(),
        2,
    ),
    "names that are alike where they are cut": (
        {
            f"1_{'a' * 60}.up.sql": _TABLE,
            f"1_{'a' * 60}.down.sql": _GONE,
            f"1_{'a' * 60}b.up.sql": "CREATE TABLE b ();",
            f"1_{'a' * 60}b.down.sql": "DROP TABLE b;",
        },
        2,
        set(),
        2,
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_folder_holds_is_read_as_its_tool_reads_it_and_what_is_not_is_named(
    name: str, clinic: Path, tmp_path: Path
) -> None:
    files, changes, told, restores = ODD[name]
    for file, text in files.items():
        written = tmp_path / "migrations" / file
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text, encoding="utf-8")
    found = doctor(clinic, tmp_path / "migrations", code=10 if told else 0)
    assert {(Path(f["file"]).name, f["kind"]) for f in found["findings"]} == told, found["findings"]
    assert (found["changes"], len(found["restores"])) == (changes, restores)
    made = gonogo("import", tmp_path / "migrations", "--name", "made", "--no-record", cwd=clinic, env=environment())
    assert made.returncode == 0, made.stdout + made.stderr
    assert all((Path(f["file"]).name in made.stdout) for f in found["findings"] if f["kind"] == "left out")
    if not told:
        good = gonogo("validate", "made", cwd=clinic, env=environment())
        assert good.returncode == 0, good.stdout + good.stderr


def test_a_mark_of_a_tool_that_is_not_known_is_refused_by_its_line(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text(
        "-- a\n-- +elsewhere Up\nCREATE TABLE a ();\n-- +elsewhere Down\nDROP TABLE a;\n", encoding="utf-8"
    )
    done = gonogo("doctor", tmp_path, cwd=clinic, env=environment())
    assert done.returncode == 2, done.stdout + done.stderr
    assert "1_a.sql:2: '-- +elsewhere Up' is a mark of a tool that is not known here" in done.stderr.replace(
        "some tool", "a tool"
    )


def lay(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / "migrations" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        stem = next((part for part in ("a", "b", "c") if f"_{part}" in name or f"/{part}." in name), "a")
        file.write_text(text.format(f"t_{stem}"), encoding="utf-8")
    return folder / "migrations"


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_folder_is_read_in_its_order_with_its_ways_back(form: str, clinic: Path, tmp_path: Path) -> None:
    name, files = FORMS[form]
    found = doctor(clinic, lay(tmp_path, files), code=10)
    assert found["form"] == name
    assert [f["kind"] for f in found["findings"]] == ["no rollback", "no rollback"]
    assert len(found["restores"]) == 1
    assert found["statements"] == 3 + (form == "sqitch")


ENVIRONMENT = """\
from alembic import context
context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration={each})
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """\
\"\"\"{title}\"\"\"
from alembic import op
revision, down_revision, branch_labels, depends_on = {name!r}, {after!r}, None, None
def upgrade():
    op.execute({up!r})
def downgrade():
    {down}
"""


@pytest.mark.parametrize("each", [True, False])
def test_what_alembic_itself_writes_as_sql_is_read_by_revision(clinic: Path, tmp_path: Path, each: bool) -> None:
    home, written = tmp_path / "alembic", tmp_path / "written"
    (home / "versions").mkdir(parents=True)
    written.mkdir()
    (home / "env.py").write_text(ENVIRONMENT.format(each=each), encoding="utf-8")
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = {home}\npath_separator = os\n", encoding="utf-8")
    for name, after, up, down in (
        ("a1", None, "CREATE TABLE a (id int)", "op.drop_table('a')"),
        ("b2", "a1", "ALTER TABLE a ADD b int, ADD c int", "op.drop_column('a', 'b')"),
        ("c3", "b2", "ALTER TABLE nothing ADD b int", "pass"),
    ):
        text = REVISION.format(title=f"The change {name}, and more", name=name, after=after, up=up, down=down)
        (home / "versions" / f"{name}.py").write_text(text, encoding="utf-8")
    for way, revisions in (("upgrade", "head"), ("downgrade", "c3:base")):
        command = [sys.executable, "-m", "alembic", way, revisions, "--sql"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        (written / f"{way}.sql").write_text(done.stdout, encoding="utf-8")
    found = doctor(clinic, written, code=10)
    assert (found["form"], found["changes"], found["restores"]) == ("Alembic", 3, ["a1"])
    lines = (written / "upgrade.sql").read_text(encoding="utf-8").splitlines()
    told = {(Path(f["file"]).name, f["kind"]): f for f in found["findings"]}
    assert "column public.a.c is new" in told["downgrade.sql", "does not restore"]["what"]
    refused = told["upgrade.sql", "refused"]
    assert lines[refused["line"] - 1].startswith("ALTER TABLE nothing")
    assert doctor(clinic, written / "upgrade.sql", code=10)["changes"] == 3, "one file alone is read as well"


def test_a_down_that_does_not_restore_is_found_among_many_and_the_others_are_not_blamed(clinic: Path, tmp_path: Path) -> None:
    files = {f"{n:03}_t.up.sql": f"CREATE TABLE t{n} (id int PRIMARY KEY, note text);\n" for n in range(1, 13)}
    files |= {f"{n:03}_t.down.sql": f"DROP TABLE t{n};\n" for n in range(1, 13)}
    files["007_t.up.sql"] = "CREATE TABLE t7 (id int); CREATE FUNCTION f7() RETURNS int LANGUAGE sql AS 'SELECT 7';\n"
    files["009_t.down.sql"] = "DROP TABLE t99;\n"
    files["011_t.down.sql"] = "SELEC 1;\n"
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    found = doctor(clinic, folder, code=10)
    told = {(Path(f["file"]).name, f["kind"]): f["what"] for f in found["findings"]}
    assert set(told) == {
        ("007_t.down.sql", "does not restore"),
        ("009_t.down.sql", "rollback fails"),
        ("011_t.down.sql", "refused"),
        ("011_t.up.sql", "no rollback"),
    }
    assert "function public.f7() is new" in told["007_t.down.sql", "does not restore"]
    assert len(found["restores"]) == 9


#: of the 118 migrations of Prefect's server, what its rollbacks do not bring back; each was looked up by hand
PUBLIC = {
    6: "index public.ix_block_data__name was definition CREATE UNIQUE INDEX",
    8: "column public.block.blockref was not null",
    13: "column public.block_schema.name was not null",
    33: "index public.uq_block_type__name was definition CREATE UNIQUE INDEX",
    40: "index public.uq_block_schema__checksum was definition CREATE UNIQUE INDEX",
    57: "constraint public.artifact fk_artifact__flow_run_state_id__flow_run_state is missing",
    60: "column public.work_queue.work_pool_id was not null",
    92: "type public.worker_status is new",
    106: "fk_flow_run_alert_policy__block_document_id__block_document is missing",
}


@pytest.mark.parametrize("most", [13, pytest.param(None, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_of_a_public_folder_of_migrations_each_down_that_does_not_restore_is_named(
    clinic: Path, tmp_path: Path, url: str, most: int | None
) -> None:
    folder = tmp_path / "public"
    folder.mkdir()
    made = write_migrations(url, folder, most)
    found = doctor(clinic, folder, code=10, within=280 if most else 1700)
    told = {int(Path(f["file"]).name[:6]): f["what"] for f in found["findings"] if f["kind"] == "does not restore"}
    expected = {number: why for number, why in PUBLIC.items() if number <= made}
    assert told.keys() == expected.keys()
    assert all(expected[number] in told[number] for number in told)
    assert found["changes"] == made
    assert {f["kind"] for f in found["findings"]} <= {"does not restore", "blocks", "no rollback"}, "all of it runs"


#: what a migration may try with the account under which it is examined; each would leave a mark in FOLDER, or tell a secret
POWER = {
    "a program": "COPY (SELECT 1) TO PROGRAM 'id > FOLDER/mark'",
    "a program in a block": "DO $$ BEGIN EXECUTE $q$COPY (SELECT 1) TO PROGRAM 'id > FOLDER/mark'$q$; END $$",
    "a program in a trigger": (
        "CREATE TABLE t (i int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE"
        " $q$COPY (SELECT 1) TO PROGRAM 'id > FOLDER/mark'$q$; RETURN NEW; END $$; CREATE TRIGGER t BEFORE INSERT ON t FOR EACH"
        " ROW EXECUTE FUNCTION f(); INSERT INTO t VALUES (1)"
    ),
    "a file written": "COPY (SELECT 1) TO 'FOLDER/mark'",
    "a large object written": "SELECT lo_export(lo_from_bytea(0, 'x'), 'FOLDER/mark')",
    "a file read": "CREATE TABLE s (t text); COPY s FROM 'FOLDER/secret'",
    "a file read by a function": "CREATE TABLE r AS SELECT pg_read_file('FOLDER/secret')",
    "a folder listed": "CREATE TABLE d AS SELECT pg_ls_dir('FOLDER')",
    "a superuser": "CREATE ROLE power SUPERUSER",
    "the owner's own power": "ALTER ROLE gonogo_examined SUPERUSER",
    "a right to programs": "GRANT pg_execute_server_program TO gonogo_examined",
    "a role of the server's": "SET ROLE postgres",
    "a setting of the server": "ALTER SYSTEM SET archive_command = 'id > FOLDER/mark'",
    "an untrusted library": "CREATE FUNCTION c() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'getpid'",
    "a tablespace": "CREATE TABLESPACE s LOCATION 'FOLDER'",
}


@pytest.mark.attack("examined migrations")
@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "back"])
def test_what_is_examined_has_no_power_and_each_try_is_a_finding(clinic: Path, *, backwards: bool) -> None:
    (clinic / "secret").write_text("canary\n", encoding="utf-8")
    for file in (clinic, clinic / "secret"):
        # whatever account the server has, it is not the file's mode that stops it
        file.chmod(0o777)
    for number, sql in enumerate(POWER.values(), 1):
        bad, good = sql.replace("FOLDER", str(clinic)), f"CREATE TABLE fine_{number} (i int)"
        for name, text in (("up", good if backwards else bad), ("down", bad if backwards else "SELECT 1")):
            file = clinic / "migrations" / f"{number:03}_x.{name}.sql"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{text};\n", encoding="utf-8")
    found = doctor(clinic, clinic / "migrations", code=10)
    told = [f for f in found["findings"] if f["kind"] in ("refused", "rollback fails")]
    assert sorted({int(Path(f["file"]).name[:3]) for f in told}) == list(range(1, len(POWER) + 1)), told
    if not backwards:
        denied = [f for f in told if f["what"].startswith("42501")]
        assert len(denied) == len(POWER), told
        assert all("--superuser" in f["fix"] for f in denied)
    assert not (clinic / "mark").exists()
    assert "canary" not in json.dumps(found)


@pytest.mark.attack("examined migrations")
@pytest.mark.parametrize(
    "silencer",
    [
        "ALTER ROLE CURRENT_USER SET statement_timeout = 1",
        "ALTER ROLE CURRENT_USER SET search_path = 'evil'",
        "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I ALLOW_CONNECTIONS false', current_database()); END $$",
    ],
)
def test_a_migration_cannot_hide_what_is_found_in_the_others(clinic: Path, silencer: str) -> None:
    (clinic / "migrations").mkdir()
    for name, text in (
        ("1_a.up", "SELECT 1/0"),
        ("2_b.up", silencer),
        ("3_c.up", "CREATE TABLE c (i int)"),
        ("3_c.down", "SELECT 1"),
    ):
        (clinic / f"migrations/{name}.sql").write_text(f"{text};\n", encoding="utf-8")
    found = doctor(clinic, clinic / "migrations", code=10)
    assert any(f["what"].startswith("22012 division by zero") for f in found["findings"]), found


@pytest.mark.attack("examined migrations")
def test_what_may_do_everything_says_so_and_then_does(clinic: Path) -> None:
    """The same statement leaves its mark where somebody trusted it: the test above can fail."""
    clinic.chmod(0o777)
    (clinic / "migrations").mkdir()
    (clinic / "migrations/1_x.up.sql").write_text(f"COPY (SELECT 1) TO PROGRAM 'cat > {clinic}/mark';\n", encoding="utf-8")
    found = doctor(clinic, clinic / "migrations", "--superuser", code=10)
    assert {f["kind"] for f in found["findings"]} == {"no rollback"}
    assert (clinic / "mark").exists()


def test_what_was_read_becomes_a_runbook_that_validates_and_runs(tmp_path: Path, url: str) -> None:
    folder = lay(tmp_path, FORMS["golang-migrate"][1])
    (tmp_path / "runbooks").mkdir(exist_ok=True)
    env = environment(TEST_URL=url)
    made = gonogo("import", folder, "--name", "shop", "--no-record", cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "2 of them have no rollback: 2_b, 10_c" in made.stdout
    book = tmp_path / "runbooks/shop.yaml"
    book.write_text(book.read_text(encoding="utf-8").replace("database: embedded", "database: $TEST_URL"), encoding="utf-8")
    assert gonogo("validate", "shop", cwd=tmp_path, env=env).returncode == 0
    done = gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    again = gonogo("import", folder, "--name", "shop", "--no-record", cwd=tmp_path, env=env)
    assert again.returncode == 2
    assert "is there already; choose another --name" in again.stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.md", None, "No such file"),
        ("empty.md", "# Nothing\n", "has no block of SQL"),
        ("bad.md", b"\xff\xfe", "is not UTF-8"),
        ("folder", "", "holds no migrations that are recognised"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path, name: str, text: str | bytes | None, said: str) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    elif text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    done = gonogo("doctor", name, cwd=tmp_path, env=environment())
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_done_already_is_made_and_not_judged_again(clinic: Path, tmp_path: Path) -> None:
    for number, text in enumerate(
        ("CREATE TABLE a (id int);", "SELECT nothing FROM nowhere;", "ALTER TABLE a ADD b int;", "DROP TABLE a;"), 1
    ):
        (tmp_path / f"{number}_c.up.sql").write_text(text)
    found = doctor(clinic, tmp_path, "--since", "2_c", "--to", "3", code=10)
    assert {(Path(f["file"]).name, f["kind"]) for f in found["findings"]} == {
        ("2_c.up.sql", "refused"),
        ("3_c.up.sql", "blocks"),
        ("3_c.up.sql", "no rollback"),
    }, "what PostgreSQL does not take of what is done is told, as all else builds on it"
    assert found["changes"] == 1
    refused = gonogo("doctor", tmp_path, "--since", "9", cwd=clinic, env=environment())
    assert (refused.returncode, refused.stderr.strip()) == (
        2,
        "gonogo: there is no change '9'; the last ones are 1_c, 2_c, 3_c, 4_c",
    )


def test_an_import_of_what_is_pending_records_it_as_the_tool_does(server: Server, tmp_path: Path) -> None:
    url, folder = server.database(), tmp_path / "db"
    folder.mkdir()
    for number, name in enumerate("abc", 1):
        (folder / f"{number}_{name}.up.sql").write_text(UP.format(name))
        (folder / f"{number}_{name}.down.sql").write_text(DOWN.format(name))
    with psycopg.connect(url) as connection:
        connection.execute(UP.format("a").encode())
        connection.execute("CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
        connection.execute("INSERT INTO schema_migrations VALUES (1, false)")
    env = environment(TEST_URL=url)
    assert gonogo("init", ".", cwd=tmp_path, env=env).returncode == 0
    made = gonogo("import", "db", "--since", "1", "--name", "shop", cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stderr
    assert "2 tasks from golang-migrate" in made.stdout
    assert "each is recorded in schema_migrations, as golang-migrate does; --no-record leaves that out" in made.stdout
    script = (tmp_path / "sql_templates" / "shop" / "c-2-b.sql").read_text()
    assert script.index("INSERT INTO schema_migrations") < script.index("CREATE TABLE b"), "whatever the change sets"
    book = tmp_path / "runbooks" / "shop.yaml"
    book.write_text(book.read_text().replace("embedded", "$TEST_URL"))
    assert gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env).returncode == 0

    def stands() -> object:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT version, dirty FROM schema_migrations").fetchall()

    assert stands() == [(3, False)]
    assert gonogo("rollback", "shop", "--reason", "x", "--without-prefect", cwd=tmp_path, env=env).returncode == 11
    assert stands() == [(1, False)]


def test_what_only_the_tool_can_fill_in_is_found_and_never_run_as_it_stands(clinic: Path, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "V1__a.sql").write_text("CREATE TABLE a (x text DEFAULT '${first}');\n\nINSERT INTO a VALUES ('${second}');\n")
    found = doctor(clinic, folder, code=10)
    assert [(f["line"], f["what"]) for f in found["findings"] if f["kind"] == "refused"] == [
        (1, "${first} is filled in by its tool, and what stands there is not known here"),
        (3, "${second} is filled in by its tool, and what stands there is not known here"),
    ]
    env = environment()
    assert gonogo("init", "shop", cwd=tmp_path, env=env).returncode == 0
    made = gonogo("import", folder, cwd=tmp_path / "shop", env=env)
    assert made.returncode == 2
    assert "V1__a.sql:1: ${first} is filled in by its tool" in made.stderr
    book = tmp_path / "shop" / "runbooks" / "hello.yaml"
    step = f"{{migrations: {{folder: {folder}, record: false}}}}"
    book.write_text(book.read_text().replace("{sql: 020_index.sql, undo: 020_index.undo.sql}", step))
    told = gonogo("validate", "hello", cwd=tmp_path / "shop", env=env)
    assert told.returncode == 2
    assert "V1__a.sql:3: ${second} is filled in by its tool" in told.stderr


def test_what_pg_dump_writes_is_a_schema_with_its_owners_grants_and_rows(server: Server, clinic: Path, tmp_path: Path) -> None:
    url = server.database()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in (
                'CREATE ROLE dumped_owner; CREATE ROLE "dumped Reader"',
                "CREATE SCHEMA app AUTHORIZATION dumped_owner",
                "CREATE TABLE app.orders (id int PRIMARY KEY, note text)",
                "ALTER TABLE app.orders OWNER TO dumped_owner",
                'GRANT SELECT ON app.orders TO "dumped Reader"',
                "INSERT INTO app.orders SELECT g, 'n' FROM generate_series(1, 10) g",
                'ALTER DEFAULT PRIVILEGES FOR ROLE dumped_owner IN SCHEMA app GRANT SELECT ON TABLES TO "dumped Reader"',
                'CREATE POLICY p ON app.orders TO "dumped Reader" USING (true)',
            ):
                connection.execute(statement.encode())
        dump = subprocess.run([program("pg_dump"), url], capture_output=True, text=True, check=True).stdout
    finally:
        server.forget(url, "dumped%")
    assert "\\restrict" in dump
    (tmp_path / "dump.sql").write_text(dump)
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "1_a.up.sql").write_text("UPDATE app.orders SET note = note || 'x'; ALTER TABLE app.orders ADD b int;")
    (folder / "1_a.down.sql").write_text("ALTER TABLE app.orders DROP b;")
    found = doctor(clinic, folder, "--schema", tmp_path / "dump.sql", code=10)
    (restores,) = [f for f in found["findings"] if f["kind"] == "does not restore"]
    assert "app.orders" in restores["what"], "its rows are there, and were changed"


@pytest.mark.attack("examined migrations")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\\! touch MARK", "line 2: backslash commands are restricted"),
        ("\\unrestrict x\n\\! touch MARK", "line 3: backslash commands are restricted"),
        ("COPY t FROM PROGRAM 'touch MARK';", "line 2: 42501"),
        ("CREATE TABL b ();", "line 2: 42601 syntax error"),
    ],
)
def test_a_schema_runs_no_program_and_what_is_wrong_with_it_is_said_with_its_line(
    clinic: Path, tmp_path: Path, text: str, said: str
) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "schema.sql").write_text(f"CREATE TABLE t (id int);\n{text.replace('MARK', str(mark))}\n")
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "1_a.up.sql").write_text("SELECT 1;")
    told = gonogo("doctor", tmp_path / "db", "--schema", tmp_path / "schema.sql", cwd=clinic, env=environment())
    assert (told.returncode, told.stdout) == (2, "")
    assert f"gonogo: --schema, {said}" in told.stderr
    assert not mark.exists()


def test_what_has_not_changed_is_not_examined_again_and_the_day_of_its_examination_is_told(clinic: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "1_a.up.sql").write_text("CREATE TABLE a (id int);")
    (folder / "1_a.down.sql").write_text("SELECT 1;")

    def examined(*options: str) -> tuple[str, list[str]]:
        env = environment(XDG_CACHE_HOME=str(cache))
        done = gonogo("doctor", folder, "--json", *options, cwd=clinic, env=env)
        assert done.returncode == 10, done.stderr
        found = json.loads(done.stdout)
        return found["summary"], [f"{f['level']}: {f['what']}" for f in found["findings"]]

    first = examined()
    again = examined()
    assert "nothing has changed since" not in first[0]
    assert "nothing has changed since" in again[0]
    assert (
        again[1] == first[1] == ["error: the rollback of 1_a does not restore: column public.a.id is new; table public.a is new"]
    )
    assert "nothing has changed since" not in examined("--anew")[0]
    (kept,) = (cache / "gonogo" / "doctor").glob("*.json")
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_text("{}")
    assert "nothing has changed since" not in examined()[0], "what cannot be read is made again"
    (folder / "1_a.down.sql").write_text("DROP TABLE b;")
    summary, findings = examined()
    assert "nothing has changed since" not in summary
    assert findings != first[1]


def test_a_plan_of_queries_alone_is_examined_too(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "PLAN.md").write_text("# Look\n\n```sql\nSELECT count(*) FROM pg_class;\nSELECT count(*) FROM nowhere;\n```\n")
    found = doctor(clinic, tmp_path / "PLAN.md", code=10)
    assert [(f["line"], f["kind"]) for f in found["findings"]] == [(5, "query refused")]


NIGHT = """\
# A night in phases

## What is made

### 1. Tables of the shop

```sql
CREATE TABLE plan (id int PRIMARY KEY);
CREATE TABLE bought (id int PRIMARY KEY, plan int REFERENCES plan);
```

### 2. Reports

```sql
CREATE TABLE report (id int);
CREATE TABLE chart (id int, report int);
```

### Rows

```sql
INSERT INTO plan VALUES (1);
```

### Indexes

```sql
CREATE INDEX bought_plan ON bought (plan);
```

### 3. Kept for ever

```sql
ALTER TABLE item ADD COLUMN colour text;
```

## Phases

### Phase 1: the shop

**Rollback Strategy**:

```sql
-- Phase 1 rollback
DROP TABLE IF EXISTS bought CASCADE;
DROP TABLE IF EXISTS plan CASCADE;
```

### Phase 2: charts

**Rollback Strategy**:

```sql
DROP TABLE IF EXISTS chart;
```

### Phase 3: reports

**Rollback Strategy**:

```sql
DROP TABLE IF EXISTS report;
```

## Rollback procedures

**Level 2: data rollback**

```sql
DELETE FROM bought;
DELETE FROM plan;
```

**Level 3: feature rollback**

```sql
UPDATE nothing_of_the_kind SET active = false;
```
"""


def test_a_rollback_that_stands_elsewhere_is_matched_with_what_it_reverses(clinic: Path, tmp_path: Path) -> None:
    plan, schema = tmp_path / "night.md", tmp_path / "before.sql"
    plan.write_text(NIGHT, encoding="utf-8")
    schema.write_text("CREATE TABLE item (id int PRIMARY KEY);\n", encoding="utf-8")
    done = gonogo("doctor", plan, "--schema", schema, "--json", cwd=clinic, env=environment())
    found = json.loads(done.stdout)
    told = sorted((each["line"], each["kind"]) for each in found["findings"] if each["level"] != "note")
    # one change has none, and one level asks for a table that nobody makes; everything else restores, or is gone with its table
    no_rollback, missing = NIGHT.split("\n").index("ALTER TABLE item ADD COLUMN colour text;") + 1, "UPDATE nothing_of_the_kind"
    line = next(number for number, text in enumerate(NIGHT.split("\n"), 1) if text.startswith(missing))
    assert told == [(no_rollback, "no rollback"), (line, "rollback fails")], done.stdout
    assert sorted(found["restores"]) == ["1. Tables of the shop", "2. Reports"]


def test_a_rollback_of_a_phase_reverses_every_step_under_its_heading(clinic: Path, tmp_path: Path) -> None:
    plan = tmp_path / "night.md"
    plan.write_text(
        "# Night\n\n## Phase 1: one\n\n### Step 1.1: a\n\n```sql\nCREATE TABLE a (id int);\n```\n\n### Step 1.2: b\n\n"
        "```sql\nCREATE TABLE b (id int);\n```\n\n## Rollback plan\n\n### Phase 1 rollback\n\n```sql\nDROP TABLE b;\n```\n",
        encoding="utf-8",
    )
    found = json.loads(gonogo("doctor", plan, "--json", cwd=clinic, env=environment()).stdout)
    (told,) = [each for each in found["findings"] if each["level"] == "error"]
    assert told["kind"] == "does not restore"
    assert "the rollback of Step 1.1: a and Step 1.2: b does not restore: " in told["what"]
    assert "table public.a is new" in told["what"]
