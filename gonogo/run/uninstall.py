"""What gonogo leaves in a target, and taking it away: the ledger, once every run is over and what it says is kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import ENDED
from gonogo.errors import GonogoError, Refused
from gonogo.ledger import chain, fence, standing, store
from gonogo.postgres.connection import Connection, transaction

#: objects of others, by what they are called: what a DROP ... CASCADE took is what is not there any more
_OF_OTHERS = """
WITH gonogo AS (SELECT pg_catalog.to_regnamespace('gonogo')::oid AS id),
object AS (
  SELECT 'pg_catalog.pg_class'::regclass AS class, oid FROM pg_catalog.pg_class, gonogo
  WHERE relnamespace IS DISTINCT FROM id AND relnamespace <> 'pg_toast'::regnamespace
  UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, oid FROM pg_catalog.pg_proc, gonogo WHERE pronamespace IS DISTINCT FROM id
  UNION ALL SELECT 'pg_catalog.pg_type'::regclass, oid FROM pg_catalog.pg_type, gonogo WHERE typnamespace IS DISTINCT FROM id
  UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid FROM pg_catalog.pg_constraint, gonogo
  WHERE connamespace IS DISTINCT FROM id
  UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, t.oid FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid, gonogo WHERE c.relnamespace IS DISTINCT FROM id
  UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, p.oid FROM pg_catalog.pg_policy p
  JOIN pg_catalog.pg_class c ON c.oid = p.polrelid, gonogo WHERE c.relnamespace IS DISTINCT FROM id
  UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, d.oid FROM pg_catalog.pg_attrdef d
  JOIN pg_catalog.pg_class c ON c.oid = d.adrelid, gonogo WHERE c.relnamespace IS DISTINCT FROM id
)
SELECT f.type || ' ' || f.identity FROM object, LATERAL pg_catalog.pg_identify_object(object.class, object.oid, 0) AS f
WHERE f.type IS NOT NULL
"""
_KEPT = """
SELECT DISTINCT d.datname FROM gonogo.event e JOIN pg_catalog.pg_database d ON d.datname = e.body->>'kept'
WHERE e.kind = 'backup restored' ORDER BY 1
"""
_ROLES = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname ~ '^gonogo_(loader|stand_in)_' ORDER BY 1"


@dataclass(frozen=True, kw_only=True)
class Left:
    """What gonogo left in a target, and on its server."""

    #: the runs, and how many events all chains have
    runs: tuple[str, ...]
    events: int
    #: the runs that are not over, or of which nobody can say
    unfinished: tuple[str, ...]
    #: databases that a restore kept: what was there before it
    databases: tuple[str, ...]
    #: roles of processes that were killed
    roles: tuple[str, ...]


def left_in(connection: Connection) -> Left:
    """Say what gonogo left; nothing is changed.

    Raises:
        Refused: there is no ledger, or none that this gonogo reads.
    """
    if not store.exists(connection):
        raise Refused("there is no ledger of gonogo's in this target")
    names = [row.id for row in store.runs(connection)]
    row = connection.execute("SELECT pg_catalog.count(*) FROM gonogo.event").fetchone()
    return Left(
        runs=tuple(names),
        events=int(row[0]) if row else 0,
        unfinished=tuple(name for name in names if not _over(connection, name)),
        databases=tuple(str(found[0]) for found in connection.execute(_KEPT).fetchall()),
        roles=tuple(str(found[0]) for found in connection.execute(_ROLES).fetchall()),
    )


def _over(connection: Connection, run: str) -> bool:
    try:
        return fold(standing.read_state(connection, run)).status in ENDED
    except GonogoError:
        return False


def exported(connection: Connection) -> Iterator[str]:
    """Yield every event of every chain as a line of JSON, with its hash."""
    for (name,) in connection.execute("SELECT id FROM gonogo.run ORDER BY opened, id").fetchall():
        yield from chain.export(connection, str(name))


def remove_ledger(connection: Connection, keep: Callable[[Iterable[str]], None]) -> None:
    """Drop the ledger, and nothing that is not gonogo's.

    Args:
        connection: to the target.
        keep: is given every event, a line each, before anything is dropped; where it fails, nothing is.

    Raises:
        Refused: somebody works on the target, or something of others rests on the ledger.
    """
    with transaction(connection):
        fence.reserve(connection)
        # what somebody says from now on waits, and finds nothing to say it to
        connection.execute("LOCK TABLE gonogo.event, gonogo.run IN ACCESS EXCLUSIVE MODE")
        keep(exported(connection))
        before = _of_others(connection)
        try:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier("gonogo")))
        except psycopg.errors.InsufficientPrivilege as error:
            raise Refused(f"only the owner of the schema gonogo may remove it: {error.diag.message_primary}") from None
        if gone := sorted(before - _of_others(connection)):
            raise Refused(f"something of others rests on the ledger, and would go with it: {', '.join(gone[:5])}; drop it first")


def _of_others(connection: Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute(_OF_OTHERS).fetchall()}
