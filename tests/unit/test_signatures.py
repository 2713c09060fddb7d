"""On a protected target, a rehearsal and a backup that somebody wrote into the ledger spare nobody a rehearsal or a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.events import body
from support.plans import START, AStep, phase, plan, script, task
from support.world import World

from gonogo.core.engine.events import BackupProved, Body, Kind, PhaseStarted, RehearsalFound
from gonogo.core.engine.state import Status, outcome
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback
from gonogo.keys import Keys

pytestmark = pytest.mark.attack("forged runs and facts")
STEP = AStep(scripts=(script(),), undo=(script(),))


def guarded(tmp_path: Path, *, phases: int = 1) -> World:
    """A run on a protected target, which the project launched, and which needs a rehearsal and a backup for each phase."""
    made = plan(
        *(phase(task(STEP)) for _ in range(phases)),
        rehearsal=Rehearsal(),
        backup=Backup(each_phase=True),
        rollback=Rollback(levels=("restore", "undo"), reach="phase"),
    )
    world = World(plan=made.model_copy(update={"protected": True}), keys=Keys(file=tmp_path / "keys.json"))
    world.runner.append(PhaseStarted(phase="phase-0", through=phases - 1))
    return world


def rehearsal(world: World) -> RehearsalFound:
    return RehearsalFound(at=START, seal=world.seal, event=1, on="a copy")


def backup(**named: Any) -> BackupProved:
    made = body(Kind.BACKED_UP, **named)
    assert isinstance(made, BackupProved)
    return made


def gated(world: World, *found: Body, forged: bool) -> World:
    """Let the gate be judged once it has found something, or somebody wrote that it has."""
    for each in found:
        if forged:
            world.ledger.record(each, "gonogo")
            world.runner.sync()
        else:
            world.runner.append(each)
    world.go_on(until=lambda state: state.status is not Status.GATING)
    return world


def test_what_the_runner_found_counts(tmp_path: Path) -> None:
    world = guarded(tmp_path)
    gated(world, rehearsal(world), forged=False)
    assert world.state.status is Status.WORKING
    world.go_on()
    assert outcome(world.state) == "done"


@pytest.mark.parametrize("what", ["rehearsal", "backup"])
def test_a_rehearsal_or_a_backup_that_somebody_wrote_is_no_go(tmp_path: Path, what: str) -> None:
    world = guarded(tmp_path)
    if what == "rehearsal":
        gated(world, rehearsal(world), forged=True)
    else:
        world.runner.append(rehearsal(world))
        gated(world, backup(folder="backups/theirs"), forged=True)
    assert world.state.status is Status.NO_GO
    assert f"the {what} (event" in str(world.events[-1].body.why)
    # what somebody wrote does not stand in the way of the next launch
    world.runner.append(PhaseStarted(phase="phase-0"))
    gated(world, rehearsal(world), forged=False)
    assert outcome(world.state) == "working"


def test_a_rehearsal_of_an_earlier_launch_that_somebody_copied_is_no_go(tmp_path: Path) -> None:
    world = guarded(tmp_path)
    world.runner.append(rehearsal(world))
    genuine = world.events[-1].body
    world.tell(Kind.NO_GO, why="somebody said so")
    world.runner.append(PhaseStarted(phase="phase-0"))
    gated(world, genuine, forged=True)
    assert world.state.status is Status.NO_GO
    assert "is an older one: somebody copied it" in world.events[-1].body.why


def test_a_go_that_somebody_wrote_after_such_a_backup_holds(tmp_path: Path) -> None:
    world = guarded(tmp_path)
    world.runner.append(rehearsal(world))
    for each in (backup(folder="backups/theirs"), body(Kind.BASELINE), body(Kind.GO)):
        world.ledger.record(each, "gonogo")
    world.runner.sync()
    assert world.runner.next() is None
    assert "the backup (event" in world.state.held


def test_a_backup_that_somebody_wrote_is_not_restored(tmp_path: Path) -> None:
    world = guarded(tmp_path, phases=2)
    gated(world, rehearsal(world), forged=False)
    world.go_on()
    assert world.state.status is Status.READY
    world.runner.append(PhaseStarted(phase="phase-1", through=1))
    for each in (backup(folder="backups/theirs"), body(Kind.BASELINE), body(Kind.GO), body(Kind.DONE, step=1, script=0)):
        world.ledger.record(each, "gonogo")
    world.runner.sync()
    world.tell(Kind.ROLL_BACK, "ben", level="restore", back_to=1, accept_loss=False)
    assert (world.state.status, world.state.rollback.level) == (Status.ROLLING_BACK, "restore")
    assert world.runner.next() is None
    assert "the backup (event" in world.state.held


def test_what_a_person_answered_for_counts_though_nobody_signed_it(tmp_path: Path) -> None:
    world = guarded(tmp_path)
    world.ledger.record(rehearsal(world), "gonogo")
    world.runner.sync()
    world.runner.answered = world.state.seq
    world.runner.use_plan(world.plan)
    gated(world, forged=False)
    assert world.state.status is Status.WORKING
