"""What several benchmarks do: time something, run one of PostgreSQL's programs, and tell nobody."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from gonogo.postgres import embedded


def quietly(_: str) -> None:
    """Tell nobody."""


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def run(*command: object) -> None:
    """Run one of PostgreSQL's programs."""
    subprocess.run([str(embedded.program(str(command[0]))), *map(str, command[1:])], check=True, stdout=subprocess.DEVNULL)
