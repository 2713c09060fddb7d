"""Work through a table in batches, and back, at a pace that the application does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from gonogo import clock
from gonogo.core.engine.commands import Command, Perform, RunUndo
from gonogo.core.engine.decide import notes_what_was_there
from gonogo.core.engine.events import BackfillPaced, BatchDone, Event, Held, UndoBatchDone, UndoDone
from gonogo.core.engine.marks import downtime_mark, script_done
from gonogo.core.engine.pace import Look, Pacer
from gonogo.core.plan.plan import PlannedBackfill, PlannedStep
from gonogo.run.context import Context
from gonogo.run.ports import Batches, BesideBackfill
from gonogo.run.steps import Outcome, sql

#: how often it is looked whether the batches change their own key, in batches
_OFTEN = 100
#: how long it waits at a time before it looks again, in seconds
_MOMENT = 0.5


@dataclass(kw_only=True)
class _Paced:
    """One backfill, or its undo, with what it goes by."""

    context: Context
    command: Command
    number: int
    pacer: Pacer
    beside: BesideBackfill
    batches: Batches
    #: whether it said that it stopped
    stopped: bool = False
    #: looks up to this one may not have seen the newest VACUUM
    vacuumed: int = -1

    def may_go_on(self) -> Iterator[Outcome]:
        """Wait while something is in the way of the next batch; the events that it yields say so, and that it goes on."""
        context = self.context
        while context.is_next(self.command):
            look = self.beside.look()
            self.pacer.look(look, context.state.work)
            if self.pacer.wants_vacuum(look) and look.number > self.vacuumed:
                self.batches.vacuum()
                # the counts are told late: what was seen before says nothing any more
                self.vacuumed = look.number + 5
                yield BackfillPaced(step=self.number, stopped=False, vacuumed=True)
            why = self.pacer.why_stopped(look, context.state.work)
            if bool(why) != self.stopped:
                self.stopped = bool(why)
                yield BackfillPaced(step=self.number, stopped=self.stopped, why=why)
            if not why:
                return
            context.target.wait(_MOMENT)
            context.sync()

    def after(self, rows: int, took: float) -> None:
        """Rest after a batch; whatever is more urgent ends that."""
        self.pacer.took(rows, took)
        work = self.context.state.work
        due = clock.monotonic() + self.pacer.rest(rows, took, work)
        while (left := due - clock.monotonic()) > 0 and self.context.is_next(self.command):
            if left < _MOMENT / 10:
                # an answer of the server takes longer to wait for than this
                clock.sleep(left)
                return
            self.context.target.wait(min(left, _MOMENT))
            self.context.sync()


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Run batches."""
    del index
    step = context.plan.steps[number]
    batches = context.target.batches(step)
    began, count, done = clock.monotonic(), 0, 0
    down = downtime_mark(context.plan, number)
    with closing(context.target.beside(step, context.baseline)) as beside:
        paced = _paced(context, step, Perform(number, 0), number, beside, batches)
        # by whatever is more urgent it is left: a hold, a trip, people who agreed to roll back
        while context.is_next(Perform(number, 0)):
            yield from paced.may_go_on()
            if not context.is_next(Perform(number, 0)):
                return
            cursor, look = context.state.work.cursor, beside.look()
            since = context.target.oldest_running() if notes_what_was_there(step) and cursor is None else ""
            seconds = round(clock.monotonic() - began, 3)
            body = BatchDone(
                step=number, upto=(), rows=0, seconds=seconds, done=done, of=batches.estimate, down=down, since=since
            )
            started = clock.monotonic()
            with beside.working():
                event = batches.run_next(count, cursor, _with_look(body, look), paced.pacer.size)
            if event is None:
                yield script_done(context.plan, number, rows=context.state.work.rows)
                return
            took = clock.monotonic() - started
            count += 1
            done += _rows_of(event)
            yield event
            rows = context.state.work.rows
            if count % _OFTEN == 0 and batches.rematches_own_rows(rows):
                table = step.backfill.table if step.backfill else ""
                why = f"{step.name}: its batches took {rows:,} rows, more than twice what {table} holds"
                yield Held(why=f"{why}. A batch that changes the key it works by never ends; work by another")
            paced.after(_rows_of(event), took)


def undo(context: Context, command: RunUndo) -> Iterator[Outcome]:
    """Take its batches back, the newest first; or run its undo script, where it has one."""
    step = context.plan.steps[command.step]
    if step.backfill is None or not step.backfill.undo_in_batches:
        yield from sql.undo(context, command)
        return
    batches = context.target.batches(step)
    down = downtime_mark(context.plan, command.step, back=True)
    with closing(context.target.beside(step, context.baseline)) as beside:
        paced = _paced(context, step, command, command.step, beside, batches)
        while context.is_next(command):
            yield from paced.may_go_on()
            if not context.is_next(command):
                return
            started = clock.monotonic()
            body = UndoBatchDone(step=command.step, batch=0, down=down)
            with beside.working():
                event = batches.undo_next(context.state.rollback.undo_batch, body)
            if event is None:
                yield UndoDone(step=command.step, script=command.script, last=True, down=down)
                return
            took = clock.monotonic() - started
            yield event
            paced.after(_rows_of(event), took)


def _paced(
    context: Context, step: PlannedStep, command: Command, number: int, beside: BesideBackfill, batches: Batches
) -> _Paced:
    known = step.backfill or PlannedBackfill(table="")
    pace = known.pace if beside.looks else known.pace.model_copy(update={"mode": "flat out"})
    pacer = Pacer(pace=pace, most=known.batch, probed=beside.probes)
    return _Paced(context=context, command=command, number=number, pacer=pacer, beside=beside, batches=batches)


def _with_look(body: BatchDone, look: Look) -> BatchDone:
    return body.replace(idle=_rounded(look.idle), read=_rounded(look.read), lag=_rounded(look.lag))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _rows_of(event: Event) -> int:
    return int(getattr(event.body, "rows", 0))


__all__ = ["perform", "undo"]
