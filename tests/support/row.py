"""Whole runs of the tests in a row, one after the other: `uv run python tests/support/row.py [TIMES] [LOADED]`.

A line each; the first that fails ends the row. The first LOADED of them run beside processes that take every core. The machine
should do nothing else: what else runs is load, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BUSY = "while True: pass"


@contextmanager
def beside(processes: int) -> Iterator[None]:
    """Let some processes take a core each meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> int:
    """Run the tests again and again, and say how each run ended."""
    times, loaded = (int(word) for word in (*sys.argv[1:3], *("10", "3")[len(sys.argv) - 1 :]))
    for number in range(1, times + 1):
        began, load = time.monotonic(), os.cpu_count() or 1
        with beside(load if number <= loaded else 0):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
            )
        how = " beside a load of every core" if number <= loaded else ""
        print(f"{number}{how}: {done.stdout.strip().splitlines()[-1]} ({time.monotonic() - began:.0f} s)", flush=True)
        if done.returncode:
            print(done.stdout)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
