"""Restore points by programs of the project's own: `backup: {command: {take: ..., prove: ..., restore: ...}}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gonogo.core.model.check_kinds import Program
from gonogo.core.model.restore_points import RestorePointPrograms
from gonogo.errors import StepError
from gonogo.external.answer import ask, lent
from gonogo.postgres.connection import Connection
from gonogo.recovery.providers import RESTORING, Place

#: the variables by which a program learns what it is about
NAME, POINT, COPY = "GONOGO_NAME", "GONOGO_RESTORE_POINT", "GONOGO_COPY"


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The programs, and the target."""

    rule: RestorePointPrograms
    place: Place

    def take(self, name: str) -> str:
        """Take a restore point, and wait until it is whole."""
        self.place.say(f"taking a restore point by {self.rule.take.argv[0]}")
        point = str(self._ask(self.rule.take, {NAME: name}, needs="id")["id"])
        if self.rule.wait is not None:
            self.place.say(f"waiting for the restore point {point}")
            self._ask(self.rule.wait, {NAME: name, POINT: point})
        return point

    @contextmanager
    def copied(self, point: str) -> Iterator[str]:
        """Make a database of a restore point, and drop it afterwards."""
        self.place.say(f"making a database of the restore point {point}")
        with lent(
            lambda: self._ask(self.rule.prove, {POINT: point}, needs="url"),
            lambda copy: self._drop(point, copy),
            self.place.database,
        ) as url:
            yield url

    def _drop(self, point: str, copy: str) -> None:
        if self.rule.drop is not None:
            self._ask(self.rule.drop, {POINT: point, COPY: copy})

    def takes_along(self, connection: Connection) -> str:
        """What a program puts back is its own affair."""
        del connection
        return ""

    def restore(self, point: str) -> None:
        """Put a restore point in the place of the target."""
        if self.rule.restore is None:
            raise StepError("the backup has no `restore:`, so no program can put it back")
        self.place.say(f"restoring {point} by {self.rule.restore.argv[0]}")
        self._ask(self.rule.restore, {POINT: point, RESTORING: point})

    def delete(self, point: str) -> bool:
        """Delete a restore point, where there is a program that does."""
        if self.rule.delete is None:
            return False
        self._ask(self.rule.delete, {POINT: point})
        return True

    def _ask(self, program: Program, given: Mapping[str, str], needs: str = "") -> Mapping[str, Any]:
        limit = self.rule.within.total_seconds()
        place = self.place
        return ask(program, place.root, place.database, given, limit=limit, needs=needs, started=place.started)


def open_provider(rule: RestorePointPrograms, place: Place) -> Programs:
    """Return what makes such restore points."""
    return Programs(rule=rule, place=place)
