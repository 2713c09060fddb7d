"""Do what the loop decided, and record what came of it. Outcomes become facts; only *cannot proceed* is an exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.decide import unsigned
from gonogo import backup, clock, ledger
from gonogo.alone import happened, probe, run_alone
from gonogo.backfill import keyset, makes_its_own_work, run_batch
from gonogo.compare import differences, schema_fingerprint
from gonogo.core import engine
from gonogo.core.duration import say_duration
from gonogo.core.event import Kind
from gonogo.core.message import clock as say_clock
from gonogo.core.people import NO_GO
from gonogo.core.seal import evidence_seal
from gonogo.core.state import Status
from gonogo.core.verdict import Judgement, Verdict, judge_all, worst
from gonogo.core.window import closed
from gonogo.errors import ScriptFailed

if TYPE_CHECKING:
    from flows.loop import Conductor

#: how long a wait sleeps before it looks around, in seconds
_GLANCE = 1.0
SETTLE = "Look at the database, then say so: gonogo resume --settle done, or gonogo resume --settle not-done"


def perform(conductor: Conductor, command: engine.Command) -> None:
    """Carry out one command."""
    _HOW[type(command)](conductor, command)


def _record(conductor: Conductor, command: engine.Record) -> None:
    if command.kind in (Kind.PHASE_DONE, Kind.RUN_DONE):
        boxes = [conductor.state.confirmed[item.item] for item in conductor.plan.phases[conductor.state.phase].after]
        if _refuses_forged(conductor, boxes) or conductor.watch_disagrees():
            return
    conductor.append(command.kind, {"why": command.why} if command.why else {})


def _wait(conductor: Conductor, command: engine.Wait) -> None:
    """Let time pass; a fact that arrives ends it at once, as does the glance at the ledger that follows."""
    if conductor.state.status is Status.DECIDING and _refuses_forged(conductor, [v.seq for v in conductor.state.votes]):
        return
    if conductor.listen is not None:
        conductor.listen(conductor)
    seconds = (command.until - clock.now()).total_seconds()
    for _ in conductor.session.connection.notifies(timeout=max(0.0, min(seconds, _GLANCE)), stop_after=1):
        pass
    conductor.catch_up()


# steps


def _perform(conductor: Conductor, command: engine.Perform) -> None:
    number = command.step
    step = conductor.plan.steps[number]
    try:
        if step.kind == "confirm":
            if not _refuses_forged(conductor, [conductor.state.confirmed[item.item] for item in step.confirm]):
                conductor.append(Kind.DONE, {"step": number, "script": 0, "last": True})
        elif step.kind == "check":
            _check_step(conductor, number)
        elif step.kind == "backfill":
            _backfill(conductor, number)
        else:
            _script(conductor, number, command.script)
    except ScriptFailed as failure:
        _fail(conductor, number, str(failure), left=failure.left)


def _script(conductor: Conductor, number: int, index: int) -> None:
    step = conductor.plan.steps[number]
    script = step.scripts[index]
    body = {"step": number, "script": index, "last": index == len(step.scripts) - 1}
    if script.transactional:
        conductor.absorb(conductor.session.run_script(step, script, Kind.DONE, body))
        return
    for event in run_alone(conductor.session, step, script, Kind.STARTED, Kind.DONE, body):
        conductor.absorb(event)


def _backfill(conductor: Conductor, number: int) -> None:
    """Work through the table until it is done or something else has become more urgent."""
    step, session = conductor.plan.steps[number], conductor.session
    keys = keyset(session.connection, step)
    began, batches = clock.monotonic(), 0
    # by whatever is more urgent it is left: a hold, a trip, people who agreed to turn back
    while conductor.next() == engine.Perform(number, 0):
        body = {"step": number, "of": keys.estimate, "seconds": round(clock.monotonic() - began, 3)}
        event = run_batch(session, step, batches, keys, conductor.state.cursor, body)
        if event is None:
            done = {"step": number, "script": 0, "last": True, "rows": conductor.state.rows}
            conductor.append(Kind.DONE, done)
            return
        batches += 1
        conductor.absorb(event)
        if batches % 100 == 0 and makes_its_own_work(session.connection, keys, conductor.state.rows, step.batch):
            why = f"{step.name}: its batches took {conductor.state.rows:,} rows, more than twice what {step.table} holds"
            conductor.append(Kind.HELD, {"why": f"{why}. A batch that changes the key it works by never ends; work by another"})


def _check_step(conductor: Conductor, number: int) -> None:
    step = conductor.plan.steps[number]
    began = clock.monotonic()
    judged = _judge(conductor, step.checks)
    verdict, why = worst(j.verdict for j in judged), _say(judged)
    if verdict is Verdict.PASS:
        took = round(clock.monotonic() - began, 3)
        conductor.append(Kind.DONE, {"step": number, "script": 0, "last": True, "took": took, "judged": _dump(judged)})
    elif verdict is Verdict.FAIL:
        _fail(conductor, number, why, judged=_dump(judged))
    else:
        conductor.append(Kind.HELD, {"why": f"{step.name}: {why}", "judged": _dump(judged)})


def _fail(conductor: Conductor, number: int, why: str, *, left: bool = False, **more: Any) -> None:
    """Record that a step failed: the run turns back, or holds where its phase says so."""
    step = conductor.plan.steps[number]
    story = f"{step.name} failed: {why}"
    # an abort or a trip may have come while it ran: then it is turned back whatever its phase says
    conductor.catch_up()
    if conductor.plan.phases[step.phase].on_failure == "hold" and conductor.state.status is Status.WORKING:
        if conductor.state.started is not None and not left:
            conductor.append(Kind.NOT_DONE, {"step": number})
        conductor.append(Kind.HELD, {"why": story, **more})
    else:
        conductor.append(Kind.FAILED, {"step": number, "why": story, "left": left, **more})


def _resolve(conductor: Conductor, command: engine.Resolve) -> None:
    number, index = command.step, command.script
    step = conductor.plan.steps[number]
    script = step.scripts[index]
    answer = happened(conductor.session, step, script)
    body = {"step": number, "script": index, "last": index == len(step.scripts) - 1}
    if answer is None:
        why = (
            f"{step.name} is in doubt: {script.source} line {script.line} had begun, and nobody but you can say whether it"
            f" ended. {SETTLE}"
        )
        conductor.append(Kind.HELD, {"why": why})
    else:
        conductor.append(Kind.DONE if answer else Kind.NOT_DONE, body)


def _undo(conductor: Conductor, command: engine.Undo) -> None:
    step, session = conductor.plan.steps[command.step], conductor.session
    script = (step.undo or ())[command.script]
    body = {"step": command.step, "script": command.script, "last": command.last}
    try:
        if script.transactional:
            conductor.absorb(session.run_script(step, script, Kind.UNDONE, body))
        elif command.doubtful and (answer := probe(session, script)) is not False:
            _settle_undo(conductor, command, body, answer)
        else:
            for event in run_alone(session, step, script, Kind.UNDO_STARTED, Kind.UNDONE, body):
                conductor.absorb(event)
    except ScriptFailed as failure:
        conductor.append(Kind.UNDO_FAILED, {"step": command.step, "why": f"undo of {step.name}: {failure}"})


def _settle_undo(conductor: Conductor, command: engine.Undo, body: dict[str, Any], answer: bool | None) -> None:
    """Record an undo that the catalog says happened; ask a person about one that it cannot know."""
    step = conductor.plan.steps[command.step]
    if answer:
        conductor.append(Kind.UNDONE, body)
        return
    why = f"the undo of {step.name} is in doubt: it had begun. {SETTLE}"
    conductor.append(Kind.UNDO_FAILED, {"step": command.step, "why": why})


# gates and proofs


def _measure_baseline(conductor: Conductor, _: engine.MeasureBaseline) -> None:
    """Measure what everything is compared with later; a later phase keeps the first phase's, the restore point."""
    if conductor.state.changed:
        conductor.append(Kind.BASELINE, {})
        return
    measured = {name: conductor.ask(name).model_dump(mode="json") for name in conductor.plan.measured_before}
    schema = schema_fingerprint(conductor.session.connection)
    conductor.append(Kind.BASELINE, {"measurements": measured, "schema": schema})


def _take_backup(conductor: Conductor, _: engine.TakeBackup) -> None:
    """Take a backup and prove it; what cannot be proved is no-go, and nothing was changed."""
    plan, session = conductor.plan, conductor.session
    rule = plan.backup
    folder = conductor.room / "backups" / f"{session.run}-{clock.now():%Y%m%dT%H%M%S}"
    try:
        made = backup.take(session.database, folder, session.say)
        proved = backup.prove(made, session.database, conductor.spare_server, session.say)
    except backup.BackupFailed as error:
        conductor.append(Kind.NO_GO, {"why": f"backup: {error}"})
        return
    limit = rule.recover_within if rule else None
    if limit is not None and proved["restored_in"] > limit.total_seconds():
        took, most = say_duration(proved["restored_in"]), say_duration(limit)
        conductor.append(Kind.NO_GO, {"why": f"backup: restoring it took {took}, and {most} is the most it may take"})
        return
    conductor.append(Kind.BACKED_UP, proved)


def _judge_gate(conductor: Conductor, _: engine.JudgeGate) -> None:
    """Measure the criteria; where they pass, ask people, and go once enough of them have said so of just this."""
    plan, state = conductor.plan, conductor.state
    phase = plan.phases[state.phase]
    boxes = [state.confirmed[item.item] for item in phase.before if item.item in state.confirmed]
    if _refuses_forged(conductor, [*(vote.seq for vote in state.votes), *boxes]):
        return
    if against := [vote for vote in state.votes if vote.decision == NO_GO]:
        comment = ledger.read_fact(conductor.session.connection, conductor.session.run, against[0].seq).body.get("comment")
        conductor.append(Kind.NO_GO, {"why": f"{against[0].person} says no-go: {comment or 'no reason given'}"})
        return
    if state.status is Status.DECIDING and not state.changed:
        # the way back leads to just before the first change, not to where it was when people were asked
        _measure_baseline(conductor, engine.MeasureBaseline())
    judged = _judge(conductor, phase.go_if)
    failing = [f"{j.check}: {j.sentence} ({j.verdict})" for j in judged if j.verdict is not Verdict.PASS]
    if why := "; ".join([*_unusable(conductor), *failing]):
        conductor.append(Kind.NO_GO, {"why": why, "judged": _dump(judged)})
    elif phase.asks_people:
        _ask_people(conductor, judged)
    else:
        conductor.append(Kind.GO, {"judged": _dump(judged)})


def _unusable(conductor: Conductor) -> list[str]:
    """Say what stands against a gate beside its criteria: the baseline, the clock, the window, the ledger itself."""
    plan, now = conductor.plan, clock.now()
    told = [f"the baseline {name}: {m.error or m.missing}" for name, m in conductor.baseline.items() if m.error or m.missing]
    if plan.end_by and now > plan.end_by:
        told.append(f"the window ended at {say_clock(plan.end_by, plan.zone)}")
    if not conductor.state.override and (shut := closed(plan.windows, plan.freezes, plan.zone, now)):
        told.append(f"no phase may start now: {shut}")
    if plan.protected:
        _, problems = ledger.verify(conductor.session.connection, conductor.session.run)
        told += [f"the ledger: {problem}" for problem in problems]
    return told


def _ask_people(conductor: Conductor, judged: Sequence[Judgement]) -> None:
    """Ask people about this plan on this schema; go where they have said so of just this, ask anew where it has changed."""
    plan, state, now = conductor.plan, conductor.state, clock.now()
    approve = plan.phases[state.phase].approve
    schema = schema_fingerprint(conductor.session.connection)
    shown = evidence_seal(plan, schema)
    asked = state.asked if state.status is Status.DECIDING else None
    if asked is not None and asked.seal == shown:
        votes = [{"person": vote.person, "proved": vote.proved, "fact": vote.seq} for vote in state.votes]
        conductor.append(Kind.GO, {"judged": _dump(judged), "votes": votes, "seal": shown})
        return
    body: dict[str, Any] = {"judged": _dump(judged), "seal": shown, "schema": schema}
    if asked is not None:
        before = ledger.read_fact(conductor.session.connection, conductor.session.run, asked.seq).body.get("schema", {})
        body["why"] = "the schema has changed since people were asked: " + "; ".join(differences(before, schema))
    if approve is not None:
        body["deadline"] = (asked.deadline if asked and asked.deadline else now + approve.within).isoformat()
    conductor.append(Kind.ASKED, body)


def _ask(conductor: Conductor, command: engine.Ask) -> None:
    conductor.append(Kind.ASKED, {"items": command.items, "step": command.step})


def _turn_back(conductor: Conductor, _: engine.TurnBack) -> None:
    """Roll back as people agreed to, once it is seen that it was they who did."""
    session = conductor.session
    votes = engine.recent_agreement(conductor.plan, conductor.state, clock.now())
    if _refuses_forged(conductor, [vote.seq for vote in votes]):
        return
    said = [ledger.read_fact(session.connection, session.run, vote.seq) for vote in votes]
    reasons = "; ".join(f"{fact.body['person']}: {fact.body['comment']}" for fact in said if fact.body.get("comment"))
    body = {"agreed": [vote.person for vote in votes], "votes": [vote.seq for vote in votes]}
    conductor.append(Kind.ROLL_BACK, {"why": reasons or "as agreed", **body})


def _refuses_forged(conductor: Conductor, facts: Sequence[int]) -> bool:
    """Record that something was not said by whom it names, and say whether it was so."""
    session = conductor.session
    found = [unsigned(session.connection, session.run, conductor.plan, conductor.keys, [seq]) for seq in facts]
    for seq, why in filter(None, found):
        conductor.append(Kind.VOTE_REFUSED, {"vote": seq, "why": why})
    return any(found)


def _verify(conductor: Conductor, _: engine.Verify) -> None:
    phase = conductor.plan.phases[conductor.state.phase]
    judged = _judge(conductor, phase.verify)
    verdict, why = worst(j.verdict for j in judged), _say(judged)
    if verdict is Verdict.PASS:
        conductor.append(Kind.VERIFIED, {"judged": _dump(judged)})
    elif verdict is Verdict.FAIL and phase.on_failure == "roll back":
        conductor.append(Kind.VERIFY_FAILED, {"why": why, "judged": _dump(judged)})
    else:
        conductor.append(Kind.HELD, {"why": f"verify: {why}", "judged": _dump(judged)})


def _prove(conductor: Conductor, _: engine.Prove) -> None:
    """Say *rolled back* only when it is measured: the schema object by object, and the first checks again."""
    if not conductor.state.changed:
        conductor.append(Kind.PROVED, {"why": "nothing had been changed"})
        return
    before = conductor.state.baseline.get("schema", {})
    differing = differences(before, schema_fingerprint(conductor.session.connection))
    judged = _judge(conductor, conductor.plan.proof)
    failing = [f"{j.check}: {j.sentence} ({j.verdict})" for j in judged if j.verdict is not Verdict.PASS]
    body = {"judged": _dump(judged), "differences": differing, "objects": len(before)}
    if differing or failing:
        conductor.append(Kind.NOT_PROVED, {"why": "; ".join([*differing, *failing]), **body})
        return
    took = say_duration(clock.now() - conductor.state.changed_at) if conductor.state.changed_at else ""
    why = f"{len(before)} schema objects are as they were, {len(judged)} checks pass as at the start"
    conductor.append(Kind.PROVED, {"why": why, "proof_took": took, **body})


def _judge(conductor: Conductor, names: Sequence[str]) -> list[Judgement]:
    judged = []
    for name in dict.fromkeys(names):
        check = conductor.plan.checks[name]
        measured, before = conductor.ask(name), conductor.baseline.get(name)
        found = judge_all(check.expectations, check.breach, measured, before, at_least=check.least)
        conductor.session.say(f"{name}: {found.verdict}, {found.sentence}")
        judged.append(found)
    return judged


def _say(judged: Sequence[Judgement]) -> str:
    told = [f"{j.check}: {j.sentence} ({j.verdict})" for j in judged if j.verdict is not Verdict.PASS]
    return "; ".join(told) or "every check passes"


def _dump(judged: Sequence[Judgement]) -> list[dict[str, str]]:
    return [j.model_dump(mode="json") for j in judged]


_HOW: Mapping[type, Callable[[Conductor, Any], None]] = {
    engine.Perform: _perform,
    engine.Resolve: _resolve,
    engine.Undo: _undo,
    engine.MeasureBaseline: _measure_baseline,
    engine.TakeBackup: _take_backup,
    engine.JudgeGate: _judge_gate,
    engine.Verify: _verify,
    engine.Prove: _prove,
    engine.Wait: _wait,
    engine.Record: _record,
    engine.Ask: _ask,
    engine.TurnBack: _turn_back,
}
