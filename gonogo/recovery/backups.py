"""Backups as a runbook asks for them: a dump of gonogo's own, or a restore point that something else makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gonogo.core.engine.events import BackupProof
from gonogo.core.model.rollback import Backup
from gonogo.postgres.scratch import ScratchServer, require_extensions
from gonogo.recovery import dump, restore_point
from gonogo.recovery.manifest import BackupFolder, read, read_manifest
from gonogo.recovery.providers import Place, open_provider


def take(place: Place, folder: Path, rule: Backup, room: Callable[[], ScratchServer]) -> tuple[BackupFolder, BackupProof]:
    """Take a backup and prove it.

    Args:
        place: the target, and where the programs run.
        folder: where the backup, or what is known of it, will lie.
        rule: what the runbook asks for.
        room: says where a dump may be restored to prove it.

    Raises:
        BackupFailed: it cannot be taken, or does not hold what was there.
        Refused: a dump cannot be restored anywhere.
    """
    if rule.provider:
        return restore_point.take(place, folder, rule)
    there = room()
    require_extensions(there)
    made = dump.take(place.database, folder, place.say, rule)
    return made, dump.prove(made, there, place.say)


def prove(place: Place, folder: Path, rule: Backup, room: Callable[[], ScratchServer]) -> BackupProof:
    """Prove a backup once more.

    Args:
        place: the target, and where the programs run.
        folder: where the backup, or what is known of it, lies.
        rule: what the runbook asks for.
        room: says where a dump may be restored to prove it.

    Raises:
        BackupFailed: it is not there any more, or does not hold what it did.
        Refused: a dump cannot be restored anywhere.
    """
    manifest = read_manifest(folder)
    if manifest.provider:
        return restore_point.prove(place, BackupFolder(folder=folder, manifest=manifest), rule)
    return dump.prove(read(folder), room(), place.say)


def delete(place: Place, rule: Backup, provider: str, point: str) -> str:
    """Delete a restore point by what made it; say why it stays, where it does.

    Args:
        place: the target, and where the programs run.
        rule: what the runbook asks for.
        provider: what made it.
        point: what names it there.

    Raises:
        StepError: a program failed.
    """
    if rule.provider != provider:
        return f"the restore point {point} stays: the runbook has no `{provider}:` any more that could delete it"
    return "" if open_provider(rule, place).delete(point) else f"the restore point {point} stays: gonogo only forgets it"


__all__ = ["delete", "prove", "take"]
