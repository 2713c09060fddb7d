"""Blind spots: what could be wrong after a plan without any of its checks noticing.

On the copy, once the plan has gone forward, one small thing after another is made wrong where a step wrote. Every check of
`verify`, of the watch and of the success criteria is asked, and it is taken back. What nothing notices is a blind spot; a check
that notices none of them cannot fail, or looks elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import clock
from gonogo.core.engine.events import BlindSpot, BlindSpots, Event
from gonogo.core.engine.state import State, Status
from gonogo.core.engine.verdict import Measurement, Verdict, judge, judge_all
from gonogo.core.model.check import CHECK_KINDS
from gonogo.core.plan.plan import Plan
from gonogo.postgres.connection import Connection
from gonogo.rehearsal.holdings import Holdings, Written, holdings, written
from gonogo.rehearsal.wrongs import NotPlanted, Refused, Wrong, plant, wrongs

#: how many wrongs are planted, and for how many seconds, where nobody says otherwise
MOST, WITHIN = 1000, 100.0
#: what looks at the server and not at what is in the database: none of these wrongs is there to be seen
_ELSEWHERE = frozenset({"activity", "statements", "plans"})


class Watcher:
    """Notes what each step of a rehearsal wrote."""

    def __init__(self, plan: Plan, looking: Connection) -> None:
        self._plan, self._looking = plan, looking
        self._before: Holdings = holdings(looking)
        self.spent = 0.0
        #: by step
        self.made: dict[int, Written] = {}

    def on_event(self, before: State, _: Event, after: State) -> None:
        """Look, whenever a step is done."""
        if after.work.step == before.work.step or after.status is not Status.WORKING:
            return
        number = before.work.step
        if not self._plan.steps[number].row.changes:
            return
        began = clock.monotonic()
        now = holdings(self._looking)
        self.made[number] = written(self._before, now)
        self._before = now
        self.spent += clock.monotonic() - began


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a check answers where nothing is wrong: whether it passes, and whether it would trip."""

    passes: bool
    trips: bool
    error: bool


@dataclass(kw_only=True)
class Search:
    """A search for blind spots on one copy."""

    plan: Plan
    #: the checks to ask, without those that look elsewhere
    names: Sequence[str]
    environment: CheckEnvironment
    baseline: Mapping[str, Measurement]
    seed: int = 0
    _control: dict[str, Asked] = field(default_factory=dict, init=False)
    _draw: float = field(default=0.0, init=False)

    def run(self, connection: Connection, made: Mapping[int, Written], *, most: int = MOST, within: float = WITHIN) -> BlindSpots:
        """Plant one wrong after another, in a transaction that is taken back, and say which nothing notices.

        Args:
            connection: the copy, on which nobody else works.
            made: what each step wrote.
            most: how many wrongs are planted at most.
            within: for how many seconds at most.
        """
        began = clock.monotonic()
        connection.execute("BEGIN")
        try:
            self._draw = _draw(connection)
            self._control = {name: self._ask(connection, name) for name in self.names}
            found = self._search(connection, made, most, began + within)
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")
        return found.replace(took=round(clock.monotonic() - began, 1), seed=self.seed)

    def _search(self, connection: Connection, made: Mapping[int, Written], most: int, until: float) -> BlindSpots:
        all_of_them = self._wrongs(connection, made)
        spots: list[BlindSpot] = []
        noticed = dict.fromkeys(self.names, 0)
        tried = refused = 0
        untried: list[str] = []
        for wrong in all_of_them:
            if tried + refused >= most or clock.monotonic() > until:
                break
            try:
                by = self._who_notices(connection, wrong)
            except Refused:
                refused += 1
                continue
            except NotPlanted as error:
                untried.append(f"{wrong.what}: {wrong.where}: {error}")
                continue
            tried += 1
            for name in by:
                noticed[name] += 1
            if not by:
                spots.append(BlindSpot(step=wrong.step, what=wrong.what, where=wrong.where))
        return BlindSpots(
            tried=tried,
            refused=refused,
            spots=tuple(spots),
            silent=tuple(name for name, count in noticed.items() if not count) if tried else (),
            untried=tuple(untried),
            left_out=len(all_of_them) - tried - refused - len(untried),
        )

    def _wrongs(self, connection: Connection, made: Mapping[int, Written]) -> list[Wrong]:
        """Return what can be wrong, a little of each step in turn; what several steps wrote is the last one's."""
        known: set[tuple[str, str]] = set()
        by_step: list[list[Wrong]] = []
        for number, each in sorted(made.items(), reverse=True):
            found = list(wrongs(connection, self.plan.steps[number].name, each, self.seed))
            by_step.insert(0, [wrong for wrong in found if (wrong.what, wrong.where) not in known])
            known |= {(wrong.what, wrong.where) for wrong in found}
        return [wrong for wrong in chain.from_iterable(zip_longest(*by_step)) if wrong is not None]

    def _who_notices(self, connection: Connection, wrong: Wrong) -> list[str]:
        """Plant a wrong, return the checks that notice it, and take it back."""
        connection.execute("SAVEPOINT gonogo_wrong")
        try:
            plant(connection, wrong)
            return [name for name in self.names if self._notices(connection, name)]
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK TO SAVEPOINT gonogo_wrong;RELEASE SAVEPOINT gonogo_wrong")

    def _notices(self, connection: Connection, name: str) -> bool:
        was, now = self._control[name], self._ask(connection, name)
        return (was.passes and not now.passes) or (not was.trips and now.trips) or (not was.error and now.error)

    def _ask(self, connection: Connection, name: str) -> Asked:
        check = self.plan.checks[name]
        connection.execute("SELECT pg_catalog.setseed(%s)", [self._draw])
        found, before = measure(self.plan, name, self.environment, connection, self.baseline.get(name)), self.baseline.get(name)
        failed = bool(found.error or found.missing)
        if check.time is not None:
            # how long a call takes on a copy says nothing of a row; that it fails does
            return Asked(passes=not failed, trips=False, error=failed)
        judged = judge_all(check.expectations, check.breach, found, before, at_least=check.least)
        trips = check.breach is not None and judge(check.breach, found, before, at_least=check.least).verdict is Verdict.PASS
        return Asked(passes=judged.verdict is Verdict.PASS, trips=trips, error=failed)


def _draw(connection: Connection) -> float:
    """Return what to seed random() with so that a function that fails in a third of its calls fails in the first."""
    for number in range(1, 100):
        seed = number / 100
        connection.execute("SELECT pg_catalog.setseed(%s)", [seed])
        row = connection.execute("SELECT pg_catalog.random() < 1.0 / 3").fetchone()
        if row and row[0]:
            return seed
    raise AssertionError("a third of a hundred numbers are below a third")


def asked_of(plan: Plan) -> tuple[list[str], list[str]]:
    """Return the checks by which a run is judged once it has changed anything: those that can be asked here, and the others."""
    wanted = chain(
        (name for phase in plan.phases for name in (*phase.verify, *phase.watch)),
        (criterion.check for criterion in plan.success if criterion.check),
    )
    names = list(dict.fromkeys(name for name in wanted if name in plan.checks))
    others = [name for name in names if CHECK_KINDS[plan.checks[name].kind].external or plan.checks[name].kind in _ELSEWHERE]
    return [name for name in names if name not in others], others


def quick(plan: Plan) -> Plan:
    """Return a plan whose latencies are made of a few calls: here it counts only that they do not fail."""
    few = {"samples": 3, "warm_up": 0}
    checks = {name: check.model_copy(update=few) if check.time is not None else check for name, check in plan.checks.items()}
    return plan.model_copy(update={"checks": checks})


def accepted(found: BlindSpots, reasons: Mapping[str, str]) -> BlindSpots:
    """Return blind spots with the reasons for which a runbook accepts some: by where they are, or by what is wrong where."""
    spots = tuple(
        spot.replace(accepted=reasons.get(f"{spot.what}: {spot.where}", "") or reasons.get(spot.where, ""))
        for spot in found.spots
    )
    return found.replace(spots=spots)


__all__ = ["MOST", "WITHIN", "Search", "Watcher", "accepted", "asked_of", "quick"]
