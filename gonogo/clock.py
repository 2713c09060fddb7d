"""The only place that asks what time it is, or waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall-clock time, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds on a clock that no one can set, for durations."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait for some seconds."""
    time.sleep(max(0.0, seconds))
