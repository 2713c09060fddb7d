"""A run that people look at: its ledger is read once for all of them, and what is new is taken in, not read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from gonogo.core.engine.events import Event, PeopleAsked
from gonogo.core.engine.state import State
from gonogo.core.plan.plan import Plan
from gonogo.core.text.log import log_line
from gonogo.core.text.plain import clean
from gonogo.errors import Refused
from gonogo.ledger import fence, store
from gonogo.planning.open import OpenedRunbook
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.progress import StatementProgress, statement_progress
from gonogo.postgres.server_clock import server_time
from gonogo.report.charts import Drawing
from gonogo.report.report import as_html, report
from gonogo.run import runs, targets
from gonogo.run.runs import FoundRun

#: how many lines of the log are shown
_LINES = 60


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of a run at a moment."""

    found: FoundRun
    drawing: Drawing
    now: datetime
    statement: StatementProgress | None
    #: the newest lines of its log, the newest first
    log: Sequence[str]
    #: what people were asked, with the evidence, while they are
    asked: PeopleAsked | None


class LiveRun:
    """Looks at one run.

    Args:
        opened: the runbook, and the target.
        run: the run; the newest of the runbook where it is empty.
    """

    def __init__(self, opened: OpenedRunbook, run: str = "") -> None:
        self.opened, self._wanted = opened, run
        self.database: Database | None = None
        self._connection: Connection | None = None
        self._run = ""
        self._plan: Plan | None = None
        self._drawing: Drawing | None = None
        self._log: deque[str] = deque(maxlen=_LINES)
        #: the report, and of which run and event it is
        self._report: tuple[tuple[str, int], str] = (("", 0), "")
        self._asked: PeopleAsked | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def look(self) -> Look:
        """Take in what is new, and return what there is to see.

        Raises:
            Unreachable: the target does not answer.
            Refused: there is no such run.
        """
        connection = self._connected()
        run = runs.require(connection, self._wanted, self.opened.name)
        if run != self._run or self._drawing is None:
            self._begin(connection, run)
        plan, drawing = self._known()
        for event in store.read(connection, run, drawing.state.seq):
            self._take_in(plan, drawing, event)
        running = fence.holder_alive(connection, run)
        statement = statement_progress(connection, run) if running else None
        found = FoundRun(run=run, plan=plan, events=(), state=drawing.state, running=running)
        now = server_time(connection)
        return Look(found=found, drawing=drawing, now=now, statement=statement, log=list(self._log), asked=self._asked)

    def report(self) -> str:
        """Return the run's report, as it was when it was looked at last: made once, however many ask for it.

        Raises:
            Unreachable: the target does not answer.
            Refused: there is no such run.
        """
        connection = self._connected()
        seen = (self._run, self._known()[1].state.seq)
        if self._report[0] != seen:
            found = runs.find(connection, runbook=self.opened.name, run=self._wanted, whole=True)
            self._report = (seen, as_html(report(found.plan, found.events, found.run)))
        return self._report[1]

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self.database = targets.reach(self.opened)
            self._connection = targets.connect_recovering(self.database, "gonogo/page")
            # what the ledger lost meanwhile is not to be seen in what is remembered
            self._drawing = None
        return self._connection

    def _begin(self, connection: Connection, run: str) -> None:
        plan = store.opened_with(run, [store.read_event(connection, run, 1)])
        self._run, self._plan, self._drawing, self._asked = run, plan, Drawing(plan), None
        self._log.clear()

    def _known(self) -> tuple[Plan, Drawing]:
        if self._plan is None or self._drawing is None:
            raise Refused("the run has not been read")
        return self._plan, self._drawing

    def _take_in(self, plan: Plan, drawing: Drawing, event: Event) -> None:
        before: State = drawing.state
        store.require_of_plan(plan, [event])
        drawing.take_in(event)
        if isinstance(event.body, PeopleAsked):
            self._asked = event.body
        if line := log_line(plan, before, event, drawing.state):
            self._log.appendleft(f"{event.at.astimezone(ZoneInfo(plan.zone)):%H:%M:%S}  {clean(line)}")
