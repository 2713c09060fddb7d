"""What the parts of a runbook are made of: closed models, durations, lists of names."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from gonogo.core.model.duration import parse_duration, parse_offset, write_duration


def as_list(value: object) -> object:
    """Let one stand for a list of one."""
    return value if isinstance(value, (list, tuple)) else [value]


_DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d|w) ?)+$", "examples": ["15m", "1h30m", "500ms"]}
)
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration, return_type=str),
    _DURATION_SCHEMA,
]
Offset = Annotated[
    timedelta,
    BeforeValidator(parse_offset),
    PlainSerializer(lambda d: f"T+{write_duration(d)}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^T\+.+$", "examples": ["T+15m"]}),
]
Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]


class Part(BaseModel):
    """A part of a runbook: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
