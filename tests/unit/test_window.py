from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gonogo.core.model.schedule import Day, Freeze, Schedule, Window, closed

ROME = "Europe/Rome"
TICK = timedelta(microseconds=1)
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKDAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri")


def at(text: str, zone: str = ROME) -> datetime:
    """A local time, as the moment it is."""
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def window(opens: str, closes: str, *days: Day) -> Window:
    return Window(opens=opens, closes=closes, days=days or DAYS)


def freeze(begins: str, ends: str, why: str = "") -> Freeze:
    return Freeze(begins=begins, ends=ends, why=why)


def is_open(when: str | datetime, *windows: Window, zone: str = ROME) -> bool:
    return not closed(windows, (), zone, at(when, zone) if isinstance(when, str) else when)


# windows. 2025-10-06 is a Monday


EVENING, NIGHT = window("20:00", "23:30"), window("22:00", "04:00")
EDGES: list[tuple[Window, str, tuple[bool, bool, bool]]] = [
    # a window, one of its edges, and whether it is open just before it, at it and just after it
    (EVENING, "2025-10-06T20:00", (False, True, True)),
    (EVENING, "2025-10-06T23:30", (True, False, False)),
    (EVENING, "2025-10-06T00:00", (False, False, False)),
    (NIGHT, "2025-10-06T22:00", (False, True, True)),
    (NIGHT, "2025-10-07T00:00", (True, True, True)),
    (NIGHT, "2025-10-07T04:00", (True, False, False)),
    (window("22:00", "00:00"), "2025-10-06T22:00", (False, True, True)),
    (window("22:00", "00:00"), "2025-10-07T00:00", (True, False, False)),
    (window("00:00", "06:00"), "2025-10-06T00:00", (False, True, True)),
    (window("00:00", "06:00"), "2025-10-06T06:00", (True, False, False)),
    (window("00:00", "23:59"), "2025-10-06T23:59", (True, False, False)),
    # the whole day, however it is written
    (window("00:00", "00:00"), "2025-10-07T00:00", (True, True, True)),
    (window("08:00", "08:00"), "2025-10-07T08:00", (True, True, True)),
    # days: a window that crosses midnight belongs to the day on which it opens
    (window("22:00", "04:00", "fri"), "2025-10-10T22:00", (False, True, True)),
    (window("22:00", "04:00", "fri"), "2025-10-11T00:00", (True, True, True)),
    (window("22:00", "04:00", "fri"), "2025-10-11T04:00", (True, False, False)),
    (window("22:00", "04:00", "fri"), "2025-10-11T22:00", (False, False, False)),
    (window("22:00", "04:00", "fri"), "2025-10-10T04:00", (False, False, False)),
    (window("22:00", "04:00", "sun"), "2025-10-13T04:00", (True, False, False)),
    (window("22:00", "04:00", "mon"), "2025-10-13T04:00", (False, False, False)),
    (window("08:00", "08:00", "mon"), "2025-10-06T08:00", (False, True, True)),
    (window("08:00", "08:00", "mon"), "2025-10-07T08:00", (True, False, False)),
    (window("00:00", "00:00", "sat", "sun"), "2025-10-11T00:00", (False, True, True)),
    (window("00:00", "00:00", "sat", "sun"), "2025-10-12T00:00", (True, True, True)),
    (window("00:00", "00:00", "sat", "sun"), "2025-10-13T00:00", (True, False, False)),
    (window("20:00", "23:00", *WEEKDAYS), "2025-10-10T20:00", (False, True, True)),
    (window("20:00", "23:00", *WEEKDAYS), "2025-10-11T20:00", (False, False, False)),
]


@pytest.mark.parametrize(("made", "edge", "expected"), EDGES, ids=str)
def test_a_window_opens_at_its_first_moment_and_is_closed_at_its_last(
    made: Window, edge: str, expected: tuple[bool, bool, bool]
) -> None:
    moment = at(edge)
    assert tuple(is_open(when, made) for when in (moment - TICK, moment, moment + TICK)) == expected


def test_without_a_window_any_time_will_do() -> None:
    assert closed((), (), ROME, at("2025-10-06T03:00")) == ""


def test_one_of_several_windows_is_enough() -> None:
    both = (window("06:00", "08:00"), window("22:00", "23:00"))
    assert [is_open(f"2025-10-06T{hour:02}:30", *both) for hour in (5, 6, 8, 22, 23)] == [False, True, False, True, False]


def test_outside_its_windows_it_says_what_time_it_is_there_and_when_they_are() -> None:
    said = closed((EVENING, window("22:00", "04:00", "fri", "sat")), (), ROME, at("2025-10-06T12:00"))
    assert said == "it is Mon 12:00 CEST, outside the windows (every day 20:00 to 23:30; fri, sat 22:00 to 04:00)"


def test_a_window_is_of_the_schedules_zone_wherever_the_time_was_written() -> None:
    assert is_open(datetime(2025, 10, 6, 18, 30, tzinfo=UTC), EVENING)
    assert is_open(datetime(2025, 10, 7, 3, 30, tzinfo=ZoneInfo("Asia/Tokyo")), EVENING)
    assert not is_open(datetime(2025, 10, 6, 18, 30, tzinfo=UTC), EVENING, zone="UTC")


# ... when the clocks change: on 2025-10-26 they go from 03:00 back to 02:00, on 2026-03-29 from 02:00 on to 03:00


@pytest.mark.parametrize(
    ("made", "when", "expected"),
    [
        # the hour that comes twice is in the window both times
        (window("02:00", "03:00"), "2025-10-26T01:59:59+02:00", False),
        (window("02:00", "03:00"), "2025-10-26T02:00:00+02:00", True),
        (window("02:00", "03:00"), "2025-10-26T02:59:59+02:00", True),
        (window("02:00", "03:00"), "2025-10-26T02:00:00+01:00", True),
        (window("02:00", "03:00"), "2025-10-26T02:59:59+01:00", True),
        (window("02:00", "03:00"), "2025-10-26T03:00:00+01:00", False),
        # a window that closes within it closes, and opens once more
        (window("22:00", "02:30"), "2025-10-26T02:29:59+02:00", True),
        (window("22:00", "02:30"), "2025-10-26T02:30:00+02:00", False),
        (window("22:00", "02:30"), "2025-10-26T02:00:00+01:00", True),
        (window("22:00", "02:30"), "2025-10-26T02:30:00+01:00", False),
        # the hour that is left out is in no window
        (window("02:00", "03:00"), "2026-03-29T01:59:59+01:00", False),
        (window("02:00", "03:00"), "2026-03-29T03:00:00+02:00", False),
        (window("22:00", "02:30"), "2026-03-29T01:59:59+01:00", True),
        (window("22:00", "02:30"), "2026-03-29T03:00:00+02:00", False),
        (window("02:30", "06:00"), "2026-03-29T01:59:59+01:00", False),
        (window("02:30", "06:00"), "2026-03-29T03:00:00+02:00", True),
    ],
)
def test_a_window_goes_by_the_clock_on_the_wall_when_the_clocks_change(made: Window, when: str, expected: bool) -> None:
    assert is_open(when, made) is expected


# freezes


@pytest.mark.parametrize(
    ("begins", "ends", "first", "end"),
    [
        ("2025-12-24", "2025-12-26", "2025-12-24T00:00", "2025-12-27T00:00"),
        ("2025-12-24", "2025-12-24", "2025-12-24T00:00", "2025-12-25T00:00"),
        ("2025-12-31", "2025-12-31", "2025-12-31T00:00", "2026-01-01T00:00"),
        ("2025-12-24T12:00", "2025-12-26", "2025-12-24T12:00", "2025-12-27T00:00"),
        ("2025-12-24", "2025-12-26T08:00", "2025-12-24T00:00", "2025-12-26T08:00"),
        ("2025-12-24 12:00", "2025-12-24 12:01", "2025-12-24T12:00", "2025-12-24T12:01"),
        ("2025-12-24T12:00+00:00", "2025-12-24T14:00+00:00", "2025-12-24T13:00", "2025-12-24T15:00"),
        # days of 25 and of 23 hours
        ("2025-10-26", "2025-10-26", "2025-10-26T00:00+02:00", "2025-10-27T00:00+01:00"),
        ("2026-03-29", "2026-03-29", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        pytest.param(*("2025-10-26T02:30+02:00", "2025-10-26T02:10+01:00", "2025-10-26T00:30+00:00", "2025-10-26T01:10+00:00")),
    ],
)
def test_a_freeze_holds_from_its_first_moment_up_to_its_end_and_a_date_is_frozen_whole(
    begins: str, ends: str, first: str, end: str
) -> None:
    made = freeze(begins, ends)

    def frozen(when: datetime) -> bool:
        return bool(closed((), (made,), ROME, when))

    assert [frozen(at(first) + tick) for tick in (-TICK, timedelta(0), TICK)] == [False, True, True]
    assert [frozen(at(end) + tick) for tick in (-TICK, timedelta(0), TICK)] == [True, False, False]


@pytest.mark.parametrize(
    "ends",
    [
        "2025-12-26",
        "2025-W52-5",
        pytest.param("20251226"),
        pytest.param("9999-12-31"),
    ],
)
def test_the_last_day_of_a_freeze_is_frozen_however_it_is_written_unless_it_is_refused(ends: str) -> None:
    try:
        made = Schedule.model_validate({"freezes": [{"begins": "2025-12-24", "ends": ends}]})
    except ValidationError:
        return
    assert closed((), made.freezes, "UTC", at(f"{date.fromisoformat(ends)}T23:59", "UTC"))


def test_a_freeze_says_from_when_to_when_and_why() -> None:
    when = at("2025-12-25T12:00")
    assert closed((), (freeze("2025-12-24", "2025-12-26"),), ROME, when) == "a freeze holds from 2025-12-24 to 2025-12-26"
    said = closed((), (freeze("2025-12-24", "2025-12-26", "Christmas"),), ROME, when)
    assert said == "a freeze holds from 2025-12-24 to 2025-12-26: Christmas"


def test_a_freeze_holds_whatever_the_windows_say_and_is_said_first() -> None:
    frozen = (freeze("2025-01-01", "2025-01-31"), freeze("2025-10-01", "2025-10-31", "the audit"))
    assert closed((EVENING,), frozen, ROME, at("2025-10-06T21:00")).endswith("the audit")
    assert closed((EVENING,), frozen, ROME, at("2025-10-06T12:00")).endswith("the audit")
    assert closed((EVENING,), frozen, ROME, at("2025-11-06T21:00")) == ""


def test_a_freeze_is_of_the_schedules_zone() -> None:
    made, when = freeze("2025-12-24", "2025-12-24"), datetime(2025, 12, 23, 23, 30, tzinfo=UTC)
    assert closed((), (made,), ROME, when)
    assert not closed((), (made,), "UTC", when)


# any window and any time


clock_times = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
day_lists = st.lists(st.sampled_from(DAYS), min_size=1, unique=True)
moments = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)).map(lambda when: when.replace(tzinfo=UTC))  # noqa: DTZ001


@given(clock_times, clock_times, day_lists, moments)
def test_a_window_and_the_one_from_its_end_to_its_beginning_are_never_open_together(
    opens: str, closes: str, days: list[Day], when: datetime
) -> None:
    here, rest = Window(opens=opens, closes=closes), Window(opens=closes, closes=opens)
    assert is_open(when, here) != is_open(when, rest) or opens == closes
    if is_open(when, Window(opens=opens, closes=closes, days=tuple(days))):
        assert is_open(when, here), "fewer days never open a window"


@given(clock_times, clock_times, st.integers(0, 6), st.integers(0, 24 * 60 - 1))
def test_a_window_of_one_day_is_open_for_its_length_from_that_day_on(opens: str, closes: str, day: int, minute: int) -> None:
    first = datetime(2025, 10, 6, tzinfo=UTC) + timedelta(days=day)
    begins = first.replace(hour=int(opens[:2]), minute=int(opens[3:]))
    ends = first.replace(hour=int(closes[:2]), minute=int(closes[3:]))
    ends += timedelta(days=ends <= begins)
    made = Window(opens=opens, closes=closes, days=(DAYS[day],))
    for days in (-1, 0, 1, 2):
        when = first + timedelta(days=days, minutes=minute)
        assert is_open(when, made, zone="UTC") == (begins <= when < ends)


# bad values


@pytest.mark.parametrize(
    "text",
    [
        "25:00",
        "24:00",
        "20:60",
        "8:00",
        "2000",
        "20:30:00",
        " 20:30",
        "20:30\n",
        "noon",
        "",
        "T20:30",
        "20:30Z",
        20,
        None,
    ],
)
def test_what_is_no_clock_time_opens_and_closes_nothing(text: Any) -> None:
    for end in ("opens", "closes"):
        with pytest.raises(ValidationError, match=r"clock time|valid string"):
            Window.model_validate({end: text})


def test_a_clock_time_is_written_with_plain_digits() -> None:
    with pytest.raises(ValidationError, match="clock time"):
        Window.model_validate({"opens": "1٣:00"})


@pytest.mark.parametrize("days", [[], ["monday"], ["Mon"], "mon", ["mon", 3], [None]])
def test_days_are_of_the_seven_there_are(days: Any) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate({"days": days})


@pytest.mark.parametrize(
    ("begins", "ends", "message"),
    [
        ("2025-12-26", "2025-12-24", r"the freeze ends \(2025-12-24\) before it begins \(2025-12-26\)"),
        ("2025-12-25", "2025-12-24", "before it begins"),
        ("2025-12-24T12:00", "2025-12-24T12:00", "before it begins"),
        ("2025-12-24T12:00", "2025-12-24T11:59", "before it begins"),
        ("2025-12-24", "2025-12-24T00:00", "before it begins"),
        ("soon", "2025-12-24", "'soon' is not a date and time"),
        ("2025-12-24", "2025-12-32", "'2025-12-32' is not a date and time"),
        ("2025-12-24", "", "'' is not a date and time"),
        ("2026-03-29T02:30", "2026-03-30", "does not exist in Europe/Rome"),
        ("2025-10-26T02:30", "2025-10-27", "exists twice in Europe/Rome"),
        ("2025-10-01", "2025-10-26T02:30", "exists twice in Europe/Rome"),
    ],
)
def test_a_freeze_that_cannot_be_is_refused(begins: str, ends: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Schedule.model_validate({"zone": ROME, "freezes": [{"begins": begins, "ends": ends}]})


@pytest.mark.parametrize(
    "body", [{"begins": "2025-12-24"}, {"ends": "2025-12-24"}, {"begins": "2025-12-24", "ends": 20251226}, {}]
)
def test_a_freeze_has_both_ends(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Freeze.model_validate(body)


def test_a_schedule_says_nothing_of_windows_unless_it_has_some() -> None:
    assert (Schedule().windows, Schedule().freezes, Schedule().override) == ((), (), ())
