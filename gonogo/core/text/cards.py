"""What a message says beside its sentences: the run's own one as a card, and the facts under what needs people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gonogo.core.engine.events import Event, PeopleAsked
from gonogo.core.engine.state import State
from gonogo.core.engine.verdict import Judgement
from gonogo.core.plan.plan import Plan
from gonogo.core.text.times import clock

#: so many numbers and names are told; the others are counted
_FEW = 6

#: a name, and what it is
Fact = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The run's own message, in parts. Each has the three marks of a text (gonogo/core/text/messages.py)."""

    head: str
    #: how far it is
    bar: str
    planned: str
    #: when it is now expected to end; empty where nothing is expected
    expected: str = ""
    #: what of each budget is used
    budgets: tuple[Fact, ...] = ()
    #: why it stands still or went back, each line marked as a quote
    why: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Its times and budgets, each with its name."""
        expected = (("Expected end", self.expected),) if self.expected else ()
        return (("Planned", self.planned), *expected, *((name.capitalize(), says) for name, says in self.budgets))

    @property
    def text(self) -> str:
        """The whole of it in lines."""
        expected = f", now expected to end {self.expected}" if self.expected else ""
        budgets = (f"{name}: {says}" for name, says in self.budgets)
        return "\n".join([self.head, self.bar, f"planned {self.planned}{expected}", *budgets, *self.why])


def facts_of(plan: Plan, event: Event, after: State) -> tuple[Fact, ...]:
    """Return what whoever is called by an event wants to know at once: who is asked, until when, what is open, the numbers.

    Args:
        plan: the run's plan.
        event: what asks people, or needs them.
        after: where the run stands now.
    """
    return tuple(_facts(plan, event, after))


def _facts(plan: Plan, event: Event, after: State) -> Iterator[Fact]:
    body = event.body
    if isinstance(body, PeopleAsked):
        phase = plan.phases[after.phase]
        if body.at_gate and phase.approve is not None:
            yield "Asked", f"{phase.approve.quorum} of {_names(plan, phase.approve.roles)}"
        if body.deadline is not None:
            yield "Until", clock(body.deadline, plan.zone, event.at)
        names = [item.item for item in phase.before] if body.at_gate else list(body.items)
        if still := [name for name in names if name not in after.gate.confirmed]:
            yield "Not confirmed yet", ", ".join(still)
    elif later := [level for level in plan.updates.escalate if level.after]:
        at = clock(event.at + later[0].after, plan.zone, event.at)
        yield "If nobody acknowledges", f"told at {at}: {_names(plan, later[0].to)}"
    judged: tuple[Judgement, ...] = getattr(body, "judged", ())
    if judged:
        more = [f"and {len(judged) - _FEW} more"] if len(judged) > _FEW else []
        yield "Numbers", "\n".join([*(f"{each.check}: {each.sentence}" for each in judged[:_FEW]), *more])


def _names(plan: Plan, asked: Iterable[str]) -> str:
    """Return how some people, or those who have some roles, are called."""
    known: dict[str, str] = {}
    for each in asked:
        holders = {name: person.name for name, person in plan.people.items() if each == name or each in person.roles}
        known |= holders or {each: each}
    names = list(known.values())
    return ", ".join([*names[:_FEW], *([f"{len(names) - _FEW} more"] if len(names) > _FEW else [])])
