"""A backup on disk: its files, and what it says of itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gonogo.core.plan.fingerprint import Fingerprint
from gonogo.errors import StepError

MANIFEST = "manifest.json"


class BackupFailed(StepError):
    """A backup was not made, or proved nothing."""


class FileSum(BaseModel):
    """A file of a dump."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, defer_build=True)

    taken_at: AwareDatetime
    #: seconds that it took
    seconds: float = 0.0
    #: the server's version, as server_version_num
    server: int
    database: str
    system: str
    #: the transactions that it shows
    snapshot: str
    #: rows and checksum of each table
    tables: dict[str, str]
    without_rows: tuple[str, ...]
    sequences: dict[str, int]
    fingerprint: Fingerprint = Field(alias="schema")
    uncovered: tuple[str, ...]
    roles: tuple[str, ...]
    #: those of them that something belongs to, and that reach nothing beyond the data of the server
    owners: tuple[str, ...] = ()
    #: definitions that run what their owners wrote as they are made, as whoever makes them
    run_when_made: tuple[str, ...] = ()
    #: the pg_dump that wrote it: its version, and where it lies
    dumped_by: str = ""
    files: dict[str, FileSum] = {}
    #: what made it where it is no dump, as a runbook calls that, and what names it there
    provider: str = ""
    point: str = ""
    #: the newest event of the target's ledger just before: run, number, hash; what is restored from it holds that
    newest: tuple[str, int, str] | None = None


@dataclass(frozen=True, kw_only=True)
class BackupFolder:
    """A backup on disk."""

    folder: Path
    manifest: Manifest

    @property
    def dump(self) -> Path:
        """The folder that pg_dump wrote."""
        return self.folder / "dump"

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(file.bytes for file in self.manifest.files.values())


def refuse_as_superuser(run_when_made: tuple[str, ...]) -> None:
    """Refuse to make, or to read, as a superuser what would run with a superuser's rights.

    Raises:
        BackupFailed: there is such a thing.
    """
    if run_when_made:
        raise BackupFailed(
            "a superuser who makes or reads these runs what their owners wrote, with a superuser's rights:"
            f" {', '.join(run_when_made[:5])}. Let gonogo work as a role that is no superuser, or let a superuser own the"
            " functions that they call"
        )


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup says of itself; its files are not looked at.

    Raises:
        BackupFailed: it says nothing that gonogo writes.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole of it"
        raise BackupFailed(f"{folder / MANIFEST} is damaged: {where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise BackupFailed(f"{folder} is not a backup: {error}") from None


def read(folder: Path) -> BackupFolder:
    """Return a backup from disk, once each of its files is seen to be what it was.

    Raises:
        BackupFailed: a file is missing, or was changed.
    """
    manifest = read_manifest(folder)
    try:
        found, stated = sums(folder / "dump"), manifest.files
    except OSError as error:
        raise BackupFailed(f"{folder} is not a backup: {error}") from None
    for name in sorted({*stated, *found}):
        if name not in found:
            raise BackupFailed(f"{folder / 'dump' / name} is missing")
        if stated.get(name) != found[name]:
            raise BackupFailed(f"{folder / 'dump' / name} is not what was written: its sha256 differs")
    return BackupFolder(folder=folder, manifest=manifest)


def digest_of(folder: Path) -> str:
    """Return the sha256 of what a backup says of itself."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def require_same(folder: Path, digest: str) -> None:
    """Refuse a folder in which another backup lies than the one that was proved for a run; of older runs nobody knows.

    Raises:
        BackupFailed: it is another one, or is gone.
    """
    try:
        if digest and digest_of(folder) != digest:
            raise BackupFailed(f"{folder} is not the backup that was proved for this run: what it says of itself was changed")
    except OSError as error:
        raise BackupFailed(f"{folder} is not a backup: {error}") from None


def sums(folder: Path) -> dict[str, FileSum]:
    """Return the sha256 and the size of each file of a dump."""
    made = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            made[file.name] = FileSum(sha256=hashlib.file_digest(opened, "sha256").hexdigest(), bytes=file.stat().st_size)
    return made
