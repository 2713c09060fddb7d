"""What `from gonogo import ...` gives is there, typed, documented, and no more than was asked for is imported."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys

import pytest

import gonogo
from gonogo.project import ROOT

PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")
NAMES = [name for name in gonogo.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_says_what_it_does(name: str) -> None:
    found = getattr(gonogo, name)
    assert name in dir(gonogo)
    assert name == "Answer" or inspect.getdoc(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE) or name in {"Plan", "Runbook", "Problem", "Status"}


def test_a_type_checker_sees_the_names_that_the_interpreter_does() -> None:
    stub = ast.parse((ROOT / "gonogo/__init__.pyi").read_text(encoding="utf-8"))
    imported = [(node.module, alias.name) for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {name: module for module, name in imported} == gonogo._PUBLIC


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gonogo.nothing  # type: ignore[attr-defined]


def test_a_file_of_checks_imports_no_runs_no_prefect_and_no_slack() -> None:
    told = "import sys; from gonogo import Ask, check; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()
    assert "gonogo.own_checks" in modules
    assert not {"prefect", "slack_sdk", "sqlalchemy", "gonogo.run", "gonogo.api"} & set(modules)


@pytest.mark.parametrize("function", [name for name in NAMES if name[0].islower() and name != "check"])
def test_a_public_function_says_what_each_argument_is_and_what_it_raises(function: str) -> None:
    found = getattr(gonogo, function)
    doc = inspect.getdoc(found) or ""
    for parameter in inspect.signature(found).parameters:
        assert f"    {parameter}: " in doc, parameter
    assert "Raises:" in doc
    assert re.search(rf"^\| `{function}\(", PAGE, re.MULTILINE)
