"""The SQL that makes what examined migrations build on, as pg_dump writes it too: psql's marks, rows for COPY, owners, grants."""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from gonogo.errors import BadInput
from gonogo.importers.clinic import Clinic
from gonogo.importers.trial import DENIED, TRUST
from gonogo.postgres import embedded

#: pg_dump's own marks that no command of psql may come between; we set our own
_MARKS = re.compile(r"^\\(un)?restrict\b.*$", re.MULTILINE)
_ERROR = re.compile(r"^psql:[^\n]*?:(\d+): ERROR:\s+(\w{5}): (.*)$", re.MULTILINE)
_OTHER_ERROR = re.compile(r"^psql:[^\n]*?:(\d+): (?:error: )?(.*)$", re.MULTILINE)
_NO_ROLE = re.compile(r'role "(.+)" does not exist')
_UNDEFINED, _MOST_ROLES, _PATIENT = "42704", 50, 600
_HOW = "what fits: pg_dump --schema-only --no-owner --no-privileges DATABASE"


@contextmanager
def made_by(schema: str, clinic: Clinic) -> Iterator[str]:
    """Make a database with a schema, and yield its URL.

    Roles that the schema names are made where they are missing, without a login.

    Args:
        schema: the SQL; nothing is made of an empty one.
        clinic: where.

    Raises:
        BadInput: PostgreSQL does not take it.
    """
    roles: list[str] = []
    while True:
        with clinic.copied() as base:
            missing = _attempt(schema, base, roles) if schema.strip() else ""
            if not missing:
                yield base
                return
        if missing in roles or len(roles) >= _MOST_ROLES:
            raise BadInput(f"--schema: it names the role {missing!r}, which cannot be made; {_HOW}")
        clinic.make_role(missing)
        roles.append(missing)


def _attempt(schema: str, url: str, roles: list[str]) -> str:
    """Run the SQL; return the role that it lacks, if it does.

    Raises:
        BadInput: it is refused for something else.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for role in roles:
            # who is to own something in a schema must be able to make things in it
            connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(role)))
    key = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="gonogo-schema-") as folder:
        file = Path(folder) / "schema.sql"
        # between these two lines psql obeys none of its own commands, such as those that run a shell
        file.write_text(f"\\restrict {key}\n{_MARKS.sub('', schema)}\n\\unrestrict {key}\n", encoding="utf-8")
        options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", str(file), url]
        done = subprocess.run(
            [embedded.program("psql"), *options],
            env={"LC_ALL": "C", "PATH": ""},
            capture_output=True,
            text=True,
            timeout=_PATIENT,
            check=False,
        )
    if not done.returncode:
        return ""
    if found := _ERROR.search(done.stderr):
        line, state, why = int(found[1]) - 1, found[2], found[3]
        if state == _UNDEFINED and (lacks := _NO_ROLE.search(why)):
            return lacks[1]
        raise BadInput(f"--schema, line {line}: {state} {why}; {TRUST if state == DENIED else _HOW}")
    other = _OTHER_ERROR.search(done.stderr)
    place = f", line {int(other[1]) - 1}: {other[2]}" if other else f": {done.stderr.strip()[-300:]}"
    raise BadInput(f"--schema{place}; {_HOW}")
