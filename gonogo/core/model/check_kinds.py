"""What a check can ask, beside a plain query: each kind's own words, as a runbook writes them.

Every kind answers with one number, so that one line drawn beforehand judges it; what the number counts is told with it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gonogo.core.model.fields import Duration, Names, Part, as_list


def always(_: Any) -> bool:
    """Compare with the baseline, whatever is asked."""
    return True


def never(_: Any) -> bool:
    """Compare with the baseline only where a threshold says so."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckKind:
    """What is true of a kind of check, whatever it asks: the row that stands at its field."""

    #: whether asking it acts beyond the database: a program, a request, code of the project. There is no default: what acts
    #: beyond the database is only asked where this project is known to have written it
    external: bool
    #: whether it may ask as another role, with settings of its own
    as_role: bool = False
    #: the names of its numbers, beside `value`
    metrics: tuple[str, ...] = ()
    #: whether it compares with the baseline even where no threshold does
    compares: Callable[[Any], bool] = never
    #: the template that it asks with, if it has one
    template: Callable[[Any], str] | None = None


#: `table.column` or `schema.table.column`
Column = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+){1,2}$")]


class Reference(Part):
    """A column that should only hold what another one has."""

    child: Column = Field(description="The column that refers, such as `businesses.owner_id`.")
    parent: Column = Field(description="The column that it refers to, such as `users.id`.")


References = Literal["all"] | Annotated[tuple[Reference, ...], BeforeValidator(as_list), Field(min_length=1)]


class Values(Part):
    """Rules for the values of a table's columns."""

    table: str = Field(description="The table, with its schema where that is not `public`.", min_length=1)
    columns: Names = Field(description="The columns.", min_length=1)
    null: bool = Field(default=True, description="Whether they may be NULL.")
    unique: bool = Field(default=False, description="Whether together they must be unique; NULLs never collide.")
    min: int | float | str | None = Field(default=None, description="The least that each may be.")
    max: int | float | str | None = Field(default=None, description="The most that each may be.")
    one_of: tuple[str | int | float, ...] = Field(default=(), description="The allowed values.")

    @model_validator(mode="after")
    def _rules(self) -> Values:
        if self.null and not self.unique and self.min is None and self.max is None and not self.one_of:
            raise ValueError("values: there is no rule; write `null: false`, `unique: true`, `min`, `max` or `one_of`")
        return self


SOUND = ("constraints", "indexes", "sequences")
#: what a schema's objects are called in its fingerprint, by the word that a runbook uses for them
STRUCTURE = (
    "tables", "columns", "constraints", "indexes", "triggers", "policies", "functions", "views", "types", "sequences",
    "extensions", "grants",
)  # fmt: skip


#: as the fingerprint names things: without its schema, or misspelt, nothing would ever be found
ObjectName = Annotated[
    str,
    Field(
        pattern=r"^((table|view|column|constraint|index|sequence|function|procedure|aggregate|policy|trigger|type|rule) [^.]+\..+"
        r"|(schema|extension|event trigger|publication|statistics) .+)$"
    ),
]


class Objects(Part):
    """What must be there, and what must not."""

    exist: Annotated[tuple[ObjectName, ...], BeforeValidator(as_list)] = Field(
        default=(), description="What must be there: `table public.orders`, `index public.orders_at`."
    )
    absent: Annotated[tuple[ObjectName, ...], BeforeValidator(as_list)] = Field(default=(), description="What must not.")

    @model_validator(mode="after")
    def _some(self) -> Objects:
        if not (self.exist or self.absent):
            raise ValueError("objects: name what must `exist`, or be `absent`")
        return self


class Structure(Part):
    """The schema, or a part of it, against the baseline or against what is expected."""

    only: Annotated[tuple[Literal[STRUCTURE], ...], BeforeValidator(as_list)] = Field(  # type: ignore[valid-type]
        default=(), description="Only these: " + ", ".join(STRUCTURE) + "; everything without it."
    )
    like: str = Field(
        default="",
        description="A file that `gonogo objects` wrote, beside the templates; without it, as before the first change.",
    )


class Throughput(Part):
    """How many transactions a second a script makes, by pgbench."""

    script: str = Field(description="The template of a pgbench script.", min_length=1)
    clients: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="How many clients run it.")
    lasts: Duration = Field(description="How long they do.")


ACTIVITIES = (
    "connections", "blocked", "oldest_transaction", "long_queries", "dumps", "replication_lag", "wal_rate", "dead_rows",
    "disk_free",
)  # fmt: skip


class Http(Part):
    """A request to a web service."""

    url: str = Field(description="Its address; `$NAME` stands for an environment variable.", min_length=1)
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(default="GET", description="How it is asked.")
    headers: dict[str, str] = Field(default={}, description="Headers; `$NAME` in a value stands for an environment variable.")
    body: Any = Field(default=None, description="What is sent, as JSON.")
    status: Annotated[tuple[int, ...], BeforeValidator(as_list)] = Field(
        default=(200,), description="The statuses that count as an answer."
    )
    field: str = Field(default="", description="A field of the JSON answer to take as the number: `database.healthy`.")
    equals: Any = Field(default=None, description="What that field must be; the number is then 1 where it is, else 0.")

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, data: Any) -> Any:
        return {"url": data} if isinstance(data, str) else data


class Prometheus(Part):
    """An instant query of a Prometheus server."""

    url: str = Field(description="The server's address; `$NAME` stands for an environment variable.", min_length=1)
    query: str = Field(description="The query; it must answer one number.", min_length=1)


class Program(Part):
    """A program with its arguments: no shell, an environment of its own, a time limit."""

    argv: tuple[str, ...] = Field(
        min_length=1,
        json_schema_extra={"words": True},
        description="The program and its arguments: a list, or a line that is split at its blanks. Templates work in each.",
    )
    environment: Names = Field(
        default=(), description="The environment variables that it gets, beside PATH, HOME, LANG and those that reach the target."
    )
    url_as: str = Field(
        default="",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="The environment variable in which it reads the address of its database, such as DATABASE_URL: it gets the"
        " target's there, and in a rehearsal the copy's.",
    )
    folder: str = Field(default="", description="Where it runs; the project's folder without one.")
    inputs_in_code: bool = Field(
        default=False,
        description="Whether a template may stand in program text (`sh -c`, `psql -c`, `ssh host`): whoever gives the input then"
        " writes a part of the program.",
    )
    field: str = Field(default="", description="A field of its JSON output to take as the number: `metrics.p95`.")
    pattern: str = Field(default="", description="A regular expression whose first group is the number in its output.")

    @model_validator(mode="before")
    @classmethod
    def _argv_alone(cls, data: Any) -> Any:
        return {"argv": data} if isinstance(data, (list, tuple, str)) else data

    @field_validator("argv", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        # as a shell would split it, and nothing else that a shell does
        return split_line(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_run(self) -> Program:
        if not self.argv[0] or any("\0" in word for word in self.argv):
            raise ValueError("argv: the program has no name, or a word contains a NUL byte")
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"pattern: {error}") from None
        if self.pattern and not groups:
            raise ValueError("pattern: it has no group, whose text would be the number: write p95=([0-9.]+)")
        return self


def split_line(line: str) -> tuple[str, ...]:
    """Return the words of a line, as a shell would split it.

    Raises:
        ValueError: a quote is not closed.
    """
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        raise ValueError(f"{line!r} cannot be split into words: {str(error).lower()}") from None
