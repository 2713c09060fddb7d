"""What of a runbook's file is needed to find its target, where the rest of the file has mistakes.

A run in work goes by the plan in its ledger. A typing error in the file must not keep people from holding it or rolling it back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from gonogo.core.model.fields import Part
from gonogo.core.model.people import Person
from gonogo.core.model.runbook import Runbook, SqlSettings, Target
from gonogo.errors import BadInput
from gonogo.planning.load import parse_yaml, read_text

#: where a part of the file begins: at a key of its own that is not indented
_PART = re.compile(r"(?m)^(?=[a-z_]+[ \t]*:)")
#: a name that a runbook may have
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_NEEDED = ("runbook", "targets", "sql", "people")
_P = TypeVar("_P", bound=Part)


def salvage(file: Path) -> Runbook | None:
    """Return a runbook that knows its name, targets, people and how its SQL runs, and nothing else; None without a target.

    Args:
        file: the runbook's file, which has mistakes somewhere.

    Raises:
        BadInput: it cannot be read at all.
    """
    parts: dict[str, object] = {}
    for text in _PART.split(read_text(file)):
        key = text.partition(":")[0].strip()
        if key in _NEEDED:
            try:
                data = parse_yaml(text, str(file))[0]
            except BadInput:
                continue
            parts[key] = data.get(key) if isinstance(data, dict) else None
    targets = _each(Target, parts.get("targets"))
    if not targets:
        return None
    name = parts.get("runbook")
    named = isinstance(name, str) and _NAME.fullmatch(name)
    return Runbook.model_construct(
        runbook=name if named else file.stem,
        targets=targets,
        people=_each(Person, parts.get("people")),
        sql=_one(SqlSettings, parts.get("sql")) or SqlSettings(),
    )


def _each(kind: type[_P], data: object) -> dict[str, _P]:
    """Return the members of a mapping that are what they should be."""
    found = {name: _one(kind, value) for name, value in data.items()} if isinstance(data, Mapping) else {}
    return {str(name): value for name, value in found.items() if value is not None}


def _one(kind: type[_P], data: object) -> _P | None:
    try:
        return kind.model_validate(data) if isinstance(data, Mapping) else None
    except ValidationError:
        return None
