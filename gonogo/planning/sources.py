"""What a plan is made from: template files and inputs, found and digested without rendering or parsing them."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gonogo.core.model.runbook import Runbook
from gonogo.core.model.validate import input_problem
from gonogo.errors import BadInput


class Library:
    """The templates below some roots; the first root that has a file gives it."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self.roots = tuple(root.resolve() for root in roots)
        #: the files that were used, as text: of ten thousand, paths as objects cost more than reading them
        self.used: set[str] = set()
        self._found: dict[str, str] = {}

    def find(self, pattern: str, under: str = "") -> list[str]:
        """Return the templates that a name or a glob means, sorted, relative to their root.

        Raises:
            BadInput: there is none, or it lies outside the roots.
        """
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or "\0" in pattern:
            raise BadInput(f"the template {pattern!r} is not below the template folder; name it from there, without `..`")
        try:
            for root in self.roots:
                for base in filter(None, (under, ".")):
                    if files := _files(pattern, root / base, root):
                        names = {file[len(str(root)) + 1 :]: file for file in files}
                        self._found.update(names)
                        return list(names)
        except (OSError, ValueError) as error:
            raise BadInput(f"the template {pattern!r} cannot be looked for: {error}") from None
        searched = ", ".join(str(root / under) for root in self.roots)
        raise BadInput(f"there is no template {pattern!r} in {searched}")

    def file(self, name: str) -> str:
        """Return the file of a template that was found."""
        return self._found.get(name) or next(str(root / name) for root in self.roots if (root / name).is_file())


def _files(pattern: str, folder: Path, root: Path) -> list[str]:
    """Return the files below a folder that a name or a glob means, sorted.

    Raises:
        BadInput: one lies outside the root, or is a symbolic link.
    """
    is_glob = re.search(r"[*?\[]", pattern)
    names = sorted(glob.glob(pattern, root_dir=folder, recursive=True)) if is_glob else [pattern]
    files, links = [], []
    for file in (os.path.join(folder, name) for name in names):
        try:
            mode = os.lstat(file).st_mode
        except OSError:
            continue  # not there, or no name that a file could have
        if stat.S_ISREG(mode):
            files.append(file)
        elif stat.S_ISLNK(mode) and os.path.isfile(file):
            links.append(file)
    folders = {file[: file.rindex(os.sep)] for file in files}
    outside = [parent for parent in folders if not Path(parent).resolve().is_relative_to(root)]
    if wrong := links + outside:
        raise BadInput(f"the template {wrong[0]} is a symbolic link or leads out of {root}; keep templates below it")
    return files


def resolve_inputs(runbook: Runbook, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every input.

    Raises:
        BadInput: one is unknown, missing or of a wrong type.
    """
    problems = [
        f"there is no input {name!r}; there are {', '.join(runbook.inputs) or 'none'}"
        for name in given
        if name not in runbook.inputs
    ]
    values = {}
    for name, item in runbook.inputs.items():
        value = given.get(name, item.default)
        kind = item.type or type_of(item.default)
        if problem := input_problem(name, value, kind, item.choices, item.min, item.max):
            problems.append(problem)
        values[name] = value
    if problems:
        raise BadInput(*problems)
    return values


def type_of(default: object) -> str | None:
    """Return the type of an input that states none: its default's."""
    for kind, types in (("boolean", bool), ("integer", int), ("number", float), ("text", str), ("list", list), ("mapping", dict)):
        if isinstance(default, types):
            return kind
    return None


def patterns_of(runbook: Runbook) -> list[str]:
    """Return every name and glob of a template that a runbook has."""
    patterns = [source for check in runbook.checks.values() if (source := check.source)]
    for step in (step for phase in runbook.phases for task in phase.tasks for step in task.steps):
        patterns += [*(step.sql or ()), *([step.backfill.sql] if step.backfill else ())]
        if isinstance(step.undo, tuple) and step.undo != ("nothing",) and step.run is None:
            patterns += step.undo
    for level in (runbook.rollback.feature, runbook.rollback.data):
        patterns += level.sql if level is not None else ()
    return patterns


#: what of a text is a template
_REMARK = re.compile(r"\{#.*?#\}", re.DOTALL)
#: the templates that one takes in: `{% include "a.sql" %}`, `{% from "a.sql" import b %}`
_TAKES = re.compile(r"\{%-?\s*(?:include|import|extends|from)\s+(.*?)\s*(?:-?%\}|\bimport\b|\bas\b|\bignore\b|\bwith)", re.DOTALL)
_NAMED = re.compile(r"""["']([^"']+)["']""")
_FILLED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def unused_inputs(runbook: Runbook, file: Path, library: Library) -> list[str]:
    """Return the inputs that nothing of a runbook uses, on any target: whoever gave one would change nothing.

    Args:
        runbook: what declares them.
        file: the runbook's own file, in which values may be templates, too.
        library: where its templates are; all that were used are looked into, those that others include among them.
    """
    files = {str(file), *library.used}
    for pattern in patterns_of(runbook):
        with suppress(BadInput):
            # what is not there is told by whoever needs it
            files |= {library.file(name) for name in library.find(pattern, runbook.runbook)}
    filled, left = "", sorted(files)
    while left:
        text = _REMARK.sub("", Path(left.pop()).read_text(encoding="utf-8", errors="replace"))
        filled += " ".join(_FILLED.findall(text))
        for words in _TAKES.findall(text):
            if not (named := _NAMED.fullmatch(words.strip())):
                # what is included is only known when it is rendered: it may use any of them
                return []
            with suppress(BadInput):
                more = {library.file(name) for name in library.find(named[1], runbook.runbook)} - files
                files |= more
                left += sorted(more)
    return [name for name in runbook.inputs if not re.search(rf"\b{re.escape(name)}\b", filled)]


def own_checks_of(runbook: Runbook, root: Path) -> set[str]:
    """Return the files of the checks of the project's own."""
    return {str(root / "checks" / f"{check.own}.py") for check in runbook.checks.values() if check.own}


def digest_sources(file: Path, library: Library, variables: Mapping[str, Any], target: str) -> str:
    """Return a digest over all that a plan was made from: files, inputs, target."""
    given = sorted({**variables, " target": target}.items())
    summed = hashlib.sha256(repr(given).encode())
    for path in (os.path.abspath(file), *sorted(library.used)):
        with open(path, "rb", buffering=0) as source:
            content = source.read()
        summed.update(b"%s\0%d\0%s" % (path.encode(), len(content), content))
    return summed.hexdigest()
