"""Findings on their way out: as a table, and in the forms of code hosts, with files named as these name them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gonogo.cli.files import write_file
from gonogo.cli.output import say, table
from gonogo.core.model.finding import Finding, Level, worst
from gonogo.core.text.findings.forms import FORMS
from gonogo.core.text.findings.review import Review, counts, said
from gonogo.errors import BadInput, Exit

_STYLE = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.NOTE: ""}
_NEVER = "never"

FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        help=f"Another form than a table: {', '.join(FORMS)}; as FORM=FILE it is written there, beside what is printed. More than"
        " once, if wanted.",
        show_default=False,
    ),
]
FailOnOption = Annotated[
    str, typer.Option("--fail-on", help=f"Exit 10 where something is that bad: {', '.join(Level)}, or {_NEVER}.")
]


def wanted_forms(formats: Sequence[str] | None, *, json: bool) -> list[tuple[str, Path | None]]:
    """Return the forms that were asked for, each with its file, if it has one.

    Raises:
        BadInput: there is no such form, or two are to be printed.
    """
    forms = []
    for each in formats or []:
        name, _, file = each.partition("=")
        if name not in FORMS:
            raise BadInput(f"--format {each}: there are {', '.join(FORMS)}, each also as FORM=FILE; JSON is --json")
        forms.append((name, Path(file) if file else None))
    printed = [name for name, file in forms if file is None] + (["--json"] if json else [])
    if len(printed) > 1:
        raise BadInput(
            f"only one form can be printed, and {' and '.join(printed)} are asked for; write --format {printed[0]}=FILE"
        )
    return forms


def level_of(fail_on: str) -> Level | None:
    """Return from which level on a command fails; None where it never does.

    Raises:
        BadInput: there is no such level.
    """
    if fail_on == _NEVER:
        return None
    try:
        return Level(fail_on)
    except ValueError:
        raise BadInput(f"--fail-on {fail_on}: there are {', '.join(Level)}, and {_NEVER}") from None


def write_forms(review: Review, forms: Iterable[tuple[str, Path | None]]) -> bool:
    """Write a review in some forms; return whether one was printed.

    Raises:
        BadInput: a file cannot be written.
    """
    printed = False
    for name, file in forms:
        text = FORMS[name](review)
        if file is None:
            sys.stdout.write(text)
            printed = True
        else:
            write_file(file, text)
    return printed


def show_findings(title: str, review: Review) -> None:
    """Print a review as a table: what is open, and what was accepted."""
    for level in Level:
        if rows := [(_place(f), f.kind, said(f)) for f in review.open if f.level is level]:
            table(f"{title}: {counts([f for f in review.open if f.level is level])}", ["where", "", "what, and what to do"], rows)
    if review.accepted:
        rows = [(_place(f), f.kind, f"{f.what} ({f.accepted})") for f in review.accepted]
        table(f"{title}: accepted", ["where", "", "what, and why it was accepted"], rows)
    bad = worst(review.findings)
    say(review.summary, _STYLE[bad] if bad else "green")


def outcome_of(review: Review, fail_on: Level | None) -> Exit:
    """Return with which code a command ends: 10 where something is as bad as `fail_on`, or worse."""
    bad, order = worst(review.findings), list(Level)
    return Exit.NO_GO if bad and fail_on and order.index(bad) <= order.index(fail_on) else Exit.DONE


def named_for_the_host(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings whose files are named as their code host names them."""
    return [replace(finding, file=path_for_the_host(finding.file)) for finding in findings]


def path_for_the_host(file: str) -> str:
    """Return the path of a file from the top of its repository; without one, from here."""
    whole = Path(file).resolve()
    top = next((folder for folder in whole.parents if (folder / ".git").exists()), Path.cwd())
    return whole.relative_to(top).as_posix() if whole.is_relative_to(top) else whole.as_posix()


def _place(finding: Finding) -> str:
    return f"{Path(finding.file).name}:{finding.line}"
