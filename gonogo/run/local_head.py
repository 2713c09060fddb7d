"""The newest event of a run that a process of this project recorded: kept beside the ledger, and not in it.

A ledger can go back with its whole server (a failover to a standby that lags, a restore), and its newest events can be removed
by hand. Neither shows in the ledger itself; here it does, as far as this project's folder knows the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gonogo.ledger.continuity import NOTHING_KNOWN, Mark, holds, moment_of
from gonogo.postgres.connection import Connection


def local_head(state_folder: Path, run: str) -> LocalHead:
    """Return where a project's folder of state keeps the newest event of a run."""
    return LocalHead(file=state_folder / "heads" / f"{run}.json")


@dataclass(kw_only=True)
class LocalHead:
    """The file that keeps it; a run has one."""

    #: nothing is kept without one
    file: Path | None
    _descriptor: int | None = field(default=None, repr=False)

    def read(self) -> tuple[Mark, str, int, dict[Mark, tuple[int, int]]]:
        """Return the newest event, where and how far the server was, and the events that acted beyond it."""
        try:
            if self.file is None:
                return NOTHING_KNOWN, "", 0, {}
            said = json.loads(self.file.read_text(encoding="utf-8"))
            newest = (int(said["seq"]), int(said["at_us"]))
            origin, position = str(said["origin"]), int(said["position"])
            beyond = {(int(a), int(b)): (int(c), int(d)) for a, b, c, d in said["beyond"]}
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # there is none, or the machine went down as it was written
            return NOTHING_KNOWN, "", 0, {}
        return newest, origin, position, beyond

    def note(self, newest: Mark, origin: str, position: int, beyond: Mapping[Mark, tuple[int, int]]) -> None:
        """Keep the newest event. What cannot be written is left out: it is a second look, and no run waits for it."""
        if self.file is None:
            return
        listed = [[*mark, *what] for mark, what in beyond.items()]
        text = json.dumps({"seq": newest[0], "at_us": newest[1], "origin": origin, "position": position, "beyond": listed})
        try:
            if self._descriptor is None:
                self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._descriptor, text.encode(), 0)
            os.ftruncate(self._descriptor, len(text))
        except OSError:
            return

    def missing_in(self, connection: Connection, run: str) -> str:
        """Say which event was recorded from here and is not in the ledger, or nothing."""
        newest, _, _, _ = self.read()
        if newest == NOTHING_KNOWN or holds(connection, run, newest):
            return ""
        return f"the ledger lacks event {newest[0]}, which was recorded from here at {moment_of(newest):%Y-%m-%d %H:%M:%S} UTC"

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
