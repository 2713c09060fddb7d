"""How somebody wants a run rolled back: how far, by which level, who must agree, and when that leads nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from gonogo.core.engine.commands import BeginRollback
from gonogo.core.engine.decide import passed_no_return
from gonogo.core.engine.events import AbortAsked, Accepting, Kind, ResumeAsked, RollbackAsked
from gonogo.core.engine.evolve import default_level, default_reach
from gonogo.core.engine.state import ROLLING_BACK_STATES, SWITCH_LEVELS, State, Status, available_levels, goes_further
from gonogo.core.plan.plan import Plan
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, Refused
from gonogo.keys import Keys
from gonogo.postgres.connection import Database
from gonogo.run import begin
from gonogo.run.runner import Runner
from gonogo.run.runs import FoundRun
from gonogo.run.said import sign_acceptance
from gonogo.run.votes import Caller

_Says = TypeVar("_Says", bound=Accepting)


@dataclass(frozen=True, kw_only=True)
class RollbackRequest:
    """How somebody wants a run rolled back."""

    #: whether the run ends for good
    abort: bool = False
    reason: str = ""
    #: the level; the first one that counts without it
    level: str = ""
    #: the phase whose start it leads to; as far as the runbook says without one
    back_to: int | None = None
    #: rows of the application may be destroyed: whoever asks knows of them
    accept_loss: bool = False
    #: only a rollback that has begun is meant
    go_on: bool = False

    @property
    def kind(self) -> Kind:
        """What it is called in the ledger."""
        return Kind.ABORT if self.abort else Kind.ROLL_BACK

    @property
    def body(self) -> RollbackAsked:
        """The event that says so."""
        asked = AbortAsked if self.abort else RollbackAsked
        return asked(why=tidy(self.reason), level=self.level, accept_loss=self.accept_loss, back_to=self.back_to)


def needs_approval(found: FoundRun, back: RollbackRequest) -> bool:
    """Say whether others must agree to what a person asks for."""
    state = found.state
    going = state.status in ROLLING_BACK_STATES and not goes_further(state, back.level, back.back_to)
    return state.rules.authority and state.changed and not going


def begin_rollback(runner: Runner, back: RollbackRequest, *, by_authority: bool) -> None:
    """Begin to roll a run back, take another level, or let it go on rolling back.

    Args:
        runner: the run.
        back: how.
        by_authority: whether enough people have agreed to it, as the runbook asks.

    Raises:
        Refused: what they are said to have agreed is not signed by them.
    """
    state, says = runner.state, said(runner.state, back)
    if by_authority and isinstance(says, RollbackAsked):
        _begin_as_agreed(runner)
        if runner.state.rollback.seq == state.rollback.seq:
            raise Refused("the approval is invalid: it is not signed by the people it names; approve again")
        if back.accept_loss:
            runner.append(_signed(runner, ResumeAsked(why=tidy(back.reason), accept_loss=True)))
    elif says is not None:
        runner.append(_signed(runner, says))


def _begin_as_agreed(runner: Runner) -> None:
    """Begin what was agreed; approvals that somebody wrote in a person's name are refused, and the others still count."""
    given, began = len(runner.state.approvals) + 1, runner.state.rollback.seq
    while len(runner.state.approvals) < given and runner.state.rollback.seq == began:
        given = len(runner.state.approvals)
        runner.attempt(BeginRollback())


def record(
    database: Database,
    found: FoundRun,
    keys: Keys,
    back: RollbackRequest,
    who: str,
    caller: Caller,
    *,
    by_authority: bool,
) -> None:
    """Record what somebody asks of a process that works on the run, or of a machine that may.

    Args:
        database: the target.
        found: the run.
        keys: the project's.
        back: what they ask for.
        who: by which name they are shown.
        caller: who they are, and their key.
        by_authority: whether enough people agreed: then their approvals say it already.
    """
    says = said(found.state, back)
    if says is None or (by_authority and isinstance(says, RollbackAsked)):
        return
    signed = sign_acceptance(found.run, found.plan, says, keys, found.state.seq, person=caller.person, key=caller.key)
    begin.request(database, found, signed, who)


def said(state: State, back: RollbackRequest) -> RollbackAsked | ResumeAsked | None:
    """Return what somebody says to a run: roll back, or go on with a rollback that holds; None where it goes on anyway."""
    if state.status in ROLLING_BACK_STATES and not goes_further(state, back.level, back.back_to):
        return ResumeAsked(why=tidy(back.reason), accept_loss=back.accept_loss) if state.held else None
    return back.body


def _signed(runner: Runner, body: _Says) -> _Says:
    """Return what somebody says, with the project's signature where it accepts a loss: they proved who they are before."""
    return sign_acceptance(runner.run, runner.plan, body, runner.keys, runner.state.seq)


def phase_number(plan: Plan, name: str) -> int | None:
    """Return the number of the phase whose start somebody wants to be rolled back to; None where they named none.

    Raises:
        BadInput: there is no such phase.
    """
    names = [phase.name for phase in plan.phases]
    if name and name not in names:
        raise BadInput(f"--phase {name!r}: this run's phases are {', '.join(names)}")
    return names.index(name) if name else None


def refuse_rollback_where_over(back: RollbackRequest, found: FoundRun) -> None:
    """Refuse to roll back a run that did nothing, or has been rolled back, or by a level that it does not have.

    Raises:
        BadInput: there is no such level.
        Refused: there is nothing to roll back.
    """
    state, kind = found.state, back.kind
    if back.level and back.level not in state.rules.levels:
        raise BadInput(f"--level {back.level!r}: this run's rollback levels are {', '.join(state.rules.levels)}")
    _refuse_the_phase(back, found)
    _refuse_past_return(back, found)
    to = default_reach(state) if back.back_to is None else back.back_to
    if back.level == "restore" and to not in state.known.backups:
        what = f"phase {found.plan.phases[to].name} of the run {found.run}" if to else f"the run {found.run}"
        raise Refused(f"no backup was proved for {what}, so there is none to restore")
    if back.go_on and state.status not in ROLLING_BACK_STATES:
        raise Refused(f"the run {found.run} is not rolling back ({state.status}), so there is no rollback to continue")
    other = (back.level or state.rollback.level, to) != (state.rollback.level, state.rollback.back_to)
    if other and state.status in ROLLING_BACK_STATES and not goes_further(state, back.level, back.back_to):
        wanted = f"by {back.level}" if back.level else f"to the start of {found.plan.phases[to].name}"
        raise Refused(
            f"the run {found.run} is rolling back by {state.rollback.level}; to roll back {wanted}, hold it first, with"
            f" `gonogo hold {found.plan.arguments}`, or go on with `gonogo rollback {found.plan.arguments} --continue`"
        )
    nothing_done = state.status is Status.NO_GO and not state.changed
    rolled_back = state.status is Status.ROLLED_BACK and not goes_further(state, back.level)
    if rolled_back or nothing_done or (state.status is Status.DONE and kind is Kind.ABORT):
        hint = f"; `gonogo rollback {found.plan.arguments}` rolls it back" if state.status is Status.DONE else ""
        raise Refused(f"the run {found.run} is over ({state.status}), so there is nothing to {kind}{hint}")


def _refuse_past_return(back: RollbackRequest, found: FoundRun) -> None:
    """Refuse to undo what cannot be undone any more; a backup can still be restored."""
    state, plan = found.state, found.plan
    to = default_reach(state) if back.back_to is None else back.back_to
    level = back.level or default_level(state, to)
    passed = passed_no_return(plan, state, plan.phases[to].first)
    if passed and level == "undo" and state.status not in ROLLING_BACK_STATES:
        last = "; --level restore puts the backup back" if "restore" in available_levels(state, to) else ""
        raise Refused(
            f"the run {found.run} has passed its point of no return ({passed}), so it cannot be undone; go forward with"
            f" `gonogo resume {plan.arguments}`{last}"
        )


def _refuse_the_phase(back: RollbackRequest, found: FoundRun) -> None:
    """Refuse to roll back by phase where that leads nowhere."""
    state, plan = found.state, found.plan
    if not back.back_to:
        return
    name = plan.phases[back.back_to].name
    if back.level in SWITCH_LEVELS:
        raise BadInput(f"--phase {name} --level {back.level}: that level rolls back the whole run, not one phase")
    if back.back_to > state.begun:
        raise Refused(f"the phase {name} of the run {found.run} has not begun, so there is nothing to roll back")
    if back.back_to not in state.known.starts:
        raise Refused(f"the state before the phase {name} was not measured, so a rollback to it cannot be proved")
