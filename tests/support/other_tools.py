"""The migration tools of others, as their registries have them: installed once for a run of the tests, started as people do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

#: of the npm registry
PACKAGES = ("dbmate@2.36.0", "node-pg-migrate@9.0.0", "pg@8.23.1")


def install(folder: Path) -> Path:
    """Install what npm has; return the folder of its programs."""
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *PACKAGES]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    return folder / "node_modules" / ".bin"


def have_npm() -> bool:
    """Say whether there is an npm."""
    return shutil.which("npm") is not None


def for_go(url: str) -> str:
    """Return an address as Go's driver wants it."""
    parts = conninfo_to_dict(url)
    return f"postgres://postgres@/{parts['dbname']}?socket={parts['host']}&port={parts.get('port') or 5432}&sslmode=disable"


def for_node(url: str) -> str:
    """Return an address as Node's driver wants it."""
    parts = conninfo_to_dict(url)
    return f"postgres://postgres@{quote(str(parts['host']), safe='')}:{parts.get('port') or 5432}/{parts['dbname']}"


@contextmanager
def without(folder: Path, kept: int) -> Iterator[None]:
    """Take all but the first few files of a folder away for a while, as it was before they were written."""
    aside = folder.with_name(f"{folder.name}-aside")
    aside.mkdir()
    for file in sorted(folder.iterdir())[kept:]:
        file.rename(aside / file.name)
    try:
        yield
    finally:
        for file in aside.iterdir():
            file.rename(folder / file.name)
        aside.rmdir()


def say(program: Path, *words: str, cwd: Path, **env: str) -> str:
    """Run a program; return all that it says."""
    done = subprocess.run(
        [program, *words], cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
