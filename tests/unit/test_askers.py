"""The checks of a watch are asked one after the other, and those that are not slow never wait for one that is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from support.plans import START

from gonogo.core.engine.verdict import Measurement
from gonogo.run import askers
from gonogo.run.askers import Askers

Answer = Callable[[], Measurement]


class Line:
    """A connection that can be cut."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Desk:
    """Checks with the answers that a test gives them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Answer) -> None:
        self.asked: list[str] = []
        self.lines: list[Line] = []

        def measure(_plan: object, name: str, _environment: object, connection: Line, _before: object) -> Measurement:
            self.asked.append(name)
            self.used = connection
            return answers[name]()

        monkeypatch.setattr(askers, "measure", measure)
        database: Any = SimpleNamespace(connect=self._connect)
        session: Any = SimpleNamespace(plan=None, database=database, name="gonogo/run/1")
        self.askers = Askers(session, tuple(answers), {}, SimpleNamespace())  # type: ignore[arg-type]
        self.over = threading.Event()

    def _connect(self, _: str) -> Line:
        self.lines.append(Line())
        return self.lines[-1]

    def sample(self, patience: float = 30.0) -> list[dict[str, Measurement]]:
        self.askers.ask(START)
        return [found for found in self.askers.answered(patience, self.over) if found]


def fine(name: str) -> Answer:
    return lambda: Measurement(check=name, numbers={"value": "1"})


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**answers: Answer) -> Desk:
        made.append(Desk(monkeypatch, **answers))
        return made[-1]

    yield make
    for each in made:
        each.askers.close()


def test_quick_checks_are_asked_in_their_order_and_are_one_sample(desk: Callable[..., Desk]) -> None:
    here = desk(a=fine("a"), b=fine("b"), c=fine("c"))
    assert [list(found) for found in here.sample()] == [["a", "b", "c"]]
    assert here.asked == ["a", "b", "c"]
    assert here.askers.all_since(START - timedelta(seconds=1))
    assert not here.askers.all_since(START)


def test_a_slow_check_keeps_no_other_waiting_and_its_answer_counts_when_it_comes(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(askers, "_SLOW", 0.02)
    gate = threading.Event()

    def slow() -> Measurement:
        assert gate.wait(30)
        return fine("slow")()

    here = desk(slow=slow, quick=fine("quick"))
    assert [list(found) for found in here.sample(patience=0.0)] == [["quick"]]
    assert [list(found) for found in here.sample(patience=0.0)] == [["quick"]], "the slow one is not asked twice at once"
    gate.set()
    here.over.set()
    assert "slow" in {name for found in here.sample() for name in found}
    assert here.asked.count("slow") <= 2


def test_a_connection_that_was_cut_off_is_no_answer_and_the_check_is_asked_again(desk: Callable[..., Desk]) -> None:
    turns = iter((True, False))

    def cut() -> Measurement:
        if next(turns):
            here.used.close()
            return Measurement(check="a", error="the connection is closed")
        return fine("a")()

    here = desk(a=cut)
    assert here.sample()[0]["a"].numbers == {"value": "1"}
    assert here.asked == ["a", "a"]
    assert len(here.lines) == 2
