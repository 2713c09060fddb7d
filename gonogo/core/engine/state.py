"""Where a run stands, and the one table that says what may follow.

The table is the specification: `docs/states.md` is generated from it, and the engine does what it says.
An event that the table does not name in a status is recorded and changes nothing:
a `hold` that arrives after the run has ended, say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from gonogo.core.engine.events import BackupProved, BaselineMeasured, Event, Kind, RehearsalFound, RollbackAsked
from gonogo.core.engine.loss import LossState
from gonogo.core.engine.work import WorkState
from gonogo.core.model.people import NO_GO, Vote


class Status(StrEnum):
    """What a run is doing."""

    READY = "ready"
    GATING = "gating"
    DECIDING = "deciding"
    WORKING = "working"
    VERIFYING = "verifying"
    SOAKING = "soaking"
    ROLLING_BACK = "rolling back"
    PROVING = "proving"
    DONE = "done"
    NO_GO = "no-go"
    ROLLED_BACK = "rolled back"


#: a run in one of these changes something, or watches what it changed
CHANGING = frozenset({Status.WORKING, Status.VERIFYING, Status.SOAKING})
#: a run in one of these can be left alone
AT_REST = frozenset({Status.READY, Status.DONE, Status.NO_GO, Status.ROLLED_BACK})
#: ... and in one of these it is over
ENDED = frozenset({Status.DONE, Status.NO_GO, Status.ROLLED_BACK})
ROLLING_BACK_STATES = frozenset({Status.ROLLING_BACK, Status.PROVING})
_BEFORE_WORK = frozenset({Status.READY, Status.GATING, Status.DECIDING, Status.NO_GO})
#: what nobody says of a run who does not build it
_IN_WORDS = {Status.GATING: "checking its gate", Status.DECIDING: "waiting for go or no-go"}
#: the levels after which what was done is still there
SWITCH_LEVELS = frozenset({"feature", "data"})


class Edge(NamedTuple):
    """From a status, by an event, to a status; and when that is."""

    source: Status
    kind: Kind
    target: Status
    when: str


_S, _K = Status, Kind
EDGES: tuple[Edge, ...] = (
    Edge(_S.READY, _K.PHASE_STARTED, _S.GATING, "someone launches the next phase"),
    Edge(_S.READY, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls back a run that waits between its phases"),
    Edge(_S.READY, _K.ABORT, _S.ROLLING_BACK, "a person ends a run that waits between its phases, for good"),
    Edge(_S.NO_GO, _K.PHASE_STARTED, _S.GATING, "someone launches a phase again whose gate said no-go"),
    Edge(_S.NO_GO, _K.ROLL_BACK, _S.ROLLING_BACK, "a later phase got no-go, and a person rolls back the earlier ones"),
    Edge(_S.GATING, _K.BASELINE, _S.GATING, "the checks and the schema are measured before the first change"),
    Edge(_S.GATING, _K.REHEARSAL_FOUND, _S.GATING, "what is known of the rehearsal of just this plan is looked up"),
    Edge(_S.GATING, _K.BACKED_UP, _S.GATING, "a backup was taken, restored and found to be what was there"),
    Edge(_S.GATING, _K.GO, _S.WORKING, "every criterion passes"),
    Edge(_S.GATING, _K.NO_GO, _S.NO_GO, "a criterion does not pass; this phase changed nothing"),
    Edge(_S.GATING, _K.ASKED, _S.DECIDING, "every criterion passes, and people are asked"),
    Edge(_S.GATING, _K.ABORT, _S.ROLLING_BACK, "a person ends it at the gate; what earlier phases did is undone"),
    Edge(_S.GATING, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls back at the gate what earlier phases did"),
    Edge(
        _S.DECIDING, _K.VOTE, _S.DECIDING, "a person says go or no-go; a vote on anything but the current question is not counted"
    ),
    Edge(
        _S.DECIDING, _K.ASKED, _S.DECIDING, "what they were asked about has changed: every vote is void, and they are asked again"
    ),
    Edge(_S.DECIDING, _K.BASELINE, _S.DECIDING, "enough people said go: the state that a rollback leads to is measured again"),
    Edge(_S.DECIDING, _K.GO, _S.WORKING, "enough people said go, every item is confirmed, and every criterion still passes"),
    Edge(_S.DECIDING, _K.NO_GO, _S.NO_GO, "one person said no-go, their time is over, or a criterion does not pass any more"),
    Edge(_S.DECIDING, _K.ABORT, _S.ROLLING_BACK, "a person ends it at the gate; what earlier phases did is undone"),
    Edge(_S.DECIDING, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls back at the gate what earlier phases did"),
    Edge(_S.WORKING, _K.ASKED, _S.WORKING, "the next step waits for people to confirm something"),
    Edge(_S.WORKING, _K.STARTED, _S.WORKING, "a script that cannot be transactional is about to run: from now on it is in doubt"),
    Edge(_S.WORKING, _K.DONE, _S.WORKING, "a script committed, together with this event"),
    Edge(_S.WORKING, _K.NOT_DONE, _S.WORKING, "a script in doubt is found not to have happened"),
    Edge(_S.WORKING, _K.BATCH, _S.WORKING, "a batch of a backfill committed, together with its cursor"),
    Edge(_S.WORKING, _K.PACED, _S.WORKING, "a backfill stops by itself, so that the application does not notice it, or goes on"),
    Edge(_S.WORKING, _K.WARNED, _S.WORKING, "the server warned of something as a script ran"),
    Edge(_S.WORKING, _K.FAILED, _S.ROLLING_BACK, "a step failed, and its phase says roll back (the default)"),
    Edge(_S.WORKING, _K.WORK_DONE, _S.VERIFYING, "every step of the phase is done"),
    Edge(_S.WORKING, _K.TRIPPED, _S.ROLLING_BACK, "the watch tripped"),
    Edge(_S.WORKING, _K.ABORT, _S.ROLLING_BACK, "a person ends the run for good"),
    Edge(_S.WORKING, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls the run back"),
    Edge(_S.VERIFYING, _K.VERIFIED, _S.SOAKING, "every check of `verify` passes"),
    Edge(_S.VERIFYING, _K.VERIFY_FAILED, _S.ROLLING_BACK, "a check of `verify` fails"),
    Edge(_S.VERIFYING, _K.TRIPPED, _S.ROLLING_BACK, "the watch tripped"),
    Edge(_S.VERIFYING, _K.ABORT, _S.ROLLING_BACK, "a person ends the run for good"),
    Edge(_S.VERIFYING, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls the run back"),
    Edge(_S.SOAKING, _K.TRIPPED, _S.ROLLING_BACK, "the watch tripped during the soak"),
    Edge(_S.SOAKING, _K.ASKED, _S.SOAKING, "the soak is over, and the checklist after it waits for people"),
    Edge(_S.SOAKING, _K.BACKED_UP, _S.SOAKING, "the backup after the change was taken, restored and found to be what is there"),
    Edge(_S.SOAKING, _K.PHASE_DONE, _S.READY, "the soak is over, and another phase follows"),
    Edge(_S.SOAKING, _K.RUN_DONE, _S.DONE, "the soak of the last phase is over"),
    Edge(_S.SOAKING, _K.ABORT, _S.ROLLING_BACK, "a person ends the run for good"),
    Edge(_S.SOAKING, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls the run back"),
    Edge(_S.DONE, _K.VOTE, _S.DONE, "a person approves the rollback of a finished run"),
    Edge(_S.DONE, _K.VOTE_REFUSED, _S.DONE, "an approval is not counted, with the reason"),
    Edge(_S.NO_GO, _K.VOTE_REFUSED, _S.NO_GO, "an approval is not counted, with the reason"),
    Edge(_S.NO_GO, _K.VOTE, _S.NO_GO, "a person approves rolling back what earlier phases did"),
    Edge(_S.DONE, _K.ROLL_BACK, _S.ROLLING_BACK, "a person rolls back a finished run"),
    Edge(_S.ROLLING_BACK, _K.STARTED, _S.ROLLING_BACK, "a script had begun as the rollback began: it is in doubt"),
    Edge(
        _S.ROLLING_BACK, _K.DONE, _S.ROLLING_BACK, "a script committed as the rollback began, or is found to have; it is undone"
    ),
    Edge(_S.ROLLING_BACK, _K.NOT_DONE, _S.ROLLING_BACK, "a script in doubt is found not to have happened"),
    Edge(_S.ROLLING_BACK, _K.BATCH, _S.ROLLING_BACK, "a batch committed as the rollback began: it is undone too"),
    Edge(_S.ROLLING_BACK, _K.FAILED, _S.ROLLING_BACK, "a step failed as the rollback began: what it left is undone too"),
    Edge(_S.ROLLING_BACK, _K.LOSS_COUNTED, _S.ROLLING_BACK, "the rows that the next undo or restore would destroy are counted"),
    Edge(_S.ROLLING_BACK, _K.SWITCHED, _S.ROLLING_BACK, "a script of the level committed, together with this event"),
    Edge(_S.ROLLING_BACK, _K.RESTORED, _S.PROVING, "the backup was restored in place of the database"),
    Edge(_S.ROLLING_BACK, _K.ROLL_BACK, _S.ROLLING_BACK, "a person takes another level"),
    Edge(_S.PROVING, _K.ROLL_BACK, _S.ROLLING_BACK, "the proof failed, and a person rolls back by another level"),
    Edge(_S.ROLLED_BACK, _K.ROLL_BACK, _S.ROLLING_BACK, "what the run did is still there, and a person rolls back further"),
    Edge(_S.ROLLING_BACK, _K.UNDO_STARTED, _S.ROLLING_BACK, "an undo that cannot be transactional is about to run"),
    Edge(_S.ROLLING_BACK, _K.UNDO_BATCH, _S.ROLLING_BACK, "the undo of one batch of a backfill committed"),
    Edge(_S.ROLLING_BACK, _K.PACED, _S.ROLLING_BACK, "the undo of a backfill stops by itself, or goes on"),
    Edge(_S.ROLLING_BACK, _K.WARNED, _S.ROLLING_BACK, "the server warned of something as an undo ran"),
    Edge(_S.ROLLING_BACK, _K.UNDONE, _S.ROLLING_BACK, "an undo script committed, together with this event"),
    Edge(
        _S.ROLLING_BACK, _K.UNDO_FAILED, _S.ROLLING_BACK, "an undo failed: *rollback failed*, the run holds, a person is needed"
    ),
    Edge(_S.ROLLING_BACK, _K.ALL_UNDONE, _S.PROVING, "everything that was done is undone"),
    Edge(_S.PROVING, _K.PROVED, _S.ROLLED_BACK, "the first checks pass again and the schema is what it was"),
    Edge(_S.PROVING, _K.PHASE_PROVED, _S.READY, "a later phase is as it was before it began; it can be launched again"),
    Edge(
        _S.PROVING, _K.NOT_PROVED, _S.PROVING, "something is not as before: *rollback failed*, the run holds, a person is needed"
    ),
)
NEXT: Mapping[tuple[Status, Kind], Status] = {(edge.source, edge.kind): edge.target for edge in EDGES}
#: events that are heard in every status that is not an end, and do not change it
ANYWHERE: Mapping[Kind, str] = {
    _K.HOLD: "a person asks the run to stop before its next step and keep everything",
    _K.HELD: "gonogo itself holds the run, with the reason: a check without an answer, a step in doubt, "
    "or a failed step where the phase says hold",
    _K.PACE: "a person makes the backfill under way slower or faster, pauses it, or lets it go on",
    _K.RESUME: "a person lets a held run go on",
    _K.TAKEN_OVER: "another process goes on with the run, under a higher epoch",
    _K.LEDGER_LOST: "the server came back without its newest commits, or was restored; the run goes on from what is there",
    _K.SAMPLE: "the watch took a sample",
    _K.OVERRUN: "rolling back takes longer than its budget; it goes on, and people are told",
    _K.ACKNOWLEDGED: "a person acknowledges what the run needs people for; nobody else is called",
    _K.WOULD_TRIP: "the watch tripped, and its rule only sends an update",
    _K.CONFIRMED: "a person confirms an item of a checklist",
    _K.VOTE: "a person approves a rollback that needs more than one person",
    _K.VOTE_REFUSED: "a vote is not counted, with the reason",
}
#: what a person cannot ask for alone where the runbook names an authority
NEEDS_APPROVAL = frozenset({_K.ROLL_BACK, _K.ABORT})


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What people were asked, and until when."""

    seq: int
    at: datetime
    #: what their answer stands for: the plan, the target and its schema
    seal: str = ""
    deadline: datetime | None = None
    #: the step that waits for them, if it is a step
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something that needs people, and that nobody has acknowledged."""

    seq: int
    at: datetime
    why: str
    #: the checks that it is about, if it is about any
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlanRules:
    """What the plan says of the rollback."""

    #: a person's rollback needs others to approve
    authority: bool = False
    #: the levels, in the runbook's order
    levels: tuple[str, ...] = ("undo",)
    #: how far the run rolls back where nobody says otherwise: the `run`, or the `phase`
    reach: str = "run"


@dataclass(frozen=True, kw_only=True)
class GateState:
    """The launch of the phase, and what people say at its gate."""

    #: the event that launched the phase, and who did: a person of the runbook, or somebody on some machine
    launched: int = 0
    launcher: str = ""
    #: the launch said not to wait for clock times
    at_once: bool = False
    #: why it may start outside its window; and why beyond its budgets, which is for one phase only
    override: str = ""
    budget_override: str = ""
    asked: Asked | None = None
    votes: tuple[Vote, ...] = ()
    #: the items that are confirmed, with the event that confirmed each
    confirmed: Mapping[str, int] = field(default_factory=dict)
    #: the event that let the phase begin, or why it may not
    go_seq: int = 0
    no_go: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was measured, saved and rehearsed."""

    #: before the first change
    baseline: BaselineMeasured = field(default_factory=BaselineMeasured)
    #: whether that was measured since the phase was launched
    measured: bool = False
    #: as each later phase began
    starts: Mapping[int, BaselineMeasured] = field(default_factory=dict)
    #: the rehearsal of just this plan; None before it was looked up
    rehearsed: RehearsalFound | None = None
    #: the backups that were proved for this run, by the phase that each was taken before
    backups: Mapping[int, BackupProved] = field(default_factory=dict)
    backed_up_after: bool = False


@dataclass(frozen=True, kw_only=True)
class RollbackState:
    """The rollback: why, how far, by which level, and how far it is."""

    #: the event that began it, and when
    seq: int = 0
    at: datetime | None = None
    cause: str = ""
    level: str = "undo"
    #: the phase whose start it leads to
    back_to: int = 0
    #: how many undo scripts of the step that is being undone are done; whether one is in doubt, and the event that began it first
    undo: int = 0
    undo_started: bool = False
    undo_attempt: int = 0
    #: the batch of the backfill in work that was undone last
    undo_batch: int = 0
    #: how many scripts of a level that has its own are done
    switched: int = 0
    loss: LossState = field(default_factory=LossState)
    failed: bool = False
    #: people know that it takes longer than its budget
    over_budget: bool = False


@dataclass(frozen=True, kw_only=True)
class DowntimeState:
    """How long the application was down, and since when it is (gonogo/core/engine/budgets.py)."""

    total: timedelta = timedelta(0)
    since: datetime | None = None
    locked_since: datetime | None = None
    #: people know that the budget is spent
    over_budget: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands: the fold of its events, and all that `decide` looks at."""

    status: Status = Status.READY
    #: the newest event, and when it was; when the run was opened; and when an event last changed anything
    seq: int = 0
    at: datetime | None = None
    opened_at: datetime | None = None
    changed_at: datetime | None = None
    #: the phase in work, or the next one; when it was launched; and since when it soaks
    phase: int = 0
    phase_at: datetime | None = None
    soak_from: datetime | None = None
    #: whether any script of this run has changed the target
    changed: bool = False
    #: why it is held, and since when
    held: str = ""
    held_at: datetime | None = None
    #: the steps that acted beyond the database in what the ledger lost, each with the event by which that began
    lost: Mapping[int, int] = field(default_factory=dict)
    #: who approved a rollback
    approvals: tuple[Vote, ...] = ()
    #: what needs people now, until somebody acknowledges it
    alarm: Alarm | None = None
    rules: PlanRules = PlanRules()
    work: WorkState = field(default_factory=WorkState)
    gate: GateState = GateState()
    known: Known = Known()
    rollback: RollbackState = RollbackState()
    downtime: DowntimeState = DowntimeState()

    @property
    def backup(self) -> BackupProved | None:
        """The backup that a restore would put back; while nothing is rolled back, the newest one."""
        newest = max(self.known.backups, default=0)
        return self.known.backups.get(self.rollback.back_to if self.status in ROLLING_BACK_STATES else newest)

    @property
    def start(self) -> BaselineMeasured | None:
        """What was measured where the rollback leads to."""
        return self.known.starts.get(self.rollback.back_to) if self.rollback.back_to else self.known.baseline

    @property
    def why(self) -> str:
        """Why it is held, goes back or went back, or was not let in; nothing while all is well."""
        return self.held or self.rollback.cause or self.gate.no_go

    @property
    def phase_rolled_back(self) -> bool:
        """Whether its newest phase was rolled back by itself."""
        return self.status is Status.READY and self.rollback.seq > self.gate.launched

    @property
    def begun(self) -> int:
        """The newest phase that did anything, or may have."""
        return max(0, self.phase - 1) if self.status in _BEFORE_WORK else self.phase

    @property
    def at_rest(self) -> bool:
        """Whether nothing happens until a person acts."""
        return bool(self.held) or self.status in AT_REST


def takes_effect(state: State, event: Event) -> bool:
    """Say whether an event changes anything where a run stands."""
    body = event.body
    if event.kind is Kind.GO and any(vote.decision == NO_GO for vote in state.gate.votes):
        return False  # it came while the criteria were measured for the last time
    if isinstance(body, RollbackAsked):
        if state.rules.authority and state.changed and not body.agreed:
            return False
        further = state.status in ROLLING_BACK_STATES or state.status is Status.ROLLED_BACK
        if event.kind is Kind.ROLL_BACK and further:
            return goes_further(state, body.level, body.back_to)
    return (state.status, event.kind) in NEXT or (event.kind in ANYWHERE and state.status not in ENDED)


def goes_further(state: State, level: str, back_to: int | None = None) -> bool:
    """Say whether a run that rolls back, or has been switched off, can take another level.

    Args:
        state: where it stands.
        level: the other level; where it only leads further back, the runbook's first without one.
        back_to: the phase whose start it leads to; the same as now without one.
    """
    now = state.rollback
    to = now.back_to if back_to is None else back_to
    wider = to < now.back_to
    if to > now.back_to or (level and level not in available_levels(state, to)):
        return False
    if not wider and (not level or level == now.level or (level in SWITCH_LEVELS and now.level not in SWITCH_LEVELS)):
        return False
    if state.status in ROLLING_BACK_STATES:
        return now.failed or bool(state.held)
    return state.status is Status.ROLLED_BACK and now.level in SWITCH_LEVELS


def available_levels(state: State, back_to: int) -> tuple[str, ...]:
    """Return the levels that lead back to the start of a phase: only a backup that was proved can be restored.

    What a runbook's own scripts switch off, or put back, is the whole run's.
    """
    there = [level for level in state.rules.levels if level != "restore" or back_to in state.known.backups]
    return tuple(level for level in there if not back_to or level not in SWITCH_LEVELS)


def outcome(state: State) -> str:
    """Say in words how a run ended, or where it stands."""
    if state.rollback.failed:
        return "rollback failed: a person is needed"
    if state.phase_rolled_back:
        return "ready: its newest phase was rolled back"
    word = _IN_WORDS.get(state.status, str(state.status))
    return f"holding while {word}" if state.held else word
