"""The ledger's tables and functions, made by SQLAlchemy Core.

`gonogo/ledger.sql` is what comes of it; a test holds them equal. So a run need not import SQLAlchemy, which takes
a quarter of a second.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSchema, CreateTable, SetTableComment

from gonogo.ledger.version import VERSION

metadata = MetaData(schema="gonogo")

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("runbook", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("opened", DateTime(timezone=True), nullable=False),
    # the newest event's number: the row that hands out numbers, at the end of a step's transaction
    Column("seq", BigInteger, nullable=False),
    comment="One execution of a runbook on this database.",
)
event = Table(
    "event",
    metadata,
    # no foreign key: gonogo.append takes the number from the run's own row in the same transaction
    Column("run", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("began", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    # json, not jsonb: the text is part of the hash
    Column("body", postgresql.JSON, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    comment="The events of each run: append-only, each chained to the one before it.",
)
script = Table(
    "script",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("text", Text, nullable=False),
    comment="The SQL of every planned script, so that a run can go on and roll back without its files.",
)
fence = Table(
    "fence",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("run", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("pid", Integer),
    Column("backend_start", DateTime(timezone=True)),
    Column("holder", Text),
    comment="Who may change this database now: every step's transaction reads it FOR SHARE at its own epoch.",
)
delivery = Table(
    "delivery",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run", Text, ForeignKey(run.c.id), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("channel", Text),
    Column("ts", Text),
    Column("error", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    comment="Which updates were sent, where they are, and which could not be.",
)
_ENTER = """
CREATE FUNCTION gonogo.enter(p_run text, p_epoch bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM 1 FROM gonogo.fence WHERE id = 1 AND run = p_run AND epoch = p_epoch FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another runner took this run over' USING ERRCODE = 'GN001';
  END IF;
  -- gonogo.append compares it, so a step can never be recorded outside the transaction it was done in
  PERFORM set_config('gonogo.xid', pg_current_xact_id()::text, true);
END $$
"""
_FOLLOW = """
-- for a runner that knows an event: a server that came back without its newest commits, or was restored, no longer has it
CREATE FUNCTION gonogo.enter(p_run text, p_epoch bigint, p_seq bigint, p_at_us bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM gonogo.enter(p_run, p_epoch);
  PERFORM 1 FROM gonogo.event WHERE run = p_run AND seq = p_seq AND (extract(epoch FROM at) * 1000000)::bigint = p_at_us;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the ledger lacks event % of this run, which its runner recorded', p_seq USING ERRCODE = 'GN006';
  END IF;
END $$
"""
_APPEND = """
-- answers the event's number, and the microseconds since 1970 of when it was recorded and its transaction began
CREATE FUNCTION gonogo.append(p_run text, p_kind text, p_actor text, p_body json, p_entered boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_seq bigint;
  v_at timestamptz;
  v_at_us bigint;
  v_began_us bigint := extract(epoch FROM now()) * 1000000;
BEGIN
  IF p_entered AND current_setting('gonogo.xid', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    RAISE EXCEPTION 'the script ended its own transaction' USING ERRCODE = 'GN002';
  END IF;
  UPDATE gonogo.run SET seq = seq + 1 WHERE id = p_run RETURNING seq INTO v_seq;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no run %', p_run USING ERRCODE = 'GN003';
  END IF;
  v_at := clock_timestamp();
  v_at_us := extract(epoch FROM v_at) * 1000000;
  INSERT INTO gonogo.event (run, seq, kind, at, began, actor, body, previous, hash)
  SELECT p_run, v_seq, p_kind, v_at, now(), p_actor, p_body, p.hash, sha256(p.hash || convert_to(
    concat_ws(chr(31), p_run, v_seq, p_kind, v_at_us, v_began_us, p_actor, p_body::text), 'UTF8'))
  FROM (SELECT coalesce((SELECT hash FROM gonogo.event WHERE run = p_run AND seq = v_seq - 1), '') AS hash) AS p;
  IF NOT p_entered THEN
    PERFORM pg_notify('gonogo', p_run);
  END IF;
  RETURN concat_ws(' ', v_seq, v_at_us, v_began_us);
END $$
"""
_APPEND_ONLY = """
CREATE FUNCTION gonogo.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'GN004';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gonogo.event
  FOR EACH STATEMENT EXECUTE FUNCTION gonogo.refuse_change()
"""


def upgrade_sql() -> str:
    """Return the SQL that an older ledger lacks, to be run in one transaction."""
    return _FOLLOW.strip().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION") + ";\n"


def ledger_sql() -> str:
    """Return the SQL that makes the ledger, to be run in one transaction."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    tables = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    comments = [str(SetTableComment(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    statements = [
        str(CreateSchema("gonogo").compile(dialect=dialect)),
        *tables,
        *comments,
        _ENTER,
        _FOLLOW,
        _APPEND,
        _APPEND_ONLY,
        "INSERT INTO gonogo.fence (id, epoch) VALUES (1, 0)",
        f"COMMENT ON SCHEMA gonogo IS 'gonogo ledger {VERSION}'",
    ]
    text = ";\n\n".join(statement.strip() for statement in statements)
    return "\n".join(line.rstrip() for line in text.splitlines()) + ";\n"


__all__ = ["delivery", "event", "fence", "ledger_sql", "metadata", "run", "script", "upgrade_sql"]
