"""`gonogo people`: who is enrolled, and the QR code by which somebody is."""

from __future__ import annotations

import sys

import segno

from gonogo.cli.output import as_json, say
from gonogo.errors import BadInput
from gonogo.project import find_project
from gonogo.run.signatures import keys_of


def enroll(person: str, again: bool) -> None:
    """Make a key and show it once."""
    if not person.isascii() or not person.replace("_", "").replace("-", "").isalnum():
        raise BadInput(f"{person!r} is not a name in `people:`: lower-case letters, digits, - and _")
    keys = keys_of(find_project())
    address = keys.enroll(person, again=again)
    say(f"{person} is enrolled in {keys.file}. Scan this with an authenticator app; it is shown only now:\n")
    # straight to the terminal: a QR code is made of characters that must not be touched
    segno.make(address, error="m").terminal(out=sys.stdout, compact=True)
    say(f"\nor type this into it: {address}")


def listed(json: bool) -> None:
    """List who is enrolled."""
    people = keys_of(find_project()).people()
    if json:
        as_json(people)
        return
    for person in people or ["nobody is enrolled; gonogo people enroll NAME"]:
        say(person)


def remove(person: str) -> None:
    """Forget a key."""
    keys_of(find_project()).remove(person)
    say(f"{person} can prove nothing any more")
