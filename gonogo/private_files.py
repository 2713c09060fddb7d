"""Files that only this account may read: keys, passwords, backups."""

from __future__ import annotations

import os
from pathlib import Path


def opener(name: str, flags: int) -> int:
    """Open a file for `open()`, made with permissions 0600 where it is new."""
    return os.open(name, flags, 0o600)


def write(file: Path, text: str) -> None:
    """Write a private file, and see that it is on the disk."""
    with open(file, "w", encoding="utf-8", opener=opener) as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())


def write_password(folder: Path, password: str) -> Path:
    r"""Write a password file as libpq reads it (PGPASSFILE), for every server; return it.

    Args:
        folder: where.
        password: as it is; `\\` and `:` are escaped (PostgreSQL's manual, "The Password File").
    """
    file = folder / "pgpass"
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    write(file, f"*:*:*:*:{escaped}\n")
    return file
