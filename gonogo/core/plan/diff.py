"""What differs between two plans, in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gonogo.core.plan.plan import Plan

#: what may differ without a new decision: when it is launched, and from which files, and which numbers its steps have;
#: and digests, which say only that something else does
_NO_MATTER = frozenset(
    {"first", "last", "seal", "what", "sources", "commit", "start", "end", "opens", "end_by", "identity", "sha256", "line"}
)
#: the parts of a step that are lists of scripts
_SCRIPTS = frozenset({"scripts", "undo"})
_MANY, _MANY_LINES, _WIDE = 20, 60, 120
#: a part of a list, by its name or its number; and what has a name of its own
_PART = re.compile(r"\[[^\]]*\]|(?<=^checks\.)[^.]+|(?<=^inputs\.)[^.]+|(?<=^people\.)[^.]+")


def changes(before: Plan, after: Plan, texts_before: Mapping[str, str], texts_after: Mapping[str, str]) -> list[str]:
    """Return what differs, a line each: rules by their path, scripts by their lines.

    Args:
        before: what was approved, or begun.
        after: what the files say now.
        texts_before: the scripts of the one, by sha256.
        texts_after: the scripts of the other.
    """
    was, now = dict(_leaves(before.model_dump(mode="json"))), dict(_leaves(after.model_dump(mode="json")))
    parts_was, parts_now = _parts(was), _parts(now)
    rules = [*_items(now, parts_was, "is new"), *_items(was, parts_now, "is gone")]
    of_one_only = parts_was ^ parts_now
    for path in _differing(was, now):
        if of_one_only.isdisjoint(_whole(path)):
            rules.append(f"{path} was {_short(was.get(path))} and is {_short(now.get(path))}")
    scripts = _script_changes(_scripts(before, texts_before), _scripts(after, texts_after))
    return [*_few(rules, _MANY), *_few(scripts, _MANY_LINES)]


def _few(notes: list[str], most: int) -> list[str]:
    return notes[:most] + ([f"and {len(notes) - most} more lines"] if len(notes) > most else [])


def _whole(path: str) -> list[str]:
    """Return the parts of a list that a path leads through: `steps[a]` of `steps[a].keeps`, outermost first."""
    return [path[: found.end()] for found in _PART.finditer(path)]


def _parts(leaves: Mapping[str, object]) -> set[str]:
    return {part for path in leaves for part in _whole(path)}


def _items(here: Mapping[str, object], known: set[str], word: str) -> list[str]:
    """Say which parts of lists are here and not known there, each once: not what is in them."""
    only = dict.fromkeys(next((part for part in _whole(path) if part not in known), "") for path in here)
    return [f"{part} {word}" for part in only if part]


def _differing(was: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    paths = dict.fromkeys((*was, *now))
    return [path for path in paths if was.get(path) != now.get(path)]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _SCRIPTS and isinstance(inner, list):
                # what is in them is compared line by line
                yield f"{path}.{key}", list(dict.fromkeys(str(script["source"]) for script in inner))
            elif key not in _NO_MATTER:
                yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            name = inner.get("name") or inner.get("item") or number if isinstance(inner, Mapping) else number
            yield from _leaves(inner, f"{path}[{name}]")
    else:
        yield path, value


def _scripts(plan: Plan, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each source, the queries of the checks among them."""
    found: dict[str, str] = {}
    for step in plan.steps:
        for script in (*step.scripts, *(step.undo or ())):
            text = texts.get(script.sha256, "")
            known = found.get(script.source, text)
            found[script.source] = f"{known};\n{text}" if known != text else text
    for script in plan.questions.values():
        found[script.source] = texts.get(script.sha256, "")
    return found


def _script_changes(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    notes = []
    for source in _differing(was, now):
        notes.append(f"{source} has changed:")
        lines = difflib.unified_diff(was.get(source, "").splitlines(), now.get(source, "").splitlines(), n=0, lineterm="")
        notes += [f"    {line[:_WIDE]}" for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    return notes


def _short(value: object) -> str:
    text = "not there" if value is None else str(value)
    return text if len(text) <= _WIDE else text[: _WIDE - 3] + "..."
