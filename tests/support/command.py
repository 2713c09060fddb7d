"""Run the real command line, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a command: ours, without what belongs to the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def gonogo(*arguments: object, cwd: Path, env: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "gonogo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=timeout, check=False)


def start(*arguments: object, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a command; the caller ends it."""
    command = [sys.executable, "-m", "gonogo", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def status(book: str, cwd: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """Return what `gonogo status --json` says."""
    answer: dict[str, Any] = json.loads(gonogo("status", book, "--json", cwd=cwd, env=env).stdout)
    return answer
