"""Ask checks before anybody believes anything, and see whether people said what the ledger says they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gonogo.core.engine.events import VoteRefused
from gonogo.core.engine.verdict import Judgement, Verdict, judge_all
from gonogo.core.model.check import Check
from gonogo.run.context import Context
from gonogo.run.said import unsigned

SETTLE = "Look at the database. It happened: gonogo resume --settle done. It did not: gonogo resume --settle not-done"


def judge(context: Context, names: Sequence[str]) -> tuple[Judgement, ...]:
    """Ask some checks, and judge each answer."""
    judged = []
    for name in dict.fromkeys(names):
        check = context.plan.checks[name]
        measured, before = context.measure(name), context.baseline.get(name)
        found = judge_all(check.expectations, check.breach, measured, before, at_least=check.least)
        context.target.say(f"{name}: {found.verdict}, {found.sentence}")
        judged.append(found)
    return tuple(judged)


def not_passing(judged: Sequence[Judgement], checks: Mapping[str, Check] | None = None) -> list[str]:
    """Say of each verdict that is no pass its numbers.

    Args:
        judged: the verdicts.
        checks: the checks, by name: what each means when it fails is said, too.
    """
    about = {name: f": {check.about}" for name, check in (checks or {}).items() if check.about}
    failing = [j for j in judged if j.verdict is not Verdict.PASS]
    return [f"{j.check}: {j.sentence} ({j.verdict}){about.get(j.check, '')}" for j in failing]


def describe_judged(judged: Sequence[Judgement]) -> str:
    """Say what did not pass."""
    return "; ".join(not_passing(judged)) or "every check passes"


def forged(context: Context, said: Sequence[int]) -> Iterator[VoteRefused]:
    """Yield, for each event by which somebody is said to have spoken, that it was not they who did."""
    for seq, why in unsigned(context.ledger, context.run, context.plan, context.keys, said):
        yield VoteRefused(vote=seq, why=why)
