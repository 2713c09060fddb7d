"""What the schema is made of: `objects: {exist: [...]}`, `structure: {only: grants}`, `same_type: [[users.id, orders.user]]`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from checks import Question, measures
from checks.asking import asking, listed
from gonogo.compare import differences, schema_fingerprint
from gonogo.core.verdict import Measurement
from gonogo.database import Connection
from gonogo.errors import StepError

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
_TYPE = """
SELECT pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attname = %s AND NOT a.attisdropped
"""


@measures("objects")
def measure_objects(question: Question, connection: Connection) -> Measurement:
    """Count what is missing, and what is there although it must not be; by the names that the fingerprint gives."""
    asked = question.check.objects
    with asking(question, connection, one_snapshot=True):
        there = schema_fingerprint(connection)
    missing = [f"{name} is missing" for name in (asked.exist if asked else ()) if name not in there]
    return listed(question.name, [*missing, *(f"{name} is there" for name in (asked.absent if asked else ()) if name in there)])


@measures("structure")
def measure_structure(question: Question, connection: Connection) -> Measurement:
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
        raise StepError("the file with the expected schema is no JSON; `gonogo objects` writes one") from None
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


@measures("same_type")
def measure_types(question: Question, connection: Connection) -> Measurement:
    """Count the pairs of columns that no key could join, as their types differ."""
    told = []
    with asking(question, connection):
        for first, second in question.check.same_type or ():
            kinds = [_type(connection, name) for name in (first, second)]
            if missing := [name for name, kind in zip((first, second), kinds, strict=True) if not kind]:
                raise StepError(f"there is no column {missing[0]}")
            if kinds[0] != kinds[1]:
                told.append(f"{first} is {kinds[0]}, {second} is {kinds[1]}")
    return listed(question.name, told)


def _type(connection: Connection, name: str) -> str:
    table, _, column = name.rpartition(".")
    row = connection.execute(_TYPE, [table if "." in table else f"public.{table}", column]).fetchone()
    return str(row[0]) if row else ""
