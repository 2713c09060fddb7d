"""Durations and offsets as people write them: `15m`, `1h30m`, `T+2h`."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+", re.ASCII)


def parse_duration(text: object) -> timedelta:
    """Read `15m`, `90s`, `1h30m`, `3d`.

    Raises:
        ValueError: a number without a unit, or anything else.
    """
    if isinstance(text, timedelta):
        return text
    compact = text.replace(" ", "") if isinstance(text, str) else ""
    if not _WHOLE.fullmatch(compact):
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 500ms, 30s, 15m, 2h or 3d")
    try:
        return timedelta(seconds=sum(float(n) * UNITS[unit] for n, unit in _PART.findall(compact)))
    except OverflowError:
        raise ValueError(f"{compact[:40]!r} is longer than any migration") from None


def write_duration(value: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same again: `1209600s`, `0.5s`."""
    return f"{value.total_seconds():f}".rstrip("0").rstrip(".") + "s"


def parse_offset(text: object) -> timedelta:
    """Read an offset from the start of the phase: `T+15m`.

    Raises:
        ValueError: anything else.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not text.startswith("T+"):
        raise ValueError(f"{text!r} is not an offset: write T+ and a duration, such as T+15m")
    return parse_duration(text[2:])


def say_duration(value: timedelta | float) -> str:
    """Write a duration for people: `1h 05m`, `12m 30s`, `4.2s`, `180ms`."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return "-" + say_duration(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h {minutes:02}m" if minutes else f"{hours}h"
    return f"{minutes}m {rest:02}s" if rest else f"{minutes}m"
