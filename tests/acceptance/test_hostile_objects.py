"""Operators and functions that somebody plants in the target never run as gonogo, whatever command it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.command import environment
from support.desk import BEFORE, Desk
from support.servers import Server, open_folder, running_15

from gonogo.postgres import embedded
from gonogo.project import ROOT

pytestmark = pytest.mark.attack("objects in the target")
Make = Callable[..., Path]
#: each operator, and each function that a name in gonogo's SQL could mean, once more in `public`, which is looked at first there
PLANT = """
ALTER DATABASE {name} SET search_path = public, pg_catalog;
DO $plant$
DECLARE
  o record;
  f record;
  says text;
  does text;
  trap text := 'BEGIN RAISE LOG ''sprung: %s''; RETURN %s; END';
BEGIN
  FOR o IN SELECT oprname AS name, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result, p.oid
    FROM pg_operator p JOIN pg_type lt ON lt.oid = oprleft JOIN pg_type rt ON rt.oid = oprright
    JOIN pg_type res ON res.oid = oprresult
    WHERE p.oprnamespace = 'pg_catalog'::regnamespace AND 'p' NOT IN (lt.typtype, rt.typtype, res.typtype)
  LOOP
    says := format('%s %s %s', o.l, o.name, o.r);
    does := format(trap, replace(says, '%', '%%'), format('a OPERATOR(pg_catalog.%s) b', o.name));
    EXECUTE format('CREATE FUNCTION public.planted_%s(a %s, b %s) RETURNS %s LANGUAGE plpgsql AS %L',
      o.oid, o.l, o.r, o.result, does);
    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted_%s)',
      o.name, o.l, o.r, o.oid);
  END LOOP;
  FOR f IN SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments, p.prorettype::regtype AS result,
      (SELECT coalesce(string_agg('$' || n, ', ' ORDER BY n), '') FROM generate_series(1, p.pronargs) n) AS given
    FROM pg_proc p JOIN pg_type res ON res.oid = p.prorettype
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0
      AND res.typtype <> 'p' AND p.proname = ANY (ARRAY[{words}])
      AND p.proargmodes IS NULL
      AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a JOIN pg_type t ON t.oid = a WHERE t.typtype = 'p')
  LOOP
    does := format(trap, format('%s(%s)', f.name, f.arguments), format('pg_catalog.%I(%s)', f.name, f.given));
    EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.name, f.arguments, f.result, does);
  END LOOP;
END $plant$;
"""
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL, protected: false}}
backup: {}
monitor: {every: 10m, alerts: [{alert: many, check: alone, when: "> 99%"}]}
rollback: {levels: [undo, restore]}
phases:
  - phase: one
    gate:
      go_if: [quiet, alone, waits, old, slow, dumps, wal, dead, sound, there, unchanged, counted, summed, referred, ruled, typed]
    tasks:
      - task: work
        steps:
          - {step: first, sql: a.sql, undo: a.undo.sql}
          - {step: fill, backfill: {table: item, sql: fill.sql.j2, batch: 500}, undo: nothing}
          - {step: index, sql: index.sql, undo: index.undo.sql}
          - {step: second, sql: b.sql, undo: b.undo.sql}
    watch: [waits]
    every: 1s
    soak: 2s
    verify: [sound, counted]
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
  alone: {activity: connections, expect: "< 90%"}
  waits: {activity: blocked, expect: "< 100", roll_back_if: "> 1000 in 3 of 3"}
  old: {activity: oldest_transaction, expect: "< 9999"}
  slow: {activity: long_queries, older_than: 10m, expect: "< 100"}
  dumps: {activity: dumps, expect: "< 100"}
  wal: {activity: wal_rate, expect: ">= 0"}
  dead: {activity: dead_rows, expect: "<= 1"}
  sound: {sound: [constraints, indexes, sequences], expect: "= 0"}
  there: {objects: {exist: [table public.item]}, expect: "= 0"}
  unchanged: {structure: {only: grants}, expect: unchanged}
  counted: {rows: [item, sale], expect: "> 0"}
  summed: {checksum: [sale], expect: unchanged}
  referred: {orphans: all, expect: "= 0"}
  ruled: {values: {table: item, columns: id, unique: true, "null": false, min: 0}, expect: "= 0"}
  typed: {same_type: [[sale.item, item.id]], expect: "= 0"}
"""
FILES = {
    "a__sql": "ALTER TABLE item ADD COLUMN colour text;\n",
    "a__undo__sql": "ALTER TABLE item DROP COLUMN colour;\n",
    "fill__sql__j2": "INSERT INTO sale (item) SELECT i.id FROM item i WHERE false AND {{ batch_of('i') }};\n",
    "index__sql": "CREATE INDEX CONCURRENTLY item_colour ON item (colour);\n",
    "index__undo__sql": "DROP INDEX CONCURRENTLY item_colour;\n",
    "b__sql": "CREATE TABLE extra (id int);\n",
    "b__undo__sql": "DROP TABLE extra;\n",
    "quiet__sql": "SELECT 0\n",
}


@pytest.fixture(params=["18", pytest.param("15", marks=pytest.mark.long)])
def logged(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Path]]:
    """A server of the test's own, and its log."""
    with open_folder() as folder:
        if request.param == "18":
            with embedded.running(folder / "18") as url:
                yield Server(url), folder / "18" / "log"
        else:
            with running_15(folder) as server:
                yield server, folder / "log"


def words() -> str:
    """Every name in gonogo's own files that could be that of a function."""
    found: set[str] = set()
    for folder in ("gonogo", "checks", "flows"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".sql"):
                found |= set(re.findall(r"\b([a-z_][a-z0-9_]*)\(", file.read_text(encoding="utf-8")))
    return ", ".join(f"'{word}'" for word in sorted(found))


def test_nothing_that_is_planted_in_the_target_runs_as_gonogo(make_project: Make, logged: tuple[Server, Path]) -> None:
    server, log = logged
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BEFORE.encode())
        connection.execute(PLANT.format(name=connection.info.dbname, words=words()).encode())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT 1 WHERE 'a'::text = 'b'::text")
    assert "sprung: text = text" in log.read_text(), "it springs"
    before = len(log.read_text())
    here = Desk(make_project(BOOK, **FILES), url)
    here.env = environment(TEST_URL=url)
    told, ends = {}, {}
    for command, code in (
        ("check book", 10),
        ("objects book", 0),
        ("backup take book", 0),
        ("rehearse book", 0),
        ("rehearse book --drill", 0),
        ("run book --without-prefect", 0),
        ("status book", 0),
        ("report book", 0),
        ("ledger verify book", 0),
        ("ledger export book", 0),
        ("hold book", 3),
        ("monitor book", 0),
        ("rollback book --without-prefect", 11),
        ("run book --without-prefect", 0),
        ("rollback book --without-prefect --level restore", 11),
        ("backup list book", 0),
        ("resume book --without-prefect", 11),
    ):
        done = here(*command.split())
        text = log.read_text()[before:]
        sprung = sorted(set(re.findall(r"sprung: (.*)", text)))
        before = len(log.read_text())
        told[command] = sprung
        ends[command] = "" if done.returncode == code else f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "\n".join(f"{command}: {', '.join(sprung)}" for command, sprung in told.items() if sprung) == ""
    assert "\n".join(f"{command}: {end}" for command, end in ends.items() if end) == ""
