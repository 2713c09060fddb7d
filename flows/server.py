"""Whether a Prefect server is set, told without importing Prefect, which takes seconds.

Where Prefect looks for it: the environment, `.env` and `prefect.toml` of the folder, `pyproject.toml`, the active profile
(https://docs.prefect.io/v3/concepts/settings-and-profiles).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NAME = "PREFECT_API_URL"


def server_is_set(folder: Path) -> bool:
    """Say whether Prefect would find the address of a server, were it asked in a folder."""
    return any(_addresses(folder))


def _addresses(folder: Path) -> Iterator[str]:
    yield os.environ.get(_NAME, "")
    yield from _of_dotenv(folder / ".env")
    yield _text(_table(folder / "prefect.toml"), "api", "url")
    yield _text(_table(folder / "pyproject.toml"), "tool", "prefect", "api", "url")
    yield _of_profile()


def _of_dotenv(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        name, _, value = line.strip().removeprefix("export ").partition("=")
        if name.strip() == _NAME:
            yield value.strip()


def _of_profile() -> str:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    kept = _table(Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"))
    return _text(kept, "profiles", os.environ.get("PREFECT_PROFILE") or _text(kept, "active"), _NAME)


def _text(table: object, *names: str) -> str:
    """Return the text that lies in a table under some names, one in the other; nothing where there is none."""
    for name in names:
        table = table.get(name, "") if isinstance(table, dict) else ""
    return table if isinstance(table, str) else ""


def _table(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
