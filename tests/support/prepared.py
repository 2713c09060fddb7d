"""A plan of a runbook that a test wrote."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gonogo.core.model.runbook import Runbook
from gonogo.planning import planner
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.prepared import Prepared
from gonogo.project import Project


def prepare(
    runbook: Runbook,
    file: Path,
    project: Project,
    *,
    target: str = "",
    inputs: Mapping[str, Any] | None = None,
    start: datetime | None = None,
) -> Prepared:
    """Plan a runbook of a project."""
    opened = OpenedRunbook(runbook=runbook, file=file, project=project, target=target)
    return planner.prepare(opened, inputs=inputs, start=start)
