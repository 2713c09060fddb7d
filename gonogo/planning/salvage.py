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
_NEEDED = ("runbook", "targets", "people")
_P = TypeVar("_P", bound=Part)


def salvage(file: Path, target: str) -> Runbook | None:
    """Return a runbook that knows its name, one target and its people, and nothing else; None where that is in doubt.

    Args:
        file: the runbook's file, which has mistakes somewhere.
        target: the name of the target; the file's first without one, and no other one where that has a mistake.

    Raises:
        BadInput: it cannot be read at all.
    """
    parts: dict[str, Mapping[object, object] | None] = {}
    for text in _PART.split(read_text(file)):
        if (key := text.partition(":")[0].strip()) in _NEEDED:
            # what is there twice could mean either
            parts[key] = None if key in parts else _read(text, file, key)
    targets = parts.get("targets") or {}
    wanted = target or str(next(iter(targets), ""))
    chosen = _one(Target, targets.get(wanted))
    if chosen is None:
        return None
    name, people = parts.get("runbook") or {}, parts.get("people") or {}
    found = {str(person): _one(Person, about) for person, about in people.items()}
    return Runbook.model_construct(
        runbook=next((str(each) for each in name if _NAME.fullmatch(str(each))), file.stem),
        targets={wanted: chosen},
        people={person: about for person, about in found.items() if about is not None},
        sql=SqlSettings(),
    )


def _read(text: str, file: Path, key: str) -> Mapping[object, object] | None:
    """Return a part of the file as a mapping, a mere name as one of itself; None where it has a mistake of its own."""
    try:
        data, _, problems = parse_yaml(text, str(file))
    except BadInput:
        return None
    found = data.get(key) if isinstance(data, dict) and not problems else None
    return found if isinstance(found, Mapping) else {found: None} if isinstance(found, str) else None


def _one(kind: type[_P], data: object) -> _P | None:
    try:
        return kind.model_validate(data) if isinstance(data, Mapping) else None
    except ValidationError:
        return None
