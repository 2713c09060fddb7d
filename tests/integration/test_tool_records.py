"""What a tool would write into its own table as it does a change, and as it takes it back, is what is written there."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.servers import Server

from gonogo.errors import BadInput
from gonogo.migrations.changes import Change
from gonogo.migrations.choose import between
from gonogo.migrations.folders import read_folder
from gonogo.migrations.tools.record import not_as_it_was, not_recorded
from gonogo.migrations.tools.registry import RECORDS
from gonogo.sql.parse import split


def crc(letter: str) -> int:
    """Return the sum over the one line of a change's file, without its end, as a signed number of 32 bits."""
    return int.from_bytes(zlib.crc32(UP.format(letter).removesuffix("\n").encode()).to_bytes(4), signed=True)


UP, DOWN = "CREATE TABLE {0} (id int);\n", "DROP TABLE {0};\n"
#: each tool's own table as its documents or its source have it; what a folder of it holds; what its rows are after two changes
TOOLS: dict[str, tuple[str, dict[str, str], list[tuple[Any, ...]]]] = {
    "dbmate": (
        "CREATE TABLE schema_migrations (version varchar(255) PRIMARY KEY)",
        {f"2026010{n}_{name}.sql": f"-- migrate:up\n{UP}-- migrate:down\n{DOWN}" for n, name in enumerate("abc", 1)},
        [("20260101",), ("20260102",)],
    ),
    "golang-migrate": (
        "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)",
        {f"00{n}_{name}.{way}.sql": text for n, name in enumerate("abc", 8) for way, text in (("up", UP), ("down", DOWN))},
        [(9, False)],
    ),
    "goose": (
        (
            "CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL,"
            " tstamp timestamp DEFAULT now()); INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true)"
        ),
        {f"000{n}_{name}.sql": f"-- +goose Up\n{UP}-- +goose Down\n{DOWN}" for n, name in enumerate("abc", 1)},
        [(0, True), (1, True), (2, True)],
    ),
    "micrate": (
        (
            "CREATE TABLE micrate_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL,"
            " tstamp timestamp DEFAULT now())"
        ),
        {f"2026010{n}_{name}.sql": f"-- +micrate Up\n{UP}-- +micrate Down\n{DOWN}" for n, name in enumerate("abc", 1)},
        [(20260101, True), (20260102, True)],
    ),
    "sql-migrate": (
        "CREATE TABLE gorp_migrations (id text PRIMARY KEY, applied_at timestamptz)",
        {f"{n}-{name}.sql": f"-- +migrate Up\n{UP}-- +migrate Down\n{DOWN}" for n, name in enumerate("abc", 1)},
        [("1-a.sql",), ("2-b.sql",)],
    ),
    "node-pg-migrate": (
        "CREATE TABLE pgmigrations (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL)",
        {f"{n}_{name}.sql": f"-- Up Migration\n{UP}-- Down Migration\n{DOWN}" for n, name in enumerate("abc", 1)},
        [("1_a",), ("2_b",)],
    ),
    "tern": (
        "CREATE TABLE schema_version (version int4 NOT NULL); INSERT INTO schema_version VALUES (0)",
        {f"00{n}_{name}.sql": f"{UP}---- create above / drop below ----\n{DOWN}" for n, name in enumerate("abc", 1)},
        [(2,)],
    ),
    "rambler": (
        "CREATE TABLE migrations (migration varchar(255) NOT NULL)",
        {f"{n}_{name}.sql": f"-- rambler up\n{UP}-- rambler down\n{DOWN}" for n, name in enumerate("abc", 1)},
        [("1_a.sql",), ("2_b.sql",)],
    ),
    "shmig": (
        "CREATE TABLE shmig_version (version int NOT NULL PRIMARY KEY)",
        {f"148564379{n}-{name}.sql": f"-- ==== UP ====\n{UP}-- ==== DOWN ====\n{DOWN}" for n, name in enumerate("abc", 1)},
        [(1485643791,), (1485643792,)],
    ),
    "MyBatis": (
        (
            "CREATE TABLE changelog (id numeric(20,0) NOT NULL PRIMARY KEY, applied_at varchar(25) NOT NULL,"
            " description varchar(255) NOT NULL)"
        ),
        {f"2026010{n}_make_{name}.sql": f"--// make {name}\n{UP}\n--//@UNDO\n{DOWN}" for n, name in enumerate("abc", 1)},
        [(20260101, "make a"), (20260102, "make b")],
    ),
    "diesel": (
        (
            "CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY NOT NULL,"
            " run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)"
        ),
        {
            f"2026-01-0{n}-000000_{name}/{way}.sql": text
            for n, name in enumerate("abc", 1)
            for way, text in (("up", UP), ("down", DOWN))
        },
        [("20260101000000",), ("20260102000000",)],
    ),
    "sqlx": (
        (
            "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,"
            " installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,"
            " execution_time bigint NOT NULL)"
        ),
        {
            f"2026010{n}_make_{name}.{way}.sql": text
            for n, name in enumerate("abc", 1)
            for way, text in (("up", UP), ("down", DOWN))
        },
        [
            (20260101, "make a", True, hashlib.sha384(UP.format("a").encode()).digest()),
            (20260102, "make b", True, hashlib.sha384(UP.format("b").encode()).digest()),
        ],
    ),
    "Prisma": (
        (
            "CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY NOT NULL, checksum varchar(64) NOT NULL,"
            " finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,"
            " started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0)"
        ),
        {f"2026010{n}_{name}/migration.sql": UP for n, name in enumerate("abc", 1)},
        [
            (hashlib.sha256(UP.format("a").encode()).hexdigest(), "20260101_a", None, 1),
            (hashlib.sha256(UP.format("b").encode()).hexdigest(), "20260102_b", None, 1),
        ],
    ),
    "Flyway": (
        (
            "CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50),"
            " description varchar(200) NOT NULL, type varchar(20) NOT NULL, script varchar(1000) NOT NULL, checksum int,"
            " installed_by varchar(100) NOT NULL,"
            " installed_on timestamp NOT NULL DEFAULT now(), execution_time int NOT NULL, success boolean NOT NULL)"
        ),
        {
            f"{folder}{kind}1_{n}__make_{name}.sql": text
            for n, (name, folder) in enumerate((("a", ""), ("b", "more/"), ("c", "")), 1)
            for kind, text in (("V", UP), ("U", DOWN))
        },
        [
            (1, "1.1", "make a", "SQL", "V1_1__make_a.sql", crc("a"), True),
            (2, "1.2", "make b", "SQL", "more/V1_2__make_b.sql", crc("b"), True),
        ],
    ),
}


def written(folder: Path, files: dict[str, str]) -> list[Change]:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        letter = (
            name.split(".")[0].split("/")[0][-1]
            if "migration.sql" in name or "/up" in name or "/down" in name
            else Path(name).name.split(".")[0][-1]
        )
        file.write_text(text.format(letter))
    return read_folder(folder).changes


def rows(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    shown = connection.execute(
        "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND attname NOT IN ('installed_on', 'tstamp', 'applied_at', 'run_on', 'migrated_at', 'installed_by',"
        " 'execution_time', 'finished_at', 'started_at', 'logs') AND NOT (attname = 'id' AND atttypid <> 'numeric'::regtype"
        " AND attrelid <> to_regclass('gorp_migrations'))",
        [table],
    ).fetchone()
    assert shown
    return connection.execute(f"SELECT {shown[0]} FROM {table}".encode()).fetchall()


@pytest.mark.parametrize("name", TOOLS)
def test_a_change_is_recorded_as_its_tool_does_and_taken_back(server: Server, tmp_path: Path, name: str) -> None:
    table, files, after_two = TOOLS[name]
    changes, record = written(tmp_path, files), RECORDS[name]
    assert len(changes) == 3
    done, chosen = between(changes, "", changes[1].name, record.key)
    assert (done, chosen) == ([], changes[:2])
    with psycopg.connect(server.database(), autocommit=True) as connection:
        connection.execute(table.encode())
        empty = rows(connection, record.table)

        def ask(query: str) -> int:
            found = connection.execute(query.encode()).fetchone()
            assert found
            return int(found[0])

        first, second, third = changes
        assert ask(not_as_it_was(record, None, chosen)) == 0
        assert ask(not_recorded(record, chosen)) > 0
        for change, before in ((first, None), (second, first)):
            sql = record.add(change, before)
            assert split(sql, name), "it goes into a script"
            connection.execute(sql.encode())
        assert sorted(rows(connection, record.table), key=str) == sorted(after_two, key=str)
        assert ask(not_recorded(record, chosen)) == 0
        assert ask(not_as_it_was(record, None, chosen)) > 0, "it is done already"
        assert ask(not_as_it_was(record, second, [third])) == 0
        assert ask(not_as_it_was(record, first, [third])) == (1 if record.newest_only else 0)
        connection.execute(record.drop(second, first).encode())
        assert ask(not_as_it_was(record, second, [third])) == 1, "what must be done before it is not"
        connection.execute(record.drop(first, None).encode())
        assert rows(connection, record.table) == empty


def tried(server: Server, tmp_path: Path, tool: str, name: str, before: str) -> int:
    """Return what is asked at the gate, where a tool's table holds some rows already."""
    table, files, _ = TOOLS[tool]
    changes, record = written(tmp_path, files), RECORDS[tool]
    done, chosen = between(changes, name, "", record.key)
    with psycopg.connect(server.database(), autocommit=True) as connection:
        connection.execute(f"{table}; {before}".encode())
        found = connection.execute(not_as_it_was(record, done[-1] if done else None, chosen).encode()).fetchone()
        assert found
        return int(found[0])


@pytest.mark.parametrize(("last", "wrong"), [("true", 0), ("false", 1)])
def test_of_a_version_that_was_taken_back_the_newest_row_counts(server: Server, tmp_path: Path, last: str, wrong: int) -> None:
    rows = f"INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, true), (1, {last})"
    assert tried(server, tmp_path, "goose", "0001_a", rows) == wrong


def test_a_baseline_stands_for_what_was_there_and_what_is_repeated_may_be_done_already(server: Server, tmp_path: Path) -> None:
    (tmp_path / "R__view.sql").write_text("CREATE OR REPLACE VIEW v AS SELECT 1")
    rows = (
        "INSERT INTO flyway_schema_history VALUES"
        " (1, '1.1', 'b', 'BASELINE', '<< Flyway Baseline >>', NULL, 'x', now(), 0, true),"
        " (2, NULL, 'view', 'SQL', 'R__view.sql', 1, 'x', now(), 0, true)"
    )
    assert tried(server, tmp_path, "Flyway", "V1_1__make_a", rows) == 0
    assert tried(server, tmp_path, "Flyway", "V1_1__make_a", rows.replace("'1.1'", "'1.0'")) == 1


def test_every_tool_whose_record_is_known_is_tried() -> None:
    assert RECORDS.keys() == {*TOOLS, "Alembic"}, "Alembic writes its record itself: tests/acceptance/test_other_tools.py"


CHANGES = [Change(name=name) for name in ("20260101_a", "20260102_b", "20260103_c", "20260103_d")]


@pytest.mark.parametrize(
    ("since", "to", "done", "chosen"),
    [
        ("", "", "", "abcd"),
        ("20260101_a", "", "a", "bcd"),
        ("20260101", "20260102", "a", "b"),
        ("20260102_", "20260103_c", "ab", "c"),
    ],
)
def test_changes_are_chosen_by_name_or_by_how_it_begins(since: str, to: str, done: str, chosen: str) -> None:
    found = between(CHANGES, since, to)
    assert ["".join(change.name[-1] for change in part) for part in found] == [done, chosen]


@pytest.mark.parametrize(
    ("since", "to", "said"),
    [
        ("20260103", "", "'20260103' may be 20260103_c, 20260103_d; write more of its name"),
        ("20260104_d", "", "there is no change '20260104_d'; did you mean 20260103_d?"),
        ("zz", "", "there is no change 'zz'; the last ones are 20260101_a, 20260102_b, 20260103_c, 20260103_d"),
        ("20260103_d", "", "there is no change after 20260103_d"),
        ("20260102", "20260101", "there is no change after 20260102 up to 20260101"),
    ],
)
def test_what_cannot_be_chosen_is_said(since: str, to: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        between(CHANGES, since, to)
    assert str(caught.value) == said
