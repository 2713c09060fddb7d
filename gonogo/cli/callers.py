"""Who speaks on the command line."""

from __future__ import annotations

import sys
from dataclasses import replace

import typer

from gonogo.cli.output import complain
from gonogo.core.plan.plan import Plan
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, GonogoError
from gonogo.personal_key import key_file, load
from gonogo.postgres.connection import Connection
from gonogo.postgres.server_clock import say_skew, server_time
from gonogo.run.votes import Caller


def caller_of(person: str, code: str) -> Caller:
    """Return who speaks."""
    return Caller(person=tidy(person, 48).strip(), code=tidy(code, 20))


def require_person(caller: Caller) -> None:
    """Refuse somebody who does not say who they are.

    Raises:
        BadInput: they do not.
    """
    if not caller.person:
        raise BadInput("say who you are with --as PERSON: a name in `people:` of the runbook")


def ask_code(plan: Plan, caller: Caller) -> Caller:
    """Take the key of a person who has one of their own; ask others, on a terminal, for the code that a protected target needs.

    Raises:
        Refused: their key is not here.
    """
    person = plan.people.get(caller.person)
    if caller.key is not None:
        return caller
    if person is not None and person.key:
        file = key_file()
        if not file.exists() and not plan.protected:
            return caller
        return replace(caller, key=load(file, lambda: typer.prompt(f"Passphrase of {file}", hide_input=True, err=True)))
    if caller.code or not caller.person or not plan.protected or not sys.stdin.isatty():
        return caller
    return replace(caller, code=typer.prompt(f"One-time code of {caller.person}", hide_input=True))


def tell_skew(connection: Connection) -> None:
    """Say that this machine's clock is off, before somebody gives a code that goes by it."""
    if skew := say_skew(server_time(connection)):
        complain(GonogoError(skew))
