"""How a script waits for locks, reckoned: how long a try lasts, how long it rests, and when it gives up."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import phase, plan, script, sql, task

from gonogo import clock
from gonogo.core.model.runbook import SqlSettings
from gonogo.core.plan.plan import BRIEF_WAIT, LONG_WAIT, Script
from gonogo.postgres.lookout import Sighting
from gonogo.run.lock_patience import LockWait

LOCKS = script().model_copy(update={"locks": ("ACCESS EXCLUSIVE on orders",)})
NO_LOCK, DEADLOCK = psycopg.errors.LockNotAvailable(), psycopg.errors.DeadlockDetected()


@pytest.mark.parametrize(
    ("locks", "queues"),
    [
        ((), False),
        (("ROW EXCLUSIVE on a",), False),
        (("SHARE UPDATE EXCLUSIVE on a",), False),
        (("SHARE on a",), True),
        (("SHARE ROW EXCLUSIVE on a",), True),
        (("EXCLUSIVE on a",), True),
        (("ROW EXCLUSIVE on a", "ACCESS EXCLUSIVE on b"), True),
    ],
)
def test_a_try_is_brief_where_others_queue_behind_it(locks: tuple[str, ...], *, queues: bool) -> None:
    step = plan(phase(task(sql()))).steps[0].model_copy(update={"lock_timeout": None})
    assert step.waits_for_locks(script().model_copy(update={"locks": locks})) == (BRIEF_WAIT if queues else LONG_WAIT)
    told = step.model_copy(update={"lock_timeout": timedelta(seconds=7)})
    assert told.waits_for_locks(script().model_copy(update={"locks": locks})) == timedelta(seconds=7)


def test_a_program_is_not_tried_again_and_waits_longer() -> None:
    step = plan(phase(task(sql(LOCKS)))).steps[0].model_copy(update={"lock_timeout": None})
    assert step.waits_for_locks() == LONG_WAIT


def test_patience_is_time_unless_a_runbook_counts_attempts() -> None:
    assert SqlSettings().patience == timedelta(minutes=10)
    assert SqlSettings(attempts=3).patience is None
    assert SqlSettings.model_validate({"attempts": 3, "lock_patience": "1h"}).patience == timedelta(hours=1)
    assert (SqlSettings().tries, SqlSettings(attempts=3).tries) == (10, 3)


def tried(settings: SqlSettings, what: Script, *errors: psycopg.Error, ago: float = 0.1) -> LockWait:
    wait = LockWait(script=what, settings=settings)
    for error in errors:
        wait.failed(error, Sighting(pid=1, since=clock.monotonic() - ago))
    return wait


@given(st.floats(0.0, 60.0))
def test_where_others_queue_it_rests_many_times_as_long_as_it_waited(lasted: float) -> None:
    rest = tried(SqlSettings(), LOCKS, NO_LOCK, ago=lasted).rest()
    assert rest >= min(16 * lasted, 24.0)
    assert 0.16 <= rest <= 36.0
    assert tried(SqlSettings(), script(), NO_LOCK, ago=lasted).rest() <= 2.0, "nobody queues behind it"
    assert tried(SqlSettings(attempts=9), LOCKS, NO_LOCK, ago=lasted).rest() <= 2.0, "as before, where tries are counted"


def test_a_lock_is_waited_for_until_patience_is_over_and_anything_else_a_number_of_times() -> None:
    many = [NO_LOCK] * 50
    assert not tried(SqlSettings(), LOCKS, *many).over
    wait = tried(SqlSettings(), LOCKS, *many)
    wait.since -= 600.0
    assert wait.over
    assert not tried(SqlSettings(), LOCKS, *[DEADLOCK] * 9).over
    assert tried(SqlSettings(), LOCKS, *[DEADLOCK] * 10).over
    assert tried(SqlSettings(attempts=2), LOCKS, NO_LOCK, NO_LOCK).over


def test_time_that_it_worked_before_its_first_failure_is_no_waiting() -> None:
    wait = LockWait(script=LOCKS, settings=SqlSettings(), since=clock.monotonic() - 3600.0)
    wait.failed(NO_LOCK, Sighting(pid=1))
    assert not wait.over


def test_what_others_waited_is_the_time_between_looks_at_both_of_which_somebody_waited() -> None:
    seen = Sighting(pid=1)
    for now, behind in ((1.0, 0), (1.1, 2), (1.3, 1), (1.4, 0), (2.0, 1), (2.5, 1)):
        seen.take(now, behind)
    assert seen.others_waited == pytest.approx(0.2 + 0.5)


def test_who_is_in_the_way_is_named_and_an_autovacuum_that_does_not_give_way_is_said_to_be_one() -> None:
    wait = LockWait(script=LOCKS, settings=SqlSettings())
    seen = Sighting(pid=1, in_the_way={7: "backend 7 (?, no name), active: autovacuum: VACUUM public.a (to prevent wraparound)"})
    wait.failed(NO_LOCK, seen)
    assert "backend 7" in wait.says
    assert "does not give way" in wait.says
    wait.failed(DEADLOCK, Sighting(pid=1))
    assert wait.says == "40P01"
