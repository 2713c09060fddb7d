"""Files that only this account may read: keys, passwords, backups."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path


def opener(name: str, flags: int) -> int:
    """Open a file for `open()`, made with permissions 0600 where it is new."""
    return os.open(name, flags, 0o600)


def write(file: Path, text: str | Iterable[str]) -> None:
    """Write a private file, and see that it is on the disk; one that others could read is private from now on.

    Args:
        file: where.
        text: what. What comes piece by piece lies beside it until it is whole.
    """
    if isinstance(text, str):
        _write(file, [text])
        return
    part = file.with_name(f"{file.name}.part")
    try:
        _write(part, text)
        part.replace(file)
    finally:
        # one of the pieces could not be had, or the disk is full
        part.unlink(missing_ok=True)


def _write(file: Path, pieces: Iterable[str]) -> None:
    with open(file, "w", encoding="utf-8", opener=opener) as opened:
        os.fchmod(opened.fileno(), 0o600)
        opened.writelines(pieces)
        opened.flush()
        os.fsync(opened.fileno())


@contextmanager
def for_libpq(secrets: Mapping[str, str]) -> Iterator[dict[str, str]]:
    r"""Let programs of this account read an address's secrets, as long as this process lives; yield the variables that say where.

    Args:
        secrets: the values, by libpq's words for them; the password is read for every server, and without one this account's own
            file of passwords is. `\\` and `:` are escaped in it (PostgreSQL's manual, "The Password File"); others are in a
            service file ("The Connection Service File").
    """
    escaped = secrets.get("password", "").replace("\\", "\\\\").replace(":", "\\:")
    others = "".join(f"{name}={value}\n" for name, value in secrets.items() if name != "password")
    with ExitStack() as files:
        given = {"PGPASSFILE": files.enter_context(_readable(f"*:*:*:*:{escaped}\n"))} if escaped else {}
        if others:
            given |= {"PGSERVICEFILE": files.enter_context(_readable(f"[gonogo]\n{others}")), "PGSERVICE": "gonogo"}
        yield given


@contextmanager
def _readable(text: str) -> Iterator[str]:
    """Have a text in what only this account can read, and what a killed process does not leave behind; yield its path."""
    if not hasattr(os, "memfd_create") or not Path("/proc/self/fd").is_dir():
        with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
            write(Path(folder) / "kept", text)
            yield str(Path(folder) / "kept")
        return
    kept = os.memfd_create("gonogo")
    try:
        os.fchmod(kept, 0o600)
        with open(kept, "w", encoding="utf-8", closefd=False) as opened:
            opened.write(text)
        yield f"/proc/{os.getpid()}/fd/{kept}"
    finally:
        os.close(kept)
