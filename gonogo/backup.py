"""Backups that are proved: a dump of one snapshot, with what that same snapshot held, and its restoration compared with it.

A dump is nothing until it was restored: `pg_restore -l` accepts one that is cut in half. So a backup counts only when
its files have their sums, it was restored into a scratch database, and there is as many rows, with the same checksums, as
the snapshot had, and the same schema object by object. The ledger's own schema is left out, and so outlives a restore.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo import clock, embedded
from gonogo.compare import checksum, differences, schema_fingerprint
from gonogo.core.duration import say_duration
from gonogo.database import Connection, Database
from gonogo.errors import StepError

Say = Callable[[str], None]
MANIFEST = "manifest.json"
#: connections that dump and restore at a time, and the compression: quick, and a third of the size
_JOBS, _COMPRESSION = 2, "gzip:1"
#: seconds that dumping and restoring may take, and between two words about them
_LIMIT, _WORD = 6 * 3600, 5.0
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname), pg_catalog.pg_total_relation_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
_UNCOVERED = """
SELECT 'large objects' WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
UNION ALL SELECT 'foreign tables (their rows lie elsewhere)' WHERE EXISTS (SELECT FROM pg_catalog.pg_foreign_table)
UNION ALL SELECT 'unlogged tables' WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE relkind = 'r' AND relpersistence = 'u')
"""


class BackupFailed(StepError):
    """A backup was not made, or proved nothing."""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup on disk."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def dump(self) -> Path:
        """The folder that pg_dump wrote."""
        return self.folder / "dump"

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(int(file["bytes"]) for file in self.manifest["files"].values())


def take(database: Database, folder: Path, say: Say) -> Backup:
    """Dump a whole database, with the rows, checksums and schema of the very same snapshot.

    Args:
        database: what to dump; the schema `gonogo` is left out.
        folder: where the backup will lie; it is there only when it is whole.
        say: where its progress is told.

    Raises:
        BackupFailed: there is too little room, or pg_dump fails; nothing is left of it then.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, mode=0o700)
        backup = _take(database, partial, say)
        partial.rename(folder)
    except OSError as error:
        raise BackupFailed(f"the backup cannot be written to {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Backup(folder=folder, manifest=backup)


def _take(database: Database, partial: Path, say: Say) -> Mapping[str, Any]:
    began = clock.monotonic()
    with database.connect("gonogo/backup") as connection:
        connection.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables = connection.execute(_TABLES).fetchall()
        _require_room(partial, sum(int(size) for _, size in tables))
        snapshot = _one(connection, "SELECT pg_catalog.pg_export_snapshot()")
        with _dumping(database, partial / "dump", str(snapshot)) as process:
            held = {str(name): checksum(connection, str(name)) for name, _ in tables}
            schema = schema_fingerprint(connection)
            _await(process, partial / "dump", say, "dumping")
        uncovered = [str(row[0]) for row in connection.execute(_UNCOVERED).fetchall()]
        roles = [
            str(row[0]) for row in connection.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE oid >= 16384").fetchall()
        ]
        taken_at = clock.now().isoformat()
        server = int(_one(connection, "SHOW server_version_num"))
        connection.execute("ROLLBACK")
    manifest = {
        "taken_at": taken_at,
        "seconds": round(clock.monotonic() - began, 1),
        "server": server,
        "tables": held,
        "schema": schema,
        "uncovered": uncovered,
        "roles": roles,
        "files": _sums(partial / "dump"),
    }
    _write(partial / MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def read(folder: Path) -> Backup:
    """Return a backup from disk, once each of its files is seen to be what it was.

    Raises:
        BackupFailed: a file is missing, or was changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = _sums(folder / "dump")
        stated = manifest["files"]
    except (OSError, ValueError, KeyError) as error:
        raise BackupFailed(f"{folder} is no backup: {error}") from None
    for name in sorted({*stated, *found}):
        if name not in found:
            raise BackupFailed(f"{folder / 'dump' / name} is missing")
        if stated.get(name) != found[name]:
            raise BackupFailed(f"{folder / 'dump' / name} is not what was written: its sha256 differs")
    return Backup(folder=folder, manifest=manifest)


def prove(backup: Backup, database: Database, spare: Callable[[], str], say: Say) -> dict[str, Any]:
    """Restore a backup into a scratch database and compare it with what its snapshot held; return the evidence.

    Args:
        backup: what to prove.
        database: what it was taken from; the scratch database is made beside it where its role may make one.
        spare: starts a server of our own, where it may not; returns its URL.
        say: where its progress is told.

    Raises:
        BackupFailed: it cannot be restored, or what comes of it is not what was there.
    """
    read(backup.folder)
    began = clock.monotonic()
    with _scratch(database, spare, backup) as url:
        _restore(backup, url, say)
        seconds = round(clock.monotonic() - began, 1)
        with Database(url=url).connect("gonogo/prove") as connection:
            found = {name: _count(connection, name) for name in backup.manifest["tables"]}
            told = [
                f"{name} has {found[name]} instead of {held} (rows:checksum)"
                for name, held in backup.manifest["tables"].items()
                if found[name] != held
            ]
            told += differences(_portable(backup.manifest["schema"]), _portable(schema_fingerprint(connection)))
    if told:
        raise BackupFailed("the backup does not restore what was there: " + "; ".join(told[:20]))
    return {
        "folder": str(backup.folder),
        "taken_at": backup.manifest["taken_at"],
        "tables": len(backup.manifest["tables"]),
        "objects": len(backup.manifest["schema"]),
        "bytes": backup.size,
        "restored_in": seconds,
        "uncovered": backup.manifest["uncovered"],
    }


def _count(connection: Connection, table: str) -> str:
    try:
        return checksum(connection, table)
    except StepError as error:
        return str(error)


def _portable(schema: Mapping[str, str]) -> dict[str, str]:
    """Leave out what belongs to the database itself and not to its dump, and what only newer servers list on its own."""
    own = ("setting of ", "event trigger ")
    return {name: text for name, text in schema.items() if not name.startswith(own) and not text.startswith("NOT NULL ")}


# pg_dump and pg_restore


@contextmanager
def _dumping(database: Database, folder: Path, snapshot: str) -> Iterator[subprocess.Popen[str]]:
    command = ["pg_dump", "--format=directory", f"--jobs={_JOBS}", f"--compress={_COMPRESSION}", f"--snapshot={snapshot}"]
    command += ["--exclude-schema=gonogo", "--lock-wait-timeout=30s", f"--file={folder}"]
    if database.role:
        command.append(f"--role={database.role}")
    with _program(command, database.url) as process:
        yield process


def _restore(backup: Backup, url: str, say: Say) -> None:
    command = ["pg_restore", "--format=directory", f"--jobs={_JOBS}", f"--dbname={_without_password(url)}"]
    with _program([*command, str(backup.dump)], url, connects=False) as process:
        _await(process, None, say, "restoring")


@contextmanager
def _program(command: Sequence[str], url: str, *, connects: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Run one of PostgreSQL's programs; its password is in a file that only this account may read, not in a process list."""
    with tempfile.TemporaryDirectory(prefix="gonogo-") as private:
        passfile = Path(private) / "pgpass"
        password = str(conninfo_to_dict(url).get("password") or "")
        _write(passfile, "*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n")
        program = [str(embedded.program(command[0])), *command[1:], *([f"--dbname={_without_password(url)}"] if connects else [])]
        environment = {**os.environ, "PGPASSFILE": str(passfile), "LC_ALL": "C"}
        environment.pop("PGPASSWORD", None)
        process = subprocess.Popen(
            program,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            umask=0o077,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _await(process: subprocess.Popen[str], folder: Path | None, say: Say, word: str) -> None:
    began = told = clock.monotonic()
    while True:
        try:
            _, errors = process.communicate(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            now = clock.monotonic()
            if now - began > _LIMIT:
                raise BackupFailed(f"{word} took longer than {say_duration(_LIMIT)}") from None
            if now - told >= _WORD:
                told = now
                size = sum(file.stat().st_size for file in folder.rglob("*")) if folder and folder.exists() else 0
                say(f"{word}: {say_duration(now - began)}{f', {size / 1e6:,.0f} MB' if size else ''}")
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    if process.returncode and not _only_older(lines):
        raise BackupFailed(f"{word} failed ({process.returncode}): {' '.join(lines[:3])[:800] or 'it was ended'}")


def _only_older(lines: Sequence[str]) -> bool:
    """Say whether all that pg_restore 18 met is that an older server does not know one of its settings (from 17 on)."""
    met = [line for line in lines if "error:" in line]
    return bool(met) and all('unrecognized configuration parameter "transaction_timeout"' in line for line in met)


def _without_password(url: str) -> str:
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if key != "password" and value is not None}
    return make_conninfo(**parts)


# around it


def _require_room(folder: Path, needed: int) -> None:
    """Refuse to begin where the disk could not take an uncompressed dump: compression is luck."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupFailed(f"the disk of {folder.parent} has {free / 1e6:,.0f} MB free; the tables have {needed / 1e6:,.0f} MB")


def _sums(folder: Path) -> dict[str, dict[str, object]]:
    made = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            made[file.name] = {"sha256": hashlib.file_digest(opened, "sha256").hexdigest(), "bytes": file.stat().st_size}
    return made


def _write(file: Path, text: str) -> None:
    with open(file, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())


@contextmanager
def _scratch(database: Database, spare: Callable[[], str], backup: Backup) -> Iterator[str]:
    """Make a database to restore into, and drop it afterwards: beside the target, else on a server of our own."""
    name = f"gonogo_scratch_{os.getpid()}_{secrets.token_hex(3)}"
    make = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    server = database.url
    with psycopg.connect(server, autocommit=True) as beside:
        may = beside.execute("SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
    if not (may and may[0]):
        server = spare()
    with psycopg.connect(server, autocommit=True) as connection:
        if server != database.url:
            _make_roles(connection, backup.manifest["roles"])
        try:
            connection.execute(make)
        except psycopg.Error as error:
            raise BackupFailed(f"no scratch database can be made for the proof: {str(error).strip()}") from None
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_roles(connection: psycopg.Connection[Any], roles: Sequence[str]) -> None:
    """Make the roles that a dump names, without a login, on a server of our own."""
    known = {str(row[0]) for row in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}
    for role in roles:
        if role not in known:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None
