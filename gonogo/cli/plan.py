"""`gonogo plan`: what a run would do, for people at a terminal and for a pull request."""

from __future__ import annotations

import json as json_
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from gonogo import __version__
from gonogo.cli.options import InputOption, JsonOption, RunbookArg, TargetOption
from gonogo.cli.output import as_json, plan_table, say
from gonogo.cli.reviews import (
    FailOnOption,
    FormatOption,
    level_of,
    named_for_the_host,
    outcome_of,
    path_for_the_host,
    wanted_forms,
    write_forms,
)
from gonogo.core.engine.events import Rehearsed
from gonogo.core.plan.diff import changes
from gonogo.core.plan.plan import Plan
from gonogo.core.text.findings.review import Page, Review
from gonogo.core.text.plain import counted, data
from gonogo.core.text.plan_page import plan_page
from gonogo.core.text.rehearsal_page import rehearsal_page
from gonogo.errors import BadInput, Problem
from gonogo.planning.findings import plan_findings
from gonogo.planning.load import place
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.planning.planner import prepare
from gonogo.planning.prepared import Prepared
from gonogo.run.open import moment, read_inputs

#: seconds that git and another version's plan may take
_PATIENT = 120


@dataclass(frozen=True, kw_only=True)
class _Before:
    """The plan of another version of the project."""

    ref: str
    #: None where that version has no such runbook, or one that cannot be planned
    plan: Plan | None
    texts: Mapping[str, str]
    why: str = ""


def plan(
    runbook: RunbookArg,
    target: TargetOption = "",
    inputs: InputOption = None,
    start: Annotated[str, typer.Option(help="When it starts, instead of what the runbook says: 2025-10-12T18:53.")] = "",
    sql: Annotated[bool, typer.Option("--sql", help="Print the rendered scripts, forward and back.")] = False,
    against: Annotated[
        str, typer.Option("--against", help="A branch or commit: also say what differs from the plan there.", show_default=False)
    ] = "",
    rehearsal: Annotated[
        Path | None,
        typer.Option("--rehearsal", help="What `gonogo rehearse --json` printed: its durations, locks and rewrites are shown."),
    ] = None,
    formats: FormatOption = None,
    fail_on: FailOnOption = "never",
    json: JsonOption = False,
) -> None:
    """Show what a run would do (a dry run): tasks on the clock, scripts, gates, watch, rollback. Touches no database.

    For a pull request: --against origin/main --format markdown=comment.md.

    Example: [bold]gonogo plan guardian-multi-credit --start 2025-10-12T18:53[/]
    """
    forms, least = wanted_forms(formats, json=json), level_of(fail_on)
    opened = open_runbook(runbook, target)
    begins = moment(start, opened.runbook.schedule.zone)
    prepared = prepare(opened, inputs=read_inputs(inputs or []), start=begins)
    shown = _rehearsed(rehearsal) if rehearsal else None
    before = _plan_at(against, opened, inputs or [], start) if against else None
    differing = _differences(before, prepared) if before else []
    review = _review(opened, prepared, shown, before, differing)
    printed = write_forms(review, forms)
    if json:
        scripts = dict(prepared.texts) if sql else {}
        compared = {"against": {"ref": before.ref, "why": before.why, "changes": differing}} if before else {}
        as_json({**prepared.plan.model_dump(mode="json"), "warnings": prepared.warnings, "scripts": scripts, **compared})
    elif not printed:
        _print(prepared, sql=sql)
        if before:
            say(f"\n{_heading(before, differing)}", "bold")
            for line in differing:
                say(f"  {line}")
    raise typer.Exit(outcome_of(review, least))


def _print(prepared: Prepared, *, sql: bool) -> None:
    made = prepared.plan
    say(f"{made.title}", "bold")
    say(f"runbook {made.runbook} on {made.target}, seal {made.seal[:16]}, change {made.what[:16]}\n")
    plan_table(made)
    for warning in prepared.warnings:
        say(f"warning: {warning}", "yellow")
    for step in made.steps if sql else ():
        for word, scripts in (("forward", step.scripts), ("back", step.undo or ())):
            for script in scripts:
                say(f"\n-- {step.name}, {word}: {script.source} {script.sha256[:12]}", "bold")
                say(prepared.texts[script.sha256].strip())


def _review(
    opened: OpenedRunbook, prepared: Prepared, shown: Rehearsed | None, before: _Before | None, differing: Sequence[str]
) -> Review:
    """Return what is to be looked at in a plan, with its page."""

    def file_of(source: str) -> str:
        found = (root / source for root in opened.project.template_roots)
        return next((str(file) for file in found if file.is_file()), "")

    findings = plan_findings(prepared, _placed(opened, prepared.warnings), runbook=str(opened.file), file_of=file_of)
    files = [opened.file, *(Path(file) for script in prepared.plan.scripts if (file := file_of(script.source)))]
    pages = [Page(title="The plan", text=plan_page(prepared.plan))]
    if before:
        pages.insert(0, Page(title=_heading(before, differing), text="\n".join(_as_diff(differing)), folded=False))
    if shown:
        old = "" if shown.plan == prepared.plan.seal else "**It was of another plan: the seal differs.**\n\n"
        pages.append(Page(title="The rehearsal", text=old + rehearsal_page(prepared.plan.title, shown)))
    steps, phases = len(prepared.plan.steps), len(prepared.plan.phases)
    return Review(
        command="plan",
        version=__version__,
        subject=f"{prepared.plan.runbook} on {prepared.plan.target}",
        summary=f"{counted(phases, 'phase')}, {counted(steps, 'step')}, seal {prepared.plan.seal[:16]}",
        findings=named_for_the_host(findings),
        files=list(dict.fromkeys(path_for_the_host(str(file)) for file in files)),
        pages=pages,
    )


def _placed(opened: OpenedRunbook, warnings: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each warning with its line in the runbook's file."""
    for warning in warnings:
        path = warning.partition(": ")[0]
        problem = Problem(file=str(opened.file), path=path, message=warning)
        # what has no undo is a finding of its own
        if "the step has no undo" not in warning:
            yield warning, max(1, place([problem], opened.file)[0].line)


def _rehearsed(file: Path) -> Rehearsed:
    try:
        return Rehearsed.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        raise BadInput(f"--rehearsal {file}: it is not what `gonogo rehearse --json` prints") from None


# the plan of another version


def _plan_at(ref: str, opened: OpenedRunbook, inputs: Sequence[str], start: str) -> _Before:
    """Return the plan of the same runbook as another commit has it.

    Raises:
        BadInput: there is no such commit, or the project lies in no repository.
    """
    with _checked_out(ref, opened.project.root) as project:
        file = _below(opened.file, opened.project.root)
        book = str(file) if file and (project / file).is_file() else opened.name
        command = [sys.executable, "-m", "gonogo", "plan", book, "--target", opened.target, "--json", "--sql"]
        command += [word for given in inputs for word in ("--input", given)] + (["--start", start] if start else [])
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=_PATIENT, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()[:1] or ["it cannot be planned"]
        return _Before(ref=ref, plan=None, texts={}, why=why[0].removeprefix("gonogo: "))
    told = json_.loads(done.stdout)
    texts = told.pop("scripts")
    told.pop("warnings")
    return _Before(ref=ref, plan=Plan.model_validate(told), texts=texts)


@contextmanager
def _checked_out(ref: str, project: Path) -> Iterator[Path]:
    """Yield a project's folder as a commit has it, for a while.

    Raises:
        BadInput: there is no such commit, or no repository.
    """
    top = _git(project, "rev-parse", "--show-toplevel").decode().strip()
    named = ["rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"]
    commit = _git(project, *named, refused=f"there is no branch or commit {ref!r} in {top}").decode().strip()
    inside = _below(project, Path(top)) or Path()
    packed = _git(Path(top), "archive", "--format=tar", commit, *([inside.as_posix()] if inside.parts else []))
    with tempfile.TemporaryDirectory(prefix="gonogo-plan-") as folder:
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder) / inside


def _below(file: Path, folder: Path) -> Path | None:
    whole, top = file.resolve(), folder.resolve()
    return whole.relative_to(top) if whole.is_relative_to(top) else None


def _git(folder: Path, *words: str, refused: str = "") -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, timeout=_PATIENT, check=False)
    except FileNotFoundError:
        raise BadInput("--against: git is not installed") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["git refuses"]
        raise BadInput(f"--against: {refused or said[0]}")
    return done.stdout


def _differences(before: _Before, now: Prepared) -> list[str]:
    return changes(before.plan, now.plan, before.texts, now.texts) if before.plan else []


def _heading(before: _Before, differing: Sequence[str]) -> str:
    if before.plan is None:
        return f"New since {data(before.ref)}: there it cannot be planned ({data(before.why)})"
    return f"What differs from {data(before.ref)}" if differing else f"The same as on {data(before.ref)}"


def _as_diff(differing: Sequence[str]) -> list[str]:
    """Return changes as a block that code hosts colour: nothing in them can end it."""
    if not differing:
        return []
    lines = [line.strip() if line.startswith("    ") else f"# {line}" for line in differing]
    return ["```diff", *(line.replace("```", "'''") for line in lines), "```"]
