"""What most commands begin with: a runbook, the project that it belongs to, and the target that is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gonogo.core.model.runbook import Runbook, Target
from gonogo.core.text.plain import counted
from gonogo.errors import BadInput, Problem
from gonogo.planning.load import WrongReferences, load_runbook
from gonogo.planning.salvage import salvage
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
    file = find_project().runbook(name)
    return _opened(load_runbook(file), file, target)


def open_for_run(name: str, target: str, tell: Callable[[str], object]) -> OpenedRunbook:
    """Load what of a runbook is needed for a run that has begun; mistakes elsewhere in its file are only told.

    Args:
        name: its name in the project's `runbooks/`, or its path.
        target: the name of one of its targets; its first without one.
        tell: hears of the mistakes.

    Raises:
        BadInput: there is none, no such target, or its file has so many mistakes that its target cannot be found.
    """
    file = find_project().runbook(name)
    try:
        return _opened(load_runbook(file), file, target)
    except BadInput as error:
        found = salvage(file, target)
        if found is None:
            raise
        opened = _opened(found, file, target)
        more = len(error.problems) - 1
        others = f" (and {counted(more, 'more problem')})" if more else ""
        tell(
            f"{error.problems[0]}{others}; a run that has begun goes by its own plan, so only the target is taken from this file"
        )
        return opened


def problems_of(name: str, target: str, plan: Callable[[OpenedRunbook], object]) -> tuple[Problem, ...]:
    """Return all that is wrong with a runbook: its form; or what it refers to, and with it its templates.

    Args:
        name: its name in the project's `runbooks/`, or its path.
        target: the name of one of its targets; its first without one.
        plan: plans it, and raises what is wrong with its templates.
    """
    try:
        plan(open_runbook(name, target))
    except WrongReferences as error:
        try:
            plan(_opened(error.runbook, find_project().runbook(name), target))
        except BadInput as more:
            return tuple(dict.fromkeys((*error.problems, *more.problems)))
        except Exception:  # noqa: BLE001 - a plan may rest on what is wrong already; then that is to be put right first
            return error.problems
        return error.problems
    except BadInput as error:
        return error.problems
    return ()


def _opened(runbook: Runbook, file: Path, target: str) -> OpenedRunbook:
    here, own = find_project(), project_of(file)
    # a runbook of gonogo's own keeps its state where the user is
    project = Project(root=here.root, home=ROOT) if own.root == ROOT else own
    return OpenedRunbook(runbook=runbook, file=file, project=project, target=target)
