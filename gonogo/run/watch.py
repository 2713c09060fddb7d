"""The watch: checks sampled on a connection and a thread of their own while a phase runs and soaks.

It judges by k of n. When it trips it records that first, and then cancels the running statement at once;
it does not wait for the step.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg

from checks.kind import CheckEnvironment
from gonogo import clock
from gonogo.core.engine import events
from gonogo.core.engine.decide import PASSED
from gonogo.core.engine.events import Body, Event
from gonogo.core.engine.verdict import Judgement, Measurement, Verdict, judge, trips
from gonogo.core.plan.plan import PlannedPhase
from gonogo.errors import Fenced, Unreachable
from gonogo.ledger import store
from gonogo.postgres.connection import Connection
from gonogo.postgres.server_clock import server_time
from gonogo.postgres.sqlstates import NOT_THERE
from gonogo.run.askers import Askers
from gonogo.run.session import Session

#: how many times as long as it asked it rests
_IDLE_FACTOR = 1.0
#: the seconds that its last sample may take beside the limits of its checks
_PATIENCE = 30.0
#: the seconds that it may be without a connection, as the runner may
_BLIND = 60.0
#: the seconds for which a hold waits for the answers of others
_MOMENT = 1.0
#: what comes first of several
_ORDER = ("roll back", "hold", "tell")


@dataclass(frozen=True, kw_only=True)
class _Trip:
    """Enough breaches, or enough samples without data, and what they lead to."""

    check: str
    then: str
    would: str
    why: str


class Watch(threading.Thread):
    """Samples a phase's watched checks until it is stopped or trips."""

    def __init__(
        self,
        session: Session,
        phase: PlannedPhase,
        baseline: Mapping[str, Measurement],
        environment: CheckEnvironment,
        passed_no_return: Callable[[], str],
        at_work: Callable[[], bool],
    ) -> None:
        super().__init__(name=f"watch {phase.name}", daemon=True)
        self.session, self.phase, self.baseline = session, phase, baseline
        self.askers = Askers(session, phase.watch, baseline, environment)
        #: says which point of no return is passed, after which it can only hold and tell
        self.passed_no_return = passed_no_return
        #: says whether steps of the phase are still to come
        self.at_work = at_work
        self.over = threading.Event()
        #: why it ended by itself without a trip; the loop holds the run for it
        self.died = ""
        #: what its last sample must have begun after
        self._since: datetime | None = None
        #: how many samples it took
        self.taken = 0
        self._breaches: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=1000))
        self._blanks: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=1000))
        #: what was told already, until it is well again
        self._told: set[str] = set()
        #: the checks that answered once
        self._answered: set[str] = set()

    def run(self) -> None:
        """Take samples at the phase's interval."""
        try:
            ended, blind_since, seen = False, clock.monotonic(), -1
            while not ended:
                try:
                    with self.session.database.connect(f"{self.session.name}/watch") as connection:
                        self._sample_until_over(connection)
                        ended = True
                except (psycopg.OperationalError, Unreachable) as error:
                    # the target may be restarting: the watch comes back as the runner does
                    if self.taken != seen:
                        blind_since, seen = clock.monotonic(), self.taken
                        self.session.say(f"the watch lost its connection: {str(error).strip()}")
                    if clock.monotonic() - blind_since > _BLIND:
                        raise
                    ended = self.over.wait(0.5)
        except Fenced:
            return
        except Exception as error:  # noqa: BLE001 - a watch that dies in silence would be a run that nobody watches
            self.died = f"{type(error).__name__}: {str(error).strip()}"
        finally:
            self.askers.close()

    def stop(self, since: datetime | None = None) -> bool:
        """End it, and wait until its last sample is judged; say whether it took one.

        Args:
            since: its last sample begins after this and is no breach, or it takes more until it is, or trips.
        """
        self._since = since
        self.over.set()
        if self.is_alive() and threading.current_thread() is not self:
            watched = [self.session.plan.checks[name] for name in self.phase.watch]
            rounds = max((check.breach.n for check in watched if check.breach), default=1) + 1
            each = sum(check.within.total_seconds() for check in watched) + self.phase.every.total_seconds()
            self.join(timeout=_PATIENCE + rounds * each)
        return self.taken > 0 and not self.is_alive() and not self.died

    def _sample_until_over(self, connection: Connection) -> None:
        every = self.phase.every.total_seconds()
        due = clock.monotonic()
        while True:
            began = clock.monotonic()
            self.askers.ask(server_time(connection))
            found: list[_Trip] = []
            for answers in self.askers.answered(every, self.over):
                found += self._take(connection, answers) if answers else []
                # of several that trip at once, what rolls back comes before what holds: that waits for the others for a moment
                urgent = any(trip.then == _ORDER[0] for trip in found)
                if (urgent or self.askers.waited > _MOMENT) and self._act_on(connection, found):
                    return
            if self._act_on(connection, found):
                return
            ended = clock.monotonic()
            # it must not become the load that it measures: it rests at least so many times as long as it asked
            due = max(due + every, ended + _IDLE_FACTOR * (min(ended - began, every)))
            if self.over.wait(max(0.0, due - clock.monotonic())):
                if not self._needs_more():
                    return
                # what may be one of several breaches is looked at again at the interval, as in the middle of a soak
                clock.sleep(due - clock.monotonic() if self._breached_last() else 0.0)

    def _take(self, connection: Connection, answers: Mapping[str, Measurement]) -> list[_Trip]:
        """Record and judge what some checks answered, and return what that leads to."""
        samples = {name: (measured, self._judge(name, measured)) for name, measured in answers.items()}
        brief = {name: self._brief(measured, judged) for name, (measured, judged) in samples.items()}
        self._record(connection, events.Sampled(phase=self.phase.name, samples=brief))
        self.taken += 1
        return [trip for measured, judged in samples.values() if (trip := self._trip_of(measured, judged))]

    def _act_on(self, connection: Connection, found: list[_Trip]) -> bool:
        """Do what some trips lead to, the most urgent first; say whether the watch is over."""
        trips, found[:] = sorted(found, key=lambda trip: _ORDER.index(trip.then)), []
        return any(self._act(connection, trip) for trip in trips)

    def _needs_more(self) -> bool:
        """Say whether it cannot end yet: a sample began too early, or the last one was a breach that may be one of several."""
        if self._since is None:
            return False
        return not self.askers.all_since(self._since) or self._breached_last()

    def _breached_last(self) -> bool:
        """Say whether a check's newest sample was a breach, or had no data, and may be one of several that stop the run."""
        if self.phase.would_trip:
            return False
        checks = {name: check for name in self.phase.watch if (check := self.session.plan.checks[name]).then != "tell"}
        return any(
            _newest(self._breaches[name]) or (check.no_data != "ignore" and _newest(self._blanks[name]))
            for name, check in checks.items()
        )

    def _judge(self, name: str, measured: Measurement) -> Judgement:
        check = self.session.plan.checks[name]
        if check.breach is None:  # the loader refuses a watched check without one
            return Judgement(check=name, verdict=Verdict.INCONCLUSIVE, sentence="it has no roll_back_if")
        return judge(check.breach, measured, self.baseline.get(name), at_least=check.least, surely=True)

    def _trip_of(self, measured: Measurement, judged: Judgement) -> _Trip | None:
        """Return what a sample leads to, if it is enough of them."""
        name, check = judged.check, self.session.plan.checks[judged.check]
        rule = check.breach
        if rule is None:
            return None
        blank = judged.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR)
        if self._comes_later(measured):
            return None
        self._answered |= set() if blank else {name}
        self._blanks[name].append(blank)
        if not blank:
            # a blank is neither a breach nor its absence
            self._breaches[name].append(judged.verdict is Verdict.PASS)
        if trips(rule, list(self._breaches[name])) and judged.verdict is Verdict.PASS:
            often = f", {rule.k} of {rule.n} samples" if rule.n > 1 else ""
            names = f" ({'; '.join(measured.notes[:3])})" if measured.notes else ""
            return self._with_consequence(name, check.then, f"{name}: {judged.sentence}{often}{names}")
        if not any(list(self._breaches[name])[-rule.n :]) and not blank:
            self._told.discard(name)
        if trips(rule, list(self._blanks[name])) and blank and check.no_data != "ignore":
            then = "tell" if check.then == "tell" else check.no_data
            return self._with_consequence(name, then, f"{name} gives no data: {judged.sentence}")
        return None

    def _comes_later(self, measured: Measurement) -> bool:
        """Say whether a check asked of what is not there yet, and what a step that is still to come may make."""
        return measured.sqlstate in NOT_THERE and measured.check not in self._answered and self.at_work()

    def _with_consequence(self, name: str, then: str, why: str) -> _Trip:
        """Return a trip with what it leads to: past the point of no return it only holds or tells."""
        passed = self.passed_no_return()
        if self.phase.would_trip:
            return _Trip(check=name, then="tell", would=then, why=why)
        if then == "roll back" and passed:
            return _Trip(check=name, then="hold", would=then, why=f"{why}; {PASSED.format(passed)}")
        return _Trip(check=name, then=then, would=then, why=why)

    def _act(self, connection: Connection, trip: _Trip) -> bool:
        """Do what the runbook says of a trip: roll back, hold, or tell; say whether the watch is over."""
        if trip.then == "tell":
            if trip.check not in self._told:
                self._told.add(trip.check)
                self._record(connection, events.WouldTrip(why=trip.why, check=trip.check, then=trip.would))
            return False
        if trip.then == "hold":
            self._record(connection, events.Held(why=trip.why, check=trip.check))
        else:
            self._record(connection, events.Tripped(why=trip.why, check=trip.check))
            self.session.stop(connection)
        self.over.set()
        return True

    def _record(self, connection: Connection, body: Body) -> Event:
        session = self.session
        return store.append_fenced(connection, session.run, session.epoch, body, "watch", session.known)

    def _brief(self, measured: Measurement, judged: Judgement) -> events.SampledCheck:
        rule = self.session.plan.checks[measured.check].breach
        metric = rule.metric if rule is not None else "value"
        verdict = "breach" if judged.verdict is Verdict.PASS else str(judged.verdict)
        value = measured.numbers.get(metric, "")
        return events.SampledCheck(value=value, metric=metric, verdict=verdict, says=judged.sentence)


def _newest(of: deque[bool]) -> bool:
    return bool(of) and of[-1]
