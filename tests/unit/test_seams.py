"""Each kind of thing is one row and one module: what a member of a registry lacks is found here."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from checks import measure
from gonogo.core.model.check import CHECK_KINDS, Asks

ROOT = Path(__file__).parents[2]


def test_every_kind_of_check_has_a_row_at_its_field() -> None:
    assert {*CHECK_KINDS, "about"} == set(Asks.model_fields)


@pytest.mark.parametrize("kind", CHECK_KINDS)
def test_every_kind_of_check_has_a_module_that_measures_it(kind: str) -> None:
    parameters = list(inspect.signature(measure.how_to_ask(kind)).parameters)
    assert parameters == ["question", "connection"]


def test_every_module_of_checks_is_a_kind_or_serves_them_all() -> None:
    modules = {file.stem for file in (ROOT / "checks").glob("*.py")}
    assert modules - {"__init__", "kind", "measure", "asking"} == set(CHECK_KINDS)


def test_a_kind_that_does_not_say_whether_it_acts_beyond_the_database_cannot_be_made() -> None:
    from gonogo.core.model.check_kinds import CheckKind

    with pytest.raises(TypeError, match="external"):
        CheckKind()  # type: ignore[call-arg]
