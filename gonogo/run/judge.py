"""What the loop asks before it believes: checks, and whether people said what the ledger says they did."""

from __future__ import annotations

from collections.abc import Sequence

from gonogo.core.engine.events import Kind
from gonogo.core.engine.verdict import Judgement, Verdict, judge_all
from gonogo.run.context import Runner
from gonogo.run.signatures import first_unsigned

SETTLE = "Look at the database, then say so: gonogo resume --settle done, or gonogo resume --settle not-done"


def judge(runner: Runner, names: Sequence[str]) -> list[Judgement]:
    """Ask some checks, and judge each answer."""
    judged = []
    for name in dict.fromkeys(names):
        check = runner.plan.checks[name]
        measured, before = runner.ask(name), runner.baseline.get(name)
        found = judge_all(check.expectations, check.breach, measured, before, at_least=check.least)
        runner.session.say(f"{name}: {found.verdict}, {found.sentence}")
        judged.append(found)
    return judged


def not_passing(judged: Sequence[Judgement]) -> list[str]:
    """Say of each verdict that is no pass what it is about, and its numbers."""
    return [f"{j.check}: {j.sentence} ({j.verdict})" for j in judged if j.verdict is not Verdict.PASS]


def say_judged(judged: Sequence[Judgement]) -> str:
    """Say what did not pass."""
    return "; ".join(not_passing(judged)) or "every check passes"


def dump(judged: Sequence[Judgement]) -> list[dict[str, str]]:
    """Return verdicts as the body of a fact holds them."""
    return [j.model_dump(mode="json") for j in judged]


def refuses_forged(runner: Runner, facts: Sequence[int]) -> bool:
    """Record that something was not said by whom it names, and say whether it was so."""
    session = runner.session
    found = [first_unsigned(session.connection, session.run, runner.plan, runner.keys, [seq]) for seq in facts]
    for seq, why in filter(None, found):
        runner.append(Kind.VOTE_REFUSED, {"vote": seq, "why": why})
    return any(found)
