"""What a person can say to a run with a button: the words that a button, a page and a message have for it."""

from __future__ import annotations

from gonogo.core.engine.decide import open_items
from gonogo.core.engine.events import Event, PeopleAsked
from gonogo.core.engine.state import CHANGING, State
from gonogo.core.model.people import GO, NO_GO
from gonogo.core.plan.plan import Plan
from gonogo.core.text.next_commands import items_to_confirm

#: a confirmation names its item behind this
CONFIRM = "confirm "
ACKNOWLEDGE, HOLD, ROLL_BACK = "acknowledge", "hold", "roll back"
_TITLES = {GO: "Go", NO_GO: "No-go", ACKNOWLEDGE: "Acknowledge", HOLD: "Hold", ROLL_BACK: "Roll back"}
#: those that stop something
STOPS = frozenset({NO_GO, HOLD, ROLL_BACK})
#: a message has room for so many items
_FEW = 3


def title_of(act: str) -> str:
    """Return what stands on the button."""
    return f"Confirm {act.removeprefix(CONFIRM)}" if act.startswith(CONFIRM) else _TITLES[act]


def acts_on(plan: Plan, event: Event, after: State) -> tuple[str, ...]:
    """Return what the people who read of an event can say to it.

    Args:
        plan: the run's plan.
        event: what happened.
        after: where the run stands now.
    """
    acts: list[str] = []
    if isinstance(event.body, PeopleAsked):
        phase = plan.phases[after.phase]
        acts += [GO, NO_GO] if event.body.at_gate and phase.approve is not None else []
        items = open_items(after, phase.before) if event.body.at_gate else items_to_confirm(plan, after)
        acts += [f"{CONFIRM}{item}" for item in items[:_FEW]]
    if after.alarm is not None and after.alarm.seq == event.seq:
        acts.append(ACKNOWLEDGE)
    return tuple(acts)


def acts_on_run(state: State) -> tuple[str, ...]:
    """Return what can be said to a run at any time while it goes on."""
    return (HOLD, ROLL_BACK) if state.status in CHANGING and not state.held else ()
