"""The ledger in memory, which the unit tests run on, keeps the same promises as the real one in PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from support.events import body
from support.memory import MemoryLedger
from support.plans import phase, plan, sql, task
from support.prepared import prepare
from support.servers import Server

from gonogo.core.engine.events import Body, Kind, RunOpened, WorkDone
from gonogo.core.engine.evolve import fold
from gonogo.errors import Fenced, Refused
from gonogo.keys import Keys
from gonogo.ledger import standing, store
from gonogo.planning.load import load_runbook
from gonogo.postgres.connection import Database
from gonogo.project import Project
from gonogo.run.acquire import acquire_run
from gonogo.run.begin import begin
from gonogo.run.ports import Ledger

BOOK = """
runbook: book
targets: {main: {database: $TARGET_URL}}
phases: [{phase: one, tasks: [{task: one, title: One, steps: [{sql: one.sql, undo: nothing}]}]}]
"""
ANYBODYS = (Kind.HOLD, Kind.PACE, Kind.RESUME, Kind.ABORT, Kind.ROLL_BACK, Kind.VOTE, Kind.CONFIRMED, Kind.ACKNOWLEDGED)
RUNNERS = [kind for kind in Kind if kind not in {*ANYBODYS, Kind.RUN_OPENED, Kind.REHEARSED, Kind.RUN_SIGNED, Kind.TAKEN_OVER}]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A ledger of a run that was opened, and what others may do to it."""

    ledger: Ledger
    say: Callable[[Body], None]
    take_over: Callable[[], None]
    tamper: Callable[[int], None]


def in_memory() -> Iterator[Kept]:
    ledger = MemoryLedger()
    ledger.record(body(Kind.RUN_OPENED), "tester")

    def take_over() -> None:
        ledger.fenced = True

    def tamper(seq: int) -> None:
        ledger.rows[seq - 1].data["why"] = "it was not so"

    yield Kept(ledger=ledger, say=lambda said: void(ledger.record(said, "ada@desk")), take_over=take_over, tamper=tamper)


def void(_: object) -> None:
    """Return nothing."""


@contextmanager
def in_postgres(server: Server, project: Path) -> Iterator[Kept]:
    file = project / "runbooks" / "book.yaml"
    database = Database(url=server.database())
    prepared = prepare(load_runbook(file), file, Project(root=project))
    with database.connect("gonogo/begin") as connection:
        run, *_ = begin(connection, prepared, "tester")
    keys = Keys(file=project / "keys.json")
    runner = acquire_run(database, run, actor="tester", keys=keys)

    def say(said: Body) -> None:
        with database.connect("gonogo/request") as connection:
            store.append(connection, run, said, "ada@desk")

    def take_over() -> None:
        acquire_run(database, run, actor="another", keys=keys, take_over=True).close()

    def tamper(seq: int) -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER ALL")
            connection.execute("""UPDATE gonogo.event SET body = '{"why": "it was not so"}' WHERE seq = %s""", [seq])

    try:
        yield Kept(ledger=runner.ledger, say=say, take_over=take_over, tamper=tamper)
    finally:
        runner.close()


@pytest.fixture(params=["memory", "18", "15"])
def kept(request: pytest.FixtureRequest, make_project: Callable[..., Path]) -> Iterator[Kept]:
    """Each ledger there is."""
    if request.param == "memory":
        yield from in_memory()
        return
    server = request.getfixturevalue("server" if request.param == "18" else "server_15")
    with in_postgres(server, make_project(BOOK, one__sql="SELECT 1")) as found:
        yield found


def test_what_is_appended_is_read_in_its_order_numbered_without_a_gap(kept: Kept) -> None:
    begun = len(kept.ledger.read())
    appended = [kept.ledger.append(body(kind)) for kind in RUNNERS]
    events = kept.ledger.read()
    assert [event.seq for event in events] == list(range(1, begun + len(RUNNERS) + 1))
    assert isinstance(events[0].body, RunOpened)
    assert [(event.seq, event.body) for event in events[begun:]] == [(event.seq, event.body) for event in appended]
    assert [event.body for event in events[begun:]] == [body(kind) for kind in RUNNERS]
    assert {event.actor for event in events[begun:]} == {appended[0].actor}


def test_only_what_is_new_is_read_after_a_number(kept: Kept) -> None:
    known = kept.ledger.read()[-1].seq
    first, second = (kept.ledger.append(body(kind)) for kind in (Kind.WORK_DONE, Kind.VERIFIED))
    assert [event.seq for event in kept.ledger.read(known)] == [first.seq, second.seq]
    assert [event.seq for event in kept.ledger.read(first.seq)] == [second.seq]
    assert kept.ledger.read(second.seq) == []


@pytest.mark.parametrize("kind", ANYBODYS)
def test_what_others_say_stands_between_what_the_runner_records(kept: Kept, kind: Kind) -> None:
    first = kept.ledger.append(WorkDone())
    kept.say(body(kind))
    last = kept.ledger.append(WorkDone())
    (said,) = (event for event in kept.ledger.read() if first.seq < event.seq < last.seq)
    assert (said.actor, said.body) == ("ada@desk", body(kind))


def test_an_event_is_read_alone_and_as_it_lies_there_which_is_what_a_signature_covers(kept: Kept) -> None:
    kept.say(body(Kind.VOTE, person="ada", comment="é\u2028 'quoted'"))
    newest = kept.ledger.read()[-1]
    assert kept.ledger.event(newest.seq) == newest
    assert kept.ledger.data(newest.seq)["comment"] == "é\u2028 'quoted'"
    with pytest.raises(Refused, match="no event"):
        kept.ledger.event(newest.seq + 1)


def test_whoever_was_taken_over_records_nothing_more(kept: Kept) -> None:
    kept.take_over()
    before = [event.kind for event in kept.ledger.read()]
    with pytest.raises(Fenced):
        kept.ledger.append(WorkDone())
    assert [event.kind for event in kept.ledger.read()] == before


def test_an_event_that_was_changed_afterwards_is_found(kept: Kept) -> None:
    changed = kept.ledger.append(body(Kind.HELD, why="it is so"))
    kept.ledger.append(WorkDone())
    assert kept.ledger.problems() == []
    kept.tamper(changed.seq)
    (problem,) = kept.ledger.problems()
    assert f"event {changed.seq}" in problem
    assert "was changed" in problem


def test_no_rehearsal_and_no_other_run_is_there_before_there_was_one(kept: Kept) -> None:
    assert kept.ledger.newest_rehearsal() is None
    assert kept.ledger.later_runs(datetime.fromisoformat("2020-01-01T00:00:00+00:00")) == []


def _story(chance: random.Random, length: int) -> Iterator[Body]:
    """Events as a run under a watch has them: many batches, scripts and samples, and what people say in between."""
    step, key, script = 0, 0, 0
    yield body(Kind.PHASE_STARTED, phase="one")
    yield body(Kind.GO)
    for _ in range(length):
        what = chance.choices(
            ("batch", "sample", "script", "hold", "resume", "taken over", "pace", "waited", "next"), (9, 9, 6, 1, 1, 1, 1, 1, 1)
        )[0]
        match what:
            case "batch" | "waited":
                key += 1
                waited = 0.5 if what == "waited" else 0.0
                named = {"upto": (str(key),), "rows": chance.randint(1, 9), "batch": key, "seconds": key * 0.1, "done": key * 5}
                yield body(Kind.BATCH, step=step, of=chance.randint(0, 99), others_waited=waited, **named)
            case "sample":
                yield body(Kind.SAMPLE)
            case "script":
                script += 1
                yield body(Kind.DONE, step=step, script=script, last=False)
            case "next":
                step, script = step + 1, 0
                yield body(Kind.DONE, step=step - 1, last=True, rows=3)
            case "hold":
                yield body(Kind.HOLD, why="lunch")
            case "resume":
                yield body(Kind.RESUME)
            case "taken over":
                yield body(Kind.TAKEN_OVER, epoch=2)
            case _:
                yield body(Kind.PACE, says=chance.choice(("slower", "pause", "go on")))


@pytest.mark.parametrize("seed", range(25))
def test_the_few_events_that_say_where_a_run_stands_lead_where_all_of_them_do(server: Server, seed: int) -> None:
    chance, database = random.Random(seed), Database(url=server.database())  # noqa: S311 - told by its seed
    with database.connect("test") as connection:
        store.create(connection)
        made = plan(phase(task(*[sql()] * 60)))
        run = store.open_run(connection, made, {}, "tester")
        for each in _story(chance, chance.randint(5, 120)):
            store.append(connection, run, each, "tester")
        every, few = store.read(connection, run), standing.read_state(connection, run)
    assert fold(few) == fold(every)
    assert len(few) < len(every) or len(every) < 20
