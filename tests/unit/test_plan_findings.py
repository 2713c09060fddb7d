"""What a reviewer must look at in a plan is found, in its file and at its line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import plans

from gonogo.core.model.finding import Finding
from gonogo.planning.findings import plan_findings
from gonogo.planning.prepared import Prepared


def found(text: str = "SELECT 1", step: plans.AStep | None = None, **changes: object) -> list[tuple[str, str, int, str]]:
    script = plans.script().model_copy(update={"line": 12})
    plan = plans.plan(plans.phase(plans.task(step or plans.sql(script))))
    steps = tuple(each.model_copy(update=changes) for each in plan.steps)
    told = plan_findings(
        Prepared(plan=plan.model_copy(update={"steps": steps}), texts={script.sha256: text}),
        [("phases[0].gate: the gate has no criterion", 7)],
        runbook="runbooks/r.yaml",
        file_of=lambda source: f"sql_templates/{source}" if source == "000.sql" else "",
    )
    assert told[0] == Finding(kind="advice", file="runbooks/r.yaml", line=7, what="phases[0].gate: the gate has no criterion"), (
        "what planning warns of, at its line"
    )
    return [(each.kind, each.file, each.line, f"{each.level.value}: {each.what}") for each in told[1:]]


def test_a_lock_that_blocks_is_found_at_its_statement_and_one_that_does_not_is_none() -> None:
    told = found("UPDATE orders SET a = 1;\n\nCREATE INDEX i ON orders (a)")
    assert told == [
        ("blocks", "sql_templates/000.sql", 14, "warning: task-0.1 takes SHARE on orders: the index is built meanwhile")
    ]
    assert found("ALTER TABLE orders ADD a int")[0][3].startswith("note: task-0.1 takes ACCESS EXCLUSIVE on orders for a moment")
    assert found("CREATE TABLE orders (a int); CREATE INDEX i ON orders (a)") == []


def test_what_is_written_in_the_runbook_is_found_there() -> None:
    step = plans.sql(plans.script().model_copy(update={"source": "phases[0].tasks[0].steps[0].sql"}))
    assert found("DROP TABLE orders", step)[0][1:3] == ("runbooks/r.yaml", 1)


@pytest.mark.parametrize(("no_return", "word"), [(False, "has no undo"), (True, "is a point of no return")])
def test_a_step_without_undo_is_found(no_return: bool, word: str) -> None:
    told = found(step=plans.sql(undo=None), no_return=no_return)
    assert [kind for kind, *_ in told] == ["no rollback"]
    assert word in told[0][3]


@pytest.mark.parametrize(("keeps", "kinds"), [("", ["destroys"]), ("the new version writes nothing there", [])])
def test_an_undo_that_destroys_is_found_unless_somebody_said_why_that_loses_nothing(keeps: str, kinds: list[str]) -> None:
    step = replace(plans.sql(), destroys=("orders",))
    assert [kind for kind, *_ in found(step=step, keeps=keeps)] == kinds
