"""What to type next: for wherever a run stands, the safe commands, the first choice first. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gonogo.core.engine.decide import next_to_undo, open_items, waits_for_votes
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status, goes_further
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import asked_items, confirm_command


@dataclass(frozen=True, kw_only=True)
class NextCommand:
    """A command, and when it is the right one."""

    command: str
    when: str = ""


def next_commands(plan: Plan, state: State, *, running: bool) -> list[NextCommand]:
    """Return what to type next.

    Args:
        plan: the run's plan.
        state: where it stands.
        running: whether a process works on it.
    """
    where = plan.arguments
    if (items := items_to_confirm(plan, state)) and not state.held:
        return [NextCommand(command=confirm_command(plan, items[0]))]
    if state.status is Status.DECIDING and not state.held:
        waits = waits_for_votes(plan, state)
        return [NextCommand(command=f"gonogo go {where} --as PERSON" if waits else f"gonogo resume {where}")]
    if running:
        return [NextCommand(command=f"gonogo status {where} --watch")]
    if state.rollback.failed:
        return _after_a_failed_rollback(plan, state, where)
    if state.held and state.status is Status.ROLLING_BACK and state.rollback.loss.pending:
        return [NextCommand(command=f"gonogo rollback {where} --continue --accept-loss", when="you accept this data loss")]
    if state.status is Status.ROLLED_BACK and state.rollback.level in SWITCH_LEVELS:
        return [
            NextCommand(command=f"gonogo rollback {where} --level {level}")
            for level in state.rules.levels
            if goes_further(state, level)
        ]
    if state.status in (Status.DONE, Status.ROLLED_BACK):
        return [NextCommand(command=f"gonogo report {where}")]
    if state.status in (Status.READY, Status.NO_GO) and not state.held:
        return [NextCommand(command=f"gonogo run {where}")]
    return [NextCommand(command=f"gonogo resume {where}")]


def _after_a_failed_rollback(plan: Plan, state: State, where: str) -> list[NextCommand]:
    notes = [
        NextCommand(command=f"gonogo rollback {where} --continue", when="when the named problem is fixed: go on where it stopped")
    ]
    if state.status is Status.ROLLING_BACK and state.rollback.level == "undo" and next_to_undo(plan, state) is not None:
        notes.append(NextCommand(command=f"gonogo resume {where} --settle done", when="you have undone that by hand"))
    notes += [
        NextCommand(command=f"gonogo rollback {where} --level {level}", when=f"if not fixable: roll back by {level}")
        for level in state.rules.levels
        if goes_further(state, level)
    ]
    if goes_further(state, "", 0):
        first = plan.phases[0].name
        notes.append(NextCommand(command=f"gonogo rollback {where} --phase {first}", when="if not fixable: the whole run"))
    return notes


def items_to_confirm(plan: Plan, state: State) -> tuple[str, ...]:
    """Return the items that are asked for now and that nobody has confirmed."""
    if state.status is Status.DECIDING:
        return open_items(state, plan.phases[state.phase].before)
    if state.status not in (Status.WORKING, Status.SOAKING) or state.gate.asked is None or state.gate.asked.step is None:
        return ()
    return open_items(state, asked_items(plan, state))
