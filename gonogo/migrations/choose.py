"""Which changes of a folder are meant: those after one, up to another."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from gonogo.errors import BadInput
from gonogo.migrations.changes import Change

_FEW = 5


def between(
    changes: Sequence[Change], since: str, to: str, key: Callable[[Change], str] | None = None
) -> tuple[list[Change], list[Change]]:
    """Return the changes up to the one that is done already, and those after it that are meant.

    Args:
        changes: all of them, in their order.
        since: the newest that is done; none is where it is empty.
        to: the last that is meant; the folder's last where it is empty.
        key: returns what else a change may be called: as its tool's record knows it.

    Raises:
        BadInput: there is no such change, or nothing lies between the two.
    """
    first = _position(changes, since, key) + 1 if since else 0
    last = _position(changes, to, key) + 1 if to else len(changes)
    if first >= last:
        after = f"after {since}" if since else "in it"
        raise BadInput(f"there is no change {after}" + (f" up to {to}" if to else ""))
    return list(changes[:first]), list(changes[first:last])


def _position(changes: Sequence[Change], name: str, key: Callable[[Change], str] | None) -> int:
    names = [change.name for change in changes]
    keys = [key(change) for change in changes] if key else []
    for known in (names, keys):
        if known.count(name) == 1:
            return known.index(name)
    found = [number for number, each in enumerate(names) if each.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"{name!r} may be {', '.join(names[each] for each in found[:_FEW])}; write more of its name")
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"the last ones are {', '.join(names[-_FEW:])}"
    raise BadInput(f"there is no change {name!r}; {hint}")
