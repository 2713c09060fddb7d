"""Restore points that gonogo does not make itself: snapshots of a storage or a cloud, and pgBackRest's backups.

A field of `Backup` with a row `RestorePointKind` names each; what makes it is `gonogo/recovery/providers/<field>.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from gonogo.core.model.check_kinds import Program
from gonogo.core.model.fields import Duration, Names, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePointKind:
    """What is true of restore points of a kind: the row that stands at its field."""

    #: what people call it
    title: str


class RestorePointPrograms(Part):
    """Your own programs that take a restore point, open it, and restore it: of a cloud, a storage, a backup tool.

    Each gets GONOGO_NAME (a name that is free), and, once they are known, GONOGO_RESTORE_POINT and GONOGO_COPY. The last line
    that it prints is JSON.
    """

    take: Program = Field(
        description='Takes it, and prints `{"id": ...}`: what the others read as GONOGO_RESTORE_POINT. It may end before that is'
        " whole."
    )
    wait: Program | None = Field(default=None, description="Ends when the restore point is whole; without it, `take` does.")
    prove: Program = Field(
        description='Makes a database of it, elsewhere, and prints `{"url": ...}`: gonogo compares what is in there. `drop` reads'
        " its `id` as GONOGO_COPY; without one, the name of that database."
    )
    drop: Program | None = Field(default=None, description="Drops what `prove` made, also where the comparison failed.")
    restore: Program | None = Field(
        default=None,
        description="Puts it in the place of the target, and ends when the target answers. After a crash it is called again. The"
        " level `restore` needs it.",
    )
    delete: Program | None = Field(default=None, description="Deletes it: `gonogo backup prune` calls it.")
    within: Duration = Field(default=timedelta(hours=4), description="How long each of them may take.")


class PgBackRest(Part):
    """Backups by pgBackRest, on the machine that has the server: taken, verified, and restored into a cluster beside it."""

    stanza: str = Field(description="The stanza.", min_length=1)
    type: Literal["full", "diff", "incr"] = Field(default="incr", description="What is taken; the first one is always `full`.")
    run_as: Names = Field(
        default=(),
        description="The words before each of its commands, which let them run as the server's account: `sudo -n -u postgres`, as"
        " a list.",
    )
    options: Names = Field(default=(), description="Options for each of its commands, such as `--config=/etc/pgbackrest.conf`.")
    side: str = Field(
        default="",
        description="The folder of that account in which the cluster is made that proves it, with room for the whole server.",
        pattern=r"^(/[A-Za-z0-9_./@+-]*)?$",
    )
    data: str = Field(
        default="",
        description="The server's data directory, where the level `restore` puts the backup.",
        pattern=r"^(/[A-Za-z0-9_./@+-]*)?$",
    )
    stop: Program | None = Field(default=None, description="Stops the server; the level `restore` needs it.")
    start: Program | None = Field(default=None, description="Starts it; the level `restore` needs it.")
    within: Duration = Field(default=timedelta(hours=12), description="How long each of its commands may take.")

    @model_validator(mode="after")
    def _restores_whole(self) -> PgBackRest:
        if len({bool(each) for each in (self.data, self.stop, self.start)}) > 1:
            raise ValueError("pgbackrest: restoring needs all three: `data`, `stop` and `start`")
        return self

    def words(self, command: str, *options: str) -> tuple[str, ...]:
        """Return a command of pgBackRest's, with all that makes it one of this stanza."""
        return (*self.run_as, "pgbackrest", f"--stanza={self.stanza}", *self.options, *options, command)

    def restores(self, point: str, data: str, *options: str) -> tuple[str, ...]:
        """Return the command that restores a restore point.

        Args:
            point: the label of the backup, and the name of the point up to which its WAL is replayed, where it has one.
            data: the data directory.
            options: what else is said to it.
        """
        label, _, name = point.partition(" ")
        upto = ("--type=name", f"--target={name}") if name else ("--type=immediate",)
        return self.words("restore", f"--pg1-path={data}", *options, f"--set={label}", *upto, "--target-action=promote")


class Sample(Part):
    """How much of a restore point is compared row by row, where tables are too large, or were written meanwhile."""

    rows: int = Field(default=1000, ge=1, le=1_000_000, description="How many rows of each such table.")
    whole_up_to: int = Field(
        default=1024, ge=0, description="The megabytes up to which a table is compared whole, by its checksum."
    )
