"""The embedded server ends with those who use it, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from support.waiting import until

from gonogo.postgres import embedded

_USES = """
import sys
from pathlib import Path
from gonogo.postgres import embedded
embedded.start(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.read()
"""


def _user(folder: Path) -> subprocess.Popen[str]:
    """Return a process that uses a folder's server, once it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", _USES, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def _runs(folder: Path) -> bool:
    """Return whether a folder's server has not been shut down; one that was torn away leaves its mark, too."""
    return (folder / "postmaster.pid").exists()


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def test_a_server_ends_with_its_last_user_also_where_that_is_killed(open_path: Path) -> None:
    folder = open_path / "18"
    first, second = _user(folder), _user(folder)
    try:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with pytest.raises(AssertionError):
            until(lambda: not _runs(folder), seconds=2)
    finally:
        _end(first, second)
    until(lambda: not _runs(folder))


def test_a_server_is_there_again_at_once_after_its_user_was_killed(open_path: Path) -> None:
    folder = open_path / "18"
    _end(_user(folder))
    with embedded.running(folder) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not _runs(folder)
