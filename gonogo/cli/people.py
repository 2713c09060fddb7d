"""`gonogo people`: who is enrolled, and the QR code by which somebody is."""

from __future__ import annotations

import sys
from typing import Annotated

import segno
import typer

from gonogo.cli.options import JsonOption
from gonogo.cli.output import as_json, say
from gonogo.errors import BadInput
from gonogo.project import find_project
from gonogo.run.signatures import keys_of


def enroll(
    person: Annotated[str, typer.Argument(help="Their name in `people:` of the runbooks.", show_default=False)],
    again: Annotated[bool, typer.Option("--again", help="Make a new key; the old one no longer works.")] = False,
) -> None:
    """Make a person's key, and show it once as a QR code for an authenticator app.

    Example: [bold]gonogo people enroll lead[/]
    """
    if not person.isascii() or not person.replace("_", "").replace("-", "").isalnum():
        raise BadInput(f"{person!r} is not a name in `people:`: lower-case letters, digits, - and _")
    keys = keys_of(find_project())
    address = keys.enroll(person, again=again)
    say(f"{person} is enrolled in {keys.file}. Scan this with an authenticator app; it is shown only now:\n")
    # straight to the terminal: a QR code is made of characters that must not be touched
    segno.make(address, error="m").terminal(out=sys.stdout, compact=True)
    say(f"\nor type this into it: {address}")


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


def remove(person: Annotated[str, typer.Argument(help="Who.", show_default=False)]) -> None:
    """Remove a person's key: their codes are no longer accepted.

    Example: [bold]gonogo people remove lead[/]
    """
    keys_of(find_project()).remove(person)
    say(f"removed {person}'s key; their codes are no longer accepted")
