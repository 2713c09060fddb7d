from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory import a_check_fails
from support.plans import START, APhase, ATask, approve, backfill, check, confirm, phase, plan, sql, task
from support.world import World

from gonogo.core.engine.commands import JudgeGate, Perform
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.state import State, Status
from gonogo.core.engine.verdict import Judgement, Verdict
from gonogo.core.model.runbook import Escalation
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import Update, first_line, headline, updates
from gonogo.core.text.times import clock

BLOCKERS = ("anna", "lead")
MINUTE = timedelta(minutes=1)


class Heard(World):
    """A run and all that people heard of it."""

    told: list[Update]
    by_event: list[tuple[Kind, list[Update]]]

    def __post_init__(self) -> None:
        self.told, self.by_event = [], []
        super().__post_init__()

    def _see(self, before: State, event: Event, after: State) -> None:
        super()._see(before, event, after)
        said = updates(self.plan, before, event, after, "r-1")
        self.by_event.append((event.kind, said))
        self.told += said

    def last(self) -> list[Update]:
        return [update for update in self.by_event[-1][1] if not update.root]

    def marks(self) -> list[str]:
        return [update.key for update in self.told if update.key.endswith("%")]


def heard(*tasks: ATask, on_failure: str = "roll back") -> Heard:
    world = Heard(plan=plan(phase(*tasks, on_failure=on_failure), blockers=BLOCKERS))
    world.launch()
    return world


def working(*tasks: ATask, on_failure: str = "roll back") -> Heard:
    world = heard(*tasks, on_failure=on_failure)
    world.go_on(until=lambda state: state.status is Status.WORKING)
    return world


# progress


def test_each_percentage_is_told_exactly_once() -> None:
    world = heard(*[task(sql(count=3), sql(), backfill(), takes=10 * MINUTE) for _ in range(4)])
    world.go_on()
    assert world.marks() == ["25%", "50%", "75%"]
    assert [u.text for u in world.told if u.key == "50%"] == ["50 % of the planned work is done."]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=5), st.booleans(), st.integers(1, 3))
def test_no_percentage_is_told_twice_or_left_out_on_the_way_forward(
    shape: list[tuple[int, int]], timed: bool, phases: int
) -> None:
    tasks = [task(*[sql()] * count, takes=minutes * MINUTE if timed else None) for count, minutes in shape]
    world = Heard(plan=plan(*[phase(*tasks)] * phases))
    for _ in range(phases):
        world.launch()
        world.go_on()
    assert world.state.status is Status.DONE
    told = [update.key for _, said in world.by_event for update in said if update.key.endswith("%")]
    nothing_to_do = sum(world.plan.weights) == 0
    # of several that one event passes, the last says it all
    assert told == sorted(set(told))
    assert told[-1:] == ([] if nothing_to_do else ["75%"])


def test_of_percentages_that_were_passed_together_the_last_is_told() -> None:
    world = working(task(sql(), takes=60 * MINUTE), task(sql(), takes=40 * MINUTE))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert world.marks() == ["50%"]


def test_a_task_without_steps_counts_when_its_gate_says_go() -> None:
    world = working(task(takes=30 * MINUTE), task(sql(), takes=70 * MINUTE))
    assert world.by_event[-1][0] is Kind.GO
    assert world.marks() == ["25%"]


def test_of_percentages_that_the_only_step_jumps_over_the_last_is_told_with_it() -> None:
    world = heard(task(sql()))
    world.go_on()
    assert world.marks() == ["75%"]


def test_work_that_was_on_its_way_as_the_run_rolled_back_is_no_progress() -> None:
    world = working(task(sql()), task(sql()), task(sql()))
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert world.marks() == []
    assert world.last() == []


# tasks and phases


def test_a_task_is_announced_when_its_first_step_is_next() -> None:
    world = heard(task(takes=5 * MINUTE), task(sql(), sql(), takes=90 * MINUTE, owner="lead"), task(check()))
    world.go_on()
    starts = [(kind, u.text) for kind, said in world.by_event for u in said if u.key.endswith(":task")]
    assert starts == [
        (Kind.GO, "*Task 1* starts (lead), planned to take 1h 30m, until 20:23 CEST."),
        (Kind.DONE, "*Task 2* starts."),
    ]


def test_a_task_of_a_later_phase_is_announced_only_once_that_phase_got_its_go() -> None:
    world = Heard(plan=plan(phase(task(sql())), phase(task(sql()))))
    world.launch()
    world.go_on()
    assert [u.text for u in world.told if u.key.endswith(":task")] == ["*Task 0* starts."]
    world.launch()
    world.go_on()
    assert [u.text for u in world.told if u.key.endswith(":task")] == ["*Task 0* starts.", "*Task 1* starts."]


def test_a_phase_that_is_launched_late_is_told_with_the_end_that_is_now_expected() -> None:
    world = Heard(plan=plan(phase(task(sql(), takes=15 * MINUTE), soak=5 * MINUTE)))
    world.now += 40 * MINUTE
    world.launch()
    assert "planned to end at 19:13 CEST and now expected to end at 19:53 CEST." in world.last()[0].text


def test_phases_are_told_when_they_start_and_end_and_nobody_is_called_for_it() -> None:
    world = Heard(plan=plan(phase(task(sql(), takes=15 * MINUTE)), phase(task(sql())), blockers=BLOCKERS))
    world.launch()
    (said,) = world.last()
    assert said.text == "anna launches phase *Phase 0*, and its gate is next; it is planned to end at 19:08 CEST."
    assert (said.loud, said.mention) == (False, ())
    world.go_on()
    (said,) = world.last()
    assert (said.text, said.loud, said.mention) == ("Phase *Phase 0* is done.", False, ())


def test_the_end_is_told_with_how_long_it_took() -> None:
    world = heard(task(sql()))
    world.go_on()
    (said,) = world.last()
    assert said.text.startswith("✅ *Done* in ")
    assert said.loud


# what needs people


def test_no_go_is_told_with_its_reason_and_that_nothing_was_changed() -> None:
    world = heard(task(sql()))
    world.go_on(a_check_fails)
    (said,) = world.last()
    assert said.text == "⛔ No-go: c: 1 is not = 0 (fail). Nothing was changed."
    assert (said.loud, said.mention) == (True, BLOCKERS)


def test_no_go_of_a_later_phase_does_not_say_that_nothing_was_changed() -> None:
    world = Heard(plan=plan(phase(task(sql())), phase(task(sql()))))
    world.launch()
    world.go_on()
    world.launch()
    world.go_on(a_check_fails)
    (said,) = world.last()
    assert said.text.endswith("This phase changed nothing.")


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (Kind.TRIPPED, {"why": "c: 3 of 5"}, "⏪ The watch tripped: c: 3 of 5. Rolling back."),
        (Kind.FAILED, {"why": "a.1 failed: no\n  detail", "step": 0}, "⏪ a.1 failed: no. Rolling back."),
        (Kind.ABORT, {"why": "enough"}, "⏪ ben says abort: enough."),
        (Kind.ABORT, {}, "⏪ ben says abort: no reason given."),
        (Kind.ROLL_BACK, {"why": ""}, "⏪ ben says roll back: no reason given."),
        (Kind.HOLD, {"why": "lunch"}, "✋ Holding: ben says hold: lunch"),
        (Kind.HELD, {"why": "c gives no data\nat all"}, "✋ Holding: c gives no data"),
    ],
)
def test_what_stops_or_turns_a_run_calls_the_blockers(kind: Kind, body: dict[str, object], text: str) -> None:
    world = working(task(sql()))
    world.tell(kind, "ben", **body)
    (said,) = world.last()
    assert said.text == text
    assert (said.loud, said.mention) == (True, BLOCKERS)


@pytest.mark.parametrize("kind", [Kind.UNDO_FAILED, Kind.NOT_PROVED])
def test_a_rollback_that_failed_calls_the_blockers_every_time(kind: Kind) -> None:
    world = working(task(sql()))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    if kind is Kind.NOT_PROVED:
        world.tell(Kind.UNDONE, step=0, script=0, last=True)
        world.tell(Kind.ALL_UNDONE)
    keys = set()
    for _ in range(2):
        world.tell(kind, step=0, why="a lock\nheld by 7")
        (said,) = world.last()
        assert said.text == "🚨 *Rollback failed, a person is needed*: a lock"
        assert (said.loud, said.mention) == (True, BLOCKERS)
        assert "🚨" in world.by_event[-1][1][0].text
        keys.add(said.key)
        world.tell(Kind.RESUME, "ben")
    assert len(keys) == 2


def test_a_rollback_is_told_as_proved_with_what_proves_it() -> None:
    world = working(task(sql(), sql()))
    world.carry_out(Perform(0, 0))
    world.tell(Kind.ABORT, "ben")
    world.go_on()
    (said,) = world.last()
    assert said.text == "↩️ Rolled back, and proved: 1 schema object as before, 1 check as at the start."
    assert said.mention == BLOCKERS


def test_a_hold_and_its_end_are_told_once_each() -> None:
    world = working(task(sql()))
    world.tell(Kind.RESUME, "ben")
    assert world.last() == [], "it was not held"
    world.tell(Kind.HOLD, "ben", why="lunch")
    assert len(world.last()) == 1
    world.tell(Kind.RESUME, "carla")
    (said,) = world.last()
    assert (said.text, said.loud, said.mention) == ("▶️ carla resumed the run.", False, ())


@pytest.mark.parametrize(
    "kind",
    [Kind.NO_GO, Kind.TRIPPED, Kind.ABORT, Kind.ROLL_BACK, Kind.RUN_DONE, Kind.PHASE_DONE, Kind.PROVED, Kind.VERIFY_FAILED],
)
def test_a_fact_that_came_too_late_is_not_told(kind: Kind) -> None:
    world = working(task(sql()))
    world.tell(Kind.ABORT, "ben")
    world.tell(kind, "ben", why="late")
    assert world.by_event[-1] == (kind, [])


@pytest.mark.parametrize("kind", [Kind.HOLD, Kind.HELD, Kind.RESUME, Kind.ABORT, Kind.TRIPPED, Kind.DONE, Kind.SAMPLE])
def test_nothing_is_told_of_a_run_that_has_ended(kind: Kind) -> None:
    world = heard(task(sql()))
    world.go_on()
    world.tell(kind, "ben", why="late")
    assert world.by_event[-1] == (kind, [])


def test_samples_batches_and_new_runners_are_not_told() -> None:
    world = working(task(backfill()))
    for kind, body in ((Kind.SAMPLE, {}), (Kind.BATCH, {"upto": ["1"], "rows": 5}), (Kind.TAKEN_OVER, {"epoch": 2})):
        world.tell(kind, **body)
        assert world.by_event[-1] == (kind, [])


# what people are asked


def asking(made: APhase) -> Heard:
    world = Heard(plan=plan(made, blockers=BLOCKERS, authority=approve("lead")))
    world.launch()
    world.go_on(until=lambda _: world.waits_for_people())
    return world


BOTH = approve("lead", "dba", quorum=2)
CONFIRM = "`gonogo confirm example ITEM --target demo --as PERSON`"


def test_people_who_are_to_decide_are_named_and_told_until_when() -> None:
    world = asking(phase(task(sql()), approve=BOTH))
    (said,) = world.last()
    assert said.text == (
        "🗳 Go or no-go for *Phase 0*? Every criterion passes. They have until 20:53 CEST.\n"
        "It waits: 0 of 2 said go; waits for lead and dba.\n"
        "To say go: `gonogo go example --target demo --as PERSON`;"
        " to say no-go: `gonogo no-go example --target demo --as PERSON`."
    )
    assert (said.loud, said.mention) == (True, ("lead", "dba"))


def test_a_gate_names_the_box_that_is_open_and_what_to_type() -> None:
    world = asking(phase(task(sql()), before=["backup:dba"]))
    assert world.last()[0].text.endswith(f"\nIt waits: backup is not confirmed.\nTo confirm: {CONFIRM}.")


def test_go_is_told_with_who_said_so() -> None:
    world = asking(phase(task(sql()), approve=BOTH))
    world.vote("anna")
    world.vote("carla")
    world.go_on()
    assert [u.text for u in world.told if u.key.endswith(":go")] == [
        "✅ Go for *Phase 0*: 1 criterion passes; anna says go; carla says go."
    ]


def test_people_whose_votes_are_void_are_told_why_and_asked_again() -> None:
    world = asking(phase(task(sql()), approve=BOTH))
    world.vote("anna")
    world.vote("carla")
    world.schema += 1
    world.carry_out(JudgeGate())
    (said,) = world.last()
    assert "The schema has changed since people were asked: table a was 0 and is 1. Votes given before are void." in said.text
    assert "They have until 20:53 CEST.\nIt waits: 0 of 2 said go" in said.text
    assert said.mention == ("lead", "dba")


def test_whoever_owns_a_box_at_the_gate_is_named_once_with_those_who_decide() -> None:
    world = asking(phase(task(sql()), approve=BOTH, before=["backup:dba", "call:ops", "news"], after=["reports:emil"]))
    assert world.last()[0].mention == ("lead", "dba", "ops")


def test_each_vote_is_told_quietly_with_its_comment() -> None:
    world = asking(phase(task(sql()), approve=BOTH))
    world.vote("anna")
    (said,) = world.last()
    assert (said.text, said.loud, said.mention) == ("anna says *go* (not proved).", False, ())
    world.tell(Kind.VOTE, "ben", on="phase-0", decision="no-go", person="ben", proved=True, comment="no\nno", seal=world.seal)
    assert world.last()[0].text == "ben says *no-go*: no"
    world.agree("carla")
    assert world.last()[0].text == "carla approves a rollback (not proved)."


def test_a_vote_that_is_refused_is_not_told_and_a_box_that_is_ticked_is() -> None:
    world = asking(phase(task(sql()), approve=BOTH, before=["backup"]))
    number = world.vote("anna")
    world.refuse(number)
    assert world.last() == []
    world.confirm("backup")
    (said,) = world.last()
    assert (said.text, said.loud, said.mention) == ("☑️ carla confirms backup.", False, ())


def test_what_a_step_waits_for_is_told_to_who_owns_it() -> None:
    world = asking(phase(task(sql(), confirm("backup:dba", "call"))))
    (said,) = world.last()
    assert said.text == f"✋ Waiting for people to confirm backup, call. To confirm one: {CONFIRM}."
    assert (said.loud, said.mention) == (True, ("dba",))


def test_who_confirmed_already_is_not_named_again() -> None:
    world = Heard(plan=plan(phase(task(sql(), confirm("backup:dba", "call:ops")))))
    world.launch()
    world.confirm("backup")
    world.go_on(until=lambda _: world.waits_for_people())
    (said,) = world.last()
    assert said.text == f"✋ Waiting for people to confirm call. To confirm one: {CONFIRM}."
    assert said.mention == ("ops",)


def test_who_is_not_asked_yet_is_not_named() -> None:
    world = asking(phase(task(confirm("backup:dba")), task(confirm("call:ops")), after=["reports:emil"]))
    assert world.last()[0].mention == ("dba",)


def test_no_go_says_what_was_lacking_when_the_time_was_over() -> None:
    world = asking(phase(task(sql()), approve=BOTH))
    world.go_on()
    (said,) = world.last()
    assert said.text == "⛔ No-go: no decision within 2h: 0 of 2 said go; waits for lead and dba. Nothing was changed."
    assert said.mention == BLOCKERS


@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.ROLL_BACK])
def test_a_rollback_that_nobody_may_ask_for_alone_is_told_when_it_is_agreed_and_not_before(kind: Kind) -> None:
    world = asking(phase(task(sql(), confirm("backup"))))
    world.tell(kind, "ben", why="I want to")
    assert world.by_event[-1] == (kind, [])
    world.agree("anna")
    world.go_on(until=lambda state: state.status is Status.ROLLING_BACK)
    (said,) = world.last()
    assert said.text == "⏪ gonogo says roll back: as agreed."
    assert said.mention == BLOCKERS


def test_a_task_without_steps_counts_only_once_people_have_said_go() -> None:
    world = asking(phase(task(takes=30 * MINUTE), task(sql(), takes=70 * MINUTE), approve=BOTH))
    assert "` 0% · run r-1" in headline(world.plan, world.state, "r-1", world.now).text
    world.everybody_agrees()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert world.marks() == ["25%"]


# what whoever is asked wants to know at once


def test_a_question_at_a_gate_says_who_is_asked_until_when_and_what_is_open() -> None:
    world = asking(phase(task(sql()), approve=BOTH, before=["backup:dba", "news"]))
    (asked,) = [update for update in world.told if update.text.startswith("🗳")]
    facts = dict(asked.facts)
    assert facts["Asked"] == "2 of Lead, Dba" or facts["Asked"].startswith("2 of ")
    assert facts["Not confirmed yet"] == "backup, news"
    assert "CEST" in facts["Until"]


def test_what_needs_people_says_its_numbers_and_who_is_told_next() -> None:
    made = plan(phase(task(sql())), blockers=BLOCKERS)
    later = made.updates.model_copy(update={"escalate": (Escalation(after=15 * MINUTE, to=("anna",)),)})
    world = Heard(plan=made.model_copy(update={"updates": later}))
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    world.tell(
        Kind.HELD, why="no", judged=[Judgement(check=f"c{n}", verdict=Verdict.FAIL, sentence=f"{n} is > 0") for n in range(8)]
    )
    (held,) = world.last()
    facts = dict(held.facts)
    assert re.fullmatch(r"told at \d\d:\d\d CEST: Anna", facts["If nobody acknowledges"], re.IGNORECASE)
    assert facts["Numbers"].splitlines()[0] == "c0: 0 is > 0"
    assert facts["Numbers"].splitlines()[-1] == "and 2 more"
    assert world.told[0].card is not None
    assert world.told[0].text == world.told[0].card.text


# the run's own message


def test_the_runs_own_message_changes_exactly_when_what_it_says_does() -> None:
    world = heard(task(sql(), sql()))
    world.go_on()
    before = None
    for kind, said in world.by_event:
        for root in (update for update in said if update.root):
            assert root.key == "root"
            assert root.text != before, kind
            assert not root.mention
            before = root.text
    assert before == headline(world.plan, world.state, "r-1", world.now).text


def test_every_run_has_its_message_from_its_launch_on() -> None:
    world = Heard(plan=plan(phase(task(sql()))))
    assert world.told == []
    world.launch()
    assert [update.root for update in world.told] == [True, False]


def test_the_runs_own_message_says_how_it_is_and_how_far() -> None:
    world = working(task(sql(), takes=30 * MINUTE), task(sql(), takes=30 * MINUTE))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert headline(world.plan, world.state, "r-1", world.now).text == (
        "🚀 *An example* on demo: *working*\n`▓▓▓▓▓▓▓▓▓▓░░░░░░░░░░` 50% · run r-1\nplanned 18:53 CEST to 19:53 CEST,"
        " now expected to end at 19:23 CEST"
    )
    world.tell(Kind.HOLD, "ben", why="lunch")
    held = headline(world.plan, world.state, "r-1", world.now).text
    assert held.startswith("✋ *An example* on demo: *holding while working*")
    assert held.endswith("> ben says hold: lunch")
    world.tell(Kind.ABORT, "ben", why="enough")
    back = headline(world.plan, world.state, "r-1", world.now).text
    assert back.startswith("⏪ *An example* on demo: *rolling back*")
    assert back.endswith("> cause: enough")
    world.tell(Kind.UNDO_FAILED, step=0, why="a lock")
    assert headline(world.plan, world.state, "r-1", world.now).text.startswith("🚨 *An example* on demo: *rollback failed*")
    world.tell(Kind.RESUME, "ben")
    world.go_on()
    assert headline(world.plan, world.state, "r-1", world.now).text.startswith("↩️ *An example* on demo: *rolled back*\n`░")


def test_the_runs_own_message_says_why_it_is_no_go_until_it_is_launched_again() -> None:
    world = World(plan=plan(phase(task(sql()))))
    world.launch()
    world.tell(Kind.NO_GO, why="orphans: 3 is not = 0")
    assert headline(world.plan, world.state, "r-1", world.now).text.endswith("> cause: orphans: 3 is not = 0")
    world.launch()
    assert world.state.why == ""


@pytest.mark.parametrize(("status", "mark"), [(Status.DONE, "✅"), (Status.NO_GO, "⛔"), (Status.READY, "🚀")])
def test_the_mark_says_how_a_run_ended(status: Status, mark: str) -> None:
    made: Plan = plan(phase(task(sql())))
    assert headline(made, State(status=status), "r", START).text.startswith(mark)


# small things


def test_a_clock_time_is_written_in_the_plans_zone() -> None:
    assert clock(START, "Europe/Rome") == "18:53 CEST"
    assert clock(START, "UTC") == "16:53 UTC"
    assert clock(START + timedelta(days=60), "Europe/Rome") == "17:53 CET"


@pytest.mark.parametrize(("text", "line"), [("", ""), ("  \n ", ""), ("\n a\nb", "a"), ("one", "one"), (5, "5")])
def test_a_long_story_is_told_by_its_first_line(text: object, line: str) -> None:
    assert first_line(text) == line


@pytest.mark.parametrize(
    ("when", "today", "text"),
    [
        ("2026-12-31T18:00+00:00", "2026-12-31T12:00+00:00", "19:00 CET"),
        ("2026-12-31T18:00+00:00", "2026-12-30T12:00+00:00", "Thu 31 Dec 19:00 CET"),
        # in the zone it is another day already
        ("2026-12-31T23:30+00:00", "2026-12-31T12:00+00:00", "Fri 1 Jan 2027 00:30 CET"),
        ("2027-01-02T06:07+00:00", None, "07:07 CET"),
    ],
)
def test_a_time_that_is_not_of_today_has_its_day(when: str, today: str | None, text: str) -> None:
    read = datetime.fromisoformat(today) if today else None
    assert clock(datetime.fromisoformat(when), "Europe/Rome", read) == text
