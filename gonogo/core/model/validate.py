"""What is wrong between the parts of a runbook: unknown names, doubled ones, orders and quorums that cannot be."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from gonogo.core.model.copies import Copies
from gonogo.core.model.people import least_votes
from gonogo.core.model.rollback import BACKUP_PROVED, REHEARSAL_FRESH
from gonogo.core.model.runbook import Runbook
from gonogo.core.model.schedule import opening

Path_: TypeAlias = tuple[str | int, ...]
#: what every template knows without an input
TEMPLATE_WORDS = frozenset({"batch", "batch_of", "unchanged", "unchanged_of", "range"})


def find_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield what is wrong between the parts of a runbook: unknown names, doubled ones, orders that cannot be."""
    for path, name in runbook.named_checks():
        if name not in runbook.checks:
            yield path, _unknown("check", name, runbook.checks)
        elif "watch" not in path and path[0] not in ("baseline", "monitor") and not runbook.checks[name].expect:
            yield path, f"the check {name!r} has no expect, so here it would always pass; say what must hold"
    roles = runbook.roles()
    for path, name in runbook.named_people():
        if name not in roles:
            yield path, _unknown("person or role", name, dict.fromkeys(roles))
    yield from _way_back_problems(runbook)
    yield from _people_problems(runbook)
    yield from _alert_problems(runbook)
    yield from _success_problems(runbook)
    yield from _target_problems(runbook)
    yield from _copy_problems(runbook)
    yield from _doubled(runbook)
    yield from _phase_problems(runbook)
    for name, item in runbook.inputs.items():
        if name in TEMPLATE_WORDS:
            yield ("inputs", name), f"the input {name!r} would hide a word that templates have; choose another name"
        if message := input_problem(name, item.default, item.type, item.choices, item.min, item.max, default=True):
            yield ("inputs", name), message


def _way_back_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the rollback levels that cannot be taken, and the criteria that nothing could meet."""
    backup, levels = runbook.backup, runbook.rollback.levels
    if "restore" in levels and (backup is None or backup.waived):
        yield ("rollback", "levels"), "the level `restore` needs a `backup:` to restore"
    elif "restore" in levels and backup is not None and (backup.tables or backup.schemas):
        yield ("rollback", "levels"), "the level `restore` needs a backup of the whole database; this one leaves rows out"
    elif "restore" in levels and backup is not None and not backup.restores:
        needed = "`restore:` of its programs" if backup.command else "`data:`, `stop:` and `start:`"
        yield ("rollback", "levels"), f"the level `restore` needs {needed}: this backup says only how it is taken and proved"
    sections = {BACKUP_PROVED: ("backup", backup), REHEARSAL_FRESH: ("rehearsal", runbook.rehearsal)}
    for name, (word, section) in sections.items():
        if name in runbook.checks:
            yield ("checks", name), f"the name {name!r} is taken: as a criterion it asks for `{word}:`"
        for p, phase in enumerate(runbook.phases):
            if name in phase.gate.go_if and (section is None or section.waived):
                yield ("phases", p, "gate", "go_if"), f"the criterion {name!r} needs `{word}:`"


def _target_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the targets that steps, checks and gates name and that are not there."""
    yield from (
        (("phases", p, "gate", "done_on", i), _unknown("target", name, runbook.targets))
        for p, phase in enumerate(runbook.phases)
        for i, name in enumerate(phase.gate.done_on)
        if name not in runbook.targets
    )
    for check, found in runbook.checks.items():
        for i, name in enumerate(found.only_on):
            if name not in runbook.targets:
                yield ("checks", check, "only_on", i), _unknown("target", name, runbook.targets)
    for p, phase in enumerate(runbook.phases):
        for t, task in enumerate(phase.tasks):
            for s, step in enumerate(task.steps):
                for i, name in enumerate(step.only_on):
                    if name not in runbook.targets:
                        path = ("phases", p, "tasks", t, "steps", s, "only_on", i)
                        yield path, _unknown("target", name, runbook.targets)


def _copy_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the copies that are another target."""
    addresses = {each: name for name, target in runbook.targets.items() for each in (target.database, target.direct) if each}
    for name, target in runbook.targets.items():
        ready = target.rehearse_on.ready if isinstance(target.rehearse_on, Copies) else ""
        if ready in addresses:
            yield ("targets", name, "rehearse_on", "ready"), f"this is the target {addresses[ready]!r}, and no copy"


def _success_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the criteria that no item answers."""
    items = {item.item: None for _, item in runbook.items()}
    for n, criterion in enumerate(runbook.success):
        if criterion.item and criterion.item not in items:
            yield ("success", n, "item"), _unknown("item", criterion.item, items)
        if criterion.budget and getattr(runbook.budgets, criterion.budget) is None:
            yield (
                ("success", n, "budget"),
                f"there is no budget of {criterion.budget}: write `budgets: {{{criterion.budget}: 30m}}`",
            )


def _alert_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the alerts that could not be judged."""
    names: set[str] = set()
    for n, alert in enumerate(runbook.alerts):
        if alert.alert in names:
            yield ("monitor", "alerts", n, "alert"), f"the alert {alert.alert!r} is given twice; give each its own name"
        names.add(alert.alert)
        if alert.threshold.needs_baseline:
            yield ("monitor", "alerts", n, "when"), "outside of a run there is no baseline; compare with a number"
        check = runbook.checks.get(alert.check)
        if check is not None and check.needs_baseline and check.structure is not None:
            yield ("monitor", "alerts", n, "check"), "outside of a run there is no baseline; give the check `like:`"


def _people_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the roles that pass for people, and the quorums that nobody can reach."""
    for name, person in runbook.people.items():
        if taken := [role for role in person.roles if role in runbook.people and role != name]:
            yield ("people", name, "roles"), f"the role {taken[0]!r} has the name of a person; give it another one"
    whose: dict[str, str] = {}
    for name, person in runbook.people.items():
        # what stands behind a key is a comment
        public = " ".join(person.key.split()[:2])
        if public and (other := whose.setdefault(public, name)) != name:
            yield ("people", name, "key"), f"{other} has this key already; two people with one key are one"
    for path, rule in runbook.approvals():
        able = least_votes(rule, runbook.people)
        if able < rule.quorum and all(name in runbook.roles() for name in rule.roles):
            yield (*path, "quorum"), f"nobody can reach it: {rule.quorum} people are asked for, and {able} could agree"


def _phase_problems(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    for p, phase in enumerate(runbook.phases):
        if phase.at:
            try:
                opening(phase.at, datetime.fromtimestamp(0, UTC), runbook.schedule.zone)
            except (ValueError, OverflowError) as error:
                yield ("phases", p, "at"), str(error)
        try:
            phase.ordered_tasks()
        except ValueError as error:
            yield ("phases", p, "tasks"), str(error)
        for i, name in enumerate(phase.watch):
            if name in runbook.checks and runbook.checks[name].breach is None:
                yield ("phases", p, "watch", i), f"the check {name!r} has no roll_back_if, so the watch cannot judge it"


def _doubled(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    seen: dict[str, str] = {}
    phases: set[str] = set()
    items: set[str] = set()
    for path, item in runbook.items():
        if item.item in items:
            yield (*path, "item"), f"the item {item.item!r} is given twice; give each its own name"
        items.add(item.item)
    for p, phase in enumerate(runbook.phases):
        if phase.phase in phases:
            yield ("phases", p, "phase"), f"the phase {phase.phase!r} is given twice; give each its own name"
        phases.add(phase.phase)
        for t, task in enumerate(phase.tasks):
            if task.task in seen:
                yield ("phases", p, "tasks", t, "task"), f"the task {task.task!r} is given twice; give each its own name"
            seen[task.task] = task.task
            names: set[str] = set()
            for s, step in enumerate(task.steps):
                if step.step and step.step in names:
                    yield ("phases", p, "tasks", t, "steps", s, "step"), f"the step {step.step!r} is given twice"
                names.add(step.step)


def _unknown(what: str, name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}" if known else "there are none"
    return f"the {what} {name!r} is not defined; {hint}"


_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "list": (list, tuple), "mapping": (dict,)
}  # fmt: skip


def input_problem(
    name: str,
    value: object,
    kind: str | None,
    choices: tuple[Any, ...] = (),
    least: float | None = None,
    most: float | None = None,
    *,
    default: bool = False,
) -> str:
    """Say what is wrong with the value of an input, or nothing.

    Args:
        name: the input's name.
        value: what it was given.
        kind: the type that it must have, if one is stated.
        choices: the values there are.
        least: the least it may be.
        most: the most it may be.
        default: whether it is the runbook's own default, which may be absent.
    """
    if value is None:
        return "" if default else f"the input {name!r} needs a value: pass --input {name}=..."
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return f"the input {name!r} is to be {kind}; found {value!r}"
    if choices and value not in choices:
        return f"the input {name!r} is one of {', '.join(map(str, choices))}; found {value!r}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = -math.inf if least is None else least, math.inf if most is None else most
        if (isinstance(value, float) and not math.isfinite(value)) or not low <= value <= high:
            bounds = " and ".join(
                f"{word} {bound:g}" for word, bound in (("at least", least), ("at most", most)) if bound is not None
            )
            return f"the input {name!r} is to be {bounds or 'finite'}; found {value!r}"
    return ""
