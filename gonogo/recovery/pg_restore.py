"""A dump comes back into an empty database: by pg_restore, its rows by a role that may only write rows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gonogo import clock, private_files
from gonogo.postgres.connection import Database
from gonogo.postgres.programs import ProgramFailed
from gonogo.postgres.tools import Say, finish, running
from gonogo.recovery.loader import calls_casts, loader, owning, parts_of, refuse_powerful, superusers
from gonogo.recovery.manifest import BackupFailed, BackupFolder, refuse_as_superuser

#: what only some versions know: a setting of 17 and later, and a mark that newer releases of old versions put on columns
_FOREIGN = re.compile(r"SET transaction_timeout = 0;\n|ALTER TABLE ONLY .* ALTER COLUMN .* SET \(pg_attver=\d+\);\n")
_COPY = re.compile(r"COPY .* FROM stdin;\n")
#: how many of its processes, or of pg_dump's, work at once
JOBS = 2


def restore(backup: BackupFolder, url: str, say: Say) -> float:
    """Restore a backup into an empty database; return the seconds it took.

    Raises:
        BackupFailed: pg_restore fails.
    """
    began = clock.monotonic()
    try:
        with loader(url) as its_url, tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
            if its_url:
                refuse_as_superuser(backup.manifest.run_when_made)
                refuse_powerful(url, backup.manifest.owners)
            if major(backup.manifest.server) != major(_version(url)):
                _restore_definitions(backup, url, say)
            else:
                _restore_part(backup, url, say, "--section=pre-data")
            if not its_url:
                _restore_part(backup, url, say, "--section=data", "--section=post-data")
            else:
                _restore_guarded(backup, url, its_url, Path(folder), say)
    except ProgramFailed as error:
        raise BackupFailed(str(error)) from None
    return round(clock.monotonic() - began, 1)


def _restore_part(backup: BackupFolder, url: str, say: Say, *options: str) -> None:
    command = ["pg_restore", "--format=directory", f"--jobs={JOBS}", *options, str(backup.dump)]
    with running(command, url) as process:
        finish(process, say, "restoring")


def _restore_guarded(backup: BackupFolder, url: str, its_url: str, folder: Path, say: Say) -> None:
    """Restore the rows, and all that comes after them, so that what the owners of tables wrote does not run as this role."""
    listed = folder / "list"
    with running(["pg_restore", "--list", f"--file={listed}", str(backup.dump)], url, connects=False) as process:
        finish(process, say, "reading the dump")
    parts = parts_of(listed, superusers(url), casts=calls_casts(url))
    for owner, rows in parts.rows.items():
        with owning(url, its_url, owner):
            _restore_part(backup, its_url, say, "--section=data", f"--use-list={rows}")
    for owner, checks in parts.checks.items():
        with owning(url, its_url, owner):
            _restore_part(backup, its_url, say, "--section=post-data", f"--use-list={checks}")
    _restore_part(backup, url, say, "--section=data", "--section=post-data", f"--use-list={parts.rest}")
    for owner, keys in parts.keys.items():
        with owning(url, its_url, owner):
            _restore_part(backup, its_url, say, "--section=post-data", f"--use-list={keys}")
    if parts.comments is not None:
        _restore_part(backup, url, say, "--section=post-data", f"--use-list={parts.comments}")


def _restore_definitions(backup: BackupFolder, url: str, say: Say) -> None:
    """Restore the definitions on a server of another version, without what only the other one knows."""
    with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
        script = write_script(backup, Path(folder), ["--section=pre-data"], url, say)
        with running(["psql", "--no-psqlrc", "--quiet", "--output=/dev/null", f"--file={script}"], url) as process:
            finish(process, say, "restoring")


def write_script(backup: BackupFolder, folder: Path, options: Sequence[str], url: str, say: Say) -> Path:
    """Write a backup, or a part of it, as a script that PostgreSQL 15 and later take; return the file.

    Raises:
        ProgramFailed: pg_restore fails.
    """
    raw, tamed = folder / "raw.sql", folder / "dump.sql"
    with running(["pg_restore", *options, f"--file={raw}", str(backup.dump)], url, connects=False) as process:
        finish(process, say, "reading the dump")
    with raw.open(encoding="utf-8") as lines, open(tamed, "w", encoding="utf-8", opener=private_files.opener) as kept:
        copying = False
        for line in lines:
            if copying or not _FOREIGN.fullmatch(line):
                kept.write(line)
            copying = line != "\\.\n" if copying else bool(_COPY.fullmatch(line))
    raw.unlink()
    return tamed


def major(version: int) -> int:
    """Return the first part of a server's version number."""
    return version // 10000


def _version(url: str) -> int:
    with Database(url=url).connect("gonogo/restore") as connection:
        return connection.info.server_version
