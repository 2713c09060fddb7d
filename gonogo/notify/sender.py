"""Send the updates of a run, aside: a thread of its own follows the ledger, and nothing waits for it.

The ledger is the queue. What was sent, and where, is kept beside it, so a resumed run goes on in the same thread,
and nothing is told twice. What could not be delivered is listed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

import psycopg

from gonogo import clock
from gonogo.core.engine.events import Event, Kind, PhaseStarted
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.forecast import TaskTimes
from gonogo.core.engine.state import State
from gonogo.core.model.runbook import CHANNEL_KINDS
from gonogo.core.plan.plan import Plan
from gonogo.core.text.acts import ACKNOWLEDGE, acts_on, acts_on_run
from gonogo.core.text.cards import Card
from gonogo.core.text.escalation import due
from gonogo.core.text.messages import Update, headline, root_of, updates
from gonogo.errors import GonogoError
from gonogo.ledger import deliveries, store
from gonogo.notify.channel import NotDelivered, Sent, delivery_key, open_channel, say_undelivered
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.server_clock import ServerClock
from gonogo.project import PageAddress, find_project, page_of
from gonogo.report.report import report
from gonogo.report.summary import brief

#: seconds to wait after each try
_PAUSES = (0.2, 0.8, 0.0)
#: seconds after which the run's own message is looked at again: its expected end moves while nothing happens
_REFRESHED = 60.0
#: how the key of the report ends
_REPORT = ":report"
#: events after which the report is told, too
_ENDS = frozenset({Kind.RUN_DONE, Kind.PROVED, Kind.PHASE_PROVED})


class Follower(Protocol):
    """What follows a run's ledger in a thread of its own and tells of it."""

    def start(self) -> None:
        """Begin."""

    def end_soon(self) -> None:
        """Let it end once it has sent what is left."""

    def finish(self, patience: float = 15.0) -> None:
        """Let it send what is left, for some seconds at most, and say what was not delivered."""


def finish_all(senders: Sequence[Follower], patience: float = 15.0) -> None:
    """Let all of some senders send what is left, for some seconds in all, and say what was not delivered."""
    ends = clock.monotonic() + patience
    for sender in senders:
        sender.end_soon()
    for sender in senders:
        sender.finish(max(0.0, ends - clock.monotonic()))


def public_page(page: PageAddress | None, plan: Plan, run: str) -> str:
    """Return the address of a run's page; nothing where nobody serves it, or only this machine can open it."""
    return "" if page is None or _is_here(page.address) else page.of(plan.runbook, plan.target, run)


def _is_here(address: str) -> bool:
    """Say whether only this machine can open an address."""
    return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1", None)


class Sender(threading.Thread):
    """Follows a run's ledger and tells one channel.

    Args:
        database: the target.
        plan: the run's plan.
        run: the run.
        say: where it is said what could not be delivered.
        kind: the kind of channel.
    """

    def __init__(self, database: Database, plan: Plan, run: str, say: Callable[[str], None], kind: str = "slack") -> None:
        super().__init__(name=f"updates-{kind}", daemon=True)
        self.database, self.plan, self.run_id, self.say, self.kind = database, plan, run, say, kind
        #: set when the run is over, and when there is no more time to tell of it
        self._over, self._enough = threading.Event(), threading.Event()
        self._reading = threading.Lock()
        self._channel, self._where = open_channel(kind), str(getattr(plan.updates, kind))
        self._state, self._times = State(), TaskTimes(plan)
        #: events are of the target's time, and so is what is due since
        self._clock = ServerClock()
        self._root: Sent | None = None
        #: Prefect's flow run that launched the phase, where one did
        self._flow_run = ""
        #: what the run's own message says, and when that was looked at last
        self._headline: Card | None = None
        self._looked = clock.monotonic()
        #: what is to be told, what was, what could not be, and what of that the target has yet to record
        self._waiting: list[tuple[int, Update]] = []
        self._told: set[str] = set()
        self._failed: dict[str, str] = {}
        self._unrecorded: list[tuple[str, int, str, str | None, str | None, str | None]] = []
        self._epoch: int | None = None
        #: why the channel will take nothing at all, once it said so
        self._hopeless = ""

    @property
    def undelivered(self) -> list[str]:
        """What could not be told, or was not yet."""
        left = [update for _, update in self._waiting if self._is_new(update) and self._is_for_it(update)]
        waiting = {update.key: say_undelivered(update, "there was no time left") for update in left}
        return list((self._failed | waiting).values())

    def run(self) -> None:
        """Send what is new until the run is over and everything is sent."""
        while not self._enough.is_set():
            try:
                with self.database.connect(f"gonogo/{self.run_id}/updates") as connection:
                    self._record(connection)
                    self._remember(connection)
                    while self._is_ours(connection):
                        last = self._over.is_set()
                        self._catch_up(connection)
                        self._refresh(connection)
                        self._escalate(connection)
                        self._send_waiting(connection)
                        if last:
                            return
                        self._over.wait(0.5)
                    return
            except (psycopg.Error, GonogoError):
                # the target may be restarting; updates are not worth more than a new try
                self._enough.wait(1.0)

    def end_soon(self) -> None:
        """Let it end once it has sent what is left."""
        self._over.set()

    def finish(self, patience: float = 15.0) -> None:
        """Let it send what is left, for some seconds at most, and say what was not delivered."""
        self.end_soon()
        if self.is_alive():
            self.join(timeout=patience)
        if self.is_alive():
            self._enough.set()
            self.say("the updates take too long: the last ones may not have been delivered")
            with suppress(psycopg.Error, GonogoError), self.database.connect("gonogo/look") as connection:
                self._catch_up(connection)
        for text in self.undelivered:
            self.say(f"not delivered to {CHANNEL_KINDS[self.kind].title}: {text}")

    def _remember(self, connection: Connection) -> None:
        for key, channel, ts in deliveries.read(connection, self.run_id):
            self._told.add(key)
            if key == self._key("root") and ts:
                self._root = Sent(channel=channel, ts=ts)

    def _is_ours(self, connection: Connection) -> bool:
        """Say whether no other runner took over; its sender tells the rest."""
        row = connection.execute("SELECT epoch FROM gonogo.fence").fetchone()
        epoch = row[0] if row else 0
        self._epoch = epoch if self._epoch is None else self._epoch
        if epoch != self._epoch:
            self._waiting.clear()
        return bool(epoch == self._epoch)

    def _is_new(self, update: Update) -> bool:
        return update.root or self._key(update.key) not in self._told

    def _is_for_it(self, update: Update) -> bool:
        """Whether the channel takes such an update: what cannot be changed is sent once; what rings, only where it is needed."""
        row = CHANNEL_KINDS[self.kind]
        if update.root:
            return row.edits or self._root is None
        return row.quiet or update.loud or update.key.endswith(_REPORT)

    def _key(self, key: str) -> str:
        return delivery_key(self.kind, key)

    def _catch_up(self, connection: Connection) -> None:
        """Queue what the new events say; of several states of the root message only the newest, and that first."""
        with self._reading:
            changed = False
            for event in store.read(connection, self.run_id, self._state.seq):
                before, self._state = self._state, evolve(self._state, event)
                self._times.take_in(event)
                if isinstance(event.body, PhaseStarted):
                    self._flow_run = event.body.flow_run
                for update in updates(self.plan, before, event, self._state, self.run_id):
                    if update.root:
                        changed = True
                    elif update.key == str(event.seq):
                        self._waiting.append((event.seq, self._with_acts(event, update)))
                    else:
                        self._waiting.append((event.seq, update))
                if event.kind in _ENDS:
                    events = store.read(connection, self.run_id)
                    text = brief(report(self.plan, events, self.run_id))
                    self._waiting.append((event.seq, Update(key=f"{event.seq}{_REPORT}", text=text, over=True)))
            if changed:
                self._queue_root(self._clock.now(connection))

    def _with_acts(self, event: Event, update: Update) -> Update:
        """Return an update with what can be said to it, bound to this run and to what people are asked by it."""
        return replace(update, acts=acts_on(self.plan, event, self._state), bound=self._bound(event.seq))

    def _bound(self, asked: int) -> str:
        names = {"runbook": self.plan.runbook, "target": self.plan.target, "run": self.run_id, "asked": asked}
        return json.dumps(names, separators=(",", ":"))

    def _queue_root(self, now: datetime) -> None:
        """Queue the run's own message, before everything else."""
        self._headline = self._card(now)
        self._looked = clock.monotonic()
        story = [(seq, update) for seq, update in self._waiting if not update.root]
        acts = acts_on_run(self._state)
        root = replace(root_of(self._headline), acts=acts, bound=self._bound(0))
        self._waiting = [(self._state.seq, root), *story]

    def _refresh(self, connection: Connection) -> None:
        """Queue the run's own message where it says by now what is not so any more, such as an end that has passed."""
        if not self._headline or self._state.at_rest or clock.monotonic() - self._looked < _REFRESHED:
            return
        now, self._looked = self._clock.now(connection), clock.monotonic()
        if self._card(now) != self._headline:
            self._queue_root(now)

    def _card(self, now: datetime) -> Card:
        """Return what the run's own message says now."""
        return headline(self.plan, self._state, self.run_id, now, self._times.found)

    def _escalate(self, connection: Connection) -> None:
        """Queue whom to tell next, as nobody has acknowledged what the run needs people for."""
        queued = {update.key for _, update in self._waiting}
        for update in due(self.plan, self._state, self._clock.now(connection)):
            if self._is_new(update) and update.key not in queued and update.key not in self._failed:
                alarm = self._state.alarm.seq if self._state.alarm is not None else 0
                pressed = replace(update, acts=(ACKNOWLEDGE,), bound=self._bound(alarm))
                self._waiting.append((self._state.seq, pressed))

    def tell_once(self) -> list[str]:
        """Send what is new and due, here and now; return what could not be delivered."""
        with self.database.connect(f"gonogo/{self.run_id}/updates") as connection:
            self._remember(connection)
            self._is_ours(connection)
            self._catch_up(connection)
            self._escalate(connection)
            self._send_waiting(connection)
        return self.undelivered

    def _send_waiting(self, connection: Connection) -> None:
        while self._waiting and not self._enough.is_set() and self._is_ours(connection):
            first = self._waiting[0]
            if self._is_new(first[1]) and self._is_for_it(first[1]):
                self._deliver(connection, *first)
                self._record(connection)
            self._waiting = [waiting for waiting in self._waiting if waiting is not first]

    def _deliver(self, connection: Connection, seq: int, update: Update) -> None:
        error = ""
        if self._root is None and not update.root:
            # the story needs the message that it hangs from
            error = self._try(seq, root_of(self._card(self._clock.now(connection))))
        error = error or self._try(seq, update)
        if error:
            self._failed[update.key] = say_undelivered(update, error)
            self._unrecorded.append((self.run_id, seq, self._key(update.key), None, None, error))

    def _try(self, seq: int, update: Update) -> str:
        """Send an update; return why that failed, if it did."""
        error = self._hopeless
        # doing it twice does no harm where a message is changed, and less than not at all where people are needed
        twice = update.loud or (update.root and self._root is not None)
        for pause in () if self._hopeless else _PAUSES:
            try:
                shown = self._as_shown(update)
                sent = self._send(shown)
            except NotDelivered as failure:
                error = str(failure)
                self._hopeless = error if failure.hopeless else ""
                if failure.hopeless or (failure.doubtful and not twice) or self._enough.wait(pause):
                    break
            else:
                self._told.add(self._key(update.key))
                self._failed.pop(update.key, None)
                self._root = sent if update.root else self._root
                self._unrecorded.append((self.run_id, seq, self._key(update.key), sent.channel, sent.ts, None))
                return ""
        return error

    def _send(self, update: Update) -> Sent:
        try:
            return self._channel.send(self._where, update, self.plan.people, self._root)
        except NotDelivered:
            raise
        except Exception as error:  # noqa: BLE001 - an address or a text that a library chokes on ends no sender
            raise NotDelivered(f"it cannot be sent: {type(error).__name__}") from None

    def _as_shown(self, update: Update) -> Update:
        """Return an update with the link to the run's page, where that is served, and its buttons, where they are heard."""
        page = page_of(find_project())
        points = update.root or update.loud or update.key.endswith(_REPORT)
        link = public_page(page, self.plan, self.run_id) if points else ""
        heard = page is not None and page.hears_buttons
        # only Slack's buttons need somebody who hears them; elsewhere they say what can be done
        acts = update.acts if heard or self.kind != "slack" else ()
        links = self._links(page, link) if link else ()
        return replace(update, link=link, links=links, acts=acts, bound=update.bound or self._bound(0))

    def _links(self, page: PageAddress | None, link: str) -> tuple[tuple[str, str], ...]:
        """Return what else there is to open: the report, and Prefect's run where others can reach that."""
        report = (("Report", f"{link}report"),)
        prefect = page.prefect_run(self._flow_run) if page is not None else ""
        return (*report, *([("Prefect", prefect)] if prefect and not _is_here(prefect) else []))

    def _record(self, connection: Connection) -> None:
        """Keep what was sent, and what was not; where that fails, the next connection comes back to it first."""
        while self._unrecorded:
            deliveries.note(connection, *self._unrecorded[0])
            self._unrecorded.pop(0)
