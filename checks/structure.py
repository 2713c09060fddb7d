"""The schema, or a part of it, against the baseline or against a file: `structure: {only: grants}`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from checks.asking import asking, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.core.plan.diff import differences
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection
from gonogo.postgres.fingerprint import schema_fingerprint

#: how the fingerprint begins the names of each sort of object
_PREFIX: Mapping[str, tuple[str, ...]] = {
    "tables": ("table ",),
    "columns": ("column ",),
    "constraints": ("constraint ",),
    "indexes": ("index ",),
    "triggers": ("trigger ", "event trigger "),
    "policies": ("policy ",),
    "functions": ("function ", "procedure ", "aggregate "),
    "views": ("view ",),
    "types": ("type ",),
    "sequences": ("sequence ",),
    "extensions": ("extension ",),
}
_GRANTS = (re.compile(r"\bowner .+?(?= acl | \{|$)"), re.compile(r"\bacl .*?(?= rls [tf]|$)|\{[^{}]*=[^{}]*\}"))
_RLS = re.compile(r"\brls [tf]( [tf])?")


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the objects that differ from what is expected, or from before the first change."""
    asked = question.check.structure
    with asking(question, connection, one_snapshot=True):
        now = schema_fingerprint(connection)
    only = asked.only if asked else ()
    now = _part(now, only)
    if asked and asked.like:
        expected = _expected(question)
        return listed(question.name, differences(_part(expected, only), now))
    before = question.baseline.facts if question.baseline else now
    return listed(question.name, differences(dict(before), now), facts=now)


def _expected(question: Question) -> dict[str, str]:
    try:
        read = json.loads(question.text)
    except ValueError:
        raise StepError("the file with the expected schema is not JSON; `gonogo objects` writes one") from None
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise StepError("the file with the expected schema is not what `gonogo objects` writes")
    return read


def _part(schema: Mapping[str, str], only: tuple[str, ...]) -> dict[str, str]:
    """Return some sorts of objects of a fingerprint; of grants, only what is said of them."""
    if not only:
        return dict(schema)
    prefixes = tuple(prefix for word in only if word != "grants" for prefix in _PREFIX[word])
    found = {name: said for name, said in schema.items() if prefixes and name.startswith(prefixes)}
    if "policies" in only:
        found |= {f"row-level security of {name}": rls.group() for name, said in schema.items() if (rls := _RLS.search(said))}
    if "grants" in only:
        found |= {f"grants on {name}": granted for name, said in schema.items() if (granted := _granted(said))}
    return found


def _granted(said: str) -> str:
    """Return the owner and the privileges that a definition ends with."""
    return " ".join(found[-1] for pattern in _GRANTS if (found := pattern.findall(said)))
