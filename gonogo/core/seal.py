"""The seal: one digest over everything that was approved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from gonogo.core.plan import Plan


def digest(text: str) -> str:
    """Return the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal(plan: Plan, meanings: Mapping[str, str]) -> str:
    """Return the digest over what a plan would do, and to what.

    Clock times do not count: the same plan launched an hour later is the same. Nor do comments and
    layout of SQL: a script counts by its meaning.

    Args:
        plan: the plan, sealed or not.
        meanings: for each script's sha256, its text without comments and layout.
    """
    clockless = plan.model_copy(
        update={
            "seal": "",
            "sources": "",
            "start": plan.phases[0].start,
            "phases": tuple(p.model_copy(update={"start": plan.start, "end": plan.start}) for p in plan.phases),
            "tasks": tuple(t.model_copy(update={"start": plan.start, "end": plan.start}) for t in plan.tasks),
        }
    )
    body = clockless.model_dump_json(exclude={"start", "end_by"})
    body = body.replace(plan.start.isoformat(), "")
    summed = hashlib.sha256(body.encode())
    for sha256 in sorted(meanings):
        summed.update(digest(meanings[sha256]).encode())
    return summed.hexdigest()
