"""An event with the state before and after it, and who tells what of each kind of body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gonogo.core.engine.events import Body, Event
from gonogo.core.engine.state import State
from gonogo.core.plan.plan import Plan

_B = TypeVar("_B", bound=Body)


@dataclass(frozen=True, slots=True)
class Scene(Generic[_B]):
    """An event, and where the run stood before and stands after it."""

    plan: Plan
    before: State
    event: Event
    after: State
    body: _B

    @property
    def actor(self) -> str:
        """Who said so."""
        return self.event.actor


class Tellers:
    """What is told of each kind of body: a function each, checked against its body's own fields."""

    def __init__(self) -> None:
        self._known: dict[type[Body], Callable[[Scene[Any]], str]] = {}

    def of(self, *bodies: type[_B]) -> Callable[[Callable[[Scene[_B]], str]], Callable[[Scene[_B]], str]]:
        """Register what is told of some bodies."""

        def register(teller: Callable[[Scene[_B]], str]) -> Callable[[Scene[_B]], str]:
            self._known.update(dict.fromkeys(bodies, teller))
            return teller

        return register

    def knows(self, body: type[Body]) -> bool:
        """Say whether anything is told of a kind of body."""
        return body in self._known

    def tell(self, plan: Plan, before: State, event: Event, after: State) -> str:
        """Return what is told of an event; nothing where it is not worth a word."""
        teller = self._known.get(type(event.body))
        return teller(Scene(plan, before, event, after, event.body)) if teller is not None else ""
