"""On a protected target, a rehearsal and a backup that somebody wrote into the ledger spare nobody a rehearsal or a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.events import body
from support.plans import LAUNCHER, START, AStep, phase, plan, script, task
from support.world import World

from gonogo.core.engine.events import (
    BackupProved,
    Body,
    ItemConfirmed,
    Kind,
    PhaseStarted,
    RehearsalFound,
    Signed,
    VoteCast,
    write_body,
)
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import Status, outcome
from gonogo.core.model.people import Approve, Item
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.run.said import unsigned

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


def reopened(world: World) -> None:
    """Let another process go on with it: what somebody wrote while none worked on it is there."""
    world.runner = world._new_runner(fold(world.events))


def gated(world: World, *found: Body, forged: bool) -> World:
    """Let the gate be judged once it has found something, or somebody wrote that it has."""
    for each in found:
        if forged:
            world.ledger.record(each, "gonogo")
        else:
            world.runner.append(each)
    reopened(world)
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
    reopened(world)
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
    reopened(world)
    world.tell(Kind.ROLL_BACK, "ben", level="restore", back_to=1, accept_loss=False)
    assert (world.state.status, world.state.rollback.level) == (Status.ROLLING_BACK, "restore")
    assert world.runner.next() is None
    assert "the backup (event" in world.state.held


def test_what_a_person_answered_for_counts_though_nobody_signed_it(tmp_path: Path) -> None:
    world = guarded(tmp_path)
    world.ledger.record(rehearsal(world), "gonogo")
    reopened(world)
    world.runner.answered = world.state.seq
    world.runner.use_plan(world.plan)
    world.go_on(until=lambda state: state.status is not Status.GATING)
    assert world.state.status is Status.WORKING


@pytest.mark.parametrize("kind", [Kind.GO, Kind.WORK_DONE, Kind.VERIFIED, Kind.RUN_DONE, Kind.BACKED_UP])
def test_a_process_does_not_go_along_with_what_somebody_writes_meanwhile_as_a_runner(tmp_path: Path, kind: Kind) -> None:
    world = guarded(tmp_path)
    world.ledger.record(body(kind), "gonogo")
    with pytest.raises(Refused, match="is not signed with this project's key"):
        world.runner.sync()


def test_a_go_that_somebody_wrote_begins_no_work(tmp_path: Path) -> None:
    world = guarded(tmp_path)
    world.runner.append(rehearsal(world))
    world.runner.append(backup())
    for each in (body(Kind.BASELINE), body(Kind.GO)):
        world.ledger.record(each, "gonogo")
    reopened(world)
    assert world.state.status is Status.WORKING
    assert world.runner.next() is None
    assert "the go (event" in world.state.held


def signed_by(world: World, person: str, said: Signed) -> int:
    """Let a person write into the ledger what no command would have taken from them, with their own signature."""
    dated = said.replace(person=person, proved=True, said_at=world.ledger.now(), launch=2)
    whole = {**write_body(dated), "run": "example-1"}
    return world.ledger.record(dated.replace(signature=world.keys.sign(person, whole)), person).seq


def test_what_a_person_signs_counts_only_where_it_is_theirs_to_say(tmp_path: Path) -> None:
    made = plan(phase(task(STEP), approve=Approve(roles=("lead", "dba"), quorum=1, not_launcher=True), before=("box",)))
    boxed = made.phases[0].model_copy(update={"before": (Item(item="box", title="Box", owner="dba", evidence=True),)})
    made = made.model_copy(update={"protected": True, "phases": (boxed,)})
    world = World(plan=made, keys=Keys(file=tmp_path / "keys.json"))
    launcher, dba, ops = LAUNCHER, "carla", "dora"
    for person in made.people:
        world.keys.enroll(person)
    world.runner.append(PhaseStarted(phase="phase-0", person=launcher))
    vote: dict[str, Any] = {"on": "phase-0", "decision": "go", "seal": "s", "asked": 3}
    tried = {
        signed_by(world, launcher, VoteCast(**vote)): "the launcher does not decide here",
        signed_by(world, ops, VoteCast(**vote)): "holds none of the roles that decide here",
        signed_by(world, launcher, ItemConfirmed(item="box", evidence="seen")): "box is not",
        signed_by(world, dba, ItemConfirmed(item="box")): "without evidence",
        signed_by(world, dba, ItemConfirmed(item="no such box")): "no such box is not",
    }
    fine = [
        signed_by(world, dba, VoteCast(**vote)),
        signed_by(world, dba, ItemConfirmed(item="box", evidence="it")),
    ]

    found = dict(unsigned(world.ledger, "example-1", made, world.keys, [*tried, *fine]))

    assert found.keys() == tried.keys()
    for seq, why in tried.items():
        assert why in found[seq]
