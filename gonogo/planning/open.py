"""What most commands begin with: a runbook, the project that it belongs to, and the target that is meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gonogo.core.model.runbook import Runbook, Target
from gonogo.errors import BadInput
from gonogo.planning.load import load_runbook
from gonogo.project import ROOT, Project, find_project, project_of


@dataclass(frozen=True, kw_only=True)
class OpenedRunbook:
    """A runbook with the project it belongs to, and the target that is meant."""

    runbook: Runbook
    file: Path
    project: Project
    #: the name of one of the runbook's targets; the empty one means its first
    target: str = ""

    def __post_init__(self) -> None:
        """Choose the target.

        Raises:
            BadInput: the runbook has none of that name.
        """
        targets = self.runbook.targets
        if self.target and self.target not in targets:
            raise BadInput(f"the runbook has no target {self.target!r}; there are {', '.join(targets)}")
        object.__setattr__(self, "target", self.target or next(iter(targets)))

    @property
    def name(self) -> str:
        """The runbook's name."""
        return self.runbook.runbook

    @property
    def chosen(self) -> Target:
        """The target that is meant, as the runbook describes it."""
        return self.runbook.targets[self.target]

    def on(self, target: str) -> Self:
        """Return the same runbook with another target; with this one for "".

        Raises:
            BadInput: the runbook has no such target.
        """
        return type(self)(runbook=self.runbook, file=self.file, project=self.project, target=target or self.target)


def open_runbook(name: str, target: str = "") -> OpenedRunbook:
    """Load a runbook by name or path.

    Args:
        name: its name in the project's `runbooks/`, or its path.
        target: the name of one of its targets; its first without one.

    Raises:
        BadInput: there is none, it has problems, or no such target.
    """
    here = find_project()
    file = here.runbook(name)
    runbook = load_runbook(file)
    own = project_of(file)
    # a runbook of gonogo's own keeps its state where the user is
    project = Project(root=here.root, home=ROOT) if own.root == ROOT else own
    return OpenedRunbook(runbook=runbook, file=file, project=project, target=target)
