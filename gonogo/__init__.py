"""gonogo: a PostgreSQL migration, run like a launch.

What can be imported from here is public, and documented in docs/python.md. Everything else is gonogo's own and may change.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = ("find", "follow", "launch", "load", "plan", "read_ledger", "read_run", "resume", "verify_run", "Run")
_ERRORS = ("BadInput", "Fenced", "GonogoError", "Problem", "Refused", "StepError", "TargetBusy", "Unreachable")
#: where each public name is. A name is imported when somebody asks for it: a check of one's own needs no more than its own module
_PUBLIC = {
    **dict.fromkeys(_API, "gonogo.api"),
    **dict.fromkeys(_ERRORS, "gonogo.errors"),
    **dict.fromkeys(("Answer", "Ask", "check"), "gonogo.own_checks"),
    **dict.fromkeys(("Event", "Kind"), "gonogo.core.engine.events"),
    "OpenedRunbook": "gonogo.planning.open",
    "Status": "gonogo.core.engine.state",
    "Plan": "gonogo.core.plan.plan",
    "Prepared": "gonogo.planning.prepared",
    "Runbook": "gonogo.core.model.runbook",
}
__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 - they are all text


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gonogo' has no attribute {name!r}")
    if name in _API:
        # what runs a runbook needs flows/ and checks/, which lie inside the package in a wheel
        import_module("gonogo.project").prepend_import_root()
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
