"""What somebody says on a run's page, by the rules of the command line: the same events, and the same refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gonogo.core.engine.events import HoldAsked
from gonogo.core.engine.state import Status, outcome
from gonogo.core.model.people import GO, NO_GO
from gonogo.core.plan.plan import Plan
from gonogo.core.text.acts import ACKNOWLEDGE, CONFIRM, HOLD, ROLL_BACK, STOPS, title_of
from gonogo.core.text.next_commands import items_to_confirm
from gonogo.core.text.plain import clean, tidy
from gonogo.errors import BadInput, Refused
from gonogo.monitor import acknowledge
from gonogo.planning.open import OpenedRunbook
from gonogo.postgres.connection import Connection, Database
from gonogo.run import begin, rollback_request, runs, targets, votes
from gonogo.run.rollback_request import RollbackRequest
from gonogo.run.runs import FoundRun
from gonogo.run.signatures import keys_of
from gonogo.run.votes import Caller

#: how much somebody may write
_WORDS, _NAME, _CODE = 1000, 48, 20


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a form brought."""

    action: str
    caller: Caller
    words: str
    #: the event by which people were asked what they saw; 0 where they were asked nothing
    asked: int = 0
    #: the event that needed people, as they saw it; 0 where whatever needs them now is meant
    alarm: int = 0

    @classmethod
    def of(cls, form: Mapping[str, str]) -> Said:
        """Read a form; what is too long is cut, what is missing is empty."""
        person, code = tidy(form.get("who", ""), _NAME).strip(), tidy(form.get("code", ""), _CODE).strip()
        return cls(
            action=form.get("action", ""),
            caller=Caller(person=person, code=code),
            words=tidy(form.get("words", ""), _WORDS),
            asked=_number(form.get("asked", "")),
            # a form says what it saw; one that says nothing saw nothing that needs people
            alarm=_number(form.get("alarm", "")) or -1,
        )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that can be said to a run now."""

    action: str
    #: what it leads to, in a sentence
    about: str = ""

    @property
    def title(self) -> str:
        """What stands on its button."""
        return title_of(self.action)

    @property
    def stops(self) -> bool:
        """Whether it stops something: such a button is not the first one."""
        return self.action in STOPS


def choices(found: FoundRun) -> list[Choice]:
    """Return what can be said to a run as it stands."""
    plan, state = found.plan, found.state
    made = []
    if state.status is Status.DECIDING and not state.held and plan.phases[state.phase].approve is not None:
        made += [Choice(action=GO), Choice(action=NO_GO, about="One is enough.")]
    if not state.held:
        made += [Choice(action=f"{CONFIRM}{item}") for item in items_to_confirm(plan, state)]
    if state.alarm is not None:
        made.append(Choice(action=ACKNOWLEDGE, about="Nobody else is called."))
    if found.running and not state.at_rest and not state.held:
        made.append(Choice(action=HOLD, about="It stops before its next step and keeps everything."))
        made.append(Choice(action=ROLL_BACK, about="What it did is undone, and proved."))
    return made


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0


def alarm_now(found: FoundRun) -> int:
    """Return the event that needs people now; 0 where nothing does."""
    return found.state.alarm.seq if found.state.alarm is not None else 0


def asked_now(found: FoundRun) -> int:
    """Return the event by which people were asked what they are asked now; 0 where they are asked nothing."""
    asked = found.state.gate.asked
    return asked.seq if asked is not None else 0


def say(opened: OpenedRunbook, run: str, said: Said) -> str:
    """Record what somebody says; return what came of it, in a sentence that is safe to show.

    Args:
        opened: the runbook and the target.
        run: the run.
        said: what they say.

    Raises:
        BadInput: nobody can say that to this run.
        Refused: it does not count, and why.
    """
    database = targets.reach(opened)
    with targets.connect_recovering(database, "gonogo/page") as connection:
        found = runs.find(connection, runbook=opened.name, run=run)
        if said.action not in {choice.action for choice in choices(found)}:
            raise Refused(f"{said.action or 'nothing'} is not asked of this run now: it is {outcome(found.state)}")
        if said.action in (GO, NO_GO) and said.asked != asked_now(found):
            raise Refused("what people are asked has changed since this page was shown; read it again, and say it again")
        if said.action == ACKNOWLEDGE and said.alarm not in (0, alarm_now(found)):
            raise Refused("what needs people is another thing by now; read it, and acknowledge that")
        _require_known(found.plan, said)
        word = CONFIRM if said.action.startswith(CONFIRM) else said.action
        return clean(_ACTIONS[word](opened, database, connection, found, said))


def _require_known(plan: Plan, said: Said) -> None:
    if not said.caller.person:
        raise BadInput("choose who you are")
    if plan.people and said.caller.person not in plan.people:
        raise BadInput(f"{said.caller.person!r} is not one of the runbook's people")
    person = plan.people.get(said.caller.person)
    # who has a key of their own proves it where that key is; and whoever would stop a run need not look for their phone first
    needs_code = plan.protected and said.action != HOLD and not (person and person.key)
    if needs_code and not said.caller.code:
        raise BadInput("the target is protected: give your one-time code, too")


_Action = Callable[[OpenedRunbook, Database, Connection, FoundRun, Said], str]


def _vote(opened: OpenedRunbook, _: Database, connection: Connection, found: FoundRun, said: Said) -> str:
    lacks = votes.vote(connection, found, keys_of(opened.project), said.caller, said.action, comment=said.words)
    return f"{said.caller.person} says {said.action}" + (f"; {lacks}" if lacks else "")


def _confirm(opened: OpenedRunbook, _: Database, connection: Connection, found: FoundRun, said: Said) -> str:
    item = said.action.removeprefix(CONFIRM)
    votes.confirm(connection, found, keys_of(opened.project), said.caller, item, said.words)
    return f"{said.caller.person} confirms {item}"


def _acknowledge(opened: OpenedRunbook, _: Database, connection: Connection, found: FoundRun, said: Said) -> str:
    why = acknowledge(connection, opened, found.plan, said.caller, "", said.words, found)
    return f"{said.caller.person} acknowledged: {why}"


def _hold(opened: OpenedRunbook, database: Database, _: Connection, found: FoundRun, said: Said) -> str:
    begin.request(database, found, HoldAsked(why=said.words), _who(opened, found, said.caller))
    return "asked to hold; it stops before its next step"


def _roll_back(opened: OpenedRunbook, database: Database, connection: Connection, found: FoundRun, said: Said) -> str:
    request, keys, proved = RollbackRequest(reason=said.words), keys_of(opened.project), False
    rollback_request.refuse_rollback_where_over(request, found)
    by_authority = rollback_request.needs_approval(found, request)
    if by_authority:
        lacks, proved = votes.agree(connection, found, keys, said.caller, said.words)
        if lacks:
            return f"{said.caller.person} approves a rollback; {lacks}"
    who = _who(opened, found, said.caller, proved=proved)
    rollback_request.record(database, found, keys, request, who, said.caller, by_authority=by_authority)
    return "asked to roll back; it does so when its running statement is stopped"


def _who(opened: OpenedRunbook, found: FoundRun, caller: Caller, *, proved: bool = False) -> str:
    proved = proved or votes.allowed(found.plan, keys_of(opened.project), caller)
    return votes.shown_as(found.plan, caller, proved=proved, otherwise="")


_ACTIONS: Mapping[str, _Action] = {
    GO: _vote,
    NO_GO: _vote,
    CONFIRM: _confirm,
    ACKNOWLEDGE: _acknowledge,
    HOLD: _hold,
    ROLL_BACK: _roll_back,
}
