"""The shape of the code is held: what was straightened out does not become crooked again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import house
from support.house import Shape, _circles, measure

#: it is measured once, by one worker
pytestmark = pytest.mark.xdist_group("house")
#: imports inside functions: commands import what they need when they run, so that `--help` answers at once
MOST_LAZY = 36
#: the bodies of all kinds of events; how each changes the state
LONG_FILES = {"gonogo/core/engine/events.py", "gonogo/core/engine/evolve.py"}


@pytest.fixture(scope="module")
def shape() -> Shape:
    """The figures of this checkout."""
    return measure()


def test_no_module_imports_itself_by_way_of_others_and_none_hides_it_from_the_interpreter(shape: Shape) -> None:
    assert shape.circles == []
    assert shape.type_only == []


def test_no_function_is_longer_than_forty_lines_and_no_record_says_more_than_twenty_five_fields(shape: Shape) -> None:
    assert shape.long_functions == {}
    assert shape.large_records == {}
    # what a runbook says of a check is one mapping of YAML, and a plan is one document: each is split into two by its halves
    assert set(shape.large_with_inherited) == {"Check", "Plan"}


def test_no_file_is_longer_than_four_hundred_lines_but_those_that_are_one_table(shape: Shape) -> None:
    assert set(shape.long_files) <= LONG_FILES


def test_imports_inside_functions_become_fewer_and_never_more(shape: Shape) -> None:
    assert len(shape.lazy) <= MOST_LAZY


def test_a_circle_is_found() -> None:
    assert _circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")]) == [["a", "b", "c"]]
    assert _circles([("a", "b"), ("b", "c"), ("a", "c")]) == []


def test_what_is_long_or_large_is_found(tmp_path: Path) -> None:
    lines = "".join(f"    a{n} = {n}\n" for n in range(41))
    fields = "".join(f"    f{n}: int\n" for n in range(26))
    (tmp_path / "gonogo").mkdir()
    (tmp_path / "gonogo" / "long.py").write_text(f"def f():\n{lines}\n\nclass C:\n{fields}" + "\n" * 400)
    found = house.measure(tmp_path)
    assert list(found.long_functions) == ["gonogo/long.py:1 f"]
    assert list(found.large_records) == ["gonogo/long.py C"]
    assert list(found.long_files) == ["gonogo/long.py"]
