"""Alembic's revisions as it writes them itself: `alembic upgrade A:B --sql`, and the same back. Nothing is connected to."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gonogo.core.model.step import MigrationFolder
from gonogo.errors import BadInput
from gonogo.external.process import KNOWN
from gonogo.migrations.changes import Migrations
from gonogo.migrations.folders import alembic_texts

#: seconds that it may take
_PATIENT = 120


def is_alembic(given: MigrationFolder, folder: Path) -> bool:
    """Return whether a folder is that of an Alembic project."""
    return given.tool.lower() == "alembic" or (not given.tool and (folder / "alembic.ini").is_file())


def read_alembic(given: MigrationFolder, folder: Path, environment: Sequence[str]) -> Migrations:
    """Return the revisions that are meant, each with its downgrade and with what Alembic records.

    Args:
        given: what the runbook says.
        folder: where `alembic.ini` lies.
        environment: the names of the environment variables that it gets, beside the usual ones.

    Raises:
        BadInput: it cannot write them as SQL.
    """
    if not (folder / "alembic.ini").is_file():
        raise BadInput(f"there is no alembic.ini in {folder}")
    since, to = given.since or "base", given.to or "head"
    texts = []
    for words in (["upgrade", f"{since}:{to}", "--sql"], ["downgrade", f"{to}:{since}", "--sql"]):
        texts.append((f"alembic {' '.join(words)}", _said([*(given.command or ("alembic",)), *words], folder, environment)))
    found = alembic_texts(texts, own=True)
    if not found.changes:
        raise BadInput(f"Alembic has no revision after {since} up to {to}")
    return found


def alembic_files(folder: Path) -> set[str]:
    """Return the files of an Alembic project that what it writes is made from."""
    ini = folder / "alembic.ini"
    parser = configparser.ConfigParser(defaults={"here": str(folder)}, interpolation=configparser.BasicInterpolation())
    try:
        parser.read(ini, encoding="utf-8")
        scripts = parser.get("alembic", "script_location", fallback="alembic")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{ini}: {' '.join(str(error).split())}") from None
    return {str(ini), *(str(file) for file in sorted((folder / scripts).rglob("*.py")))}


def _said(command: Sequence[str], folder: Path, environment: Sequence[str]) -> str:
    """Return what Alembic writes.

    Raises:
        BadInput: it cannot be started, or ends with an error.
    """
    given = {name: os.environ[name] for name in (*KNOWN, *environment) if name in os.environ}
    program = shutil.which(command[0], path=given.get("PATH"))
    if program is None:
        raise BadInput(f"there is no program {command[0]!r} on the PATH; say how it is started: command: [uv, run, alembic]")
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd=folder, env=given, capture_output=True, text=True, timeout=_PATIENT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"{' '.join(command)}: {error}") from None
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["it says nothing"]
        hint = ""
        if re.search(r"NoneType|get_bind|offline|MockConnection|CursorResult", lines[-1]):
            hint = "; a revision that reads the database is code, and not SQL: let `run: alembic upgrade ...` do that one"
        raise BadInput(f"{' '.join(command)} ended with {done.returncode}: {lines[-1]}{hint}")
    return done.stdout
