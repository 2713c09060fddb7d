"""Run the real command line, in processes of its own.

Each command is a fork of one process that has loaded what every command would load anew for half a second: the libraries, and
our modules, which read the environment only when they are called. The same code in a process of its own;
`GONOGO_TESTS_EXEC=1` starts each one as a shell does.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

#: what no command runs without, and what keeps nothing of the environment or of the folder that it was loaded in
_LOADED = [
    "pydantic.main",
    "pydantic.json_schema",
    "psycopg",
    "psycopg.sql",
    "yaml",
    "jinja2.sandbox",
    "tenacity",
    "rich.console",
    "rich.table",
    "rich.progress",
    "rich.live",
    "typer.core",
    "typer.main",
    "postgast",
    "httpx",
    *(f"gonogo.cli.{module}" for module in ("run", "rehearse", "status", "decide", "people")),
    "gonogo.run.loop",
    "support.warm",
]
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(_LOADED)


@cache
def _start_server() -> None:
    """Start the process that is forked: it looks for modules where Python does by itself, so it is told where these lie."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), before)))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a command: ours, without what belongs to the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def gonogo(*arguments: object, cwd: Path, env: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "gonogo", *map(str, arguments)]
    if os.environ.get("GONOGO_TESTS_EXEC"):
        return subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=timeout, check=False)
    _start_server()
    with tempfile.TemporaryDirectory(prefix="gonogo-said-") as folder:
        said, wrong = Path(folder) / "out", Path(folder) / "err"
        process = _forks.Process(target=_be, args=(command[3:], str(cwd), dict(env), str(said), str(wrong)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout, said.read_bytes(), wrong.read_bytes())
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(command, code, _text(said), _text(wrong))


def _text(file: Path) -> str:
    return file.read_bytes().decode().replace("\r\n", "\n") if file.exists() else ""


def _be(arguments: Sequence[str], cwd: str, env: dict[str, str], said: str, wrong: str) -> None:
    """Be the command, in a process that was forked for it."""
    for number, file in ((1, said), (2, wrong)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    # as `python -m` does, without what only the tests import
    sys.path[:] = [cwd, *(entry for entry in sys.path if Path(entry).name not in ("tests", "docs"))]
    sys.argv[:] = ["gonogo", *arguments]
    try:
        runpy.run_module("gonogo", run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # multiprocessing leaves these out; a server that nobody needs any more ends by them
        atexit._run_exitfuncs()


def start(*arguments: object, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a command; the caller ends it."""
    command = [sys.executable, "-m", "gonogo", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def status(book: str, cwd: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """Return what `gonogo status --json` says."""
    answer: dict[str, Any] = json.loads(gonogo("status", book, "--json", cwd=cwd, env=env).stdout)
    return answer
