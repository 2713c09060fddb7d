"""What an action may use: it can look at everything, and record nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gonogo.core.engine.commands import Command
from gonogo.core.engine.decide import passed_no_return
from gonogo.core.engine.evolve import default_reach
from gonogo.core.engine.state import ROLLING_BACK_STATES, State
from gonogo.core.engine.verdict import Measurement
from gonogo.core.plan.plan import Plan
from gonogo.keys import Keys
from gonogo.run.ports import Ledger, Target


@dataclass(frozen=True, kw_only=True)
class Context:
    """A run as its actions see it: they yield what they lead to, and the loop alone appends it."""

    plan: Plan
    run: str
    ledger: Ledger
    target: Target
    keys: Keys
    #: why nothing of its plan may act beyond the database, if it may not
    untrusted: str
    #: the newest event up to which a person answered for a run that this project had not signed
    answered: int
    #: where the run stands now
    current: Callable[[], State]
    #: takes in what others have recorded
    sync: Callable[[], None]
    #: says whether a command is still what is next: nothing more urgent has come
    is_next: Callable[[Command], bool]
    #: lets people answer where a run waits for them, as Prefect's form does
    listen: Callable[[], None]
    #: ends the watch when its last sample is judged; returns why nothing can be said of it, or nothing
    end_watch: Callable[[], str]

    @property
    def state(self) -> State:
        """Where the run stands now."""
        return self.current()

    def now(self) -> datetime:
        """Return the time."""
        return self.target.now()

    @property
    def baseline(self) -> Mapping[str, Measurement]:
        """What was measured before the first change; while a later phase is rolled back, as that began."""
        state = self.state
        found = state.start if state.status in ROLLING_BACK_STATES else state.known.baseline
        return found.measurements if found else {}

    def measure(self, name: str) -> Measurement:
        """Ask a check."""
        return self.target.measure(name, self.baseline.get(name))

    def passed_no_return(self) -> str:
        """Name the point of no return that is passed, of what would be rolled back where nobody says otherwise."""
        return no_return_passed(self.plan, self.state)


def no_return_passed(plan: Plan, state: State) -> str:
    """Name the point of no return that is passed, of what would be rolled back where nobody says otherwise."""
    return passed_no_return(plan, state, plan.phases[default_reach(state)].first)
