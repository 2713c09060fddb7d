"""Schedules: a run of any plan, to which anything happens, some sixty times; everything is told by its seed.

`uv run python tests/support/schedules.py --count 100000` walks through many and names the seeds that break a rule: nothing is
done twice, nothing is lost, a runner that was taken over from commits nothing more, *rolled back* is said only of what is, and
a run comes to rest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TypeVar, get_args

if __name__ == "__main__":
    # as a command it is found by its file alone
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from gonogo.core.engine.commands import Wait
from gonogo.core.engine.decide import A_LONG_TIME
from gonogo.core.engine.events import Kind
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import AT_REST, Status
from gonogo.core.model.people import GO, NO_GO, Approve, most_votes
from gonogo.core.model.rollback import Backup, Level, Rehearsal, Rollback, Switch
from gonogo.core.plan.plan import Plan, Script
from gonogo.errors import Fenced
from support.memory import Lost
from support.plans import LAUNCHER, PEOPLE, START, APhase, AStep, ATask, backfill, check, confirm, phase, plan, script, task
from support.world import World

_T = TypeVar("_T")
_LEVELS: list[Level] = list(get_args(Level))
WISHES = (Kind.HOLD, Kind.RESUME, Kind.ABORT, Kind.ROLL_BACK)
WATCHED = (Status.WORKING, Status.VERIFYING, Status.SOAKING)
ANYBODY = (*PEOPLE, "stranger")
DECISIONS = (GO, GO, GO, GO, NO_GO)


# any plan


class PlanMaker:
    """Makes a plan of any shape, by chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def one(self, *options: _T) -> _T:
        """Return one of some things."""
        return self.chance.choice(options)

    def times(self, least: int, most: int, make: Callable[[], _T]) -> list[_T]:
        """Return some things."""
        return [make() for _ in range(self.chance.randint(least, most))]

    def sources(self, count: int) -> tuple[Script, ...]:
        """Return the scripts of some sources."""
        made = [
            script(part, alone=self.one(True, False)) for part in range(count) for _ in range(self.one(1, 2) if count < 3 else 1)
        ]
        return tuple(made[:3])

    def step(self) -> AStep:
        """Return a step of any kind."""
        kind = self.one("sql", "sql", "sql", "backfill", "check", "confirm")
        if kind == "check":
            return check()
        if kind == "confirm":
            return confirm(*["box"] * self.one(1, 2))
        has_undo = self.one("yes", "yes", "yes", "nothing", "none")
        no_undo = () if has_undo == "nothing" else None
        if kind == "backfill":
            if has_undo == "yes" and self.one("script", "batches") == "batches":
                return backfill((script(),), in_batches=True)
            return backfill(self.sources(self.one(1, 2)) if has_undo == "yes" else no_undo)
        forward = self.sources(self.one(1, 2, 3))
        return self.with_undo(forward) if has_undo == "yes" else AStep(scripts=forward, undo=no_undo)

    def with_undo(self, forward: tuple[Script, ...]) -> AStep:
        """Return a step that is undone as a whole, or source by source."""
        parts = 1 + max(s.part for s in forward)
        if parts > 1 and self.one(True, False):
            back = sorted(self.sources(parts), key=lambda s: -s.part)
            return AStep(scripts=forward, undo=tuple(back), paired={s.part for s in back} == set(range(parts)))
        return AStep(scripts=forward, undo=self.sources(self.one(1, 2, 3)))

    def task(self) -> ATask:
        """Return a task."""
        at, takes = (self.one(None, timedelta(minutes=self.chance.randint(0, 30))) for _ in range(2))
        return task(*self.times(0, 3, self.step), at=at, takes=takes)

    def rule(self) -> Approve:
        """Return whose agreement is needed, such that it can be had."""
        roles = tuple(self.chance.sample(("lead", "dba", "ops", "emil"), self.chance.randint(1, 3)))
        not_launcher = self.one(True, False)
        able = {name: person for name, person in PEOPLE.items() if name != LAUNCHER or not not_launcher}
        within = timedelta(minutes=self.one(1, 30, 24 * 60))
        made = [Approve(roles=roles, quorum=n, within=within, not_launcher=not_launcher) for n in (1, 2, 3)]
        return self.chance.choice([rule for rule in made if most_votes(rule, able) >= rule.quorum])

    def phase(self) -> APhase:
        """Return a phase."""
        boxes = ((), (), ("box",), ("box", "box"))
        return phase(
            *self.times(0, 3, self.task),
            soak=timedelta(minutes=self.one(0, 10)),
            on_failure=self.one("roll back", "hold"),
            approve=self.one(None, self.rule()),
            before=self.one(*boxes),
            after=self.one(*boxes),
        )

    def plan(self) -> Plan:
        """Return a plan."""
        levels: tuple[Level, ...] = tuple(self.chance.sample(_LEVELS, self.chance.randint(1, 4)))
        switch = Switch(sql=("s.sql",), prove=("c",))
        feature, data = (switch if name in levels else None for name in ("feature", "data"))
        return plan(
            *self.times(1, 3, self.phase),
            authority=self.one(None, self.rule()),
            backup=self.one(None, Backup(), Backup(after=True), Backup(each_phase=True), Backup(waived="snapshots")),
            rehearsal=self.one(None, None, Rehearsal(), Rehearsal(waived="small")),
            rollback=Rollback(levels=levels, reach=self.one("run", "phase"), feature=feature, data=data),
        )


# whatever happens to it


def comes_to_rest(world: World) -> None:
    """See that, from wherever it is, a run ends once nothing more goes wrong.

    Meanwhile a person settles what it cannot know, and everybody says go and ticks what they are asked to.
    """
    scripts = sum(step.units + len(step.undo or ()) for step in world.plan.steps)
    bound = 30 + 4 * scripts + 2 * len(world.plan.tasks)
    for _ in range(10 + 3 * len(world.plan.steps)):
        world.go_on(most=bound, until=lambda _: world.waits_for_people())
        rests(world)
        if world.state.held:
            if not world.settle():
                world.tell(Kind.RESUME, "ben")
        elif world.waits_for_people():
            world.everybody_agrees()
    assert world.state.status in AT_REST
    assert not world.state.held
    assert fold(world.events) == world.state


def rests(world: World) -> None:
    """See that a run that goes no further by itself has ended, holds for a reason, or waits for people and says for what."""
    if not world.waits_for_people():
        assert world.state.status in AT_REST or world.state.held.strip()
        return
    command = world.decide()
    assert isinstance(command, Wait)
    assert command.why.strip()
    # the clock may go back behind a time that had come: then that is waited for again, whoever was asked already
    assert command.until < world.now + A_LONG_TIME or all(box in command.why for box in world.boxes)


def says(world: World, person: str, decision: str, seal: str | None) -> None:
    """Let somebody vote, whoever they are; nobody who said no-go says go after it."""
    if any(vote.person == person and vote.decision == NO_GO for vote in world.state.gate.votes):
        world.tell(Kind.VOTE_REFUSED, person, person=person, decision=decision, why=f"{person} has voted already")
    else:
        world.vote(person, decision, seal=seal)


def answer(world: World, chance: Random, *ways: str) -> None:
    """Let somebody say something, whether they may or not."""
    state, person = world.state, chance.choice(ANYBODY)
    match chance.choice(("vote", "vote", "tick", "tick", "agree", "change", "everybody", *ways)):
        case "vote":
            says(world, person, chance.choice(DECISIONS), chance.choice((None, None, None, world.seal_of(0))))
        case "tick" if items := sorted(world.plan.items(state.phase)):
            world.confirm(chance.choice(items))
        case "agree":
            world.agree(person)
        case "refuse" if world.answers:
            world.refuse(chance.choice(world.answers))
        case "change":
            world.schema += 1
        case _ if world.waits_for_people():
            world.everybody_agrees()


def wander(made: Plan, chance: Random) -> World:
    """Let anything happen to a run, some sixty times."""
    world = World(plan=made, now=START - timedelta(minutes=chance.choice((0, 0, 30))))
    world.launch(at_once=chance.random() < 0.3)

    def choose(options: Sequence[str]) -> str:
        return options[0] if chance.random() < 0.5 else chance.choice(options)

    def between() -> None:
        if chance.random() < 0.08:
            world.tell(chance.choice(WISHES), "ben")
        if chance.random() < 0.08:
            answer(world, chance)  # nothing is refused meanwhile: whoever refuses is the runner itself
        if chance.random() < 0.03 and world.state.status in WATCHED:
            world.tell(Kind.TRIPPED, "watch", why="c: 3 of 5")

    for _ in range(60):
        if chance.random() < 0.12:
            faults = (
                world.refold,
                lambda: world.lose(chance.randint(1, 8)),
                lambda: taken_over(world, chance),
                lambda: jump(world, chance),
            )
            chance.choice(faults)()
        command = world.decide()
        if world.waits_for_people() and chance.random() < 0.9:
            answer(world, chance, "refuse")
        elif command is not None:
            world.carry_out(command, choose, between)
        else:
            prod(world, chance)
    return world


def prod(world: World, chance: Random) -> None:
    """Let a person do something about a run that goes no further by itself."""
    if world.state.status in (Status.READY, Status.NO_GO):
        world.launch()
    elif chance.random() < 0.5:
        world.settle()
    else:
        world.tell(chance.choice((Kind.RESUME, Kind.RESUME, *WISHES)), "ben")


def taken_over(world: World, chance: Random) -> None:
    """Let another process take the run over, and see that the first one, which knows nothing of it, commits nothing more."""
    first, command = world.runner, world.decide()
    world.refold()
    if command is None or isinstance(command, Wait):
        return
    target, rows = world.target, len(world.ledger.rows)
    here, undone = dict(target.effects), set(target.undone)
    world.ledger.fenced = True
    target.command, target.choose = command, chance.choice
    try:
        first.attempt(command)
    except (Fenced, Lost):
        pass
    finally:
        world.ledger.fenced, target.command = False, None
    assert len(world.ledger.rows) == rows, "a runner that was taken over from wrote into the ledger"
    # its transaction was rolled back with the event that it could not append
    forward = {effect for effect in target.effects.keys() - here.keys() if not _transactional(world.plan, effect)}
    back = {(n, i) for n, i in target.undone - undone if not (world.plan.steps[n].undo or ())[i].transactional}
    ran = forward or back
    assert not ran, f"a runner that was taken over from ran {ran}"
    target.effects, target.undone = here, undone


def _transactional(made: Plan, effect: tuple[int, str]) -> bool:
    step = made.steps[effect[0]]
    return step.kind != "sql" or step.scripts[int(effect[1])].transactional


def jump(world: World, chance: Random) -> None:
    """Let the server's clock be set, or be that of another server."""
    # set back, a soak that was over goes on: people who were asked for its checklist are asked for nothing meanwhile
    minutes = [1, 29, 31, 24 * 60] if world.state.status is Status.SOAKING else [-5, -1, 1, 29, 31, 24 * 60]
    world.now += timedelta(minutes=chance.choice(minutes))


def schedule(seed: int) -> None:
    """Let a run of any plan live through anything, and come to rest.

    Raises:
        AssertionError: a rule was broken.
    """
    chance = Random(seed)  # noqa: S311 - it is a test
    world = wander(PlanMaker(chance).plan(), chance)
    _hole_is_found(world, chance)
    comes_to_rest(world)


def _hole_is_found(world: World, chance: Random) -> None:
    """See that a ledger from which an event was removed is not taken for whole."""
    whole = list(world.ledger.rows)
    if len(whole) > 2:
        del world.ledger.rows[chance.randrange(len(whole) - 1)]
        assert world.ledger.problems(), "a hole in the ledger is not found"
        world.ledger.rows = whole


def broken(seeds: range) -> list[tuple[int, str]]:
    """Return the seeds that break a rule, each with the rule."""
    found = []
    for seed in seeds:
        try:
            schedule(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed is what counts
            found.append((seed, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))
    return found


def main() -> int:
    """Walk through many schedules, several at a time; print those that break a rule, and how many there were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="how many schedules (10,000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    given = parser.parse_args()
    began, size, bad = time.monotonic(), 500, 0
    end = given.first + given.count
    parts = [range(at, min(at + size, end)) for at in range(given.first, end, size)]
    with ProcessPoolExecutor(given.jobs) as pool:
        for found in pool.map(broken, parts):
            for seed, why in found:
                bad += 1
                print(f"seed {seed}: {why}", flush=True)
    print(f"{given.count:,} schedules from seed {given.first:,}: {bad} broke a rule; {time.monotonic() - began:,.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
