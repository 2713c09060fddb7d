"""What a runbook says of a run as a whole, as it is on the target that is planned for."""

from __future__ import annotations

from typing import Any, TypeVar

from gonogo.core.model.alerts import Monitor
from gonogo.core.model.check_kinds import Program
from gonogo.core.model.copies import Copies
from gonogo.core.model.fields import Part
from gonogo.core.model.rollback import Backup, Rollback
from gonogo.core.model.runbook import Phase
from gonogo.core.plan.plan import Elsewhere
from gonogo.planning.scripts import Draft, program

_PartT = TypeVar("_PartT", bound=Part)


def backup(draft: Draft) -> Backup | None:
    """Return the backup that is taken of the target that is planned for, with the templates in its programs filled in."""
    rule = next(iter(draft.here([draft.runbook.backup])), None)
    if rule is None or not rule.provider:
        return rule
    kind = _filled(draft, f"backup.{rule.provider}", getattr(rule, rule.provider))
    return rule.model_copy(update={rule.provider: kind})


def copies(draft: Draft, stated: str | Copies) -> str | Copies:
    """Return where copies come from, with the templates in its programs filled in."""
    if isinstance(stated, str):
        return stated
    return _filled(draft, f"targets.{draft.target}.rehearse_on", stated)


def _filled(draft: Draft, path: str, part: _PartT) -> _PartT:
    """Return a part of a runbook with the templates in its programs filled in."""
    programs = {name: each for name in type(part).model_fields if isinstance(each := getattr(part, name), Program)}
    return part.model_copy(update={name: program(draft, f"{path}.{name}", each, each.argv) for name, each in programs.items()})


def rollback(draft: Draft) -> Rollback:
    """Return the rollback levels that there are on the target that is planned for."""
    rule, saved = draft.runbook.rollback, next(iter(draft.here([draft.runbook.backup])), None)
    levels = tuple(level for level in rule.levels if level != "restore" or (saved and not saved.waived))
    authority = next(iter(draft.here([rule.authority])), None)
    changed: dict[str, Any] = {"levels": levels or ("undo",), "authority": authority, "prove": draft.on_target(rule.prove)}
    for name in ("feature", "data"):
        if switch := getattr(rule, name):
            changed[name] = switch.model_copy(update={"prove": draft.on_target(switch.prove)})
    return rule.model_copy(update=changed)


def monitor(draft: Draft) -> Monitor | None:
    """Return what is looked at, on the target that is planned for, when no run is under way."""
    rule = draft.runbook.monitor
    return rule and rule.model_copy(update={"alerts": tuple(a for a in rule.alerts if draft.on_target([a.check]))})


def first_on(draft: Draft, phase: Phase) -> tuple[str, ...]:
    """Return the targets on which the very same must be done before it is done on the one that is planned for."""
    return () if draft.target in phase.gate.done_on else phase.gate.done_on


def elsewhere(draft: Draft) -> dict[str, Elsewhere]:
    """Return where the targets are on which it must be done first."""
    named = dict.fromkeys(name for phase in draft.runbook.phases for name in first_on(draft, phase))
    known = draft.runbook.targets
    return {name: Elsewhere(database=known[name].direct or known[name].database, role=known[name].role) for name in named}
