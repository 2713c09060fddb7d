"""Where gonogo's own folders are: beside the package in a checkout, and inside it in a wheel.

`flows` and `checks` are imported under those names. Their root goes first on `sys.path`, so that a user's own
`flows/` in the working directory does not win.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gonogo.errors import BadInput

_PACKAGE = Path(__file__).resolve().parent
#: in a project's state: where its live pages are
PAGE_FILE = "page.json"
#: the folder that holds flows/, checks/, runbooks/ and sql_templates/
ROOT = _PACKAGE / "bundled" if (_PACKAGE / "bundled").is_dir() else _PACKAGE.parent


def prepend_import_root() -> None:
    """Put that root first on the import path, for this process and for those that it starts."""
    root = str(ROOT)
    sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != root]
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *inherited])


@dataclass(frozen=True, kw_only=True)
class Project:
    """A folder with its own runbooks/ and sql_templates/; what it lacks, gonogo's own gives."""

    root: Path
    #: where the runbook's own files lie, where that is not the project: gonogo's own runbooks keep their state where the user is
    home: Path | None = None

    @property
    def files(self) -> Path:
        """The folder in which the runbook's programs run, and whose own checks are asked."""
        return self.home or self.root

    @property
    def state(self) -> Path:
        """The folder for what is made while running: the embedded database, reports."""
        return self.root / ".gonogo"

    @property
    def template_roots(self) -> tuple[Path, ...]:
        """Where templates are looked for, in order."""
        roots = dict.fromkeys((self.root / "sql_templates", ROOT / "sql_templates"))
        return tuple(root for root in roots if root.is_dir())

    @property
    def runbook_files(self) -> list[Path]:
        """Its own runbooks, by name."""
        return sorted((self.root / "runbooks").glob("*.yaml"))

    def runbook(self, name: str) -> Path:
        """Return the file of a runbook, by path or by name.

        Raises:
            BadInput: there is none.
        """
        if name.endswith((".yaml", ".yml")) or os.sep in name:
            return Path(name)
        own, built_in = self.root / "runbooks", ROOT / "runbooks"
        for folder in (own, built_in):
            if (folder / f"{name}.yaml").is_file():
                return folder / f"{name}.yaml"
        known = [file.stem for file in self.runbook_files]
        close = get_close_matches(name, [*known, *(file.stem for file in built_in.glob("*.yaml"))], n=1)
        if close:
            raise BadInput(f"there is no runbook {name!r} in {self.root / 'runbooks'}; did you mean {close[0]!r}?")
        there = f"there are {', '.join(known)}" if known else "make one with `gonogo init`"
        if built_in != own:
            there += f"; gonogo's own are {', '.join(sorted(file.stem for file in built_in.glob('*.yaml')))}"
        raise BadInput(f"there is no runbook {name!r} in {self.root / 'runbooks'}; {there}")


@dataclass(frozen=True, kw_only=True)
class PageAddress:
    """Where the live pages of a project's runs are, and their password."""

    address: str
    #: user and password, with a colon between them
    login: str
    #: whether buttons in Slack are heard there
    hears_buttons: bool = False
    #: where Prefect's UI is; empty where there is none
    prefect: str = ""

    def prefect_run(self, flow_run: str) -> str:
        """Return the address of a flow run in Prefect's UI; empty where there is none."""
        return f"{self.prefect.rstrip('/')}/runs/flow-run/{flow_run}" if self.prefect and flow_run else ""

    def of(self, runbook: str, target: str, run: str) -> str:
        """Return the address of a run's page."""
        return f"{self.address.rstrip('/')}/runs/{runbook}/{target}/{run}/"


def page_of(project: Project) -> PageAddress | None:
    """Return where a project's live pages are; None while nothing serves them."""
    try:
        kept = json.loads((project.state / PAGE_FILE).read_text(encoding="utf-8"))
        os.kill(int(kept["pid"]), 0)
        buttons, prefect = bool(kept.get("hears_buttons")), str(kept.get("prefect", ""))
        return PageAddress(address=str(kept["address"]), login=str(kept["login"]), hears_buttons=buttons, prefect=prefect)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def commit_of(folder: Path) -> str:
    """Return the git commit that a folder's files were checked out from, if it lies in a repository; git itself is not needed."""
    for parent in (folder.resolve(), *folder.resolve().parents):
        head = parent / ".git" / "HEAD"
        if not head.is_file():
            continue
        try:
            said = head.read_text(encoding="utf-8").strip()
            if not said.startswith("ref: "):
                return said
            name = said.removeprefix("ref: ")
            if (loose := parent / ".git" / name).is_file():
                return loose.read_text(encoding="utf-8").strip()
            packed = (parent / ".git" / "packed-refs").read_text(encoding="utf-8").splitlines()
            return next((line.split(" ")[0] for line in packed if line.endswith(f" {name}")), "")
        except OSError:
            return ""
    return ""


def find_project(start: Path | None = None) -> Project:
    """Return the project that a folder lies in: the nearest one above it with runbooks/, else the folder itself.

    Args:
        start: the folder; without one, `GONOGO_PROJECT`, or where this process is.
    """
    here = (start or Path(os.environ.get("GONOGO_PROJECT") or Path.cwd())).resolve()
    for folder in (here, *here.parents):
        if (folder / "runbooks").is_dir():
            return Project(root=folder)
    return Project(root=here)


def project_of(runbook: Path) -> Project:
    """Return the project that a runbook belongs to."""
    folder = runbook.resolve().parent
    return Project(root=folder.parent) if folder.name == "runbooks" else find_project(folder)
