"""What is sent of a run as spans is what its events say, each inside of what it belongs to."""

from __future__ import annotations

from support.plans import phase, plan, sql, task
from support.world import World

from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.state import State, Status
from gonogo.telemetry.spans import Span, Spans


class Traced(World):
    """A run and its spans."""

    made: list[Span]

    def __post_init__(self) -> None:
        self.made, self.spans = [], Spans(self.plan, "r-1")
        super().__post_init__()

    def _see(self, before: State, event: Event, after: State) -> None:
        super()._see(before, event, after)
        self.made += self.spans.take_in(before, event, after)

    def named(self) -> list[str]:
        return [span.name for span in self.made]


def traced(on_failure: str = "roll back") -> Traced:
    world = Traced(plan=plan(phase(task(sql(), sql()), task(sql()), on_failure=on_failure)))
    world.launch()
    return world


def require_one_in_the_other(made: list[Span]) -> None:
    by_id = {span.id: span for span in made}
    assert len(by_id) == len(made), "no id is there twice"
    for span in made:
        assert span.begins <= span.ends
        if span.parent:
            parent = by_id[span.parent]
            assert parent.trace == span.trace
            assert parent.begins <= span.begins, (parent.name, span.name)
            assert span.ends <= parent.ends, (parent.name, span.name)
    (root,) = [span for span in made if not span.parent]
    assert root is made[-1]


def test_a_run_is_a_gate_tasks_with_their_scripts_a_verification_and_a_watch() -> None:
    world = traced()
    world.go_on()
    assert world.state.status is Status.DONE
    require_one_in_the_other(world.made)
    names = world.named()
    assert names[0] == "gate"
    assert names[-3:] == ["verify", "watch", "gonogo example"]
    by_id = {span.id: span for span in world.made}
    scripts = [span for span in world.made if "gonogo.step" in span.attributes]
    assert len(scripts) == 3
    tasks = [world.plan.task(step.task).title for step in world.plan.steps]
    assert [by_id[span.parent].name for span in scripts] == tasks
    assert not any(span.error for span in world.made)
    assert world.made[-1].attributes["gonogo.outcome"] == "run done"


def test_a_run_that_rolls_back_says_why_and_what_it_undid() -> None:
    world = traced()
    world.go_on(until=lambda state: state.work.step == 2)
    world.tell(Kind.ROLL_BACK, "ben", why="enough")
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    require_one_in_the_other(world.made)
    assert [span.name.startswith("undo ") for span in world.made].count(True) == 2
    root = world.made[-1]
    assert root.error == "enough"
    assert root.attributes["gonogo.outcome"] == "rollback proved"
    assert [what for _, what, _ in root.marks] == ["roll back"]
    assert [by for _, _, by in root.marks] == ["ben"]


def test_a_gate_that_says_no_is_all_there_is() -> None:
    world = traced()
    world.tell(Kind.NO_GO, why="orphans: 3 is not = 0")
    assert world.named() == ["gate", "gonogo example"]
    assert {span.error for span in world.made} == {"orphans: 3 is not = 0"}


def test_a_second_launch_is_a_trace_of_its_own() -> None:
    world = traced()
    world.tell(Kind.NO_GO, why="no")
    world.launch()
    world.go_on()
    assert len({span.trace for span in world.made}) == 2
    assert len({(span.trace, span.id) for span in world.made}) == len(world.made)


def test_what_goes_on_in_another_process_has_the_same_ids() -> None:
    first, second = traced(), traced()
    for world in (first, second):
        world.go_on()
    ids = [[(span.trace, span.id, span.parent) for span in world.made] for world in (first, second)]
    assert ids[0] == ids[1] != []
