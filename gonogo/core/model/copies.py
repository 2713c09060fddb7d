"""Where a rehearsal gets its copies from, where gonogo does not restore them from a backup."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from gonogo.core.model.check_kinds import Program
from gonogo.core.model.fields import Duration, Part


class Copies(Part):
    """Copies for rehearsals that something else makes: of exactly one of these kinds."""

    ready: str = Field(
        default="",
        description="A database that is a copy already, as `$NAME` or a URL: a clone, a branch, a snapshot that was opened. It is"
        " copied on its own server, so its role must be allowed to make databases there, and nobody may be connected to it.",
    )
    in_place: bool = Field(
        default=False,
        description="Whether a rehearsal may work in the copy that is `ready` itself, where that cannot be copied: it is a clone"
        " for nothing else. What the plan does is done in it, and rolled back.",
    )
    make: Program | None = Field(
        default=None, description='A program that makes a copy of the target, and prints `{"url": ...}` in its last line.'
    )
    drop: Program | None = Field(
        default=None,
        description='The program that drops it; it reads its `"id"`, or else the name of its database, as GONOGO_COPY.',
    )
    files: bool = Field(
        default=False,
        description="The target's files are copied on its own server, by CREATE DATABASE, which takes seconds where the file"
        " system can clone them; nobody may be connected to the target then.",
    )
    as_of: str = Field(
        default="",
        description="A query on the copy that answers when it was what the target was, such as"
        " `SELECT max(placed_at) FROM orders`. What `make` makes is as old as its call without it.",
    )
    within: Duration = Field(default=timedelta(hours=4), description="How long each of the programs may take.")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Copies:
        if sum(map(bool, (self.ready, self.make, self.files))) != 1:
            raise ValueError("rehearse_on: one of `ready`, `make` and `files` says where the copy comes from")
        if self.ready and not self.as_of:
            raise ValueError("rehearse_on: `ready` needs `as_of`, a query that answers how old the copy is")
        if self.in_place and not self.ready:
            raise ValueError("rehearse_on: `in_place` is about a copy that is `ready`")
        if self.drop and not self.make:
            raise ValueError("rehearse_on: `drop` drops what `make` made")
        if self.files and self.as_of:
            raise ValueError("rehearse_on: what `files` copies is as old as the rehearsal: leave `as_of` out")
        return self
