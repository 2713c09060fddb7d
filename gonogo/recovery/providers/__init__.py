"""Restore points that gonogo does not make itself: one module a kind, named as its field in `Backup` is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from gonogo.core.model.rollback import Backup
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.tools import Say

#: the variable by which whatever is started to restore is known again
RESTORING = "GONOGO_RESTORES"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a restore point is taken of, and from where."""

    #: the target
    database: Database
    #: the folder of the project, in which its programs run
    root: Path
    #: where progress is told
    say: Say
    #: is told the group of processes of each program that is started
    started: Callable[[int], None] = lambda _: None


class Provider(Protocol):
    """Makes restore points of a kind. Each of its methods raises StepError where it cannot."""

    def take(self, name: str) -> str:
        """Take a restore point, whole and durable; return what names it from now on."""

    def copied(self, point: str) -> AbstractContextManager[str]:
        """Make a database of a restore point, elsewhere, for a while; yield its address."""

    def takes_along(self, connection: Connection) -> str:
        """Say what restoring it puts back besides the target, or nothing where nobody knows of anything."""

    def restore(self, point: str) -> None:
        """Put a restore point in the place of the target; whoever died meanwhile does it again."""

    def delete(self, point: str) -> bool:
        """Delete a restore point; say whether it did, and not leave that to others."""


def open_provider(rule: Backup, place: Place) -> Provider:
    """Return what makes the restore points that a runbook asks for.

    Args:
        rule: what it asks for; its kind is not a dump of gonogo's own.
        place: the target, and the project.
    """
    module = import_module(f"gonogo.recovery.providers.{rule.provider}")
    made: Provider = module.open_provider(getattr(rule, rule.provider), place)
    return made
