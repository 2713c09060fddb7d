"""The schema, or a part of it, against the baseline or against a file: `structure: {only: grants}`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from checks.asking import asking, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.core.plan.fingerprint import FORM, Fingerprint, differences
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection
from gonogo.postgres.fingerprint import fingerprint

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
_GRANTS = ("owner ", "grants ")
_ROW_SECURITY = ("row security",)


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the objects that differ from what is expected, or from before the first change."""
    asked = question.check.structure
    with asking(question, connection, one_snapshot=True):
        expected = _expected(question) if asked and asked.like else None
        found = fingerprint(connection, expected.form if expected else FORM)
    only = asked.only if asked else ()
    now = _part(found.objects, only)
    if expected is not None:
        return listed(question.name, differences(_part(expected.objects, only), now))
    before = question.baseline.facts if question.baseline else now
    return listed(question.name, differences(dict(before), now), facts=now)


def _expected(question: Question) -> Fingerprint:
    try:
        read = json.loads(question.text)
    except ValueError:
        raise StepError("the file with the expected schema is not JSON; `gonogo objects` writes one") from None
    try:
        return Fingerprint.model_validate(read)
    except ValidationError:
        raise StepError("the file with the expected schema is not what `gonogo objects` writes") from None


def _part(schema: Mapping[str, str], only: tuple[str, ...]) -> dict[str, str]:
    """Return some sorts of objects of a fingerprint; of grants, only what is said of them."""
    if not only:
        return dict(schema)
    prefixes = tuple(prefix for word in only if word != "grants" for prefix in _PREFIX[word])
    found = {name: said for name, said in schema.items() if prefixes and name.startswith(prefixes)}
    if "policies" in only:
        found |= {f"row-level security of {name}": rls for name, said in schema.items() if (rls := _lines(said, _ROW_SECURITY))}
    if "grants" in only:
        found |= {f"grants on {name}": granted for name, said in schema.items() if (granted := _lines(said, _GRANTS))}
    return found


def _lines(said: str, beginnings: tuple[str, ...]) -> str:
    """Return the lines of an object's text that begin in one of some ways."""
    return "\n".join(line for line in said.split("\n") if line.startswith(beginnings))
