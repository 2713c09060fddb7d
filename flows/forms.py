"""The forms of the Prefect UI: made from a runbook, so that they offer just its phases, targets, people and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from gonogo.core.model.runbook import Input, Runbook
from gonogo.planning.sources import type_of

#: the phase that stands for all that are left
ALL = "all"
_CODE = "Your one-time code; a protected target needs one. It is worth nothing once used."
_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean", "list": "string", "mapping": "string"}


def text_field(help_: str, **more: Any) -> dict[str, Any]:
    """Return a field of a form, with its help."""
    kind = {} if "$ref" in more or "allOf" in more else {"type": "string"}
    return {**kind, "description": help_, **more}


def target_field(runbook: Runbook) -> dict[str, Any]:
    """Offer the targets, the unprotected ones first: the default is the one that does the least harm."""
    names = sorted(runbook.targets, key=lambda name: runbook.targets[name].protected)
    notes = [f"{name} is protected" for name in names if runbook.targets[name].protected]
    # a run without a form, Prefect's *Quick run*, takes the defaults: none of them is a protected target
    harmless = {} if runbook.targets[names[0]].protected else {"default": names[0]}
    return text_field("; ".join(["The database to run on", *notes]) + ".", enum=names, needed=True, **harmless)


def _people(runbook: Runbook, help_: str) -> dict[str, Any]:
    if not runbook.people:
        return text_field(help_, default="")
    return text_field(help_, enum=["", *runbook.people], default="")


def run_form(runbook: Runbook) -> dict[str, Any]:
    """Return the form that launches a runbook."""
    phases = [ALL, *(phase.phase for phase in runbook.phases)]
    form = {
        "target": target_field(runbook),
        "phase": text_field(
            "The phase to launch; `all` launches those that are left, one after the other.", enum=phases, default=ALL
        ),
        "launched_by": _people(runbook, "Who launches it."),
        "code": text_field(_CODE, default="", maxLength=20),
        "at_once": text_field("Do not wait for the clock times of phases and tasks.", type="boolean", default=False),
        "again": text_field("Run again what was done already.", type="boolean", default=False),
    }
    if runbook.schedule.windows or runbook.schedule.freezes:
        form["override"] = text_field(
            "Why it may start outside its window or beyond its budgets; only for those who may.", default=""
        )
    return form | _inputs_field(runbook)


def rehearsal_form(runbook: Runbook) -> dict[str, Any]:
    """Return the form that rehearses it."""
    proves = "Prove every step's undo by itself, right after it."
    form = {"target": target_field(runbook), "each_step": text_field(proves, type="boolean", default=False)}
    return form | _inputs_field(runbook)


def _inputs_field(runbook: Runbook) -> dict[str, Any]:
    if not runbook.inputs:
        return {}
    field = text_field("What the templates are filled in with.", allOf=[{"$ref": "#/definitions/Inputs"}])
    field["default"] = {name: _shown(item) for name, item in runbook.inputs.items() if item.default is not None}
    return {"inputs": field}


def resume_form(runbook: Runbook) -> dict[str, Any]:
    """Return the form that goes on with a run."""
    settle = "For a step in doubt, or an undo done by hand: what you found out in the database."
    return {
        "target": target_field(runbook),
        "settle": text_field(settle, enum=["", "done", "not-done"], default=""),
        "take_over": text_field("End a runner that is lost but still holds the target.", type="boolean", default=False),
        "asked_by": _people(runbook, "Who asks for it."),
        "code": text_field("Your one-time code, to settle or to take over on a protected target.", default="", maxLength=20),
    }


def rollback_form(runbook: Runbook) -> dict[str, Any]:
    """Return the form that rolls one back."""
    return {
        "target": target_field(runbook),
        "reason": text_field("Why; the report shows it.", needed=True, minLength=3),
        "asked_by": _people(runbook, "Who asks for it, or agrees to it."),
        "code": text_field(_CODE, default="", maxLength=20),
        "take_over": text_field("End a runner that is lost but still holds the target.", type="boolean", default=False),
        "level": text_field(
            "The rollback level; without one, the runbook's first.", enum=["", *runbook.rollback.levels], default=""
        ),
        "phase": text_field(
            "Only back to the start of this phase; the first one's is the whole run's.",
            enum=["", *(phase.phase for phase in runbook.phases)],
            default="",
        ),
        "accept_loss": text_field("Rows that were written since may be destroyed.", type="boolean", default=False),
    }


def inputs_schema(runbook: Runbook) -> dict[str, Any]:
    """Return what a form takes for the inputs of the templates."""
    properties = {name: {"title": name, **_input(item, position)} for position, (name, item) in enumerate(runbook.inputs.items())}
    required = [name for name, item in runbook.inputs.items() if item.default is None]
    return {"title": "Inputs", "type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _input(item: Input, position: int) -> dict[str, Any]:
    kind = item.type or type_of(item.default) or "text"
    help_ = item.help + (f" A {kind}, written as YAML." if kind in ("list", "mapping") else "")
    limits = {"minimum": item.min, "maximum": item.max, "default": None if item.default is None else _shown(item)}
    field: dict[str, Any] = {"type": _TYPES[kind], "description": help_.strip(), "position": position}
    field |= {name: value for name, value in limits.items() if value is not None}
    return {**field, "enum": list(item.choices)} if item.choices else field


def _shown(item: Input) -> Any:
    """Return a default as the form takes it: a list or a mapping as one line of YAML."""
    if isinstance(item.default, (list, tuple, Mapping)):
        plain = list(item.default) if isinstance(item.default, tuple) else item.default
        return yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return item.default
