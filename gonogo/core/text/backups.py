"""What is known of a backup, for people."""

from __future__ import annotations

from gonogo.core.engine.events import BackupProof
from gonogo.core.model.duration import say_duration
from gonogo.core.model.rollback import RESTORE_POINT_KINDS
from gonogo.core.text.plain import counted
from gonogo.core.text.times import moment


def describe_backup(proof: BackupProof, zone: str) -> str:
    """Say what is known of a proved backup, with its time in a zone."""
    uncovered = f"; not covered: {', '.join(proof.uncovered)}" if proof.uncovered else ""
    if proof.provider:
        return f"{_describe_restore_point(proof, zone)}{uncovered}"
    return (
        f"{counted(proof.tables, 'table')} and {counted(proof.objects, 'object')} of"
        f" {moment(proof.taken_at, zone)}, {proof.bytes / 1e6:,.1f} MB,"
        f" restored and compared in {say_duration(proof.restored_in)}{uncovered}"
    )


def _describe_restore_point(proof: BackupProof, zone: str) -> str:
    kind = RESTORE_POINT_KINDS.get(proof.provider)
    whole = proof.tables - len(proof.sampled)
    some = [f"{each.table} ({each.compared:,} of about {each.rows:,} rows)" for each in proof.sampled]
    compared = [f"{counted(whole, 'table')} compared whole"] + ([f"by sample {', '.join(some)}"] if some else [])
    return (
        f"restore point {proof.point} by {kind.title if kind else proof.provider}, of {moment(proof.taken_at, zone)};"
        f" a database was made of it in {say_duration(proof.restored_in)}: {', '.join(compared)},"
        f" {counted(proof.objects, 'object')}" + (f"; {proof.takes_along}" if proof.takes_along else "")
    )
