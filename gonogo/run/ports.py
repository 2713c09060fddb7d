"""What a run needs from around it: a ledger to read and to append to, and a target to work on.

`gonogo/run/target.py` and `gonogo/run/records.py` are the real ones. The tests have others in memory, which pass the same suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from gonogo.core.engine.events import (
    BackupProved,
    BackupRestored,
    BatchDone,
    Body,
    Event,
    Rehearsed,
    StepLoss,
    SwitchDone,
    UndoBatchDone,
    UndoDone,
)
from gonogo.core.engine.pace import Look
from gonogo.core.engine.state import State
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check_kinds import Http, Program
from gonogo.core.plan.fingerprint import FORM, Fingerprint
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.keys import Keys


class Reader(Protocol):
    """The ledger of one run, to be read."""

    def read(self, after: int = 0) -> list[Event]:
        """Return the events after a number, in order."""

    def event(self, seq: int) -> Event:
        """Return one event.

        Raises:
            Refused: there is none of that number.
        """

    def data(self, seq: int) -> dict[str, Any]:
        """Return the body of an event just as it lies in the ledger: what a signature covers."""


class Ledger(Reader, Protocol):
    """The ledger of one run, as its runner has it."""

    def append(self, body: Body) -> Event:
        """Append an event as the run's runner.

        Raises:
            Fenced: another runner took over.
        """

    def newer(self, than: Event) -> list[Event]:
        """Return the events after one that is known.

        Raises:
            LedgerWentBack: that one is not there any more.
        """

    def problems(self) -> list[str]:
        """Return what is wrong with the chain of events, and with that of the rehearsals."""

    def newest_rehearsal(self) -> tuple[int, Rehearsed, Mapping[str, Any]] | None:
        """Return the newest rehearsal of the runbook: its number, what it showed, and what a signature covers.

        Raises:
            Refused: its record cannot be read.
        """

    def later_runs(self, since: datetime) -> list[str]:
        """Return the other runs that changed the target since a moment."""


class Batches(Protocol):
    """A table that a backfill works through."""

    @property
    def estimate(self) -> int:
        """About how many rows it has; 0 where nobody knows."""

    def run_next(self, number: int, after: Sequence[str] | None, body: BatchDone, size: int) -> Event | None:
        """Run the next batch together with its event; None when nothing is left.

        Args:
            number: its number in this process.
            after: the key that the batch before it ended with.
            body: what its event says beside its key and its rows.
            size: how many rows it takes at most.
        """

    def undo_next(self, before: int, body: UndoBatchDone) -> Event | None:
        """Take the newest batch back that is not, together with its event; None when nothing is left.

        Args:
            before: the event of the batch that was taken back last; 0 where none was.
            body: what its event says beside its batch and its rows.
        """

    def vacuum(self) -> None:
        """Run VACUUM on the table."""

    def rematches_own_rows(self, done: int) -> bool:
        """Say whether more than twice the table was done: the batches then change their own key."""


class BesideBackfill(Protocol):
    """What looks beside a backfill while it works."""

    @property
    def looks(self) -> bool:
        """Whether there is anything to see, and so a pace to find."""

    @property
    def probes(self) -> bool:
        """Whether it says how calls beside the backfill are slowed."""

    def look(self) -> Look:
        """Return what was seen last."""

    def working(self) -> AbstractContextManager[None]:
        """Note that a batch runs while it is open."""

    def close(self) -> None:
        """End it."""


class Answer(Protocol):
    """What a program, or a service, answered."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    @property
    def status(self) -> int | None:
        """The status of a service."""

    @property
    def text(self) -> str:
        """What it said."""


class Target(Protocol):
    """The database that a run changes, and what a run may do to it and beyond it."""

    def say(self, text: str) -> None:
        """Tell whoever looks on."""

    def now(self) -> datetime:
        """Return the time that waits, windows and deadlines are reckoned by."""

    def wait(self, seconds: float) -> None:
        """Let time pass; an event that somebody appends ends it at once."""

    # scripts

    def run_script(self, step: PlannedStep, script: Script, body: Body, *, guard: str = "") -> Event:
        """Run a transactional script together with its event.

        Args:
            step: whose limits apply.
            script: what to run.
            body: the event's.
            guard: SQL that goes before it in the same transaction.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            Stopped: the watch cancelled it; nothing of it stayed.
        """

    def prepare_alone(self, script: Script) -> None:
        """Make sure that a script which cannot be transactional will make what it says.

        Raises:
            ScriptFailed: something of that name is there already.
        """

    def warnings(self) -> tuple[str, ...]:
        """Return what the server warned of as the last script ran, each text once."""

    def run_alone(self, step: PlannedStep, script: Script) -> None:
        """Run a script outside a transaction.

        Raises:
            ScriptFailed: the server refused it; `left` says whether something of it may have stayed.
            Stopped: the watch cancelled it.
        """

    def happened(self, script: Script) -> bool | None:
        """Ask the catalog whether a script outside a transaction happened; None where it cannot know."""

    def answers_yes(self, query: str) -> bool | None:
        """Ask a query with one boolean; None where it answers nothing."""

    def batches(self, step: PlannedStep) -> Batches:
        """Return the table that a backfill works through.

        Raises:
            ScriptFailed: there is no such table, or no key without NULLs.
        """

    def beside(self, step: PlannedStep, baseline: Mapping[str, Measurement]) -> BesideBackfill:
        """Begin to look beside a backfill.

        Args:
            step: the backfill.
            baseline: what its checks compare with.
        """

    def oldest_running(self) -> str:
        """Return a snapshot that shows only what had committed before any transaction that runs now began to write."""

    # beyond the database

    def call(self, step: PlannedStep, what: Program | Http, key: str, *, stoppable: bool) -> Answer:
        """Run a program, or ask a service.

        Args:
            step: whose limit applies.
            what: the program, or the request.
            key: what tells one attempt from another, for a service that knows such keys.
            stoppable: whether the watch may end it.

        Raises:
            ScriptFailed: it failed, or takes too long; `left` says whether what it did may have stayed.
        """

    # what is there

    def fingerprint(self, form: int = FORM) -> Fingerprint:
        """Return the definitions of the schema, object by object."""

    def done_on(self, name: str, phase: str, keys: Keys) -> tuple[bool, str]:
        """Ask another target's ledger whether a phase of the very same change was done there, and what is known of it.

        Args:
            name: the target.
            phase: the phase.
            keys: the project's.
        """

    def missing_privileges(self, needs: Sequence[tuple[str, str]]) -> list[str]:
        """Return which rights the role does not have."""

    def measure(self, name: str, baseline: Measurement | None) -> Measurement:
        """Ask a check on a connection that runs no steps."""

    # backup and rollback

    def take_backup(self, *, after: bool) -> BackupProved:
        """Take a backup, restore it and compare.

        Raises:
            BackupFailed: it cannot be taken, or does not hold what was there.
            Refused: it cannot be proved anywhere.
        """

    def restore(self, backup: BackupProved, body: BackupRestored, *, accepts_loss: bool) -> None:
        """Replace what is there with a backup, and record it with the very same change.

        Raises:
            RowsWritten: somebody wrote after the loss was counted.
            RestoreFailed: it cannot be restored; what was there is still there.
        """

    def losses(self, state: State, step: int) -> Sequence[StepLoss]:
        """Return what every undo of a rollback would destroy of what somebody wrote since.

        Args:
            state: where the run stands.
            step: the step whose undo is next; past the last one, the restore.
        """

    def undo(self, state: State, step: int, index: int, script: Script, done: UndoDone) -> Event:
        """Run a transactional undo script together with its event, which says what it destroyed.

        Args:
            state: where the run stands; it says which loss was accepted.
            step: the step that is undone.
            index: which of its undo scripts it is.
            script: the script.
            done: its event.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: it would destroy rows that nobody accepted; nothing of it stayed.
        """

    def switch(self, state: State, step: PlannedStep, script: Script, done: SwitchDone) -> Event:
        """Run a script of a level that has its own together with its event, which says what it destroyed.

        Args:
            state: where the run stands; it says which loss was accepted.
            step: whose limits apply.
            script: the script.
            done: its event.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: it would destroy rows that nobody accepted; nothing of it stayed.
        """

    def with_estimate(self, step: int, done: UndoDone) -> UndoDone:
        """Return the event of an undo that cannot be transactional, with what it was estimated to destroy."""
