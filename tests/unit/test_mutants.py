"""The mutants are of the code as it is; that each is killed is seen by those who ask."""

from __future__ import annotations

import pytest
from support.mutants import MUTANTS, ROOT, killed


@pytest.mark.parametrize("name", MUTANTS)
def test_the_line_that_a_mutant_changes_is_there_once(name: str) -> None:
    mutant = MUTANTS[name]
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_killed(name: str) -> None:
    assert killed(MUTANTS[name])
