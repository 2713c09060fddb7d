"""Wait for what another process, or a thread, does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def until(what: Callable[[], _T], seconds: float = 400) -> _T:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"it does not come within {seconds:g} s"
        time.sleep(0.02)
    return found
