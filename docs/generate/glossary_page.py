"""The page `docs/glossary.md`: each word once; the lists in it are the code's own."""

from __future__ import annotations

from collections.abc import Iterable

from gonogo.core.engine.verdict import Verdict
from gonogo.core.model.check import CHECK_KINDS
from gonogo.core.model.rollback import LEVELS
from gonogo.core.model.step import STEP_KINDS

_INTRO = """\
# Glossary

One word means one thing, in the YAML, the commands, the ledger, Slack and these pages. This page is made by `just docs`.

| Word | Meaning |
| --- | --- |
"""


def _listed(names: Iterable[str]) -> str:
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} or {last}"


WORDS: dict[str, str] = {
    "abort": "To stop a run for good and roll it back.",
    "acknowledge": "To say that you take care of something, so that nobody else is called. The command is `gonogo ack`.",
    "approve": "To say go at a gate, or to a rollback, as one of the people whose approval it needs.",
    "audience": "Those who are told: a Slack channel, and the people that the runbook names.",
    "authority": "Who must approve before a person's request rolls a run back.",
    "backup": "What was saved before the first change, and proved by restoring it.",
    "baseline": "What was measured before the first change: checks and the schema.",
    "blocker": "A session that holds a lock that others wait for. (`updates.blockers` are people: who is mentioned.)",
    "breach": "A sample of the watch in which `roll_back_if` is met.",
    "budget": "How long downtime, or a rollback, may take in all; what is used is counted.",
    "channel": "A way to send updates: Slack, or the terminal.",
    "check": f"A question with a threshold: {_listed(CHECK_KINDS)}.",
    "checklist": "What people confirm before, during or after a phase.",
    "control room": "Prefect's server, its database and the served runbooks on one machine: `gonogo up`.",
    "data loss": "Rows that the application wrote since, and that a rollback would destroy.",
    "dry run": "See **plan**, which touches nothing, and **rehearsal**, which runs everything on a copy.",
    "enroll": "To make a person's key, so that their codes prove who they are.",
    "epoch": "The number that rises each time a process becomes a target's runner.",
    "event": "One entry of the ledger: a number, a kind, when, who, and what is known of it.",
    "external": "Of a step or a check: it acts beyond the database, by a program or a request.",
    "fence": "The one row that says who may change the target, and at which epoch.",
    "fingerprint": "The definition of every object of a schema, to be compared later.",
    "freeze": "A stretch of time in which no phase may start.",
    "gate": "The criteria, the checklist and the people at the beginning of a phase: go, or no-go.",
    "go, no-go": "The decision at a gate, with who made it and why.",
    "hold": "To stop before the next script and keep everything, until a person acts.",
    "in doubt": "A script that may have happened, and no transaction that says so.",
    "item": "One line of a checklist, confirmed by a person who answers for it.",
    "key": "What makes a person's one-time codes and signs their votes.",
    "launcher": "Whoever launched the phase.",
    "ledger": "The append-only record in the target's schema `gonogo`. What it says is what happened.",
    "level": f"A way to roll back: {_listed(LEVELS)}.",
    "maintenance window": "See **window**.",
    "measurement": "A check's answer at a moment: numbers, how much data they rest on, or why there are none.",
    "one-time code": "Six digits that prove once who somebody is (RFC 6238).",
    "override": "To start a phase outside its window or beyond its budgets, with a reason, where the runbook lets one.",
    "phase": "A stretch of a run with a gate, tasks, a verification and a soak.",
    "plan": "The runbook with real times, rendered scripts and a seal. `gonogo plan` shows it and touches nothing.",
    "point of no return": "A step after which nothing rolls back by itself any more.",
    "proof": "The measurements after a rollback that let a run be called rolled back.",
    "protected": "Of a target: nothing runs on it without people who decided and proved who they are.",
    "quorum": "How many different people must say go.",
    "redact": "To replace a secret with `***` wherever it would be shown.",
    "rehearsal": "The same plan, forward and back, on a restored copy.",
    "restore": "To replace what is there with the backup.",
    "restore point": "The moment that a backup leads back to.",
    "resume": "To go on with a run that is held, or whose process was lost.",
    "roll back": "To undo what a run did, the newest first, and prove that all is as before.",
    "rollback plan": "The levels of `rollback:`, the undo of each step, the checks that prove it: see `gonogo plan`.",
    "run": "One execution of a plan on one target.",
    "runbook": "The YAML file that says what happens, when, under which conditions, and what rolls it back.",
    "runner": "The one process that works on a run.",
    "script": "A piece of SQL that runs in one transaction, or alone where a statement forbids transactions.",
    "seal": "One digest over what a plan would do, and to what.",
    "snapshot": "What a database held at a moment: its schema, its rows by checksum, its sequences.",
    "soak": "The time for which a phase is watched after its work is done.",
    "step": f"One thing that a task does: {_listed(STEP_KINDS)}.",
    "target": "A database that a runbook may run on.",
    "task": "One row of the timed schedule, with its steps.",
    "threshold": "The limit that is set before the run, such as `p95 <= baseline + 10%`.",
    "trip": "What the watch does when k of n samples are breaches: the run rolls back.",
    "undo": "The templates that reverse a step.",
    "update": "What people are told, in Slack or on the terminal.",
    "verdict": f"What a measurement comes to: {_listed(Verdict)}.",
    "verify": "The checks that must pass when a phase's tasks are done.",
    "void": "Of a vote: what it stood for has changed, so it counts no more.",
    "vote": "What a person says at a gate, go or no-go; or that they approve a rollback.",
    "watch": "The checks that are sampled while a phase works, verifies and soaks.",
    "window": "A stretch of the week in which phases may start.",
}


def glossary_page() -> str:
    """Return the page, as Markdown."""
    return _INTRO + "".join(f"| **{word}** | {meaning} |\n" for word, meaning in WORDS.items())
