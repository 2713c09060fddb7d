"""Whether a Prefect server is set is told as Prefect itself would find it, without importing it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.server import server_is_set

URL = "http://127.0.0.1:4200/api"
PLACES = {
    "prefect.toml": f'[api]\nurl = "{URL}"\n',
    "pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n',
    ".env": f"export PREFECT_API_URL={URL}\n",
    "home/profiles.toml": f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{URL}"\n[profiles.other]\n',
}

ODD = ["", "[", "\x00", "[api]\n", "profiles = 1\n", "tool = 1\napi = 1\nactive = 1\n", "PREFECT_API_URL"]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


def test_without_any_setting_there_is_none(tmp_path: Path) -> None:
    assert not server_is_set(tmp_path)


def test_the_environment_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", URL)
    assert server_is_set(tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_a_file_names_one(tmp_path: Path, place: str) -> None:
    (tmp_path / place).write_text(PLACES[place], encoding="utf-8")
    assert server_is_set(tmp_path)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "text", ["", "[", "\x00", "[api]\n", "profiles = 1\n", "tool = 1\napi = 1\nactive = 1\n", "PREFECT_API_URL"]
)
def test_a_file_that_says_nothing_of_it_names_none(tmp_path: Path, place: str, text: str) -> None:
    (tmp_path / place).write_text(text, encoding="utf-8")
    assert not server_is_set(tmp_path)


def test_another_profile_may_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "profiles.toml").write_text(PLACES["home/profiles.toml"], encoding="utf-8")
    monkeypatch.setenv("PREFECT_PROFILE", "other")
    assert not server_is_set(tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_prefect_itself_finds_it_there_too(tmp_path: Path, place: str) -> None:
    (tmp_path / place).write_text(PLACES[place], encoding="utf-8")
    code = "from prefect.settings import PREFECT_API_URL; print(PREFECT_API_URL.value())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == URL
