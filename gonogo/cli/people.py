"""`gonogo people`: who is enrolled, and the QR code by which somebody is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import segno
import typer

from gonogo.cli.options import JsonOption
from gonogo.cli.output import as_json, say
from gonogo.errors import BadInput
from gonogo.personal_key import key_file, load, make
from gonogo.planning.load import each_runbook
from gonogo.project import Project, find_project
from gonogo.run.signatures import keys_of


def enroll(
    person: Annotated[str, typer.Argument(help="Their name in `people:` of the runbooks.", show_default=False)],
    again: Annotated[bool, typer.Option("--again", help="Make a new key; the old one no longer works.")] = False,
    json: JsonOption = False,
) -> None:
    """Make a person's key, and show it once as a QR code for an authenticator app.

    Example: [bold]gonogo people enroll lead[/]
    """
    if not person.isascii() or not person.replace("_", "").replace("-", "").isalnum():
        raise BadInput(f"{person!r} is not a name in `people:`: lower-case letters, digits, - and _")
    keys = keys_of(find_project())
    if person not in (known := _known(find_project())):
        there = f"; there are {', '.join(known)}" if known else ""
        say(f"no runbook of this project has {person!r} in its `people:`{there}. The key is of use once one has", "yellow")
    address = keys.enroll(person, again=again)
    if json:
        as_json({"person": person, "keys": str(keys.file), "address": address})
        return
    say(f"{person} is enrolled in {keys.file}. Scan this with an authenticator app; it is shown only now:\n")
    # straight to the terminal: a QR code is made of characters that must not be touched
    segno.make(address, error="m").terminal(out=sys.stdout, compact=True)
    say(f"\nor type this into it: {address}")


def _known(project: Project) -> list[str]:
    """Return whom the project's runbooks name; what a broken one says is not known."""
    found: dict[str, None] = {}
    for _, read in each_runbook(project.runbook_files):
        if not isinstance(read, BadInput):
            found |= dict.fromkeys(read.people)
    return list(found)


def key(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; without it, GONOGO_KEY or ~/.config/gonogo/key.")
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Encrypt it with a passphrase that each use asks for.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a key of your own, which never leaves your machine, and show the line that the runbook needs.

    Where there is one, it is shown. A key that you have for SSH (Ed25519) will do: GONOGO_KEY=~/.ssh/id_ed25519

    Example: [bold]gonogo people key --passphrase[/]
    """
    file = output or key_file()
    if there := file.exists():
        made = load(file, lambda: typer.prompt(f"Passphrase of {file}", hide_input=True, err=True))
    else:
        made = make(file, typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True) if passphrase else "")
    if json:
        as_json({"file": str(file), "made": not there, "key": made.public})
        return
    if there:
        say(f"the key in {file}; in `people:` of the runbook, behind your name:\n")
    else:
        say(f"made a key in {file}; keep it to yourself. In `people:` of the runbook, behind your name:\n")
    say(f"key: {made.public}")


def list_(json: JsonOption = False) -> None:
    """List who is enrolled.

    Example: [bold]gonogo people list[/]
    """
    people = keys_of(find_project()).people()
    if json:
        as_json(people)
        return
    for person in people or ["nobody is enrolled; gonogo people enroll NAME"]:
        say(person)


def remove(person: Annotated[str, typer.Argument(help="Who.", show_default=False)], json: JsonOption = False) -> None:
    """Remove a person's key: their codes are no longer accepted.

    Example: [bold]gonogo people remove lead[/]
    """
    keys_of(find_project()).remove(person)
    if json:
        as_json({"person": person, "removed": True})
        return
    say(f"removed {person}'s key; their codes are no longer accepted")
