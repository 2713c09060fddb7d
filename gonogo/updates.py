"""Send the updates of a run, aside: a thread of its own follows the ledger, and nothing waits for it.

The ledger is the queue. What was sent, and where, is kept beside it, so a resumed run goes on in the same thread,
and nothing is told twice. What could not be delivered is listed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import psycopg

from gonogo import clock, ledger
from gonogo.core.engine import evolve
from gonogo.core.message import Update, updates
from gonogo.core.plan import Plan
from gonogo.core.state import State
from gonogo.database import Connection, Database
from gonogo.errors import GonogoError
from gonogo.slack import NotDelivered, Sent, client, send

_TRIES = 3
_SENT = "SELECT key, channel, ts FROM gonogo.delivery WHERE run = %s AND error IS NULL ORDER BY id"


def token() -> str:
    """Return Slack's bot token, or nothing."""
    return os.environ.get("SLACK_BOT_TOKEN", "")


class Sender(threading.Thread):
    """Follows a run's ledger and tells Slack."""

    def __init__(self, database: Database, plan: Plan, run: str, say: Callable[[str], None]) -> None:
        super().__init__(name="updates", daemon=True)
        self.database, self.plan, self.run_id, self.say = database, plan, run, say
        self.undelivered: list[str] = []
        self._over = threading.Event()
        self._web = client(token())
        self._state = State()
        self._root: Sent | None = None
        self._told: set[str] = set()
        self._hopeless = False

    def run(self) -> None:
        """Send what is new until the run is over and everything is sent."""
        while True:
            try:
                with self.database.connect(f"gonogo/{self.run_id}/updates") as connection:
                    self._remember(connection)
                    while True:
                        last = self._over.is_set()
                        self._catch_up(connection)
                        if last:
                            return
                        self._over.wait(0.5)
            except (psycopg.Error, GonogoError):
                # the target may be restarting; updates are not worth more than a new try
                if self._over.wait(1.0):
                    return

    def finish(self, patience: float = 15.0) -> None:
        """Let it send what is left, for some seconds at most, and say what was not delivered."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=patience)
        if self.is_alive():
            self.say("Slack is slow: the last updates may not have been delivered")
        for text in self.undelivered:
            self.say(f"not delivered to Slack: {text}")

    def _remember(self, connection: Connection) -> None:
        for key, channel, ts in connection.execute(_SENT, [self.run_id]).fetchall():
            self._told.add(key)
            if key == "root" and ts:
                self._root = Sent(channel=channel, ts=ts)

    def _catch_up(self, connection: Connection) -> None:
        """Tell what the new facts say; of several states of the root message only the newest."""
        root: Update | None = None
        thread: list[tuple[int, Update]] = []
        for event in ledger.read(connection, self.run_id, self._state.seq):
            before, self._state = self._state, evolve(self._state, event)
            for update in updates(self.plan, before, event, self._state, self.run_id):
                if update.root:
                    root = update
                elif update.key not in self._told:
                    thread.append((event.seq, update))
        if root is not None:
            self._deliver(connection, self._state.seq, root)
        for seq, update in thread:
            self._deliver(connection, seq, update)

    def _deliver(self, connection: Connection, seq: int, update: Update) -> None:
        error = "" if not self._hopeless else "Slack refused the token or the channel"
        for number in range(_TRIES if not self._hopeless else 0):
            try:
                sent = send(self._web, self.plan.updates.slack, update, dict(self.plan.people), self._root)
            except NotDelivered as failure:
                error, self._hopeless = str(failure), failure.hopeless
                if self._hopeless:
                    break
                clock.sleep(0.2 * 2**number)
            else:
                self._told.add(update.key)
                if update.root:
                    self._root = sent
                self._record(connection, seq, update, sent, None)
                return
        self.undelivered.append(f"{update.text.splitlines()[0][:100]} ({error})")
        self._record(connection, seq, update, None, error)

    def _record(self, connection: Connection, seq: int, update: Update, sent: Sent | None, error: str | None) -> None:
        connection.execute(
            "INSERT INTO gonogo.delivery (run, seq, key, channel, ts, error, at) VALUES (%s, %s, %s, %s, %s, %s, now())",
            [self.run_id, seq, update.key, sent.channel if sent else None, sent.ts if sent else None, error],
        )
