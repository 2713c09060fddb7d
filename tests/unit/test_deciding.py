"""People in a run: who decides at a gate, who ticks a checklist, who may roll back what was changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from support.events import record
from support.memory import a_check_fails
from support.plans import START, approve, check, confirm, phase, plan, sql, task
from support.world import World

from gonogo.core.engine import decide
from gonogo.core.engine.commands import AskPeople, BeginRollback, JudgeGate, MeasureBaseline, Perform, Record, RunUndo, Wait
from gonogo.core.engine.events import Kind
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.state import ENDED, State, Status
from gonogo.core.model.people import NO_GO, Approve
from gonogo.core.plan.plan import Plan
from gonogo.core.text.log import log_line

HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
SOAK = timedelta(minutes=10)
BOTH = approve("lead", "dba", quorum=2)


def gated(rule: Approve | None = BOTH, *before: str) -> Plan:
    return plan(phase(task(sql()), approve=rule, before=before), phase(task(sql())))


def asked(made: Plan) -> World:
    """A run whose gate has asked people."""
    world = World(plan=made)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    return world


def working(made: Plan) -> World:
    world = World(plan=made)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    return world


def wait(world: World) -> Wait:
    command = world.decide()
    assert isinstance(command, Wait)
    return command


def deadline(world: World) -> datetime:
    assert world.state.gate.asked is not None
    assert world.state.gate.asked.deadline is not None
    return world.state.gate.asked.deadline


def kinds(world: World) -> list[Kind]:
    return [event.kind for event in world.events]


# a gate asks people


def test_people_are_asked_once_the_criteria_pass_and_nothing_is_changed_meanwhile() -> None:
    world = asked(gated())
    assert kinds(world) == [Kind.RUN_OPENED, Kind.PHASE_STARTED, Kind.BASELINE, Kind.ASKED]
    assert not world.state.changed
    assert not world.state.at_rest
    assert wait(world).until == world.now + BOTH.within - timedelta(seconds=1)


def test_nobody_is_asked_where_a_criterion_does_not_pass() -> None:
    world = World(plan=gated())
    world.launch()
    world.go_on(a_check_fails)
    assert world.state.status is Status.NO_GO
    assert Kind.ASKED not in kinds(world)


def test_a_gate_that_asks_nobody_decides_by_itself() -> None:
    world = working(gated(None))
    assert Kind.ASKED not in kinds(world)
    assert Kind.GO in kinds(world)


@pytest.mark.parametrize(
    ("rule", "before", "said", "ticked", "words"),
    [
        (BOTH, [], [], [], "0 of 2 said go; waits for lead and dba"),
        (BOTH, [], ["anna"], [], "1 of 2 said go; waits for dba"),
        (BOTH, [], ["ben"], [], "1 of 2 said go; waits for lead or dba"),
        (BOTH, ["backup"], [], [], "backup is not confirmed; 0 of 2 said go; waits for lead and dba"),
        (BOTH, ["backup", "on-call"], ["anna"], ["on-call"], "backup is not confirmed; 1 of 2 said go; waits for dba"),
        (BOTH, ["backup", "on-call"], ["anna", "carla"], [], "backup is not confirmed; on-call is not confirmed"),
        (BOTH, ["backup"], ["anna"], ["backup"], "1 of 2 said go; waits for dba"),
        (None, ["backup", "on-call"], [], ["backup"], "on-call is not confirmed"),
        (approve("lead", "dba", "ops", quorum=2), [], ["dora"], [], "1 of 2 said go; waits for lead or dba"),
        (approve("ops"), [], ["anna", "carla"], [], "0 of 1 said go; waits for ops"),
    ],
)
def test_a_gate_waits_until_its_deadline_and_says_for_what(
    rule: Approve | None, before: list[str], said: list[str], ticked: list[str], words: str
) -> None:
    world = asked(gated(rule, *before))
    world.confirm(*ticked)
    for person in said:
        world.vote(person)
    assert wait(world).why == words
    if rule is not None:
        assert wait(world).until == deadline(world)


def test_a_checklist_alone_has_no_deadline_and_is_looked_at_again_within_the_hour() -> None:
    world = asked(gated(None, "backup"))
    assert world.state.gate.asked is not None
    assert world.state.gate.asked.deadline is None
    world.now += timedelta(days=400)
    assert wait(world) == Wait(world.now + HOUR, "backup is not confirmed")
    world.confirm("backup")
    assert world.decide() == JudgeGate()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert world.decide() == Perform(0, 0)


def test_once_enough_people_said_go_the_criteria_are_judged_again_and_it_goes() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    assert world.decide() == JudgeGate()
    world.carry_out(JudgeGate())
    assert world.state.status is Status.WORKING
    assert world.decide() == Perform(0, 0)


def test_a_criterion_that_does_not_pass_any_more_is_no_go_whatever_people_said() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    world.go_on(a_check_fails)
    assert world.state.status is Status.NO_GO
    assert not world.effects


def test_enough_go_and_every_box_are_both_needed_in_whichever_order_they_come() -> None:
    acts: list[Callable[[World], object]] = [
        lambda w: w.vote("anna"),
        lambda w: w.vote("carla"),
        lambda w: w.confirm("backup"),
        lambda w: w.confirm("on-call"),
    ]
    for turn in range(4):
        world = asked(gated(BOTH, "backup", "on-call"))
        for act in acts[turn:] + acts[:turn]:
            assert isinstance(world.decide(), Wait)
            act(world)
        assert world.decide() == JudgeGate()


@pytest.mark.parametrize("before", [[], ["anna"], ["anna", "carla"]])
def test_one_no_go_is_enough_at_once_and_says_whose_it_is(before: list[str]) -> None:
    world = asked(gated(BOTH, "backup"))
    for person in before:
        world.vote(person)
    world.vote("ben", NO_GO)
    assert world.decide() == JudgeGate()
    world.go_on()
    assert world.state.status is Status.NO_GO
    assert world.events[-1].body.why == "ben says no-go: no reason given"
    assert not world.state.changed


# the deadline


def test_a_gate_that_nobody_decides_is_no_go_when_its_time_is_over_and_says_what_was_lacking() -> None:
    world = asked(gated(BOTH, "backup"))
    world.vote("anna")
    ends = wait(world).until
    world.now = ends - TICK
    assert isinstance(world.decide(), Wait)
    world.now = ends
    why = "no decision within 2h: backup is not confirmed; 1 of 2 said go; waits for dba"
    assert world.decide() == record(Kind.NO_GO, why)
    world.go_on()
    assert world.state.status is Status.NO_GO
    assert world.events[-1].body.why == why


def test_what_was_decided_in_time_is_carried_out_also_when_its_time_is_over() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    world.now = deadline(world) + HOUR
    assert world.decide() == JudgeGate()
    late = asked(gated())
    late.vote("anna", NO_GO)
    late.now = deadline(late) + HOUR
    assert late.decide() == JudgeGate()


@pytest.mark.parametrize(("late", "counts"), [(-TICK, True), (timedelta(0), True), (TICK, False), (HOUR, False)])
@pytest.mark.parametrize("decision", ["go", "no-go"])
def test_a_vote_counts_up_to_the_deadline_and_not_after_it(late: timedelta, counts: bool, decision: str) -> None:
    world = asked(gated(approve("lead")))
    ends = wait(world).until
    world.vote("anna", decision, at=ends + late)
    assert len(world.state.gate.votes) == counts
    assert (world.decide() == JudgeGate()) is counts


# votes that do not count


def test_a_vote_on_something_else_than_is_asked_does_not_count() -> None:
    world = asked(gated(approve("lead")))
    for seal in ("", "schema 1", "None"):
        world.vote("anna", seal=seal)
        world.vote("anna", NO_GO, seal=seal)
    assert world.state.gate.votes == ()
    assert isinstance(world.decide(), Wait)


def test_a_vote_that_came_before_people_were_asked_does_not_count() -> None:
    world = World(plan=gated(approve("lead")))
    world.vote("anna", seal=world.seal_of(0))
    world.launch()
    world.vote("anna", seal=world.seal_of(0))
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    assert world.state.gate.votes == ()
    assert isinstance(world.decide(), Wait)


@pytest.mark.parametrize("decision", ["go", "no-go"])
def test_a_vote_that_comes_once_it_is_decided_changes_nothing(decision: str) -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    world.carry_out(JudgeGate())
    before = world.state.gate.votes
    world.vote("ben", decision)
    assert [vote.person for vote in before] == ["anna", "carla"]
    assert world.state.gate.votes == before
    assert world.decide() == Perform(0, 0)


@pytest.mark.parametrize("person", ["carla", "emil", "stranger", "", "lead"])
def test_a_go_of_somebody_without_a_part_in_it_does_not_count(person: str) -> None:
    world = asked(gated(approve("lead")))
    world.vote(person)
    assert wait(world).why == "0 of 1 said go; waits for lead"


def test_a_vote_on_an_earlier_asking_does_not_count_also_where_it_was_about_the_same() -> None:
    world = asked(gated(approve("lead")))
    world.vote("anna", NO_GO)
    copied = world.events[-1].body
    world.go_on()
    world.launch()
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    world.tell(Kind.VOTE, "anna", **{**dict(copied), "decision": "go"})
    assert world.state.gate.votes == ()


def test_whoever_said_go_may_still_say_no_go() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("anna", NO_GO)
    assert world.decide() == JudgeGate()
    world.go_on()
    assert world.events[-1].body.why == "anna says no-go: no reason given"


def test_a_no_go_still_stands_when_a_go_that_somebody_else_wrote_after_it_is_refused() -> None:
    world = asked(gated())
    world.vote("ben")
    world.vote("anna", NO_GO)
    forged = world.vote("anna")
    world.refuse(forged)
    world.vote("carla")
    world.go_on(until=lambda state: state.status is not Status.DECIDING)
    assert world.state.status is Status.NO_GO


def test_a_no_go_that_comes_while_the_criteria_are_judged_again_still_counts() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    assert world.decide() == JudgeGate()
    world.vote("ben", NO_GO)
    world.tell(Kind.GO)
    assert world.state.status is not Status.WORKING


def test_whoever_says_go_twice_is_one() -> None:
    world = asked(gated(approve("lead", quorum=2)))
    world.vote("anna")
    world.vote("anna")
    assert wait(world).why == "1 of 2 said go; waits for lead"
    world.vote("ben")
    assert world.decide() == JudgeGate()


def test_agreeing_to_a_rollback_is_no_go_vote_and_no_go_ahead() -> None:
    world = asked(gated(approve("lead")))
    world.agree("anna")
    assert world.state.gate.votes == ()
    assert isinstance(world.decide(), Wait)


def test_a_vote_that_is_refused_is_taken_back_and_may_be_given_again() -> None:
    world = asked(gated())
    world.vote("anna")
    forged = world.vote("carla")
    assert world.decide() == JudgeGate()
    world.refuse(forged)
    assert [vote.person for vote in world.state.gate.votes] == ["anna"]
    assert wait(world).why == "1 of 2 said go; waits for dba"
    world.vote("carla")
    assert world.decide() == JudgeGate()


def test_a_no_go_that_is_refused_stops_nothing() -> None:
    world = asked(gated())
    forged = world.vote("ben", NO_GO)
    world.vote("anna")
    world.refuse(forged)
    world.vote("carla")
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert world.state.status is Status.WORKING


def test_a_vote_that_was_refused_as_it_was_given_takes_back_no_other() -> None:
    world = asked(gated())
    world.vote("anna")
    world.tell(Kind.VOTE_REFUSED, "emil", person="emil", decision="go", why="emil holds none of the roles")
    assert [vote.person for vote in world.state.gate.votes] == ["anna"]


def test_a_tick_that_is_refused_is_taken_back_and_may_be_given_again() -> None:
    world = asked(gated(None, "backup"))
    world.confirm("backup")
    world.refuse(world.state.seq)
    assert wait(world).why == "backup is not confirmed"
    world.confirm("backup")
    assert world.decide() == JudgeGate()


# what the way back leads to


def test_what_a_rollback_leads_back_to_is_measured_again_when_people_have_decided() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    world.tell(Kind.BASELINE, schema={"table a": "while they decided"})
    assert world.state.status is Status.DECIDING
    assert len(world.state.gate.votes) == 2
    assert world.decide() == JudgeGate()
    assert world.state.known.baseline.fingerprint.objects == {"table a": "while they decided"}


def test_once_something_was_changed_the_way_back_leads_to_before_that() -> None:
    world = standing("people decide at the next gate")
    before = world.state.known.baseline
    world.tell(Kind.BASELINE, schema={"table a": "2"})
    assert world.state.known.baseline == before


def test_the_state_knows_the_facts_that_let_a_phase_begin_and_that_rolled_it_back() -> None:
    world = standing("it is at the next gate", None)
    assert (world.state.gate.go_seq, world.state.rollback.seq) == (0, 0), "the phase before it began with another"
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    world.vote("dora")
    world.go_on(until=lambda state: state.status is Status.WORKING)
    go_seq = world.state.seq
    assert world.events[-1].kind is Kind.GO
    world.tell(Kind.ROLL_BACK, "ben")
    rollback_seq = world.state.seq
    assert (world.state.gate.go_seq, world.state.rollback.seq) == (go_seq, rollback_seq)
    world.go_on()
    assert (world.state.gate.go_seq, world.state.rollback.seq) == (go_seq, rollback_seq)


# what people were asked about changes


def test_when_what_they_were_asked_about_has_changed_people_are_asked_again_and_every_vote_is_void() -> None:
    world = asked(gated(BOTH, "backup"))
    ends, number = deadline(world), world.state.gate.asked and world.state.gate.asked.seq
    world.confirm("backup")
    world.vote("anna")
    world.schema += 1
    world.vote("carla", seal=world.seal_of(0))
    assert world.decide() == JudgeGate()
    world.carry_out(JudgeGate())
    assert (world.state.status, world.state.gate.votes) == (Status.DECIDING, ())
    assert world.state.gate.asked is not None
    assert world.state.gate.asked.seq != number
    assert world.state.gate.asked.seal == world.seal_of(1)
    assert deadline(world) == ends, "asking again gives nobody more time"
    assert wait(world).why == "0 of 2 said go; waits for lead and dba", "what was confirmed stays confirmed"
    world.vote("anna", seal=world.seal_of(0))
    world.vote("carla", seal=world.seal_of(0))
    assert world.state.gate.votes == ()
    world.vote("anna")
    world.vote("carla")
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert world.state.status is Status.WORKING


def test_the_time_to_decide_is_over_also_for_people_who_were_asked_again() -> None:
    world = asked(gated())
    world.vote("anna")
    world.vote("carla")
    world.schema += 1
    world.now = deadline(world)
    world.carry_out(JudgeGate())
    assert world.decide() == record(Kind.NO_GO, "no decision within 2h: 0 of 2 said go; waits for lead and dba")


# holding, crashing, rolling back while people decide


def test_holding_and_resuming_keeps_the_votes_the_boxes_and_the_deadline() -> None:
    world = asked(gated(BOTH, "backup"))
    world.confirm("backup")
    world.vote("anna")
    before = world.state
    world.tell(Kind.HOLD, "ben", why="lunch")
    assert world.decide() is None
    world.vote("carla")
    assert world.decide() is None, "nothing is judged while it is held"
    world.tell(Kind.RESUME, "ben")
    assert [vote.person for vote in world.state.gate.votes] == ["anna", "carla"]
    assert (world.state.gate.asked, world.state.gate.confirmed) == (before.gate.asked, before.gate.confirmed)
    assert world.decide() == JudgeGate()


def test_the_time_to_decide_goes_on_while_the_run_is_held() -> None:
    world = asked(gated())
    ends = wait(world).until
    world.tell(Kind.HOLD, "ben")
    world.now = ends
    assert world.decide() is None
    world.tell(Kind.RESUME, "ben")
    assert isinstance(world.decide(), Record)


def test_a_crash_while_people_decide_forgets_nothing() -> None:
    world = asked(gated(BOTH, "backup"))
    world.vote("anna")
    before = world.decide()
    world.refold()
    assert world.decide() == before
    world.vote("carla")
    world.confirm("backup")
    world.refold()
    assert world.decide() == JudgeGate()


@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.ROLL_BACK])
def test_a_run_that_waits_for_people_can_be_rolled_back(kind: Kind) -> None:
    world = asked(gated())
    world.vote("anna")
    world.tell(kind, "ben", why="not today")
    world.vote("carla")
    assert world.decide() == record(Kind.ALL_UNDONE)
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK


@pytest.mark.parametrize("kind", [Kind.DONE, Kind.TRIPPED, Kind.BASELINE, Kind.WORK_DONE, Kind.PHASE_STARTED, Kind.PHASE_DONE])
def test_nothing_but_a_decision_leads_out_of_a_gate_that_waits_for_people(kind: Kind) -> None:
    world = asked(gated())
    before = world.decide()
    world.tell(kind, "ben", why="late")
    assert world.state.status is Status.DECIDING
    assert world.decide() == before


# launching again


def test_a_launch_begins_with_no_votes_and_no_ticked_boxes() -> None:
    world = asked(gated(BOTH, "backup"))
    world.confirm("backup")
    world.vote("anna")
    world.vote("ben", NO_GO)
    world.go_on()
    assert world.state.status is Status.NO_GO
    world.launch(person="ben")
    assert (world.state.gate.votes, world.state.gate.confirmed, world.state.gate.asked) == ((), {}, None)
    assert world.decide() == MeasureBaseline()
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    assert wait(world).why == "backup is not confirmed; 0 of 2 said go; waits for lead and dba"


def test_boxes_of_a_later_phase_are_not_ticked_by_those_of_an_earlier_one_and_not_before_its_launch() -> None:
    world = World(plan=plan(phase(task(sql()), before=["one"]), phase(task(sql()), before=["two"])))
    world.launch()
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    world.confirm("one")
    world.go_on()
    assert world.state.status is Status.READY
    world.confirm("two")
    world.launch()
    world.go_on(until=lambda state: state.status is Status.DECIDING)
    assert world.boxes == ("two",)


def test_the_state_knows_who_launched_and_by_which_override() -> None:
    world = World(plan=gated())
    world.tell(Kind.PHASE_STARTED, "root@host", person="anna", override="the fix of #7 (a freeze holds)")
    assert (world.state.gate.launcher, world.state.gate.override) == ("anna", "the fix of #7 (a freeze holds)")
    other = World(plan=gated())
    other.tell(Kind.PHASE_STARTED, "root@host")
    assert (other.state.gate.launcher, other.state.gate.override) == ("root@host", "")


# steps that people confirm


def confirming(*boxes: str) -> Plan:
    return plan(phase(task(sql(), confirm(*boxes), sql())))


def test_a_step_asks_once_then_waits_and_goes_on_when_people_have_confirmed_it() -> None:
    world = working(confirming("backup", "on-call"))
    assert world.decide() == Perform(0, 0)
    world.carry_out(Perform(0, 0))
    assert world.decide() == AskPeople(("backup", "on-call"), 1)
    world.carry_out(AskPeople(("backup", "on-call"), 1))
    assert world.decide() == Wait(world.now + HOUR, "waits for backup, on-call to be confirmed")
    world.confirm("backup")
    world.now += 5 * HOUR
    assert world.decide() == Wait(world.now + HOUR, "waits for on-call to be confirmed")
    world.confirm("on-call")
    assert world.decide() == Perform(1, 0)
    world.go_on(until=lambda state: state.status is Status.READY)
    assert world.state.status is Status.DONE
    assert kinds(world).count(Kind.ASKED) == 1


def test_a_step_that_was_confirmed_beforehand_asks_nobody() -> None:
    world = working(confirming("backup"))
    world.confirm("backup")
    world.go_on()
    assert world.state.status is Status.DONE
    assert Kind.ASKED not in kinds(world)


@pytest.mark.parametrize("interruption", ["hold", "crash"])
def test_a_step_asks_nobody_twice_whatever_comes_between(interruption: str) -> None:
    world = working(confirming("backup"))
    world.go_on(until=lambda _: world.waits_for_people())
    if interruption == "hold":
        world.tell(Kind.HOLD, "ben")
        assert world.decide() is None
        world.tell(Kind.RESUME, "ben")
    else:
        world.refold()
    assert wait(world).why == "waits for backup to be confirmed"


def test_every_step_that_people_confirm_asks_for_its_own_boxes() -> None:
    made = plan(phase(task(confirm("one"), sql()), task(confirm("two", "three")), before=["zero"], approve=approve("ops")))
    world = asked(made)
    told = []
    for _ in range(4):
        world.go_on(until=lambda _: world.waits_for_people())
        told.append(world.boxes)
        world.everybody_agrees()
    assert told == [("zero",), ("one",), ("two", "three"), ()]
    assert world.state.status is Status.DONE


def test_a_step_asks_when_its_task_may_start_and_not_before() -> None:
    world = working(plan(phase(task(confirm("backup"), at=HOUR))))
    assert "starts at its time" in wait(world).why
    world.now = wait(world).until
    assert world.decide() == AskPeople(("backup",), 0)


def test_another_box_does_not_do() -> None:
    world = working(confirming("backup"))
    world.go_on(until=lambda _: world.waits_for_people())
    world.confirm("back-up", "", "None")
    assert wait(world).why == "waits for backup to be confirmed"


@pytest.mark.parametrize("kind", [Kind.TRIPPED, Kind.ABORT, Kind.ROLL_BACK])
def test_what_waits_for_people_in_the_middle_of_its_work_can_be_rolled_back(kind: Kind) -> None:
    world = working(confirming("backup"))
    world.go_on(until=lambda _: world.waits_for_people())
    world.tell(kind, "ben", why="enough")
    assert world.once_counted() == RunUndo(0, 0, True, False)
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK


def test_what_people_confirmed_needs_no_undo() -> None:
    world = working(plan(phase(task(confirm("backup"), sql(), check()))))
    world.confirm("backup")
    world.go_on()
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on()
    assert world.went_back == [(1, 0)]
    assert world.state.status is Status.ROLLED_BACK


# the checklist after


def afterwards(soak: timedelta = SOAK) -> Plan:
    return plan(phase(task(sql()), soak=soak, after=["reports", "support"]))


def soaking(made: Plan) -> World:
    world = working(made)
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    return world


def test_the_checklist_after_is_asked_for_when_the_soak_is_over_and_ends_the_phase() -> None:
    world = soaking(afterwards())
    assert wait(world).why == "watching what the change does"
    world.now = wait(world).until - TICK
    assert isinstance(world.decide(), Wait)
    world.now += TICK
    assert world.decide() == AskPeople(("reports", "support"), 1)
    world.carry_out(AskPeople(("reports", "support"), 1))
    assert world.state.status is Status.SOAKING
    assert world.decide() == Wait(world.now + HOUR, "waits for reports, support to be confirmed")
    world.confirm("support", "reports")
    assert world.decide() == record(Kind.RUN_DONE)


def test_a_checklist_that_is_ticked_during_the_soak_asks_nobody_and_shortens_nothing() -> None:
    world = soaking(afterwards())
    world.confirm("reports", "support")
    assert wait(world).why == "watching what the change does"
    world.now = wait(world).until
    assert world.decide() == record(Kind.RUN_DONE)


def test_without_a_soak_the_checklist_after_comes_at_once() -> None:
    assert soaking(afterwards(timedelta(0))).decide() == AskPeople(("reports", "support"), 1)


def test_a_phase_ends_with_its_checklist_and_the_next_may_be_launched() -> None:
    world = soaking(plan(phase(task(sql()), after=["reports"]), phase(task(sql()), after=["more"])))
    world.go_on(until=lambda _: world.waits_for_people())
    world.confirm("reports")
    assert world.decide() == record(Kind.PHASE_DONE)
    world.go_on()
    assert world.state.status is Status.READY
    world.launch()
    world.go_on(until=lambda _: world.waits_for_people())
    assert world.boxes == ("more",)


@pytest.mark.parametrize("kind", [Kind.TRIPPED, Kind.ABORT, Kind.ROLL_BACK])
@pytest.mark.parametrize("ticked", [[], ["reports"], ["reports", "support"]])
def test_until_the_checklist_after_is_done_the_watch_still_rolls_it_back(kind: Kind, ticked: list[str]) -> None:
    world = soaking(afterwards())
    world.go_on(until=lambda _: world.waits_for_people())
    world.confirm(*ticked)
    world.tell(kind, "watch", why="c: 3 of 5")
    assert world.state.status is Status.ROLLING_BACK
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert not world.effects


def test_holding_and_crashing_before_the_checklist_after_ask_nobody_twice() -> None:
    world = soaking(afterwards())
    world.go_on(until=lambda _: world.waits_for_people())
    world.tell(Kind.HELD, "watch", why="c: no data")
    assert world.decide() is None
    world.refold()
    world.tell(Kind.RESUME, "ben")
    assert wait(world).why == "waits for reports, support to be confirmed"


# who may roll back what was changed


AUTHORITY = approve("lead", "dba", quorum=2, within=HOUR)
#: where a run that has changed something may stand, and what people may ask of it there
STANDS: dict[str, tuple[Status, tuple[Kind, ...]]] = {
    "it works": (Status.WORKING, (Kind.ABORT, Kind.ROLL_BACK)),
    "it verifies": (Status.VERIFYING, (Kind.ABORT, Kind.ROLL_BACK)),
    "it is watched": (Status.SOAKING, (Kind.ABORT, Kind.ROLL_BACK)),
    "it waits between its phases": (Status.READY, (Kind.ABORT, Kind.ROLL_BACK)),
    "it is at the next gate": (Status.GATING, (Kind.ABORT, Kind.ROLL_BACK)),
    "people decide at the next gate": (Status.DECIDING, (Kind.ABORT, Kind.ROLL_BACK)),
    "the next gate said no-go": (Status.NO_GO, (Kind.ROLL_BACK,)),
    "it is done": (Status.DONE, (Kind.ROLL_BACK,)),
}
CASES = [(name, kind) for name, (_, kinds_) in STANDS.items() for kind in kinds_]


def standing(name: str, rule: Approve | None = AUTHORITY) -> World:
    """A run that has changed something, where it is wanted."""
    first = phase(task(sql(), sql()), soak=SOAK)
    world = World(plan=plan(first, phase(task(sql()), approve=approve("ops")), authority=rule))
    status = STANDS[name][0]
    world.launch()
    world.go_on(until=lambda state: state.status is status and state.changed)
    if world.state.status is Status.READY and status is not Status.READY:
        world.launch()
        world.go_on(until=lambda state: state.status in (status, Status.DECIDING))
        if status is Status.NO_GO:
            world.vote("dora", NO_GO)
        elif status is Status.DONE:
            world.vote("dora")
        world.go_on(until=lambda state: state.status is status)
    assert world.state.status is status
    assert world.state.changed
    return world


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_was_changed_is_rolled_back_by_nobody_alone_where_there_is_an_authority(name: str, kind: Kind) -> None:
    world = standing(name)
    before, command = world.state, world.decide()
    world.tell(kind, "anna")
    world.tell(kind, "anna", agreed=())
    world.tell(kind, "anna", why="it is wrong")
    assert world.state.status is before.status
    assert (world.state.held, world.state.rollback.cause) == (before.held, "")
    if not isinstance(command, Wait):
        assert world.decide() == command


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_was_changed_is_rolled_back_as_agreed_where_there_is_an_authority(name: str, kind: Kind) -> None:
    world = standing(name)
    world.tell(kind, agreed=["anna", "carla"], why="it is wrong")
    assert (world.state.status, world.state.rollback.cause) == (Status.ROLLING_BACK, "it is wrong")
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert not world.effects


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_without_an_authority_anybody_rolls_it_back_alone(name: str, kind: Kind) -> None:
    assert standing(name, None).tell(kind, "anna").status is Status.ROLLING_BACK


@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.ROLL_BACK])
@pytest.mark.parametrize("status", [Status.READY, Status.GATING, Status.DECIDING, Status.WORKING])
def test_as_long_as_nothing_was_changed_anybody_ends_it_alone(status: Status, kind: Kind) -> None:
    world = World(plan=plan(phase(task(sql()), approve=approve("ops")), authority=AUTHORITY))
    if status is not Status.READY:
        world.launch()
        world.go_on(until=lambda state: state.status in (status, Status.DECIDING))
    if status is Status.WORKING:
        world.vote("dora")
        world.go_on(until=lambda state: state.status is status)
    assert world.state.status is status
    world.tell(kind, "emil")
    assert world.state.status is Status.ROLLING_BACK
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK


@pytest.mark.parametrize("kind", [Kind.TRIPPED, Kind.FAILED])
def test_what_goes_wrong_rolls_it_back_without_asking_anybody(kind: Kind) -> None:
    world = standing("it works")
    assert world.tell(kind, why="c: 3 of 5").status is Status.ROLLING_BACK


def test_a_verification_that_fails_rolls_it_back_without_asking_anybody() -> None:
    world = standing("it verifies")
    assert world.tell(Kind.VERIFY_FAILED, why="no").status is Status.ROLLING_BACK


@pytest.mark.parametrize("name", [n for n, (status, _) in STANDS.items() if status not in (*ENDED, Status.READY)])
def test_once_enough_people_agreed_the_run_is_rolled_back_before_anything_else(name: str) -> None:
    world = standing(name)
    before = world.decide()
    world.agree("anna")
    assert not isinstance(world.decide(), BeginRollback)
    assert isinstance(before, Wait) or world.decide() == before
    world.agree("carla")
    assert world.decide() == BeginRollback()
    world.carry_out(BeginRollback())
    assert getattr(world.events[-1].body, "agreed", ()) == ("anna", "carla")
    assert world.state.status is Status.ROLLING_BACK
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert kinds(world).count(Kind.ROLL_BACK) == 1


@pytest.mark.parametrize("name", [n for n, (status, _) in STANDS.items() if status in (*ENDED, Status.READY)])
def test_a_run_at_rest_hears_who_agrees_and_is_rolled_back_by_whoever_carries_it(name: str) -> None:
    world = standing(name)
    world.agree("anna")
    assert not decide.rollback_approved(world.plan, world.state, world.now)
    world.agree("carla")
    assert decide.rollback_approved(world.plan, world.state, world.now)
    assert world.decide() is None
    world.carry_out(BeginRollback())
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert not world.effects


def test_a_held_run_hears_who_agrees_and_is_rolled_back_as_soon_as_it_holds_no_more() -> None:
    world = standing("it works")
    world.tell(Kind.HOLD, "ben", why="hm")
    world.agree("anna")
    world.agree("carla")
    assert world.decide() is None
    world.tell(Kind.RESUME, "ben")
    assert world.decide() == BeginRollback()


@pytest.mark.parametrize(
    ("who", "enough"),
    [
        (["anna"], False),
        (["anna", "anna"], False),
        (["ben"], False),
        (["ben", "ben"], False),
        (["anna", "dora"], False),
        (["anna", "stranger"], False),
        (["dora", "emil", "stranger"], False),
        (["anna", "ben"], True),
        (["dora", "carla", "ben"], True),
    ],
)
def test_a_rollback_needs_as_many_people_and_roles_as_the_runbook_says(who: list[str], enough: bool) -> None:
    world = standing("it works")
    for person in who:
        world.agree(person)
    assert (world.decide() == BeginRollback()) is enough


@pytest.mark.parametrize(("age", "counts"), [(timedelta(0), True), (HOUR - TICK, True), (HOUR, True), (HOUR + TICK, False)])
def test_agreement_counts_for_as_long_as_the_runbook_says_and_no_longer(age: timedelta, counts: bool) -> None:
    world = standing("it works")
    world.agree("anna")
    given = world.now
    world.now += HOUR / 2
    world.agree("carla")
    world.now = given + age
    assert (world.decide() == BeginRollback()) is counts


def test_agreement_that_is_too_old_may_be_given_again() -> None:
    world = standing("it works")
    world.agree("anna")
    world.now += 2 * HOUR
    world.agree("carla")
    assert world.decide() == Perform(1, 0)
    world.agree("anna")
    assert world.decide() == BeginRollback()


def test_agreement_that_is_refused_is_taken_back() -> None:
    world = standing("it works")
    world.agree("anna")
    forged = world.agree("carla")
    assert world.decide() == BeginRollback()
    world.refuse(forged)
    assert [vote.person for vote in world.state.approvals] == ["anna"]
    assert world.decide() == Perform(1, 0)
    world.agree("carla")
    assert world.decide() == BeginRollback()


@pytest.mark.parametrize("name", ["it waits between its phases", "it is done", "the next gate said no-go"])
def test_agreement_that_is_refused_is_taken_back_also_in_a_run_at_rest(name: str) -> None:
    world = standing(name)
    forged = world.agree("anna")
    world.refuse(forged)
    assert world.state.approvals == ()


def test_a_vote_at_the_gate_is_no_agreement_to_a_rollback() -> None:
    world = standing("people decide at the next gate")
    for person in ("anna", "carla", "ben"):
        world.vote(person)
    assert not isinstance(world.decide(), BeginRollback)


def test_a_run_that_rolls_back_hears_no_more_agreement() -> None:
    world = standing("it works")
    world.tell(Kind.TRIPPED, "watch", why="c: 3 of 5")
    before = world.decide()
    world.agree("anna")
    world.agree("carla")
    assert world.decide() == before


def test_without_an_authority_nobody_has_to_agree_and_agreeing_does_nothing() -> None:
    world = standing("it works", None)
    before = world.decide()
    world.agree("anna")
    world.agree("carla")
    assert world.decide() == before


def test_agreement_outlasts_a_launch_and_votes_and_boxes_do_not() -> None:
    world = standing("it waits between its phases")
    world.agree("anna")
    world.launch()
    world.agree("carla")
    assert world.decide() == BeginRollback()


# the story


def told(world: World) -> list[str]:
    state, lines = State(), []
    for event in world.events:
        before, state = state, evolve(state, event)
        lines.append(log_line(world.plan, before, event, state))
    return [line for line in lines if line]


def test_the_story_says_who_is_asked_for_what_until_when_and_who_said_what() -> None:
    world = asked(gated(BOTH, "backup"))
    world.confirm("backup")
    world.vote("anna")
    world.schema += 1
    forged = world.vote("carla", seal=world.seal_of(0))
    world.carry_out(JudgeGate())
    world.vote("anna")
    world.refuse(forged)
    body = {"on": "phase-0", "decision": "no-go", "person": "ben", "comment": "not today", "seal": world.seal}
    world.tell(Kind.VOTE, "ben", proved=True, asked=world.state.gate.asked and world.state.gate.asked.seq, **body)
    waits, way = "0 of 2 said go; waits for lead and dba by 20:53 CEST", "gonogo go example phase-0 --target demo --as PERSON"
    assert told(world)[1:] == [
        f"ASKED: backup is not confirmed; {waits}: {way}",
        "carla confirms backup",
        "anna (not proved) says go",
        "carla (not proved) says go",
        f"ASKED: the schema has changed since people were asked: table a was 0 and is 1; every vote is void. {waits}: {way}",
        "anna (not proved) says go",
        "not counted: it is not signed with their key",
        "ben (proved) says no-go: not today",
    ]


def test_the_story_says_what_a_step_waits_for() -> None:
    world = working(confirming("backup"))
    world.go_on(until=lambda _: world.waits_for_people())
    world.tell(Kind.CONFIRMED, "carla", item="backup", person="carla", evidence="s3://backups/7", proved=False)
    assert told(world)[-2:] == [
        "waits for people to confirm backup: gonogo confirm example backup --target demo --as PERSON",
        "carla confirms backup: s3://backups/7",
    ]


def test_the_story_does_not_tell_of_a_rollback_that_nobody_may_ask_for_alone() -> None:
    world = standing("it works")
    before = told(world)
    world.tell(Kind.ROLL_BACK, "anna", why="I want to")
    assert told(world) == before
    world.agree("anna")
    assert told(world)[-1] == "anna (not proved) approves a rollback"


def test_an_ask_at_a_gate_is_of_the_moment_it_was_asked() -> None:
    world = asked(gated(approve("lead", within=timedelta(minutes=90))))
    assert world.state.gate.asked is not None
    assert world.state.gate.asked.at == world.now
    assert world.state.gate.asked.step is None
    assert START < world.state.gate.asked.at < wait(world).until <= world.state.gate.asked.at + timedelta(minutes=90)
