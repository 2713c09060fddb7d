"""The pace of a backfill that is under way, as people change it."""

from __future__ import annotations

from typing import Annotated

import typer

from gonogo.cli.callers import ask_code, caller_of, require_person
from gonogo.cli.options import ActorOption, CodeOption, JsonOption, ReasonOption, RunbookArg, RunOption, TargetOption
from gonogo.cli.output import as_json, say
from gonogo.core.engine.events import PACES, PaceAsked
from gonogo.core.engine.state import outcome
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, Refused
from gonogo.ledger import fence
from gonogo.run import begin, targets, votes
from gonogo.run.open import found_run
from gonogo.run.signatures import keys_of

#: what anybody may say who may hold the run: it makes nothing worse
_CAREFUL = frozenset({"slower", "pause"})


def pace(
    runbook: RunbookArg,
    says: Annotated[
        str,
        typer.Argument(
            metavar="slower|faster|pause|go-on|as-planned|ROWS",
            help="Half as fast, twice as fast, not at all until `go-on`, as the runbook says; or how many rows a second at most.",
            show_default=False,
        ),
    ],
    target: TargetOption = "",
    run_id: RunOption = "",
    reason: ReasonOption = "",
    actor: ActorOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Make the backfill that is under way slower or faster, pause it, or let it go on; the run is not held for it.

    On a protected target whoever makes it faster proves who they are.

    Example: [bold]gonogo pace shop-orders slower --reason "the site feels slow"[/]
    """
    body = _body(says, tidy(reason))
    with found_run(runbook, target, run_id) as (opened, database, connection, found):
        number = found.state.work.step
        step = found.plan.steps[number] if number < len(found.plan.steps) else None
        if found.state.at_rest or step is None or step.backfill is None:
            raise Refused(f"no backfill is under way in the run {found.run} ({outcome(found.state)})")
        caller = caller_of(actor, code)
        careful = body.says in _CAREFUL
        if found.plan.protected and not careful:
            require_person(caller)
            caller = ask_code(found.plan, caller)
        proved = votes.allowed(found.plan, keys_of(opened.project), caller)
        if found.plan.protected and not careful and not proved:
            raise Refused("on a protected target, whoever makes a backfill faster proves who they are: --as PERSON, and a code")
        who = votes.shown_as(found.plan, caller, proved=proved, otherwise=targets.whoami())
        begin.request(database, found, body, who)
        running = fence.holder_alive(connection, found.run)
    if json:
        as_json({"run": found.run, "asked": says, "by": who, "running": running})
        return
    say(f"asked {found.run}: {step.name} {says}")
    if not running:
        say(f"no process works on it now; it hears that after `gonogo resume {found.plan.arguments}`")


def _body(says: str, why: str) -> PaceAsked:
    word = says.strip().lower().replace("-", " ")
    if word in PACES:
        return PaceAsked(says=word, why=why)
    if word.isdecimal() and 0 < int(word) <= 10**12:
        return PaceAsked(rows=int(word), why=why)
    words = ", ".join(each.replace(" ", "-") for each in PACES)
    raise BadInput(f"{says!r} is no pace: {words}, or how many rows a second, such as 20000")
