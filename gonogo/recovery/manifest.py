"""A backup on disk: its files, and what it says of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from gonogo.errors import StepError

MANIFEST = "manifest.json"


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


class _Manifest(BaseModel):
    """What a backup says of itself."""

    taken_at: AwareDatetime
    seconds: float
    server: int
    database: str
    system: str
    snapshot: str
    tables: dict[str, str]
    without_rows: list[str]
    sequences: dict[str, int]
    schema_: dict[str, str] = Field(alias="schema")
    uncovered: list[str]
    roles: list[str]
    files: dict[str, dict[str, str | int]]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a backup says of itself; its files are not looked at.

    Raises:
        BackupFailed: it says nothing that gonogo writes.
    """
    try:
        raw = (folder / MANIFEST).read_text(encoding="utf-8")
        _Manifest.model_validate_json(raw)
        return dict(json.loads(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole of it"
        raise BackupFailed(f"{folder / MANIFEST} is damaged: {where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise BackupFailed(f"{folder} is no backup: {error}") from None


def read(folder: Path) -> Backup:
    """Return a backup from disk, once each of its files is seen to be what it was.

    Raises:
        BackupFailed: a file is missing, or was changed.
    """
    manifest = read_manifest(folder)
    try:
        found, stated = sums(folder / "dump"), manifest["files"]
    except OSError as error:
        raise BackupFailed(f"{folder} is no backup: {error}") from None
    for name in sorted({*stated, *found}):
        if name not in found:
            raise BackupFailed(f"{folder / 'dump' / name} is missing")
        if stated.get(name) != found[name]:
            raise BackupFailed(f"{folder / 'dump' / name} is not what was written: its sha256 differs")
    return Backup(folder=folder, manifest=manifest)


def sums(folder: Path) -> dict[str, dict[str, object]]:
    """Return the sha256 and the size of each file of a dump."""
    made = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            made[file.name] = {"sha256": hashlib.file_digest(opened, "sha256").hexdigest(), "bytes": file.stat().st_size}
    return made
