"""A restore point that something else makes, proved: a database is made of it and compared with what the target held then.

Just before it is taken, the target's schema, sequences and newest event are noted, with a snapshot; just after, that its schema
is still the same. So it is known what the copy must hold, however busy the target is (`same_rows`). That the copy is none of an
older point is seen by the newest event, which lies in the target's own schema `gonogo`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from gonogo import clock, private_files
from gonogo.core.engine.events import BackupProof, SampledTable
from gonogo.core.model.rollback import Backup
from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.core.plan.plan import Identity
from gonogo.errors import Refused, StepError
from gonogo.ledger import heads
from gonogo.ledger.heads import Head
from gonogo.postgres.checksum import checksum, sequence_positions
from gonogo.postgres.connection import Connection, Database, identify, transaction
from gonogo.postgres.fingerprint import fingerprint
from gonogo.postgres.same_database import is_same_database
from gonogo.postgres.schemas import USERS_SCHEMAS
from gonogo.postgres.server_clock import server_time
from gonogo.postgres.tools import Say
from gonogo.recovery.dump import portable, same_definitions
from gonogo.recovery.manifest import MANIFEST, BackupFailed, BackupFolder, Manifest
from gonogo.recovery.pg_restore import major
from gonogo.recovery.providers import Place, open_provider
from gonogo.recovery.same_rows import Compared, Held, compare

#: what a copy may hold and nobody compares, and what no snapshot holds
_UNCOVERED = f"""
SELECT 'large objects' WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
UNION ALL SELECT pg_catalog.format('the rows of the unlogged table %I.%I, which a snapshot may leave out', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {USERS_SCHEMAS}
UNION ALL SELECT pg_catalog.format('the rows of the materialized view %I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'm' AND c.relispopulated AND {USERS_SCHEMAS}
UNION ALL SELECT 'foreign tables (their rows lie elsewhere)' WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_table)
"""
_NO_LIMITS = "SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; SET statement_timeout = 0"


@dataclass(frozen=True, kw_only=True)
class Before:
    """What the target held just before a restore point was taken."""

    taken_at: datetime
    rows: Held
    fingerprint: Fingerprint
    sequences: dict[str, int]
    #: its newest event; None where it has no ledger
    newest: Head | None
    #: what of it nobody compares
    uncovered: tuple[str, ...] = ()

    @classmethod
    def of(cls, connection: Connection, rule: Backup, say: Say) -> Before:
        """Look at the target, in a transaction of one snapshot."""
        return cls(
            taken_at=server_time(connection),
            rows=Held.of(connection, rule.sample, say),
            fingerprint=fingerprint(connection),
            sequences=sequence_positions(connection),
            newest=heads.newest(connection),
            uncovered=tuple(str(row[0]) for row in connection.execute(_UNCOVERED.encode()).fetchall()),
        )

    def manifest(
        self, *, seconds: float, server: int, identity: Identity, tables: dict[str, str], provider: str, point: str
    ) -> Manifest:
        """Return what is kept of the restore point.

        Args:
            seconds: that it took.
            server: the server's version, as server_version_num.
            identity: which database it is of.
            tables: rows and checksum of those that were compared whole.
            provider: what made it.
            point: what names it there.
        """
        return Manifest(
            taken_at=self.taken_at,
            seconds=seconds,
            server=server,
            database=identity.database,
            system=identity.system_identifier,
            snapshot=self.rows.snapshot,
            tables=tables,
            without_rows=(),
            sequences=self.sequences,
            schema=self.fingerprint,
            uncovered=(),
            roles=(),
            provider=provider,
            point=point,
            newest=self.newest,
        )


def take(place: Place, folder: Path, rule: Backup) -> tuple[BackupFolder, BackupProof]:
    """Take a restore point, make a database of it, and compare that with what the target held.

    Args:
        place: the target, and where the programs run.
        folder: where gonogo keeps what it knows of it; its name is that of the restore point.
        rule: what makes it, and how much of it is compared.

    Raises:
        BackupFailed: it cannot be taken or proved; it may be there all the same, and counts for nothing.
    """
    provider = open_provider(rule, place)
    try:
        with place.database.connect("gonogo/backup") as connection:
            connection.execute(_NO_LIMITS)
            identity = identify(connection)
            with _one_snapshot(connection):
                before = Before.of(connection, rule, place.say)
            began = clock.monotonic()
            point = provider.take(folder.name)
            took = round(clock.monotonic() - began, 1)
            if changed := differences(before.fingerprint.objects, fingerprint(connection).objects):
                raise BackupFailed(f"the schema changed while the restore point was taken: {'; '.join(changed[:5])}")
            began = clock.monotonic()
            with provider.copied(point) as url, _opened(connection, url) as copy:
                seconds = round(clock.monotonic() - began, 2)
                # what it shows came after the restore point, so what is old in it was there then
                with _one_snapshot(connection):
                    compared = _compared(connection, copy, before, rule, place)
                version = copy.info.server_version
            along = provider.takes_along(connection)
    except StepError as error:
        raise BackupFailed(str(error)) from None
    except psycopg.Error as error:
        raise BackupFailed(f"the restore point cannot be proved: {str(error).strip()}") from None
    manifest = before.manifest(
        seconds=took, server=version, identity=identity, tables=compared.whole, provider=rule.provider, point=point
    )
    _keep(folder, manifest)
    made = BackupFolder(folder=folder, manifest=manifest)
    return made, _proof(made, seconds, along, compared.sampled, tuple(_uncovered(before, compared)))


def _uncovered(before: Before, compared: Compared) -> Iterator[str]:
    """Say what of a restore point nobody looked at."""
    yield from before.uncovered
    if before.newest is None:
        yield "whether it is of an earlier moment, since the target has no ledger yet"
    for table in compared.sampled:
        if table.rows and not table.compared:
            yield f"the rows of {table.table}, all of which were changed or deleted meanwhile"


@contextmanager
def _one_snapshot(connection: Connection) -> Iterator[None]:
    """Read in one transaction of one snapshot."""
    with transaction(connection, read_only=True, keep=False):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


@contextmanager
def _opened(target: Connection, url: str) -> Iterator[Connection]:
    """Connect to a copy.

    Raises:
        BackupFailed: it is the target itself.
    """
    with Database(url=url).connect("gonogo/prove") as copy:
        copy.execute(_NO_LIMITS)
        if is_same_database(target, copy):
            raise BackupFailed("what was made of the restore point is the target itself")
        yield copy


def _compared(target: Connection, copy: Connection, before: Before, rule: Backup, place: Place) -> Compared:
    """Compare a copy with what the target held.

    Raises:
        BackupFailed: it does not hold that.
    """
    notes = list(_wrong(copy, before, major(target.info.server_version)))
    compared = compare(target, copy, before.rows, rule.sample, place.say)
    notes += compared.wrong
    if notes:
        raise BackupFailed("the restore point does not hold what was there: " + "; ".join(notes[:20]))
    return compared


def _wrong(copy: Connection, before: Before, version: int) -> Iterator[str]:
    """Say what of a copy's definitions, sequences and newest event is not as it was."""
    try:
        lacks = before.newest is not None and not heads.has(copy, before.newest)
    except Refused as error:
        raise StepError(
            f"the copy: {error}. Let `prove` print the address of the role that owns the schema gonogo there"
        ) from None
    if lacks:
        yield "it lacks the newest event of the target's ledger, so it is of an earlier moment, or leaves the schema gonogo out"
    there = fingerprint(copy, before.fingerprint.form)
    exact = version == major(copy.info.server_version)
    yield from differences(*same_definitions(portable(before.fingerprint.objects), portable(there.objects), exact=exact))
    now = sequence_positions(copy)
    for name, at in before.sequences.items():
        if now.get(name, -1) < at:
            yield f"the sequence {name} is at {now.get(name)}, before {at}"


def prove(place: Place, backup: BackupFolder, rule: Backup) -> BackupProof:
    """Make a database of a restore point once more, and see that it still holds what was seen in it when it was taken.

    Args:
        place: the target, and where the programs run.
        backup: what is known of the restore point.
        rule: what makes databases of it.

    Raises:
        BackupFailed: it cannot be had any more, or is another.
    """
    manifest = backup.manifest
    if rule.provider != manifest.provider:
        raise BackupFailed(f"{backup.folder} is a restore point of `{manifest.provider}`, and the runbook names another kind")
    before = Before(
        taken_at=manifest.taken_at,
        rows=Held(snapshot=manifest.snapshot, tables=manifest.tables),
        fingerprint=manifest.fingerprint,
        sequences=manifest.sequences,
        newest=Head(*manifest.newest) if manifest.newest else None,
    )
    try:
        with place.database.connect("gonogo/prove") as connection:
            began = clock.monotonic()
            provider = open_provider(rule, place)
            with provider.copied(manifest.point) as url, _opened(connection, url) as copy:
                seconds = round(clock.monotonic() - began, 2)
                notes = list(_wrong(copy, before, major(manifest.server)))
                for name, held in manifest.tables.items():
                    place.say(f"comparing {name}")
                    if (found := checksum(copy, name)) != held:
                        notes.append(f"{name} has {found} instead of {held} (rows:checksum)")
            along = provider.takes_along(connection)
    except (StepError, psycopg.Error) as error:
        raise BackupFailed(str(error).strip()) from None
    if notes:
        raise BackupFailed("the restore point does not hold what it did: " + "; ".join(notes[:20]))
    return _proof(backup, seconds, along, (), ())


def _proof(
    backup: BackupFolder, seconds: float, along: str, sampled: tuple[SampledTable, ...], uncovered: tuple[str, ...]
) -> BackupProof:
    manifest = backup.manifest
    return BackupProof(
        folder=str(backup.folder),
        taken_at=manifest.taken_at,
        tables=len(manifest.tables) + len(sampled),
        objects=manifest.fingerprint.count,
        bytes=0,
        restored_in=seconds,
        uncovered=uncovered,
        provider=manifest.provider,
        point=manifest.point,
        sampled=sampled,
        takes_along=along,
    )


def _keep(folder: Path, manifest: Manifest) -> None:
    try:
        folder.mkdir(parents=True, mode=0o700)
        private_files.write(folder / MANIFEST, manifest.model_dump_json(indent=1))
    except OSError as error:
        raise BackupFailed(f"what is known of the restore point cannot be written to {folder}: {error.strerror}") from None


__all__ = ["prove", "take"]
