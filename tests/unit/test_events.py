"""Events: each kind has a body of its own, what is written is read again, and ledgers of the first form are understood."""

from __future__ import annotations

import ast
import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.events import body

from gonogo.core.engine import events
from gonogo.core.engine.events import BODIES, FORM, Body, Event, Kind, Value, kind_of, read_body, write_body
from gonogo.core.engine.evolve import evolve, fold
from gonogo.core.engine.state import State, Status
from gonogo.core.text.log import log_line
from gonogo.project import ROOT
from gonogo.report import report

FIRST = Path(__file__).with_name("ledger_of_the_first_form.jsonl")


def first_form() -> list[tuple[str, str, Event]]:
    """A run and a rehearsal that a gonogo before typed events recorded; the run's launch, gate, work and rollback."""
    found = []
    for line in FIRST.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kind = kind_of(row["kind"])
        assert kind is not None, row["kind"]
        at, began = datetime.fromisoformat(row["at"]), datetime.fromisoformat(row["began"])
        event = Event(seq=row["seq"], at=at, began=began, actor=row["actor"], body=read_body(kind, row["body"]))
        found.append((row["run"], row["kind"], event))
    return found


def run_of_the_first_form() -> list[Event]:
    rows = first_form()
    return [event for run, _, event in rows if run == rows[0][0]]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_body_that_is_read_as_it_was_written(kind: Kind) -> None:
    made = body(kind)
    assert made.kind is kind
    written = json.loads(json.dumps(write_body(made)))
    assert read_body(kind, written) == made
    assert written["v"] == FORM


@pytest.mark.parametrize("kind", Kind)
def test_what_is_not_a_field_of_a_body_cannot_be_written_and_hurts_nobody_who_reads(kind: Kind) -> None:
    made = body(kind)
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(made)(**{**dict(made), "weighs": 1})
    with pytest.raises(ValidationError, match="Extra inputs"):
        made.replace(weighs=1)
    assert read_body(kind, {**write_body(made), "weighs": 1}) == made


@pytest.mark.parametrize("kind", [kind for kind in Kind if any(f.is_required() for f in BODIES[kind].model_fields.values())])
def test_a_body_without_what_its_kind_needs_is_named_and_not_guessed(kind: Kind) -> None:
    with pytest.raises(ValueError, match="Field required"):
        read_body(kind, {})


def test_a_body_of_a_newer_form_is_refused_and_not_half_understood() -> None:
    with pytest.raises(ValueError, match=f"form {FORM + 1}, and this version of gonogo reads up to {FORM}"):
        read_body(Kind.WORK_DONE, {"v": FORM + 1})


@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=5))
def test_whatever_lies_in_a_ledger_is_read_or_refused_in_words(data: dict[str, object]) -> None:
    for kind in Kind:
        with suppress(ValueError):
            assert isinstance(read_body(kind, data), Body)


def test_two_kinds_never_share_a_body() -> None:
    assert len({id(made) for made in BODIES.values()}) == len(Kind) == len(BODIES)


def test_every_field_that_is_changed_in_a_copy_of_a_value_is_a_field_of_one() -> None:
    def below(of: type[Value]) -> set[type[Value]]:
        return {of}.union(*(below(sub) for sub in of.__subclasses__()))

    fields = {name for value in below(Value) for name in value.model_fields}
    moments = {"tzinfo", "fold", "microsecond"}
    for file in (path for room in ("gonogo", "flows", "checks") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
                changed = {keyword.arg for keyword in node.keywords}
                assert changed <= fields or changed <= moments, f"{file}:{node.lineno}"


# ledgers of the first form


def test_a_ledger_of_the_first_form_holds_what_this_test_speaks_of() -> None:
    words = {word for _, word, _ in first_form()}
    assert len(words) >= 25
    assert "loss weighed" in words, "a kind that is called something else now"


def test_a_run_of_the_first_form_is_folded_to_where_it_stood() -> None:
    state = fold(run_of_the_first_form())
    assert state.status is Status.ROLLED_BACK
    assert (state.rollback.cause, state.work.step, state.rollback.level) == ("a rehearsed doubt", 0, "undo")
    assert state.known.baseline.fingerprint.objects
    assert state.known.backups[0].tables == 1


def test_a_run_of_the_first_form_is_told_and_reported_as_one_of_now() -> None:
    run = run_of_the_first_form()
    opened = run[0].body
    assert isinstance(opened, events.RunOpened)
    state, lines = State(), []
    for event in run:
        before, state = state, evolve(state, event)
        lines.append(log_line(opened.plan, before, event, state))
    told = [line for line in lines if line]
    assert told[0] == "phase one starts, launched by ada@desk"
    assert told[-1].startswith("ROLLED BACK: 8 schema objects are as they were")
    made = report.report(opened.plan, run, "book-1")
    assert made["outcome"] == "rolled back"


def test_a_rehearsal_of_the_first_form_says_what_it_showed() -> None:
    found = [event.body for _, _, event in first_form() if isinstance(event.body, events.Rehearsed)]
    assert [level.level for level in found[0].levels] == ["undo", "restore"]
    assert {step.step_kind for step in found[0].steps} >= {"sql", "backfill"}
    assert found[0].fingerprint.objects
