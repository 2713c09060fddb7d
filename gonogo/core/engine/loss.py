"""What a rollback would destroy of what somebody wrote since, and who accepts that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gonogo.core.engine.changed import changed


@dataclass(frozen=True, kw_only=True)
class LossState:
    """What was counted and accepted of the loss of a rollback, and what was lost."""

    #: what was counted: a step, or past the last one all of it; and whether it was every undo from that step on
    counted: int | None = None
    whole: bool = False
    #: the rows that would be destroyed, by table, as they were counted last
    told: Mapping[str, int] = field(default_factory=dict)
    #: rows would be destroyed, and a person has yet to accept that
    pending: bool = False
    #: a person accepted it, and the run has not stopped since; of these tables, where they were told
    accepted: bool = False
    accepted_of: frozenset[str] | None = None
    #: the event by which it was accepted last; who did, and why
    accepted_at: int = 0
    accepted_by: str = ""
    #: the rows that were destroyed, by table
    lost: Mapping[str, int] = field(default_factory=dict)

    def allows(self, tables: Iterable[str]) -> bool:
        """Return whether rows of some tables may be destroyed."""
        found = set(tables)
        return not found or (self.accepted and (self.accepted_of is None or found <= self.accepted_of))

    def covers(self, step: int) -> bool:
        """Return whether it was counted what the undo of a step would destroy."""
        return self.counted is not None and (step <= self.counted if self.whole else step == self.counted)

    def after_answer(self, seq: int, who: str, why: str, *, accepts: bool) -> LossState:
        """Note what a person says to it; time has passed, so it is counted again."""
        if not accepts:
            return changed(self, counted=None, pending=False, accepted=False)
        # who was told what would be lost accepts that; who says so beforehand accepts whatever it is
        only = frozenset(self.told) | (self.accepted_of or frozenset()) if self.pending else None
        by = f"{who}: {why}" if why else who
        return changed(self, counted=None, pending=False, accepted=True, accepted_of=only, accepted_at=seq, accepted_by=by)

    def after_count(self, step: int, rows: Mapping[str, int], *, whole: bool) -> LossState:
        """Note what was counted; it waits for a person where nobody accepted it."""
        told = {table: count for table, count in rows.items() if count}
        if not self.allows(told):
            return changed(self, told=told, whole=whole, counted=None, pending=True, accepted=False)
        made = changed(self, told=told, whole=whole, counted=step, pending=False)
        # what undos destroy is noted as each is done
        return made if whole else made.after_destroying(told)

    def after_destroying(self, rows: Mapping[str, int]) -> LossState:
        """Note rows that were destroyed."""
        more = {table: self.lost.get(table, 0) + count for table, count in rows.items() if count}
        return changed(self, lost={**self.lost, **more})

    def out_of_date(self) -> LossState:
        """Note that what was counted and accepted may not be so any more."""
        return changed(self, counted=None, accepted=False)
