"""Nobody who must know is left out, nobody is told twice, and whoever takes it stops it: with a clock of the test's own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.events import event
from support.plans import START, phase, plan, sql, task
from support.world import World

from gonogo.core.engine.events import Kind
from gonogo.core.engine.verdict import Judgement, Verdict
from gonogo.core.model.alerts import Alert, Monitor
from gonogo.core.model.check import Check
from gonogo.core.model.runbook import Updates
from gonogo.core.plan.plan import Plan
from gonogo.core.text.alerts import BLANK, BREACH, WELL, Standing, change_of, fold_alerts, updates_of
from gonogo.core.text.escalation import due
from gonogo.core.text.messages import updates

MINUTE = timedelta(minutes=1)
#: the matrix of the event plan: first response, and the next ones after 30 minutes, one, two and four hours
MATRIX = (0, 30, 60, 120, 240)
TELLS = Updates.model_validate(
    {
        "slack": "#x",
        "blockers": ["ops"],
        "escalate": [
            {"after": f"{n}m", "to": [who]} for n, who in zip(MATRIX, ("emil", "lead", "dba", "ops", "anna"), strict=True)
        ],
        "contacts": {"database": ["carla"], "business": ["dora"]},
    }
)
CHECKS = {"rows": Check.model_validate({"query": "SELECT 1", "expect": "= 0", "concerns": "database"})}


def waiting(kind: Kind = Kind.HELD, **body: object) -> World:
    world = World(plan=plan(phase(task(sql())), checks=CHECKS).model_copy(update={"updates": TELLS}))
    world.launch()
    world.tell(Kind.BASELINE, measurements={}, schema={})
    world.tell(Kind.GO)
    world.tell(kind, "watch", **{"why": "rows: 3 is not = 0", **body})
    return world


def levels(world: World, after: timedelta) -> list[str]:
    assert world.state.alarm is not None
    return [update.key.split(":")[1] for update in due(world.plan, world.state, world.state.alarm.at + after)]


@pytest.mark.parametrize(
    ("minutes", "told"), [(0, 1), (29.9, 1), (30, 2), (59.9, 2), (60, 3), (119.9, 3), (120, 4), (239.9, 4), (240, 5), (9999, 5)]
)
def test_each_level_is_told_when_its_time_has_come_and_not_before(minutes: float, told: int) -> None:
    # the people of the first level, which waits for nothing, are mentioned in the message itself
    assert levels(waiting(), timedelta(minutes=minutes)) == [f"level {n}" for n in range(2, told + 1)]


def test_a_level_mentions_its_people_and_says_how_long_nobody_has_answered_and_what_to_type() -> None:
    world = waiting(check="rows")
    told = due(world.plan, world.state, world.now + 31 * MINUTE)
    assert [update.mention for update in told] == [("lead",)]
    assert told[0].text == (
        "⏰ Level 2, not acknowledged for 30m: rows: 3 is not = 0. To acknowledge it:"
        " `gonogo ack example --target demo --as PERSON`"
    )
    assert all(update.loud for update in told)


@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGED, Kind.RESUME, Kind.ROLL_BACK, Kind.ABORT, Kind.VOTE])
def test_whoever_takes_it_or_deals_with_it_stops_it(kind: Kind) -> None:
    world = waiting()
    world.tell(kind, "ben")
    assert due(world.plan, world.state, world.now + 9999 * MINUTE) == []


@pytest.mark.parametrize("kind", [Kind.TRIPPED, Kind.FAILED, Kind.HELD])
def test_what_needs_people_is_an_alarm_until_the_run_itself_has_dealt_with_it(kind: Kind) -> None:
    world = waiting(kind, **({"step": 0} if kind is Kind.FAILED else {}))
    assert world.state.alarm is not None
    if kind is not Kind.HELD:
        world.go_on()
        assert world.state.alarm is None, "it is rolled back, and that is proved"


def test_a_new_alarm_begins_again_and_the_old_keys_are_not_used_again() -> None:
    world = waiting()
    first = {update.key for update in due(world.plan, world.state, world.now + 60 * MINUTE)}
    world.tell(Kind.RESUME, "ben")
    world.tell(Kind.HELD, "watch", why="again")
    assert not first & {update.key for update in due(world.plan, world.state, world.now + 60 * MINUTE)}


def test_a_hold_that_a_person_asked_for_alarms_nobody() -> None:
    world = waiting(Kind.HOLD)
    assert world.state.alarm is None


def test_those_whom_a_check_concerns_are_mentioned_with_the_blockers() -> None:
    world = waiting(check="rows")
    before = world.state
    told = updates(world.plan, before, world.events[-1], before, "r")
    assert told == [] or told[-1].mention == ("ops", "emil", "carla")
    heard = World(plan=world.plan)
    heard.launch()
    was = heard.state
    heard.tell(Kind.HELD, "watch", why="rows: 3 is not = 0", check="rows")
    said = [update for update in updates(heard.plan, was, heard.events[-1], heard.state, "r") if update.loud]
    assert said[-1].mention == ("ops", "emil", "carla"), "those of the first level, too: they are called once, and not twice"
    assert said[-1].text.endswith("To acknowledge it: `gonogo ack example --target demo --as PERSON`.")


# alerts


def judged(verdict: Verdict) -> Judgement:
    return Judgement(check="c", verdict=verdict, sentence="11 is > 10")


def after(rule: str, *looks: str, raised: bool = False) -> Kind | None:
    alert = Alert.model_validate({"alert": "a", "check": "rows", "when": rule})
    newest = {BREACH: Verdict.PASS, BLANK: Verdict.ERROR, WELL: Verdict.FAIL}[looks[-1]]
    change = change_of(alert, "demo", Standing(looks=list(looks), raised=7 if raised else None), judged(newest))
    return change.kind if change else None


@pytest.mark.parametrize(
    ("rule", "looks", "raised", "leads_to"),
    [
        ("> 10", (BREACH,), False, Kind.ALERT),
        ("> 10", (WELL,), False, None),
        ("> 10", (BREACH,), True, None),
        ("> 10", (WELL,), True, Kind.CLEARED),
        ("> 10", (BLANK,), False, Kind.ALERT),
        ("> 10", (BLANK,), True, None),
        ("> 10 in 2 of 3", (BREACH,), False, None),
        ("> 10 in 2 of 3", (BREACH, WELL, BREACH), False, Kind.ALERT),
        ("> 10 in 2 of 3", (BREACH, BREACH, WELL), True, None),
        ("> 10 in 2 of 3", (BREACH, WELL, WELL), True, None),
        ("> 10 in 2 of 3", (WELL, WELL, WELL), True, Kind.CLEARED),
        ("> 10 in 2 of 3", (WELL, WELL, BLANK), True, None),
    ],
)
def test_an_alert_is_raised_once_and_cleared_once_it_was_well_for_as_long(
    rule: str, looks: tuple[str, ...], raised: bool, leads_to: Kind | None
) -> None:
    assert after(rule, *looks, raised=raised) is leads_to


def watched() -> Plan:
    alert = Alert.model_validate({"alert": "a", "check": "rows", "when": "> 10", "to": ["lead"], "channel": "#ops"})
    made = plan(phase(task(sql())), checks=CHECKS)
    return made.model_copy(update={"updates": TELLS, "monitor": Monitor(alerts=(alert,))})


def test_an_alert_is_told_in_its_channel_and_escalates_until_somebody_takes_it() -> None:
    raised = [event(Kind.ALERT, alert="a", target="demo", why="11 is > 10")]
    told = updates_of(watched(), fold_alerts(raised), raised, START + 31 * MINUTE)
    assert [(channel, update.key, update.mention) for channel, update in told] == [
        ("#ops", "1", ("lead", "emil", "carla")),
        ("#ops", "1:level 2", ("lead",)),
    ]
    taken = [*raised, event(Kind.ACKNOWLEDGED, seq=2, actor="anna", alert="a")]
    assert [u.key for _, u in updates_of(watched(), fold_alerts(taken), taken, START + 999 * MINUTE)] == ["1", "2"]
    well = [*raised, event(Kind.CLEARED, seq=2, alert="a", target="demo", why="3 is not > 10")]
    last = updates_of(watched(), fold_alerts(well), well, START + 999 * MINUTE)[-1][1]
    assert (last.text, last.loud) == ("✅ *a* on demo is back to normal: 3 is not > 10", False)
    assert (last.about, last.over) == ("a", True)
    assert {(update.about, update.over) for _, update in told} == {("a", False)}
