"""A restore point that something else made, in the place of the target: the ledger goes back with it, and is brought back.

Before the program begins, the ledger is written into the project's folder of state, with what is being done. So whoever dies in
between goes on: the program is called again, and the ledger is put into what it restored, with the event that says so, in one
transaction. What a program says of its success is not believed: the restored ledger must be the old one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from pydantic import BaseModel, ConfigDict

from gonogo import clock, private_files
from gonogo.core.engine.events import BackupRestored, Kind, read_body, write_body
from gonogo.core.model.rollback import Backup
from gonogo.errors import Refused, StepError, Unreachable
from gonogo.external.process import living
from gonogo.ledger import heads, store
from gonogo.ledger.heads import Head
from gonogo.postgres.connection import Connection, Database, transaction
from gonogo.recovery import carried_ledger
from gonogo.recovery.manifest import BackupFailed
from gonogo.recovery.providers import RESTORING, Place, open_provider

#: seconds in which a server that was restored must answer, and in which a program ends that is killed
_ANSWERS_WITHIN, _ENDS_WITHIN = 120.0, 10.0
_WHAT, _GROUP = "restore.json", "group"
_RECORDED = "SELECT FROM gonogo.event WHERE run = %s AND seq > %s AND kind = %s"


class Work(BaseModel):
    """Which restore point is put back, and who does it."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    run: str
    #: under which its runner works
    epoch: int
    actor: str
    #: what made the restore point, and what names it
    rule: Backup
    point: str
    #: the newest event that it holds; None where there was no ledger yet
    holds: Head | None = None


class Underway(Work):
    """A restore that was begun: all that somebody needs who goes on with it."""

    #: the newest event before it, which the restored ledger must lack
    head: Head
    #: the event that says that it was restored
    body: dict[str, Any]

    @classmethod
    def of(cls, connection: Connection, work: Work, body: BackupRestored) -> Underway:
        """Return what a restore is about to do.

        Args:
            connection: to the target.
            work: which restore point is put back, and who does it.
            body: the event that will say that it was restored.
        """
        head = heads.newest(connection, work.run)
        if head is None:
            raise Refused(f"there is no run {work.run!r} on this target")
        return cls(**vars(work), head=head, body=write_body(body))


@dataclass(frozen=True, kw_only=True)
class Restoring:
    """A restore by a program, of one run."""

    place: Place
    #: where it is kept while it is under way
    folder: Path

    def put_back(self, connection: Connection, underway: Underway) -> None:
        """Put a restore point in the place of the target, and record it. The connection is of no use afterwards.

        Args:
            connection: to the target.
            underway: what is to be done.

        Raises:
            BackupFailed: it was not restored; the ledger, with all that it held, is there.
            Unreachable: the target does not answer any more; whoever goes on with the run calls the program again.
        """
        self._note(connection, underway)
        connection.close()
        with self._alone():
            self._finish(underway)

    def go_on(self) -> None:
        """Go on with a restore that somebody died in.

        Raises:
            Refused: another process of this machine is at it.
            BackupFailed: it was not restored; the ledger, with all that it held, is there.
            Unreachable: the target does not answer.
        """
        with self._alone():
            self._end_what_is_left()
            underway = Underway.model_validate_json((self.folder / _WHAT).read_text(encoding="utf-8"))
            with suppress(Unreachable), self.place.database.connect("gonogo/restore") as connection:
                if _recorded(connection, underway):
                    shutil.rmtree(self.folder)
                    return
            self.place.say("a restore was interrupted: its program is called again")
            self._finish(underway)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only process that restores.

        Raises:
            Refused: another one is at it.
        """
        with (self.folder / _WHAT).open("rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused("another process is restoring the target; wait for it") from None
            yield

    def _end_what_is_left(self) -> None:
        """End what the program of whoever died started: it would put the target back once more, after all is done.

        Raises:
            Refused: it is somebody else's, and still runs.
        """
        try:
            group = int((self.folder / _GROUP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        deadline = clock.monotonic() + _ENDS_WITHIN
        # a number is given to another process after a while: only what was started for a restore is ended
        while left := [process for process in living(group) if _was_started_for_one(process)]:
            for process in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            if clock.monotonic() > deadline:
                raise Refused(f"the program of the interrupted restore still runs (process {left[0]}): end it, or wait for it")
            clock.sleep(0.1)

    def _started(self, group: int) -> None:
        private_files.write(self.folder / _GROUP, str(group))

    def _note(self, connection: Connection, underway: Underway) -> None:
        """Keep the ledger, and what is to be done, on this machine."""
        partial = self.folder.with_name(f".{self.folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            partial.mkdir(parents=True, mode=0o700)
            carried_ledger.save(connection, partial)
            private_files.write(partial / _WHAT, underway.model_dump_json())
            partial.rename(self.folder)
        except OSError as error:
            raise BackupFailed(f"the ledger cannot be kept in {self.folder}: {error.strerror}") from None

    def _finish(self, underway: Underway) -> None:
        began, why = clock.monotonic(), ""
        try:
            open_provider(underway.rule, replace(self.place, started=self._started)).restore(underway.point)
        except StepError as error:
            why = str(error)
        took = round(clock.monotonic() - began, 1)
        connection = _answering(self.place.database)
        with connection:
            if heads.has(connection, underway.head):
                shutil.rmtree(self.folder)
                raise BackupFailed(
                    f"{why}; what was there is still there"
                    if why
                    else "the program says that it restored the target, and its ledger still holds the newest event: nothing was"
                    " restored"
                )
            if not why and underway.holds is not None and not heads.has(connection, underway.holds):
                why = f"what was restored is not {underway.point}: it lacks an event that this holds"
            self._bring_back(connection, underway, None if why else took)
        shutil.rmtree(self.folder)
        if why:
            raise BackupFailed(f"{why}; the target went back all the same, to a moment that nobody vouches for")

    def _bring_back(self, connection: Connection, underway: Underway, took: float | None) -> None:
        """Put the ledger into what was restored; with the event that says so, where it was."""
        with transaction(connection):
            carried_ledger.load(connection, self.folder, self.place.say)
            if took is None:
                return
            connection.execute("SELECT gonogo.enter(%s, %s)", [underway.run, underway.epoch])
            body = read_body(Kind.RESTORED, underway.body)
            assert isinstance(body, BackupRestored)  # noqa: S101 - it is of this kind
            store.append(connection, underway.run, body.replace(restored_in=took, how=underway.rule.provider), underway.actor)


def _was_started_for_one(process: int) -> bool:
    """Say whether a process was started for a restore; of another account's that cannot be known, and it may be."""
    try:
        return f"{RESTORING}=".encode() in Path(f"/proc/{process}/environ").read_bytes()
    except PermissionError:
        return True
    except OSError:
        return False


def _recorded(connection: Connection, underway: Underway) -> bool:
    """Say whether it was recorded that it is done."""
    known = [underway.run, underway.head.seq, str(Kind.RESTORED)]
    return heads.has(connection, underway.head) and connection.execute(_RECORDED, known).fetchone() is not None


def _answering(database: Database) -> Connection:
    """Connect to a server that may just be starting.

    Raises:
        Unreachable: it does not answer.
    """
    deadline = clock.monotonic() + _ANSWERS_WITHIN
    while True:
        try:
            connection = database.connect("gonogo/restore")
            # one that still replays takes no writes
            if connection.execute("SELECT NOT pg_catalog.pg_is_in_recovery()").fetchone() == (True,):
                return connection
            connection.close()
        except (Unreachable, psycopg.OperationalError):
            if clock.monotonic() > deadline:
                raise
        if clock.monotonic() > deadline:
            raise Unreachable("the restored target is still in recovery")
        clock.sleep(0.5)


__all__ = ["Restoring", "Underway", "Work"]
