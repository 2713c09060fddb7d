"""A runbook of one phase with two tasks, and its templates."""

from __future__ import annotations

BOOK = """
runbook: book
title: A book
targets: {db: {database: $TEST_URL}}
sql: {lock_timeout: 200ms, attempts: 3}
baseline: [rows_kept]
phases:
  - phase: one
    gate: {go_if: [ready]}
    tasks:
      - task: tables
        takes: 10m
        steps:
          - {sql: 010.sql, undo: 010.undo.sql}
      - task: indexes
        takes: 10m
        steps:
          - {sql: 020.sql, undo: 020.undo.sql}
    verify: [made]
checks:
  ready: {sql: ready.sql, expect: "= 0"}
  made: {sql: made.sql, expect: "= 3"}
  rows_kept: {checksum: [old], expect: unchanged}
"""


FILES = {
    "010__sql": "CREATE TABLE new (id int PRIMARY KEY, note text);\n"
    "INSERT INTO new VALUES (1, 'é %s :x'), (2, $$;$$), (3, E'\\n');\n",
    "010__undo__sql": "DROP TABLE new;\n",
    "020__sql": "CREATE INDEX CONCURRENTLY new_note ON new (note);\nALTER TABLE old ADD COLUMN added int DEFAULT 1;\n",
    "020__undo__sql": "ALTER TABLE old DROP COLUMN IF EXISTS added;\nDROP INDEX CONCURRENTLY IF EXISTS new_note;\n",
    "ready__sql": "SELECT count(*) FROM old WHERE note = 'not ready'\n",
    "made__sql": "SELECT count(*) FROM new\n",
}
