"""A failure planted at the end of any template of any plan: the run rolls back by itself, and all is as it was."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.command import environment, gonogo
from support.prepared import prepare
from support.round_trips import PLANS, Plan, lay, stock
from support.servers import Server

from gonogo.planning.load import load_runbook
from gonogo.project import ROOT, Project


def templates(name: str) -> list[str]:
    """Return the templates of a plan's steps, in the order they run."""
    file = ROOT / "runbooks" / f"{name}.yaml"
    plan = prepare(load_runbook(file), file, Project(root=ROOT)).plan
    steps = [step for step in plan.steps if step.kind in ("sql", "backfill")]
    return list(dict.fromkeys(script.source for step in steps for script in step.scripts))


CASES = [
    pytest.param(
        plan,
        source,
        version,
        id=f"{source}-{version}",
        marks=[] if plan.name == "guardian-multi-credit" and version == "18" else [pytest.mark.long],
    )
    for version in ("18", "15")
    for plan in PLANS
    for source in templates(plan.name)
]


@pytest.mark.parametrize(("plan", "source", "version"), CASES)
def test_a_failure_in_any_step_rolls_the_run_back_to_what_there_was(
    plan: Plan, source: str, version: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue("server" if version == "18" else "server_15")
    url, env = lay(Plan(**{**plan.__dict__, "inputs": dict.fromkeys(plan.inputs, 500)}), server, tmp_path)
    book = tmp_path / "runbooks" / f"{plan.name}.yaml"
    # a whole run's own way back is what is looked at, whatever phase the failure is in
    text = re.sub(r"\n  reach: phase", "", book.read_text(encoding="utf-8"))
    book.write_text(re.sub(r"(?m)^(backup|rehearsal):.*(\n  .*)*$", "", text).replace(", restore]", "]"), encoding="utf-8")
    planted = tmp_path / "sql_templates" / source
    planted.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "sql_templates" / source, planted)
    planted.write_text(planted.read_text(encoding="utf-8").rstrip().rstrip(";") + ";\nSELECT 1 / 0;\n", encoding="utf-8")
    before = stock(url)

    done = gonogo("run", plan.name, "--without-prefect", "--at-once", cwd=tmp_path, env={**environment(), **env}, timeout=200)

    assert done.returncode == 11, done.stdout + done.stderr
    assert "22012" in done.stdout
    after = stock(url)
    assert after.schema == before.schema
    assert after.columns == before.columns
    assert after.rows == before.rows
