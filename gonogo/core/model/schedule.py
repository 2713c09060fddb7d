"""When a run may begin, and when it must have ended: the schedule, its windows and its freezes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from gonogo.core.model.duration import parse_offset
from gonogo.core.model.fields import Duration, Names, Part

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = get_args(Day)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone: write one such as Europe/Rome or UTC") from None
    return name


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII):
        raise ValueError(f"{text!r} is not a clock time: write one such as 20:30")
    return text


ClockTime = Annotated[str, AfterValidator(_clock_time)]


class Window(Part):
    """A stretch of the week in which phases may start."""

    days: tuple[Day, ...] = Field(default=_DAYS, description="The days on which it opens.", min_length=1)
    opens: ClockTime = Field(default="00:00", description="When it opens, in the schedule's zone.")
    closes: ClockTime = Field(default="00:00", description="When it closes; at or before `opens`, on the next day.")

    def holds(self, local: datetime) -> bool:
        """Say whether a local time lies in it."""
        opens, closes = time.fromisoformat(self.opens), time.fromisoformat(self.closes)
        today, yesterday = (_DAYS[(local.weekday() - back) % 7] in self.days for back in (0, 1))
        if opens < closes:
            return today and opens <= local.time() < closes
        return (today and local.time() >= opens) or (yesterday and local.time() < closes)

    def __str__(self) -> str:
        days = "every day" if len(self.days) == 7 else ", ".join(self.days)
        return f"{days} {self.opens} to {self.closes}"


class Budgets(Part):
    """How long things may take in all, over every phase; what is used is counted while the run goes on."""

    downtime: Duration | None = Field(
        default=None,
        description="How long people may be locked out: while a task with `downtime: true` is under way, and while a script holds"
        " ACCESS EXCLUSIVE on a table that was there before. A phase that would go beyond it is no-go; a run that has gone"
        " beyond it holds.",
    )
    rollback: Duration | None = Field(
        default=None,
        description="How long rolling back may take: where the rehearsal took longer, the gate is no-go; where rolling back does,"
        " people are told, and it goes on.",
    )


def opening(at: str, begins: datetime, zone: str) -> datetime:
    """Return when a phase may start: so long after the start of the run, or at a local time.

    Raises:
        ValueError: it is neither.
    """
    return begins + parse_offset(at) if at.startswith("T") else local_time(at, zone)


class Freeze(Part):
    """A stretch of time in which no phase may start."""

    begins: str = Field(description="A local date, or a date and time.")
    ends: str = Field(description="A local date, which then is frozen too, or a date and time.")
    why: str = Field(default="", description="Why; shown to those who try to launch.")

    def span(self, zone: str) -> tuple[datetime, datetime]:
        """Return its begin and its end.

        Raises:
            ValueError: one of them is no time, or it ends before it begins.
        """
        begins, ends = _day_or_time(self.begins, zone), _day_or_time(self.ends, zone)
        if not re.search(r"[T ]\d", self.ends):
            try:
                ends += timedelta(days=1)
            except OverflowError:
                raise ValueError(f"{self.ends} is beyond the calendar") from None
        if ends.astimezone(UTC) <= begins.astimezone(UTC):
            raise ValueError(f"the freeze ends ({self.ends}) before it begins ({self.begins})")
        return begins, ends


def _day_or_time(text: str, zone: str) -> datetime:
    """Read a date, or a date and time; where clocks skip its midnight, a date begins after that."""
    try:
        return local_time(text, zone)
    except ValueError:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise
        with suppress(ValueError):
            return local_time(f"{text}T01:00", zone)
        raise


class Schedule(Part):
    """When a run starts, and when it must have ended."""

    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="The zone that its clock times are written in."
    )
    start: str = Field(default="now", description="`now`, or a local date and time such as 2025-10-12T18:53 in that zone.")
    end_by: str = Field(
        default="",
        description="The time by which it must have ended: 23:00, or a date and time. A gate after it is no-go.",
    )
    windows: tuple[Window, ...] = Field(default=(), description="When phases may start; at any time without one.")
    freezes: tuple[Freeze, ...] = Field(default=(), description="When no phase may start, whatever the windows say.")
    repeat: Annotated[str, Field(pattern=r"^$|^\S+ \S+ \S+ \S+ \S+$")] = Field(
        default="",
        description="When its deployment in the control room runs it again, as cron writes it: `0 3 * * *`. Switch it on there.",
    )
    override: Names = Field(
        default=(),
        description="The people, or the roles, that may start a phase outside the windows or beyond its budgets, with a reason.",
    )

    @model_validator(mode="after")
    def _times_exist(self) -> Schedule:
        if self.start != "now":
            local_time(self.start, self.zone)
        if self.end_by and not re.fullmatch(r"\d\d:\d\d", self.end_by):
            local_time(self.end_by, self.zone)
        elif self.end_by:
            time.fromisoformat(self.end_by)
        for freeze in self.freezes:
            freeze.span(self.zone)
        return self


def closed(windows: Sequence[Window], freezes: Sequence[Freeze], zone: str, now: datetime) -> str:
    """Say why no phase may start now, or nothing where one may.

    Args:
        windows: when phases may start.
        freezes: when they may not.
        zone: the zone that their times are written in.
        now: the time.
    """
    local = now.astimezone(ZoneInfo(zone))
    for freeze in freezes:
        begins, ends = freeze.span(zone)
        if begins.astimezone(UTC) <= now.astimezone(UTC) < ends.astimezone(UTC):
            return f"a freeze holds from {freeze.begins} to {freeze.ends}" + (f": {freeze.why}" if freeze.why else "")
    if windows and not any(window.holds(local) for window in windows):
        return f"it is {local:%a %H:%M %Z}, outside the windows ({'; '.join(map(str, windows))})"
    return ""


def local_time(text: str, zone: str) -> datetime:
    """Read a local date and time in a zone.

    Raises:
        ValueError: it has no such form, or does not exist there, or exists twice (when clocks change).
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is not None:
            return when.astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date and time: write one such as 2025-10-12T18:53") from None
    first, second = (when.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        if first.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != when:
            raise ValueError(f"{text} does not exist in {zone}: the clocks go forward over it")
        raise ValueError(f"{text} exists twice in {zone}: the clocks go back; add an offset such as {text}+02:00")
    return first
