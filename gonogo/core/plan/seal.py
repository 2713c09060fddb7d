"""The seal: one digest over everything that was approved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gonogo.core.model.runbook import Runbook
from gonogo.core.plan.fingerprint import Fingerprint
from gonogo.core.plan.plan import Plan, Script


def digest(text: str) -> str:
    """Return the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def evidence_seal(plan: Plan, found: Fingerprint) -> str:
    """Return the digest that people's answers stand for: what would be done, to which database, in which state.

    Args:
        plan: the plan, sealed.
        found: the fingerprint of the target.
    """
    target = plan.identity.model_dump_json() if plan.identity else ""
    return digest(f"{plan.seal}\0{target}\0{found.written()}")


#: what of a runbook says where, when and to whom, and not what is done
_WHERE = {"targets", "title", "about", "risk", "people", "updates", "monitor"}
_WHEN = {"start", "end_by"}


def what(runbook: Runbook, inputs: Mapping[str, Any], scripts: Iterable[str], meanings: Mapping[str, str]) -> str:
    """Return the digest over what is done, the same for every target with the same inputs.

    It stands for the rules of the runbook, its checks, gates and ways back among them, for the inputs, and for the scripts that
    are the same everywhere. Who the people are, what they are told, and the clock do not count.

    Args:
        runbook: the runbook.
        inputs: the values of its template variables.
        scripts: the sha256 of each script that is for every target, in order.
        meanings: for each script's sha256, its text without comments and layout.
    """
    rules = runbook.model_dump(mode="json", exclude={**dict.fromkeys(_WHERE, True), "schedule": _WHEN})
    texts = [digest(meanings.get(sha256, sha256)) for sha256 in scripts]
    return digest(json.dumps([rules, dict(inputs), texts], sort_keys=True, default=str))


def seal(plan: Plan, meanings: Mapping[str, str]) -> str:
    """Return the digest over what a plan would do, and to what.

    Clock times do not count: the same plan launched an hour later is the same. Nor do comments and
    layout of SQL: a script counts by its meaning.

    Args:
        plan: the plan, sealed or not.
        meanings: for each script's sha256, its text without comments and layout.
    """
    meant = {sha256: digest(meaning) for sha256, meaning in meanings.items()}

    def mean(script: Script) -> Script:
        return script.model_copy(update={"sha256": meant.get(script.sha256, script.sha256), "line": 1})

    steps = tuple(
        step.model_copy(
            update={
                "scripts": tuple(map(mean, step.scripts)),
                "undo": None if step.undo is None else tuple(map(mean, step.undo)),
            }
        )
        for step in plan.steps
    )
    switches = {level: tuple(map(mean, scripts)) for level, scripts in plan.switches.items()}
    questions = {name: mean(script) for name, script in plan.questions.items()}
    times = {"__all__": {"start", "end", "opens"}}
    body = plan.model_copy(update={"steps": steps, "questions": questions, "switches": switches}).model_dump_json(
        exclude={
            "seal": True,
            "commit": True,
            "monitor": True,
            "sources": True,
            "start": True,
            "end_by": True,
            "phases": times,
            "tasks": times,
        }
    )
    return digest(body)
