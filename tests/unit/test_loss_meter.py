"""What is told of the loss of a rollback says how it is known, also where not all of it could be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from support.plans import AStep, phase, plan, script, sql, task
from support.world import World

from gonogo import clock
from gonogo.core.engine.events import Kind, UndoDone
from gonogo.core.plan.plan import Plan
from gonogo.errors import RowsWritten
from gonogo.recovery import data_loss
from gonogo.recovery.measured_loss import CannotMeasure, ScriptRefused, TouchedMore, UndoScript
from gonogo.run import losses
from gonogo.run.losses import AS_IT_RUNS, MEASURED, LossMeter, added

SINCE = "7:7:"


class Session:
    """A session on no server."""

    run, connection = "run", SimpleNamespace(execute=lambda *_: None)

    def __init__(self, made: Plan, text: str = "DELETE FROM t") -> None:
        self.plan, self.said = made, list[str]()
        self.texts = {s.sha256: text for step in made.steps for s in (*step.scripts, *(step.undo or ()))}
        self.ran: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def limits(self, _step: object, _script: object) -> str:
        return ""

    def lost(self, _: object) -> bool:
        return False

    def leaving_nothing(self) -> Any:
        return nullcontext()

    def run_script(self, _step: object, _script: object, body: UndoDone, *, guard: str) -> UndoDone:
        self.ran.append(guard)
        return body


Make = Callable[..., tuple[LossMeter, World, Session]]


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(data_loss, "since_step", lambda *_: SINCE)
    monkeypatch.setattr(losses, "transaction", lambda *_, **__: nullcontext())
    monkeypatch.setattr(clock, "sleep", lambda _: None)

    def make(
        measured: Callable[[Sequence[UndoScript]], list[dict[str, int]]], made: Plan | None = None, text: str = "DELETE FROM t"
    ) -> Any:
        made = made or plan(phase(task(sql(), sql())))
        world = World(plan=made)
        world.launch()
        world.go_on()
        world.tell(Kind.ROLL_BACK, "ben")
        session: Any = Session(made, text)

        def measure(_c: object, _r: str, undos: Sequence[UndoScript], **_: object) -> Any:
            return measured(undos), [{n: "EXCLUSIVE"} for n in range(len(undos))]

        monkeypatch.setattr(losses, "measure", measure)
        return LossMeter(session=session), world, session

    return make


def test_each_step_is_told_with_the_rows_that_its_own_undo_destroys(meter: Make) -> None:
    found, world, _ = meter(lambda undos: [{"t": n} for n in range(len(undos))])
    assert [(each.step, dict(each.rows), each.how) for each in found.count(world.state, 1)] == [
        (1, {"t": 0}, MEASURED),
        (0, {"t": 1}, MEASURED),
    ]


def test_where_a_script_is_refused_beforehand_what_comes_before_it_is_measured_all_the_same(meter: Make) -> None:
    def measured(undos: Sequence[UndoScript]) -> list[dict[str, int]]:
        if len(undos) > 1:
            raise ScriptRefused("other objects depend on it", 1)
        return [{"t": 2}]

    found, world, session = meter(measured)
    first, second = found.count(world.state, 1)
    assert (dict(first.rows), first.how) == ({"t": 2}, MEASURED)
    assert second.how == f"{AS_IT_RUNS}: other objects depend on it"
    assert "part of what the rollback destroys is measured only as each undo runs" in session.said[0]


@pytest.mark.parametrize(
    "error", [CannotMeasure("no"), psycopg.errors.LockNotAvailable("no"), psycopg.errors.QueryCanceled("no")]
)
def test_what_cannot_be_measured_beforehand_is_measured_as_it_runs(meter: Make, error: Exception) -> None:
    def measured(_: object) -> list[dict[str, int]]:
        raise error

    found, world, _ = meter(measured)
    assert {each.how.split(":")[0] for each in found.count(world.state, 1)} == {AS_IT_RUNS}


def test_rows_that_the_role_may_not_read_are_not_called_measured(meter: Make) -> None:
    found, world, _ = meter(lambda undos: [{"t": -1} for _ in undos])
    assert {each.how for each in found.count(world.state, 1)} == {f"{MEASURED}, but for what the role may not read"}


@pytest.mark.parametrize(
    "text", ["SELECT setval('s', 1)", "copy t TO PROGRAM 'cat'", "SELECT dblink_exec('x')", "SELECT pg_cancel_backend(1)"]
)
def test_what_no_transaction_takes_back_is_not_tried(meter: Make, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(losses, "rows_at_risk", lambda *_: ({"t": 4}, "estimated"))
    monkeypatch.setattr(data_loss, "expand", lambda *_: [])
    found, world, session = meter(lambda _: pytest.fail("it was tried"), text=text)
    told = found.count(world.state, 1)
    assert [dict(each.rows) for each in told] == [{"t": 4}, {"t": 4}]
    assert "has effects that no rollback of its transaction undoes" in told[0].how
    step = world.plan.steps[1]
    done: Any = found.undo(world.state, 1, 0, (step.undo or ())[0], UndoDone(step=1, last=True))
    assert dict(done.lost) == {"t": 4}, "what was estimated is what the report says"
    assert session.ran == [""]


def test_statements_that_refuse_a_transaction_are_tried_as_they_may_run_in_one(meter: Make) -> None:
    alone = script(0, alone=True).model_copy(update={"act": "drop index"})
    texts: list[str] = []

    def measured(undos: Sequence[UndoScript]) -> list[dict[str, int]]:
        texts.extend(undo.text for undo in undos)
        return [{} for _ in undos]

    made = plan(phase(task(AStep(scripts=(script(0),), undo=(alone,)))))
    found, world, _ = meter(measured, made, "DROP INDEX CONCURRENTLY i")
    assert [each.how for each in found.count(world.state, 0)] == [MEASURED]
    assert [" ".join(text.split()) for text in texts] == ["DROP INDEX i"]


def test_an_undo_that_touches_another_table_each_time_is_refused(meter: Make) -> None:
    found, world, session = meter(lambda undos: [{} for _ in undos])
    found.count(world.state, 1)
    tries: list[object] = []

    def run_undo(*given: object) -> None:
        tries.append(given[4])
        raise TouchedMore(["public.u"])

    session.run_undo = run_undo  # type: ignore[attr-defined]
    with pytest.raises(RowsWritten) as refused:
        found.undo(world.state, 1, 0, (world.plan.steps[1].undo or ())[0], UndoDone(step=1, last=True))
    assert refused.value.rows == {"public.u": -1}
    assert [known is None for known in tries] == [False, True], "first as it was seen, then looked at again"


def test_a_number_that_cannot_be_known_stays_so_in_a_sum() -> None:
    assert added({"t": 1, "u": -1}, {"t": 2, "u": 5, "v": 3}) == {"t": 3, "u": -1, "v": 3}
