"""docs/extending.md: each toy is one row and one module, and works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import environment

from gonogo.project import ROOT

pytestmark = pytest.mark.xdist_group("extending")

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n# (?P<path>[\w/]+\.py)(?:, first in `(?P<anchor>[^\n]+)`)?\n(?P<code>.*?)```", re.DOTALL)
TELLS = re.compile(r"<!-- tells: (?P<words>.*?) -->")


def sections() -> dict[str, str]:
    """The toys of the page: the title of each, and what the page says of it."""
    parts = re.split(r"(?m)^## (.+)$", PAGE)[1:]
    return {title: text for title, text in zip(parts[::2], parts[1::2], strict=True) if BLOCK.search(text)}


def write(block: re.Match[str], root: Path) -> None:
    """Write what a block says into a copy of the repository."""
    file = root / block["path"]
    if block["anchor"] is None:
        assert not file.exists(), f"{file} is there already"
        file.write_text(block["code"], encoding="utf-8")
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    (at,) = (number for number, line in enumerate(lines, 1) if line.rstrip("\n") == block["anchor"])
    at += lines[at].lstrip().startswith('"""')
    file.write_text("".join([*lines[:at], block["code"], *lines[at:]]), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with every toy in it."""
    root = tmp_path_factory.mktemp("copy")
    for part in ("gonogo", "flows", "checks", "tests"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for text in sections().values():
        for block in BLOCK.finditer(text):
            write(block, root)
    return root


def python(copy: Path, *arguments: str, cwd: Path, **environ: str) -> str:
    env = environment(PYTHONPATH=os.pathsep.join(map(str, (copy, copy / "tests"))), **environ)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("title", sections())
def test_a_kind_is_one_row_and_at_most_one_module(title: str) -> None:
    blocks = list(BLOCK.finditer(sections()[title]))
    assert [block["anchor"] is not None for block in blocks] in ([True, False], [True])


def test_a_runbook_that_uses_every_toy_runs(copy: Path, make_project: Callable[..., Path], old_url: str, tmp_path: Path) -> None:
    project = make_project(PAGE.split("```yaml\n")[-1].split("```")[0], point__sql="CHECKPOINT;\n")
    told = python(
        copy, "-m", "gonogo", "run", "book", "--without-prefect", cwd=project, TARGET_URL=old_url, UPDATES_FOLDER=str(tmp_path)
    )
    assert "DONE" in told, told
    file = tmp_path / "told.txt"
    told += file.read_text(encoding="utf-8") if file.exists() else ""
    for words in TELLS.finditer(PAGE):
        assert re.search(words["words"], told), f"{words['words']} is not in {told}"


def test_the_registries_are_complete_with_the_toys_and_a_missing_module_is_found(copy: Path, tmp_path: Path) -> None:
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", str(copy / "tests/unit/test_seams.py"))
    told = python(copy, *command, cwd=copy)
    assert re.search(r"\d+ passed", told), told
    assert "failed" not in told, told
    for module in [block["path"] for block in BLOCK.finditer(PAGE) if block["anchor"] is None]:
        (copy / module).rename(tmp_path / "away.py")
        found = python(copy, *command, cwd=copy)
        assert re.search(r"\d+ failed", found), f"without {module}: {found}"
        (tmp_path / "away.py").rename(copy / module)
