"""The copies of the target that a rehearsal works on: restored from a backup, or made by something else.

A backup is restored once; what else is needed is copied from that, inside its server. What gonogo did not make itself is
compared first: it must not be the target, nor somebody's database in use, and its schema must be the target's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import psycopg

from gonogo.core.engine.events import BackupProof
from gonogo.core.model import copies as model
from gonogo.core.model.check_kinds import Program
from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.errors import Refused, StepError
from gonogo.external.answer import ask, lent
from gonogo.ledger import heads
from gonogo.postgres import scratch
from gonogo.postgres.address import resolve_url
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.fingerprint import fingerprint
from gonogo.postgres.same_database import is_same_database
from gonogo.postgres.scratch import ScratchServer
from gonogo.postgres.server_clock import server_time
from gonogo.postgres.stand_in import login_of, standing_in
from gonogo.recovery import dump
from gonogo.recovery.dump import portable, same_definitions
from gonogo.recovery.manifest import BackupFolder
from gonogo.recovery.pg_restore import major
from gonogo.rehearsal.sandbox import RehearsalRun

_COPY = "GONOGO_COPY"


class Copy(NamedTuple):
    """A copy of the target: its address, and the proof of the backup that it was restored from, if it was."""

    url: str
    proof: BackupProof | None = None


class Copies(Protocol):
    """Where copies come from."""

    @property
    def where(self) -> str:
        """What they are, for people."""

    @property
    def taken_at(self) -> datetime:
        """When they were what the target was; known once there was one."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What the target's schema was then."""

    def fresh(self) -> AbstractContextManager[Copy]:
        """Have a copy that nobody changed, for a while."""


@dataclass(kw_only=True)
class RestoredCopies:
    """Copies from a backup that was restored once."""

    run: RehearsalRun
    made: BackupFolder
    template: Copy
    #: whether the one that was restored may be changed: no other copy is needed
    only_one: bool

    @property
    def where(self) -> str:
        """What they are, for people."""
        return self.run.room.choose()[1]

    @property
    def taken_at(self) -> datetime:
        """When the backup was taken."""
        return self.made.manifest.taken_at

    @property
    def fingerprint(self) -> Fingerprint:
        """The target's schema then."""
        return self.made.manifest.fingerprint

    @contextmanager
    def fresh(self) -> Iterator[Copy]:
        """Copy what was restored; where that may not be copied, restore it again."""
        if self.only_one:
            yield self.template
            return
        with scratch.like(self.run.room, self.template.url) as url:
            if url:
                yield Copy(url, self.template.proof)
                return
        with dump.restored(self.made, self.run.room, self.run.say) as (url, proof):
            yield Copy(url, proof)


@contextmanager
def restored(run: RehearsalRun, made: BackupFolder, *, only_one: bool) -> Iterator[RestoredCopies]:
    """Restore a backup, proved, for copies of it.

    Args:
        run: the rehearsal.
        made: the backup.
        only_one: whether no second copy is needed.

    Raises:
        BackupFailed: it cannot be restored, or what comes of it is not what was there.
        Refused: no database can be made for it.
    """
    run.say("restoring the backup")
    with dump.restored(made, run.room, run.say) as (url, proof):
        yield RestoredCopies(run=run, made=made, template=Copy(url, proof), only_one=only_one)


@dataclass(kw_only=True)
class OtherCopies:
    """Copies that something else makes."""

    run: RehearsalRun
    rule: model.Copies
    #: the target's schema, which theirs must be
    fingerprint: Fingerprint
    where: str
    taken_at: datetime = field(init=False)
    #: whether the one that was there already was worked in
    _used: bool = False

    @contextmanager
    def fresh(self) -> Iterator[Copy]:
        """Have one made, see that it is one, and act in it with no more rights than on the target."""
        how: Callable[[], AbstractContextManager[str]] = (
            self._ready if self.rule.ready else self._made if self.rule.make else self._of_files
        )
        with how() as url, self._acting(url):
            yield Copy(url)

    @contextmanager
    def _ready(self) -> Iterator[str]:
        """Copy the copy on its own server; where that cannot be, work in it, once."""
        url = resolve_url(self.rule.ready)
        self._take_stock(url)
        room = ScratchServer(database=self.run.database, spare=lambda: url, server=url, called="the server of the copy")
        with scratch.like(room, url) as other:
            if other:
                _forget_ledger(other)
                yield other
                return
        if self._used or not self.rule.in_place:
            what = "the rehearsal needs a second copy, and the one" if self._used else "the copy"
            more = "" if self._used else "; or write `in_place: true`, if it is a clone for nothing else"
            raise Refused(
                f"{what} that is ready cannot be copied: let its role make databases there (ALTER ROLE ... CREATEDB), with nobody"
                f" connected to it{more}"
            )
        self._used = True
        self.run.say("the copy that is ready cannot be copied: the rehearsal works in it")
        _forget_ledger(url)
        try:
            yield url
        finally:
            # or the next rehearsal would take it for a database in use
            _forget_ledger(url)

    @contextmanager
    def _made(self) -> Iterator[str]:
        """Let a program make one, and drop it afterwards."""
        program, run = self.rule.make, self.run
        if program is None:
            raise Refused("rehearse_on: `make` is missing")
        run.say(f"making a copy by {program.argv[0]}")
        with run.database.connect("gonogo/rehearse") as connection:
            self.taken_at = server_time(connection)
        try:
            with lent(lambda: self._ask(program, {}, needs="url"), self._drop, run.database) as url:
                self._take_stock(url)
                _forget_ledger(url)
                yield url
        except StepError as error:
            raise Refused(str(error)) from None

    def _drop(self, copy: str) -> None:
        if self.rule.drop is not None:
            self._ask(self.rule.drop, {_COPY: copy})

    @contextmanager
    def _of_files(self) -> Iterator[str]:
        """Copy the target's files on its own server."""
        database = self.run.database
        with database.connect("gonogo/rehearse") as connection:
            self.taken_at = server_time(connection)
        room = ScratchServer(database=database, spare=lambda: database.url, server=database.url, called="the target's own server")
        with scratch.like(room, database.url, needed=True) as url:
            _forget_ledger(url)
            yield url

    def _ask(self, program: Program, given: Mapping[str, str], needs: str = "") -> Mapping[str, Any]:
        run, limit = self.run, self.rule.within.total_seconds()
        return ask(program, run.project.files, run.database, given, limit=limit, needs=needs)

    def _take_stock(self, url: str) -> None:
        """See that a database is a copy of the target, and how old it is.

        Raises:
            Refused: it is none.
        """
        try:
            with (
                self.run.database.connect("gonogo/rehearse") as target,
                Database(url=url).connect("gonogo/rehearse") as copy,
            ):
                copy.execute("SET statement_timeout = 0")
                if is_same_database(target, copy):
                    raise Refused("the copy that `rehearse_on` names is the target itself")
                newest = heads.newest(copy)
                if newest is not None and not heads.has(target, newest):
                    raise Refused(
                        "the copy that `rehearse_on` names has a ledger with events that the target does not know: it is a"
                        " database in use. If it is none, DROP SCHEMA gonogo CASCADE there"
                    )
                self._require_alike(target, copy)
                if self.rule.as_of:
                    self.taken_at = _as_of(copy, self.rule.as_of)
        except psycopg.Error as error:
            raise Refused(f"the copy that `rehearse_on` names: {str(error).strip()}") from None

    def _require_alike(self, target: Connection, copy: Connection) -> None:
        there = fingerprint(copy, self.fingerprint.form)
        exact = major(target.info.server_version) == major(copy.info.server_version)
        notes = differences(*same_definitions(portable(self.fingerprint.objects), portable(there.objects), exact=exact))
        if notes:
            raise Refused(f"the copy that `rehearse_on` names has another schema than the target: {'; '.join(notes[:10])}")

    @contextmanager
    def _acting(self, url: str) -> Iterator[None]:
        """Act in a copy with the rights that the target's role has."""
        run, before = self.run, self.run.stand_in
        with run.database.connect("gonogo/rehearse") as connection:
            login = login_of(connection)
        with standing_in(url, login, ours=False) as who:
            run.stand_in = who
            if who is not None:
                room = ScratchServer(database=run.database, spare=lambda: url, server=url, worker=who.role)
                scratch.let_in(room, url)
            try:
                yield
            finally:
                run.stand_in = before


def others(run: RehearsalRun, rule: model.Copies, known: Fingerprint) -> OtherCopies:
    """Return where copies come from that gonogo does not restore.

    Args:
        run: the rehearsal.
        rule: what the runbook says.
        known: the target's schema.
    """
    if rule.make is not None:
        where = f"a copy made by {rule.make.argv[0]}"
    else:
        where = "a copy that was ready" if rule.ready else "a copy of the target's files on its own server"
    return OtherCopies(run=run, rule=rule, fingerprint=known, where=where)


def _forget_ledger(url: str) -> None:
    """Drop the target's ledger from a copy: a rehearsal keeps its own there."""
    with Database(url=url).connect("gonogo/rehearse") as connection:
        connection.execute("DROP SCHEMA IF EXISTS gonogo CASCADE")


def _as_of(copy: Connection, query: str) -> datetime:
    """Ask a copy when it was what the target was.

    Raises:
        Refused: it does not say.
    """
    copy.execute("SET search_path TO DEFAULT")
    row = copy.execute(query.encode()).fetchone()
    found = row[0] if row else None
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise Refused(f"as_of: {query!r} answers {found!r} on the copy, and not a moment with its zone (timestamptz)")
    return found


__all__ = ["Copies", "Copy", "OtherCopies", "RestoredCopies", "others", "restored"]
