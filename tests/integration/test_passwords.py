"""A server that wants a password gets it, whatever is in it, and it lies in no file, process list or environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from support.servers import DEBIAN_15, open_folder, running_15

from gonogo.external.process import run_command
from gonogo.postgres.programs import ProgramFailed
from gonogo.postgres.tools import answer_of

pytestmark = [
    pytest.mark.attack("secrets"),
    pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="Debian's PostgreSQL 15 is not installed"),
]
PASSWORDS = {
    "colon": "p:a:CANARY",
    "backslash": "p\\a\\CANARY",
    "at": "p@a/CANARY?#%",
    "quotes": "p'\"CANARY é",
    "blank": " CANARY x",
}


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    """A server on which each role named pw_... needs a password; a way to make its URL."""
    with open_folder() as folder, running_15(folder) as server:
        rules = folder / "data/pg_hba.conf"
        names = ",".join(f"pw_{name}" for name in PASSWORDS)
        rules.write_text(f"local all {names} scram-sha-256\n" + rules.read_text(encoding="utf-8"), encoding="utf-8")
        with psycopg.connect(server.url, autocommit=True) as connection:
            for name, password in PASSWORDS.items():
                connection.execute(
                    psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        psycopg.sql.Identifier(f"pw_{name}"), psycopg.sql.Literal(password)
                    )
                )
            connection.execute("SELECT pg_reload_conf()")
        yield server.url


@pytest.mark.parametrize("name", PASSWORDS)
def test_programs_log_in_with_a_password_that_nobody_can_see(name: str, strict: str, tmp_path: Path) -> None:
    login = strict.replace("postgres@", f"pw_{name}:{quote(PASSWORDS[name], safe='')}@")
    seen = "ps -o args= -p $PPID; ls -a; env; psql -Atc 'SELECT current_user'"
    # a program of a runbook's, and one that it starts
    ran = run_command(["sh", "-c", seen], folder=tmp_path, url=login, limit=30)
    assert (ran.code, ran.output.splitlines()[-1]) == (0, f"pw_{name}"), ran
    assert "CANARY" not in ran.output
    # one of PostgreSQL's own
    assert "PostgreSQL database dump complete" in answer_of(["pg_dump", "--schema-only"], login, limit=30)
    with pytest.raises(ProgramFailed, match="password authentication failed"):
        answer_of(["pg_dump"], strict.replace("postgres@", f"pw_{name}:wrong@"), limit=30)
    assert os.environ.get("PGPASSFILE") is None
