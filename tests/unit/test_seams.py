"""Each kind of thing is one row and one module: what a member of a registry lacks is found here."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest
from postgast.pg_query_pb2 import Node
from support.events import event

from checks import measure
from gonogo.core.engine import commands
from gonogo.core.engine.events import BODIES, Kind
from gonogo.core.model.check import CHECK_KINDS, Asks
from gonogo.core.model.rollback import RESTORE_POINT_KINDS
from gonogo.core.model.runbook import CHANNEL_KINDS
from gonogo.core.model.step import STEP_KINDS
from gonogo.core.text.log import LINES, level_of
from gonogo.run import steps
from gonogo.run.actions import ACTIONS
from gonogo.sql.alone import STATEMENTS, AloneStatement

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


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_every_kind_of_step_has_a_module_that_performs_it_and_undoes_it_where_its_row_says_so(kind: str) -> None:
    module = steps.of(kind)
    assert list(inspect.signature(module.perform).parameters) == ["context", "number", "index"]
    assert hasattr(module, "undo") == STEP_KINDS[kind].reversible


def test_every_module_of_steps_is_a_kind_or_serves_them_all() -> None:
    modules = {file.stem for file in (ROOT / "gonogo/run/steps").glob("*.py")}
    assert modules - {"__init__", "external"} == set(STEP_KINDS)


def test_a_kind_of_step_that_does_not_say_whether_it_acts_beyond_the_database_cannot_be_made() -> None:
    from gonogo.core.model.step import StepKind

    with pytest.raises(TypeError, match="external"):
        StepKind()  # type: ignore[call-arg]


def test_every_command_that_decide_can_answer_has_one_who_performs_it() -> None:
    made = {each for each in vars(commands).values() if inspect.isclass(each) and issubclass(each, commands.Command)}
    assert {each for each in made if not each.__name__.startswith("_")} - {commands.Command} == set(ACTIONS)


#: what happens too often, or is told with something else
QUIET = {Kind.SAMPLE, Kind.ALERT, Kind.CLEARED, Kind.RUN_OPENED, Kind.UNDO_STARTED, Kind.REHEARSED, Kind.RUN_SIGNED}


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_event_has_a_log_line_or_is_listed_here_as_quiet(kind: Kind) -> None:
    assert LINES.knows(BODIES[kind]) == (kind not in QUIET)


def test_what_goes_wrong_is_an_error_in_prefect_s_log_and_what_people_must_see_a_warning() -> None:
    loud = {
        kind: level_of(event(kind)) for kind in (Kind.TRIPPED, Kind.NO_GO, Kind.VERIFY_FAILED, Kind.UNDO_FAILED, Kind.NOT_PROVED)
    }
    assert set(loud.values()) == {40}
    assert {level_of(event(kind)) for kind in (Kind.HELD, Kind.HOLD, Kind.WOULD_TRIP, Kind.PROVED, Kind.ASKED)} == {30}
    assert {level_of(event(kind)) for kind in (Kind.GO, Kind.VERIFIED, Kind.RUN_DONE)} == {20}


@pytest.mark.parametrize("kind", CHANNEL_KINDS)
def test_every_channel_has_a_module_that_opens_it(kind: str) -> None:
    module = import_module(f"gonogo.notify.{kind}")
    assert list(inspect.signature(module.open_channel).parameters) == ["secret"]
    channel = module.open_channel("nowhere")
    assert list(inspect.signature(channel.send).parameters) == ["where", "update", "people", "root"]


def test_every_module_of_notify_is_a_channel_or_serves_them_all() -> None:
    modules = {file.stem for file in (ROOT / "gonogo/notify").glob("*.py")}
    assert modules - {"__init__", "channel", "post", "sender"} == set(CHANNEL_KINDS)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.act)
def test_every_statement_that_refuses_a_transaction_is_one_that_the_parser_knows(statement: AloneStatement) -> None:
    assert statement.node in {field.name for field in Node.DESCRIPTOR.fields}
    assert statement.repeatable or statement.probe or not statement.leftovers, "what leaves something says how to find out"


def test_every_kind_of_restore_point_has_a_module_that_makes_them() -> None:
    modules = {file.stem for file in (ROOT / "gonogo/recovery/providers").glob("*.py")}
    assert modules - {"__init__"} == set(RESTORE_POINT_KINDS)
    for kind in RESTORE_POINT_KINDS:
        module = import_module(f"gonogo.recovery.providers.{kind}")
        assert list(inspect.signature(module.open_provider).parameters) == ["rule", "place"]
