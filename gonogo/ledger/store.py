"""The ledger: the append-only record in the target's schema `gonogo`. What it says is what happened."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from gonogo.core.engine.events import Body, Event, RunOpened, kind_of, not_of_plan, of_our_time, read_body, write_body
from gonogo.core.plan.plan import Plan
from gonogo.errors import Fenced, LedgerWentBack, Refused
from gonogo.ledger.continuity import NOTHING_KNOWN, Mark, moment_of
from gonogo.ledger.encoding import encode
from gonogo.ledger.version import VERSION
from gonogo.postgres.connection import Connection, transaction

FENCED, NO_SUCH_RUN, WENT_BACK = "GN001", "GN003", "GN006"
_SCHEMA, _UPGRADE = (Path(__file__).with_name(name) for name in ("ledger.sql", "upgrade.sql"))
_MADE = "CREATE SCHEMA gonogo;"
EVENTS = "SELECT seq, kind, at, began, actor, body FROM gonogo.event WHERE run = %s AND seq > %s"


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run as the ledger lists it."""

    id: str
    runbook: str
    target: str
    opened: datetime
    seq: int


#: what a schema of the ledger's name says that it is; who could have written its functions, where a superuser would call them;
#: whether it is this role's very own, nothing is in it, and nobody else can put anything there
_LEDGER = """
SELECT pg_catalog.obj_description(n.oid, 'pg_namespace'), (
  SELECT pg_catalog.min(o.rolname) FROM pg_catalog.pg_roles o
  WHERE NOT o.rolsuper AND (SELECT me.rolsuper FROM pg_catalog.pg_roles me WHERE me.rolname = CURRENT_USER)
    AND (o.oid = n.nspowner OR o.oid IN (SELECT p.proowner FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid)
    OR o.oid IN (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid))),
  NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
    AND d.refobjid = n.oid)
  AND n.nspowner = (SELECT me.oid FROM pg_catalog.pg_roles me WHERE me.rolname = CURRENT_USER)
  AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
FROM pg_catalog.pg_namespace n WHERE n.nspname = 'gonogo'
"""


def exists(connection: Connection) -> bool:
    """Say whether the target has a ledger.

    Raises:
        Refused: it has one that a newer gonogo made.
    """
    return _version(connection) > 0


def _version(connection: Connection) -> int:
    row = connection.execute(_LEDGER).fetchone()
    if row is None:
        return 0
    if row[1] is not None:
        raise Refused(
            f"the schema gonogo of this target, or something in it, belongs to {row[1]}, and you work as a superuser: what"
            f" {row[1]} wrote into its functions would run with your rights. Work as {row[1]}, or as another role that may use it"
            " and is no superuser"
        )
    if row[0] is None and row[2]:
        # made for gonogo beforehand, so that it need not be allowed to make any
        return 0
    words = str(row[0] or "").rsplit(" ", 1)
    if words[0] != "gonogo ledger" or not words[-1].isdigit():
        raise Refused("the target has a schema named gonogo that is not a ledger; gonogo will not touch it")
    if int(words[-1]) > VERSION:
        raise Refused(
            f"the target's ledger is of version {words[-1]}; this version of gonogo reads up to {VERSION}: use a newer one"
        )
    return int(words[-1])


def create(connection: Connection) -> None:
    """Make the ledger where there is none; upgrade one of an older version.

    Raises:
        Refused: the role may not.
    """
    if there := _version(connection):
        if there < VERSION:
            _upgrade(connection, there)
        return
    try:
        with transaction(connection):
            make(connection)
    except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation):
        # two first runs at once: the second one waited for the first, and finds it made
        if not exists(connection):
            raise
    except psycopg.errors.InsufficientPrivilege as error:
        row = connection.execute("SELECT pg_catalog.quote_ident(current_user)").fetchone()
        role = row[0] if row else "its role"
        raise Refused(
            f"the role may not make the ledger: {error.diag.message_primary}. Let an administrator make the schema for it once:"
            f" CREATE SCHEMA gonogo AUTHORIZATION {role}; or, where it is there, ALTER SCHEMA gonogo OWNER TO {role}"
        ) from None


def _upgrade(connection: Connection, there: int) -> None:
    """Add what an older ledger lacks, and let it say its version, so that an older gonogo refuses it and misreads nothing."""
    try:
        with transaction(connection):
            # two at once: the second one waits here
            connection.execute("LOCK TABLE gonogo.run IN SHARE ROW EXCLUSIVE MODE")
            connection.execute(_UPGRADE.read_bytes())
            connection.execute(f"COMMENT ON SCHEMA gonogo IS 'gonogo ledger {VERSION}'".encode())
    except psycopg.errors.InsufficientPrivilege:
        raise Refused(
            f"the target's ledger is of version {there} and has to be upgraded to {VERSION}, which only the owner of the schema"
            " gonogo may: go on with this run as that role once"
        ) from None


def make(connection: Connection) -> None:
    """Make an empty ledger in the caller's transaction."""
    text = _SCHEMA.read_text(encoding="utf-8")
    if connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'gonogo'").fetchone() is not None:
        text = text.replace(_MADE, "", 1)
    connection.execute(text.encode())


def runs(connection: Connection, runbook: str = "") -> list[RunRow]:
    """Return the target's runs, newest first."""
    rows = connection.execute(
        "SELECT id, runbook, target, opened, seq FROM gonogo.run WHERE (runbook = %s OR %s = '')"
        " AND pg_catalog.strpos(runbook, '~') = 0 ORDER BY opened DESC",
        [runbook, runbook],
    ).fetchall()
    return [RunRow(id=r[0], runbook=r[1], target=r[2], opened=r[3], seq=r[4]) for r in rows]


def protected_as(connection: Connection) -> str:
    """Return the name by which this database was a protected target, if it ever was."""
    row = connection.execute(
        "SELECT r.target FROM gonogo.run r JOIN gonogo.event e ON e.run = r.id AND e.seq = 1"
        " WHERE e.body->'plan'->>'protected' = 'true' LIMIT 1"
    ).fetchone()
    return str(row[0]) if row else ""


def open_run(
    connection: Connection,
    plan: Plan,
    texts: Mapping[str, str],
    actor: str,
    sign: Callable[[Mapping[str, Any]], str] | None = None,
) -> str:
    """Begin a run in the caller's transaction: keep its plan and its scripts; return its id.

    Args:
        connection: where.
        plan: what is to be run.
        texts: its scripts.
        actor: who begins it.
        sign: signs the plan for just this run, where its target is protected or it acts beyond the database.
    """
    run = f"{plan.runbook[:32]}-{secrets.token_hex(3)}"
    connection.execute(
        "INSERT INTO gonogo.run (id, runbook, target, opened, seq) VALUES (%s, %s, %s, pg_catalog.now(), 0)",
        [run, plan.runbook, plan.target],
    )
    connection.execute(
        "INSERT INTO gonogo.script (sha256, text) SELECT * FROM"
        " ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]))"
        " ON CONFLICT DO NOTHING",
        [list(texts), list(texts.values())],
    )
    body = RunOpened(plan=plan, sources=plan.sources)
    if sign is not None:
        written = json.loads(encode(write_body(body)))
        body = body.model_copy(update={"signature": sign(digest_of(run, written["plan"]))})
    append(connection, run, body, actor)
    return run


def digest_of(run: str, plan: Mapping[str, Any]) -> dict[str, str]:
    """Return what is signed of a run's plan, as it lies in the ledger."""
    return {"run": run, "plan": hashlib.sha256(encode(plan).encode()).hexdigest()}


def append(connection: Connection, run: str, body: Body, actor: str) -> Event:
    """Append an event, as anybody may at any time."""
    written = encode(write_body(body))
    try:
        row = connection.execute("SELECT gonogo.append(%s, %s, %s, %s::json, false)", [run, body.kind, actor, written]).fetchone()
    except psycopg.Error as error:
        if error.sqlstate == NO_SUCH_RUN:
            raise Refused(f"there is no run {run!r} on this target; `gonogo status` lists them") from None
        raise
    return recorded(str(row[0]) if row else "", body, actor)


def recorded(answer: str, body: Body, actor: str) -> Event:
    """Return the event that `gonogo.append` answered to have recorded."""
    seq, at, began = map(int, answer.split())
    return Event(seq=seq, at=moment_of((seq, at)), began=moment_of((seq, began)), actor=actor, body=body)


def append_fenced(connection: Connection, run: str, epoch: int, body: Body, actor: str, follows: Mark = NOTHING_KNOWN) -> Event:
    """Append an event as the run's runner.

    Args:
        connection: the runner's.
        run: the run.
        epoch: under which it became the runner.
        body: what happened.
        actor: who records it.
        follows: the newest event that the runner knows, as `mark` tells it.

    Raises:
        Fenced: another runner took over.
        LedgerWentBack: the ledger lacks the event that it follows.
    """
    try:
        with transaction(connection):
            if follows == NOTHING_KNOWN:
                connection.execute("SELECT gonogo.enter(%s, %s)", [run, epoch])
            else:
                connection.execute("SELECT gonogo.enter(%s, %s, %s, %s)", [run, epoch, *follows])
            return append(connection, run, body, actor)
    except psycopg.Error as error:
        raise_if_fenced(error)
        raise


def raise_if_fenced(error: psycopg.Error) -> None:
    """Turn the ledger's own errors into what they mean.

    Raises:
        Fenced: another runner took over.
        LedgerWentBack: the ledger lacks what this runner recorded.
    """
    if error.sqlstate == WENT_BACK:
        raise LedgerWentBack(str(error.diag.message_primary)) from None
    if error.sqlstate == FENCED:
        raise Fenced("another runner took this run over; this one stops, and has changed nothing since") from None


def read(connection: Connection, run: str, after: int = 0) -> list[Event]:
    """Return the events of a run after a sequence number, in order.

    Raises:
        Refused: one is missing, or is none that this gonogo reads.
    """
    found = [event_of(row) for row in fetch(connection, EVENTS + " ORDER BY seq", [run, after])]
    for expected, event in enumerate(found, after + 1):
        if event.seq != expected:
            raise Refused(f"the ledger of the run {run} lacks event {expected}; somebody removed it. See `gonogo ledger verify`")
    return found


def fetch(connection: Connection, query: str, values: Sequence[object]) -> list[Sequence[Any]]:
    """Read rows of events.

    Raises:
        Refused: a body is JSON that Python does not read: a number of thousands of digits, or thousands of lists in lists.
    """
    try:
        return list(connection.execute(query.encode(), values).fetchall())
    except (ValueError, RecursionError) as error:
        why = str(error).split(";", maxsplit=1)[0]
        raise Refused(f"the ledger holds an event that gonogo does not know ({why}): somebody wrote it by hand") from None


def event_of(row: Sequence[Any]) -> Event:
    """Make an event of its row.

    Raises:
        Refused: gonogo writes no such row.
    """
    seq, word, at, began, actor, data = row
    kind = kind_of(word)
    why = "there is no such kind" if kind is None else "" if isinstance(data, dict) else "its body is not a JSON object"
    try:
        if kind is not None and not why:
            return Event(seq=seq, at=of_our_time(at), began=of_our_time(began), actor=actor, body=read_body(kind, data))
    except ValueError as error:
        why = str(error)
    raise Refused(
        f"event {seq} of the ledger ({word!r}) is not one that this version of gonogo can read: a newer version wrote it, or"
        f" somebody wrote it by hand ({why})"
    )


def read_event(connection: Connection, run: str, seq: int) -> Event:
    """Return one event of a run.

    Raises:
        Refused: there is none of that number.
    """
    return event_of(_row(connection, run, seq))


def read_data(connection: Connection, run: str, seq: int) -> dict[str, Any]:
    """Return the body of an event just as it lies in the ledger: what a signature covers.

    Raises:
        Refused: there is none of that number.
    """
    return dict(_row(connection, run, seq)[5])


def _row(connection: Connection, run: str, seq: int) -> Sequence[Any]:
    row = connection.execute(EVENTS.replace("seq > %s", "seq = %s").encode(), [run, seq]).fetchone()
    if row is None:
        raise Refused(f"the run {run} has no event {seq}")
    return row


def opened_with(run: str, events: Sequence[Event]) -> Plan:
    """Return the plan that a run was opened with, from its first event.

    Raises:
        Refused: there is no such run, or its first event is another one.
    """
    if not events:
        raise Refused(f"there is no run {run!r} on this target; `gonogo status` lists them")
    body = events[0].body
    if not isinstance(body, RunOpened):
        raise Refused(f"the ledger of the run {run} does not begin with its plan: its first event was removed")
    require_of_plan(body.plan, events)
    return body.plan


def require_of_plan(plan: Plan, events: Iterable[Event]) -> None:
    """Refuse events that speak of what a plan does not have.

    Raises:
        Refused: one does; somebody wrote it by hand.
    """
    for event in events:
        if why := not_of_plan(plan, event.body):
            raise Refused(f"event {event.seq} of the ledger ({event.kind}) names {why}: somebody wrote it by hand")


def read_texts(connection: Connection, hashes: Sequence[str]) -> dict[str, str]:
    """Return the texts of scripts, each proved by its own sha256.

    Raises:
        Refused: one is missing, or is not what it was.
    """
    rows = connection.execute("SELECT sha256, text FROM gonogo.script WHERE sha256 = ANY(%s)", [list(hashes)]).fetchall()
    texts = {str(r[0]): str(r[1]) for r in rows}
    for sha256 in hashes:
        if hashlib.sha256(texts.get(sha256, "").encode()).hexdigest() != sha256:
            raise Refused(f"the ledger's script {sha256[:12]} is missing or was changed by hand; the run cannot go on")
    return texts
