"""The pace of a backfill: what it makes of what is seen beside it, and of what people say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import event
from support.plans import backfill, phase, plan, sql, task

from gonogo.core.engine.events import Kind
from gonogo.core.engine.evolve import evolve, fold
from gonogo.core.engine.pace import Look, Pacer
from gonogo.core.engine.state import State
from gonogo.core.engine.work import WorkState
from gonogo.core.model.step import Pace
from gonogo.core.text.messages import headline
from gonogo.core.text.steps import say_stopped

GUARDED, FLAT = Pace(), Pace(mode="flat out")
NOBODY = WorkState()


def looks(pacer: Pacer, count: int, **seen: object) -> None:
    for number in range(count):
        pacer.look(Look(number=pacer._seen + 1 + number, **seen), NOBODY)  # type: ignore[arg-type]


@given(st.integers(1, 5000), st.floats(0.0, 5.0), st.lists(st.floats(0.0, 1.0), max_size=30))
def test_a_guarded_pace_stays_within_its_bounds(most: int, took: float, reads: list[float]) -> None:
    pacer = Pacer(pace=GUARDED, most=most)
    for number, read in enumerate(reads):
        pacer.look(Look(number=number, idle=0.001, read=read), NOBODY)
        pacer.took(pacer.size, took)
        assert max(1, round(most / 10)) <= pacer.size <= most
        assert 0 <= pacer.rest(pacer.size, took, NOBODY) <= 10


def test_it_rests_longer_while_calls_are_slowed_and_less_while_they_are_not() -> None:
    pacer = Pacer(pace=GUARDED, most=1000)
    first = pacer.rest(100, 0.01, NOBODY)
    looks(pacer, 5, idle=0.001, read=0.002)
    slowed = pacer.rest(100, 0.01, NOBODY)
    assert slowed > 2 * first
    looks(pacer, 60, idle=0.001, read=0.0011)
    assert pacer.rest(100, 0.01, NOBODY) == pytest.approx(0.0)


def test_one_look_is_acted_upon_once() -> None:
    pacer = Pacer(pace=GUARDED, most=1000)
    for _ in range(10):
        pacer.look(Look(number=3, idle=0.001, read=0.9), NOBODY)
    assert pacer.share == pytest.approx(0.3 * 0.8)


def test_the_bound_is_the_share_that_the_runbook_names() -> None:
    for allowed, rests_longer in (("25%", True), ("300%", False)):
        pacer = Pacer(pace=Pace(slows_others=allowed), most=1000)
        before = pacer.share
        looks(pacer, 1, idle=0.010, read=0.020)
        assert (pacer.share < before) == rests_longer


def test_batches_that_take_too_long_become_smaller_and_those_that_do_not_larger() -> None:
    pacer = Pacer(pace=Pace(batch_takes=timedelta(milliseconds=20)), most=1000)
    assert pacer.size == 100
    pacer.took(100, 0.002)
    assert pacer.size == 150
    pacer.took(150, 0.2)
    assert pacer.size == 100, "a tenth of the largest is the smallest"
    for _ in range(9):
        pacer.took(pacer.size, 0.001)
    assert pacer.size == 1000
    pacer.took(1000, 0.04)
    assert pacer.size == 500
    pacer.took(7, 0.0001)
    assert pacer.size == 500, "the last batch of a table says nothing"


def test_batches_that_take_long_whatever_their_size_do_not_become_ever_more() -> None:
    # as on a busy machine, or where a commit waits for a standby
    pacer = Pacer(pace=GUARDED, most=1000)
    for _ in range(50):
        pacer.took(pacer.size, 0.5)
    assert pacer.size == 100


def test_a_fixed_pace_rests_as_it_says_and_one_that_goes_flat_out_does_not() -> None:
    fixed = Pacer(pace=Pace(mode="fixed", rest=timedelta(seconds=2)), most=700)
    assert (fixed.size, fixed.rest(700, 0.1, NOBODY)) == (700, 2.0)
    assert Pacer(pace=FLAT, most=700).rest(700, 0.1, NOBODY) == 0


def test_what_people_say_counts_in_every_mode() -> None:
    for pace in (GUARDED, FLAT, Pace(mode="fixed", rest=timedelta(seconds=1))):
        pacer = Pacer(pace=pace, most=1000)
        plain = pacer.rest(1000, 0.1, NOBODY) + 0.1
        assert pacer.rest(1000, 0.1, WorkState(speed=0.5)) + 0.1 == pytest.approx(2 * plain)
        assert pacer.rest(1000, 0.1, WorkState(most_rows=100)) == pytest.approx(9.9)
        assert pacer.why_stopped(Look(), WorkState(paused="anna")) == "anna paused it"


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({"lag": 1.5}, "a standby is 1.5s behind, more than 1s"),
        ({"lag": 0.9}, ""),
        ({"archive": 51}, "51 WAL files wait to be archived, more than 50"),
        ({"archive": 50}, ""),
        ({"waiting": 6}, "6 sessions wait for locks, more than 5"),
        ({"waiting": 5}, ""),
        ({"failing": ("may: 1 is not = 0",)}, "may: 1 is not = 0"),
        ({}, ""),
    ],
)
def test_it_stops_for_what_is_seen_and_says_what(seen: dict[str, object], says: str) -> None:
    look = Look(**seen)  # type: ignore[arg-type]
    assert Pacer(pace=GUARDED, most=1).why_stopped(look, NOBODY) == says
    assert Pacer(pace=FLAT, most=1).why_stopped(look, NOBODY) == ""
    unbounded = Pace(lag=None, archive=None, waiting=None)
    assert Pacer(pace=unbounded, most=1).why_stopped(look, NOBODY) == "; ".join(look.failing)


def test_it_wants_a_vacuum_where_more_rows_are_dead_than_the_runbook_says() -> None:
    pacer = Pacer(pace=Pace(vacuum_at="20%"), most=1)
    assert pacer.wants_vacuum(Look(dead=0.21))
    assert not pacer.wants_vacuum(Look(dead=0.2))
    assert not pacer.wants_vacuum(Look())
    assert not Pacer(pace=GUARDED, most=1).wants_vacuum(Look(dead=9.0))


# what is folded


def begun() -> State:
    made = plan(phase(task(backfill(), sql())))
    return fold([event(Kind.RUN_OPENED, plan=made), event(Kind.PHASE_STARTED, seq=2), event(Kind.GO, seq=3)])


def said(*words: str, state: State | None = None) -> State:
    state = state or begun()
    for word in words:
        named = {"rows": int(word)} if word.isdecimal() else {"says": word}
        state = evolve(state, event(Kind.PACE, seq=state.seq + 1, actor="anna", **named))
    return state


def test_what_people_say_adds_up_and_as_planned_takes_it_back() -> None:
    work = said("slower", "slower", "faster", "20000").work
    assert (work.speed, work.most_rows, work.paused) == (0.5, 20000, "")
    assert said("pause").work.paused == "anna"
    assert said("pause", "go on").work.paused == ""
    assert said("pause", "faster").work.paused == "", "whoever wants it faster wants it to go on"
    assert said("slower", "7", "pause", "as planned").work == begun().work
    assert said(*["slower"] * 50).work.speed == 0.01


def test_what_people_said_of_a_backfill_ends_with_it() -> None:
    state = said("slower", "pause")
    done = evolve(state, event(Kind.DONE, seq=state.seq + 1, step=0, last=True))
    assert (done.work.step, done.work.speed, done.work.paused) == (1, 1.0, "")


def test_why_it_stopped_is_told_until_it_goes_on() -> None:
    state = begun()
    stopped = event(Kind.PACED, seq=state.seq + 1, step=0, stopped=True, why="a standby is late")
    after = evolve(state, stopped)
    made = plan(phase(task(backfill(), sql())))
    assert say_stopped(made, after).endswith("stops: a standby is late")
    assert "a standby is late" in headline(made, after, "run", stopped.at).text
    batch = event(Kind.BATCH, seq=after.seq + 1, step=0, upto=("1",), rows=1)
    assert say_stopped(made, evolve(after, batch)) == ""
