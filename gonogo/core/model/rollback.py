"""The rollback, as a runbook defines it: what is saved, what is rehearsed, and how a run is rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gonogo.core.model.check import Rule
from gonogo.core.model.fields import Duration, Names, Part
from gonogo.core.model.people import Approve, Targets
from gonogo.core.model.restore_points import PgBackRest, RestorePointKind, RestorePointPrograms, Sample
from gonogo.core.model.threshold import parse_threshold


class Backup(Part):
    """A backup that is taken, restored and compared before the gate of the first phase: a dump, unless another kind is named."""

    schemas: Names = Field(
        default=(), description="The schemas whose rows it holds; with neither these nor `tables`, the whole database."
    )
    tables: Names = Field(
        default=(),
        description="The tables whose rows it holds. Definitions, functions, triggers and grants are always all there.",
    )
    command: Annotated[RestorePointPrograms | None, RestorePointKind(title="your own programs")] = Field(
        default=None, description="Programs of yours that make a restore point, in the place of a dump: snapshots, clouds."
    )
    pgbackrest: Annotated[PgBackRest | None, RestorePointKind(title="pgBackRest")] = Field(
        default=None, description="A backup by pgBackRest, in the place of a dump."
    )
    sample: Sample = Field(
        default=Sample(), description="How much of it is compared row by row, where it is no dump: that is always compared whole."
    )
    recover_within: Duration | None = Field(
        default=None, description="How long restoring it may take; where the proof takes longer, the gate is no-go."
    )
    each_phase: bool = Field(
        default=False,
        description="Whether the gate of every phase takes one, so that a later phase can be restored by itself; else only the"
        " first phase's does.",
    )
    after: bool = Field(default=False, description="Whether another one is taken and proved when the last phase is done.")
    keep: Duration = Field(
        default=timedelta(days=30),
        description="How long it is kept; `gonogo backup prune` removes older ones, nothing else does.",
    )
    waived: str = Field(
        default="", description="Why there is none, where a protected target has none; people read it at the gate."
    )
    targets: Targets = Field(default="all", description="Where it is taken: on all targets, or on `protected` ones only.")

    @property
    def provider(self) -> str:
        """The kind of restore point that it is; empty for a dump of gonogo's own."""
        return next((name for name in RESTORE_POINT_KINDS if getattr(self, name) is not None), "")

    @property
    def as_a_dump(self) -> Backup:
        """The same, by a dump: what a rehearsal takes and restores, which must not call programs that reach the target."""
        return self.model_copy(update=dict.fromkeys(RESTORE_POINT_KINDS))

    @property
    def restores(self) -> bool:
        """Whether it can be put in the place of the target."""
        if self.command is not None:
            return self.command.restore is not None
        return self.pgbackrest is None or self.pgbackrest.start is not None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Backup:
        named = [name for name in RESTORE_POINT_KINDS if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"only one of {' and '.join(named)} can make the restore point")
        if named and (self.tables or self.schemas):
            raise ValueError(f"{named[0]} saves the whole database: leave `tables` and `schemas` out")
        return self


RESTORE_POINT_KINDS: Mapping[str, RestorePointKind] = {
    name: row for name, field in Backup.model_fields.items() for row in field.metadata if isinstance(row, RestorePointKind)
}


class Rehearsal(Part):
    """A run of the same plan, forward and back, on a restored copy, that must be there before anything changes."""

    fresh_for: Duration = Field(default=timedelta(days=7), description="How old it may be at the gate.")
    each_step: bool = Field(default=False, description="Whether every step's undo must be proved by itself, too.")
    blind_spots: Rule | None = Field(
        default=None,
        description="How many small wrongs no check may notice, such as `<= 3`: then every rehearsal looks for them.",
    )
    accepted_spots: dict[str, str] = Field(
        default={},
        description="Why a blind spot is no matter, by where it is, such as `public.orders.note`, or by what is wrong where.",
    )
    waived: str = Field(
        default="", description="Why there is none, where a protected target has none; people read it at the gate."
    )
    targets: Targets = Field(default="all", description="Where it is asked for: on all targets, or on `protected` ones only.")

    @model_validator(mode="after")
    def _counts_spots(self) -> Rehearsal:
        rule = parse_threshold(self.blind_spots) if self.blind_spots else None
        if rule is not None and (rule.needs_baseline or rule.metric != "value" or rule.n > 1):
            raise ValueError("blind_spots: a number to compare with, such as `<= 3`")
        return self


#: the criteria of a gate that the run's own events answer
BACKUP_PROVED, REHEARSAL_FRESH = "backup_proved", "rehearsal_fresh"
LEVELS = ("feature", "undo", "data", "restore")
Level = Literal["feature", "undo", "data", "restore"]


class Switch(Part):
    """A level of the rollback that is scripts of its own, and the checks that show it did what it is for."""

    sql: Names = Field(description="The templates that do it, in this order.", min_length=1)
    prove: Names = Field(description="The checks that must pass afterwards.", min_length=1)
    keeps: str | dict[str, str] = Field(
        default="",
        description="Why its scripts destroy nothing that the application wrote since, although they delete or overwrite rows; as"
        " for a step.",
    )


class Rollback(Part):
    """How the run is rolled back, and how it is proved that it was."""

    levels: tuple[Level, ...] = Field(
        default=("undo",),
        min_length=1,
        description="The levels, the first choice first: `feature` (switch off), `undo` (reverse each step), `data` (put rows"
        " back), `restore` (the backup). A trip takes the first one that the rehearsal proved.",
    )
    reach: Literal["run", "phase"] = Field(
        default="run",
        description="How far it is rolled back where nobody says otherwise: all of the `run`, or only the `phase` that is under"
        " way, which can then be launched again. By phase there are the levels `undo` and `restore`.",
    )
    feature: Switch | None = Field(default=None, description="What the level `feature` does.")
    data: Switch | None = Field(default=None, description="What the level `data` does.")
    takes: Duration | None = Field(default=None, description="How long it is planned to take.")
    authority: Approve | None = Field(
        default=None, description="Who must approve before a person's request rolls back what was changed; a trip needs none."
    )
    prove: Names = Field(
        default=(), description="Checks that must pass afterwards, beside the gate's own and the schema's fingerprint."
    )

    @model_validator(mode="after")
    def _levels_are_there(self) -> Rollback:
        if len(set(self.levels)) != len(self.levels):
            raise ValueError("levels: one is named twice")
        for name in ("feature", "data"):
            if (name in self.levels) != (getattr(self, name) is not None):
                raise ValueError(f"the level `{name}` needs both: its name in `levels`, and `{name}:` with its scripts")
        return self
