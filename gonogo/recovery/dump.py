"""Backups that are proved: a dump of one snapshot, with what that same snapshot held, and its restoration compared with it.

A dump is nothing until it was restored: `pg_restore -l` accepts one that is cut in half. So a backup counts only when
its files have their sums, it was restored into a scratch database, and there is as many rows, with the same checksums, as
the snapshot had, and the same schema object by object. The ledger's own schema is left out, and so outlives a restore.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from gonogo import clock, private_files
from gonogo.core.engine.events import BackupProof
from gonogo.core.model.rollback import Backup
from gonogo.core.plan.fingerprint import BUILT_IN, differences
from gonogo.errors import StepError
from gonogo.postgres import programs
from gonogo.postgres.checksum import checksum, sequence_positions
from gonogo.postgres.connection import Connection, Database, full_name, identify
from gonogo.postgres.fingerprint import fingerprint
from gonogo.postgres.programs import Program, ProgramFailed
from gonogo.postgres.schemas import USERS_SCHEMAS
from gonogo.postgres.scratch import ScratchServer, scratch
from gonogo.postgres.server_clock import server_time
from gonogo.postgres.stand_in import REACHES_MORE
from gonogo.postgres.tools import Say, finish, running
from gonogo.recovery.manifest import MANIFEST, BackupFailed, BackupFolder, Manifest, read, refuse_as_superuser, sums
from gonogo.recovery.pg_restore import JOBS, major, restore
from gonogo.recovery.run_when_made import run_when_made

#: gzip's level, which every pg_dump knows: quick, and a third of the size
_COMPRESSION = "1"
#: a dump takes as long as it takes
_NO_LIMITS = "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0"
_TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname), pg_catalog.pg_total_relation_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND {USERS_SCHEMAS}
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
_SCHEMAS = """
SELECT format('%I.%I', n.nspname, c.relname), n.nspname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
"""
_PARTS = """
SELECT format('%%I.%%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (c.oid = pg_catalog.to_regclass(%s)
  OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%s))))
"""
_REFERENCES = """
SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', fn.nspname, f.relname)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.contype = 'f' ORDER BY 1, 2
"""
_UNCOVERED = f"""
SELECT 'large objects' WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
UNION ALL SELECT 'foreign tables (their rows lie elsewhere)' WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_table)
UNION ALL SELECT 'subscriptions' WHERE EXISTS (SELECT FROM pg_catalog.pg_stat_subscription)
UNION ALL SELECT 'indexes that are INVALID' WHERE EXISTS (SELECT FROM pg_catalog.pg_index WHERE NOT indisvalid)
UNION ALL SELECT 'unlogged tables' WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE relkind = 'r' AND relpersistence = 'u')
UNION ALL SELECT pg_catalog.format('the rows of the materialized view %I.%I, which is computed again', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'm' AND c.relispopulated AND {USERS_SCHEMAS}
UNION ALL SELECT pg_catalog.format('the rows of %I.%I, which the extension %I owns', n.nspname, c.relname, e.extname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
  JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE c.relkind = 'r' AND pg_catalog.pg_relation_size(c.oid) > 0
"""


_OWNERS = f"""
SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
WHERE s.deptype = 'o' AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
  AND s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND NOT {REACHES_MORE}
"""


def take(database: Database, folder: Path, say: Say, rule: Backup | None = None) -> BackupFolder:
    """Dump a database, with the rows, checksums and schema of the very same snapshot.

    Args:
        database: what to dump; the schema `gonogo` is left out.
        folder: where the backup will lie; it is there only when it is whole.
        say: where its progress is told.
        rule: whose rows it holds, where not all of them; definitions, grants and triggers are always all there.

    Raises:
        BackupFailed: there is too little room, its scope cannot be restored, or pg_dump fails; nothing is left of it then.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, mode=0o700)
        manifest = _take(database, partial, say, rule or Backup())
        partial.rename(folder)
    except OSError as error:
        raise BackupFailed(f"the backup cannot be written to {folder}: {error.strerror}") from None
    except ProgramFailed as error:
        raise BackupFailed(str(error)) from None
    except psycopg.Error as error:
        raise BackupFailed(f"the backup cannot be taken: {str(error).strip()}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return BackupFolder(folder=folder, manifest=manifest)


def _take(database: Database, partial: Path, say: Say, rule: Backup) -> Manifest:
    began = clock.monotonic()
    program = _program(database, say)
    with database.connect("gonogo/backup") as connection:
        # the checksums run beside the dump: one process of their own, not several that take its processors away
        connection.execute(f"{_NO_LIMITS}; SET max_parallel_workers_per_gather = 0".encode())
        identity = identify(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        run = _run_when_made(connection)
        sizes = {str(name): int(size) for name, size in connection.execute(_TABLES).fetchall()}
        chosen = _in_scope(connection, rule, sizes)
        _require_room(partial, sum(sizes[name] for name in chosen))
        # sequences stand outside of snapshots: what is read before the dump is the least that it holds
        sequences = sequence_positions(connection)
        snapshot = str(_one(connection, "SELECT pg_catalog.pg_export_snapshot()"))
        left_out = [name for name in sizes if name not in chosen]
        with _dumping(program, database, partial / "dump", snapshot, left_out) as process:
            manifest = Manifest(
                # what is known of it is as old as the target's clock says
                taken_at=server_time(connection),
                server=int(_one(connection, "SHOW server_version_num")),
                database=str(_one(connection, "SELECT pg_catalog.current_database()")),
                system=identity.system_identifier,
                # what it does not show was written after the restore point
                snapshot=str(_one(connection, "SELECT pg_catalog.pg_current_snapshot()::text")),
                tables={name: checksum(connection, name) for name in chosen},
                without_rows=tuple(left_out),
                sequences=sequences,
                schema=fingerprint(connection),
                uncovered=tuple(_column(connection, _UNCOVERED)),
                roles=tuple(_column(connection, "SELECT rolname FROM pg_catalog.pg_roles WHERE oid >= 16384")),
                owners=tuple(_column(connection, _OWNERS)),
                run_when_made=run,
                dumped_by=str(program),
            )
            finish(process, say, "dumping", writes=partial / "dump")
        connection.execute("ROLLBACK")
    whole = manifest.model_copy(update={"files": sums(partial / "dump"), "seconds": round(clock.monotonic() - began, 1)})
    private_files.write(partial / MANIFEST, whole.model_dump_json(indent=1))
    return whole


def _program(database: Database, say: Say) -> Program:
    """Choose the pg_dump, and say why where it is not the usual one."""
    program = programs.fitting("pg_dump", database.url)
    if program.instead:
        say(f"dumping with {program}: {program.instead}")
    return program


def _run_when_made(connection: Connection) -> tuple[str, ...]:
    """Return the definitions that run what their owners wrote.

    Raises:
        BackupFailed: there are some, and this is a superuser.
    """
    run = run_when_made(connection)
    if _one(connection, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
        refuse_as_superuser(run)
    return run


def _in_scope(connection: Connection, rule: Backup, names: Iterable[str]) -> list[str]:
    """Return the tables whose rows are dumped.

    Raises:
        BackupFailed: one is not there, or refers to a table whose rows would not be there.
    """
    if not (rule.tables or rule.schemas):
        return list(names)
    known = {str(row[0]): str(row[1]) for row in connection.execute(_SCHEMAS).fetchall()}
    chosen = {each for table in rule.tables for each in _parts(connection, table)}
    chosen |= {table for table, schema in known.items() if schema in rule.schemas}
    if missing := [schema for schema in rule.schemas if schema not in known.values()]:
        raise BackupFailed(f"backup.schemas: there is no schema {missing[0]} with tables")
    for table, other in connection.execute(_REFERENCES).fetchall():
        if table in chosen and other not in chosen:
            raise BackupFailed(
                f"{table} refers to {other}, whose rows the backup leaves out, so it could not be restored; add {other} to it"
            )
    return [name for name in names if name in chosen]


def _parts(connection: Connection, table: str) -> list[str]:
    """Return the tables that hold the rows of one: itself, or its partitions."""
    name = full_name(connection, table)
    found = [str(row[0]) for row in connection.execute(_PARTS, [name, name]).fetchall()]
    if not found:
        raise BackupFailed(f"backup.tables: there is no table {table} that holds rows")
    return found


def stamp() -> str:
    """Return what ends the name of a backup: its moment, and something that no other one of that second has."""
    return f"{clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def prove(backup: BackupFolder, room: ScratchServer, say: Say) -> BackupProof:
    """Restore a backup into a scratch database and compare it with what its snapshot held; return the evidence.

    Args:
        backup: what to prove.
        room: where the scratch database may be made.
        say: where its progress is told.

    Raises:
        BackupFailed: it cannot be restored, or what comes of it is not what was there.
        Refused: no scratch database can be made.
    """
    with restored(backup, room, say) as (_, proof):
        return proof


@contextmanager
def restored(backup: BackupFolder, room: ScratchServer, say: Say) -> Iterator[tuple[str, BackupProof]]:
    """Restore a backup into a scratch database, proved, for a while; yield its URL and the evidence.

    Raises:
        BackupFailed: it cannot be restored, or what comes of it is not what was there.
        Refused: no scratch database can be made.
    """
    began = clock.monotonic()
    with scratch(room, backup.manifest.roles) as url, ThreadPoolExecutor(1) as beside:
        # the files are summed up while they are restored; where one is not whole, that is said, and not what came of it
        whole = beside.submit(read, backup.folder)
        try:
            restore(backup, url, say)
        finally:
            whole.result()
        seconds = round(clock.monotonic() - began, 2)
        with Database(url=url).connect("gonogo/prove") as connection:
            require_held(backup, connection)
            version = major(connection.info.server_version)
        uncovered = [*backup.manifest.uncovered, *(f"the rows of {name}" for name in backup.manifest.without_rows)]
        if version != major(backup.manifest.server):
            uncovered.append(f"definitions but for their names, since the copy is PostgreSQL {version}")
        proof = BackupProof(
            folder=str(backup.folder),
            taken_at=backup.manifest.taken_at,
            tables=len(backup.manifest.tables),
            objects=backup.manifest.fingerprint.count,
            bytes=backup.size,
            restored_in=seconds,
            uncovered=tuple(uncovered),
        )
        yield url, proof


def require_held(backup: BackupFolder, connection: Connection) -> None:
    """See that a database is what a backup's snapshot held: every row, every object.

    Raises:
        BackupFailed: it is not.
    """
    manifest = backup.manifest
    connection.execute("SET statement_timeout = 0")
    found = {name: _count(connection, name) for name in manifest.tables}
    notes = [
        f"{name} has {found[name]} instead of {held} (rows:checksum)"
        for name, held in manifest.tables.items()
        if found[name] != held
    ]
    now_there = fingerprint(connection, manifest.fingerprint.form)
    exact = major(manifest.server) == major(connection.info.server_version)
    notes += differences(*same_definitions(portable(manifest.fingerprint.objects), portable(now_there.objects), exact=exact))
    now = sequence_positions(connection)
    notes += [
        f"the sequence {name} is at {now.get(name)}, before {at}"
        for name, at in manifest.sequences.items()
        if now.get(name, -1) < at
    ]
    if notes:
        raise BackupFailed("the backup does not restore what was there: " + "; ".join(notes[:20]))


def same_definitions(
    held: Mapping[str, str], there: Mapping[str, str], *, exact: bool
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return two schemas, where what means the same in both is written alike.

    Args:
        held: the one.
        there: the other.
        exact: whether both are of one version; of two, which write the same differently, only the names of objects are compared.
    """
    if not exact:
        return dict.fromkeys(held, ""), dict.fromkeys(there, "")
    # a definition that was written out and read again may say the same with other casts and parentheses
    alike = {name for name in held.keys() & there.keys() if _plainly(held[name]) == _plainly(there[name])}
    one, other = ({name: "" if name in alike else text for name, text in each.items()} for each in (held, there))
    return one, other


def _count(connection: Connection, table: str) -> str:
    try:
        return checksum(connection, table)
    except StepError as error:
        return str(error)


#: what a dump does not hold: it belongs to the database, or to the server
_NOT_DUMPED = ("setting of ", "event trigger ", "the database", "subscription ", BUILT_IN)
_INVALID = re.compile(r" INVALID|^not (valid|ready)$", re.MULTILINE)


def portable(schema: Mapping[str, str]) -> dict[str, str]:
    """Leave out what belongs to the database or its server and not to its dump, and what only newer servers list on its own."""
    return {
        name: text
        for name, text in schema.items()
        if not name.startswith(_NOT_DUMPED)
        and not text.startswith(("NOT NULL ", "definition NOT NULL "))
        # pg_dump leaves out an index that is not valid
        and not (name.startswith("index ") and _INVALID.search(text))
    }


def _plainly(definition: str) -> str:
    """Return a definition without casts between text types and without parentheses."""
    return re.sub(r"[()]", "", re.sub(r"::(character varying|varchar|text|bpchar|character)(\(\d+\))?(\[\])?", "", definition))


@contextmanager
def _dumping(
    program: Program, database: Database, folder: Path, snapshot: str, without_rows: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    command = ["pg_dump", "--format=directory", f"--jobs={JOBS}", f"--compress={_COMPRESSION}", f"--snapshot={snapshot}"]
    command += ["--exclude-schema=gonogo", "--no-subscriptions", "--lock-wait-timeout=30s", f"--file={folder}"]
    command += [f"--exclude-table-data={name}" for name in without_rows]
    if database.role:
        command.append(f"--role={database.role}")
    with running(command, database.url, program=program) as process:
        yield process


def _require_room(folder: Path, needed: int) -> None:
    """Refuse to begin where the disk could not take an uncompressed dump: compression is luck."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupFailed(f"the disk of {folder.parent} has {free / 1e6:,.0f} MB free; the tables have {needed / 1e6:,.0f} MB")


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _column(connection: Connection, query: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(query.encode()).fetchall()]
