"""Moments as people read them: in the schedule's zone, with their day where that is another one."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clock(when: datetime, zone: str, today: datetime | None = None) -> str:
    """Write a clock time in a zone: `19:41 CEST`, and with its day where that is another one: `Sat 2 Jan 19:41 CET`.

    Args:
        when: the moment.
        zone: the zone.
        today: the moment at which it is read; None where the day stands beside it.
    """
    local = when.astimezone(ZoneInfo(zone))
    read = today.astimezone(ZoneInfo(zone)) if today is not None else local
    day = "" if local.date() == read.date() else f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} "
    year = f"{local.year} " if day and local.year != read.year else ""
    return f"{day}{year}{local:%H:%M} {local.tzname()}"


def moment(when: datetime, zone: str) -> str:
    """Write a moment with its day, for what is read later: `2025-10-12 21:41 CEST`."""
    return f"{when.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
