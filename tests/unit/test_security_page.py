"""docs/security-tests.md counts what is tried; this holds it against the tests."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security-tests.md"


def counted() -> dict[str, int]:
    rows = re.findall(r"(?m)^\| ([a-z ]+) \| (\d+) \|", PAGE.read_text(encoding="utf-8"))
    return {group: int(number) for group, number in rows}


def test_the_page_counts_the_tests_of_each_group(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    collected = {item.path for item in items}
    if collected != set((ROOT / "tests").rglob("test_*.py")):
        pytest.skip("only a run of all tests knows how many there are")
    found = Counter(mark.args[0] for item in items for mark in item.iter_markers("attack"))
    assert counted() == dict(found), "write the counts into docs/security-tests.md"


def test_every_group_of_the_tests_is_on_the_page() -> None:
    files = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    assert set(counted()) == {group for text in files for group in re.findall(r'mark\.attack\("([^"]+)"\)', text)}
