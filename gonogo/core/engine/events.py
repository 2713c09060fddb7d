"""The events of a ledger: what happened, when, who said so, and what is known of it.

The body of each kind is a model of its own. Whoever writes one names its fields, and an unknown one is refused. Whoever reads
one that a newer gonogo wrote is not hurt by fields that it does not know. `FORM` is the version of the form in which bodies lie
in the ledger; `read_body` reads the older ones too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from gonogo.core.engine.verdict import Judgement, Measurement
from gonogo.core.plan.fingerprint import Fingerprint
from gonogo.core.plan.plan import Plan

#: the version of the form that is written; 1 had no number
FORM = 3
_VERSION = "v"


class Kind(StrEnum):
    """Every kind of event there is."""

    RUN_OPENED = "run opened"
    PHASE_STARTED = "phase started"
    BASELINE = "baseline measured"
    REHEARSAL_FOUND = "rehearsal found"
    BACKED_UP = "backup proved"
    ASKED = "people asked"
    VOTE = "vote"
    VOTE_REFUSED = "vote refused"
    CONFIRMED = "confirmed"
    GO = "go"
    NO_GO = "no-go"
    STARTED = "script started"
    DONE = "script done"
    NOT_DONE = "script not done"
    BATCH = "batch done"
    PACED = "backfill paced"
    FAILED = "step failed"
    WORK_DONE = "work done"
    VERIFIED = "verified"
    VERIFY_FAILED = "verify failed"
    PHASE_DONE = "phase done"
    RUN_DONE = "run done"
    SAMPLE = "sample"
    TRIPPED = "tripped"
    WOULD_TRIP = "would trip"
    HELD = "held"
    LOSS_COUNTED = "loss counted"
    UNDO_STARTED = "undo started"
    UNDO_BATCH = "undo batch done"
    UNDONE = "undo done"
    WARNED = "script warned"
    UNDO_FAILED = "undo failed"
    SWITCHED = "switch done"
    RESTORED = "backup restored"
    ALL_UNDONE = "all undone"
    PROVED = "rollback proved"
    PHASE_PROVED = "phase rollback proved"
    NOT_PROVED = "rollback not proved"
    OVERRUN = "rollback overrun"
    TAKEN_OVER = "taken over"
    LEDGER_LOST = "ledger lost"
    REHEARSED = "rehearsed"
    RUN_SIGNED = "run signed"
    ACKNOWLEDGED = "acknowledged"
    ALERT = "alert raised"
    CLEARED = "alert cleared"
    HOLD = "hold"
    PACE = "pace"
    RESUME = "resume"
    ABORT = "abort"
    ROLL_BACK = "roll back"


#: what the first form called some kinds
_FORMER_KINDS = {"loss weighed": Kind.LOSS_COUNTED, "rehearsal recalled": Kind.REHEARSAL_FOUND}


def kind_of(word: str) -> Kind | None:
    """Return the kind that a word of the ledger means; None where no gonogo writes it."""
    try:
        return _FORMER_KINDS.get(word) or Kind(word)
    except ValueError:
        return None


def of_our_time(moment: datetime) -> datetime:
    """Return a moment that times can be added to and taken from.

    Raises:
        ValueError: it is too long ago, or too far away.
    """
    if not 1970 <= moment.year <= 9000:
        raise ValueError(f"the year {moment.year} is outside 1970 to 9000")
    return moment


#: a duration in seconds: three thousand years at most, so that it can be added to a time
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
#: a time with its zone
Moment = Annotated[AwareDatetime, AfterValidator(of_our_time)]


def _set_apart(text: str) -> str:
    """Set the further lines of a text apart: a table's name may hold a line's end, and what follows must not pass for ours."""
    return re.sub(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+(?! {4})", "\n    ", text)


class Value(BaseModel):
    """A part of a body: a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def replace(self, **changes: object) -> Self:
        """Return it with some fields changed; a field that it does not have is refused, as when it is made.

        Raises:
            ValidationError: there is no such field, or a value does not fit.
        """
        return self.model_validate({**vars(self), **changes}, by_name=True)


class Body(Value):
    """What is known of an event; each kind has its own."""

    kind: ClassVar[Kind]
    #: why; kinds that need no reason leave it empty
    why: Annotated[str, AfterValidator(_set_apart)] = ""


# a run and its phases


class RunOpened(Body):
    """A run began: its whole plan, and the project's signature where its target is protected or it acts beyond the database."""

    kind = Kind.RUN_OPENED
    plan: Plan
    #: digest over the files that the plan was made from
    sources: str = ""
    signature: str = ""


class ByRunner(Body):
    """What only this project's runner may say on a protected target: whoever can write to the ledger could write one."""

    #: the event that it follows, so that it cannot be copied to a later place
    follows: int = 0
    #: the project's signature
    signature: str = ""


class PhaseStarted(ByRunner):
    """Somebody launched a phase."""

    kind = Kind.PHASE_STARTED
    phase: str = ""
    #: the number of the last phase that this launch goes through
    through: int = 0
    #: whether clock times are not waited for
    at_once: bool = False
    #: a person of the runbook, and whether they proved who they are
    person: str = ""
    proved: bool | None = None
    #: why it may start outside its window, and beyond its budgets
    override: str = ""
    budget_override: str = Field(default="", validation_alias=AliasChoices("budget_override", "beyond"))
    #: Prefect's flow run, where one launched it
    flow_run: str = ""


class RunSigned(Body):
    """A person answers for a run that this project had not signed: in a chain of its own, as no part of the run."""

    kind = Kind.RUN_SIGNED
    run: str
    #: the newest event of the run that they saw
    through: int = 0
    person: str = ""
    signature: str = ""


class BaselineMeasured(Body):
    """The checks and the schema were measured before a change."""

    kind = Kind.BASELINE
    measurements: Mapping[str, Measurement] = {}
    #: what the database is made of
    fingerprint: Fingerprint = Field(default=Fingerprint(), validation_alias=AliasChoices("fingerprint", "schema"))


class RehearsedLevel(Value):
    """What a rehearsal showed of a level that led back."""

    #: seconds
    took: Seconds
    verdict: str


class RehearsalFound(ByRunner):
    """What is known of the rehearsal of just this plan; `why` where it does not count."""

    kind = Kind.REHEARSAL_FOUND
    at: Moment | None = None
    #: the number of its event in the chain of rehearsals
    event: int | None = Field(default=None, validation_alias=AliasChoices("event", "fact"))
    #: where it was rehearsed, for people
    on: str = ""
    levels: Mapping[str, RehearsedLevel] = {}
    #: seconds that each task took, and that each phase kept the application down
    tasks: Mapping[str, float] = {}
    down: Mapping[str, float] = {}
    seal: str = ""
    each_step: bool = False

    @property
    def counts(self) -> bool:
        """Whether it lets a run begin."""
        return self.at is not None and not self.why


class SampledTable(Value):
    """A table of which some rows were looked up in a copy."""

    table: str
    #: how many, and of how many about
    compared: int
    rows: int


class BackupProof(Value):
    """What was seen of a backup as it was restored and compared."""

    folder: str
    taken_at: Moment
    #: how many tables and objects were compared, and how large its files are
    tables: int
    objects: int
    bytes: int
    #: seconds
    restored_in: Seconds
    #: what it does not hold, or what was not compared
    uncovered: tuple[str, ...] = ()
    #: what made it where it is no dump of gonogo's own, and what names it there
    provider: str = ""
    point: str = ""
    #: the tables of it that were compared by a sample; the others of `tables` whole
    sampled: tuple[SampledTable, ...] = ()
    #: what restoring it puts back besides the target
    takes_along: str = ""


class BackupProved(BackupProof, ByRunner):
    """A backup was taken, restored and compared."""

    kind = Kind.BACKED_UP
    #: the transactions that it shows: what it does not show was written later
    snapshot: str = ""
    #: the sha256 of its manifest, which has those of its files
    manifest: str = ""


# people


class PeopleAsked(ByRunner):
    """People were asked: for go or no-go of what a seal stands for, or to confirm some items."""

    kind = Kind.ASKED
    judged: tuple[Judgement, ...] = ()
    seal: str = ""
    fingerprint: Fingerprint = Field(default=Fingerprint(), validation_alias=AliasChoices("fingerprint", "schema"))
    deadline: Moment | None = None
    items: tuple[str, ...] = ()
    #: the step that waits for them; past the last one, the end of the phase
    step: int | None = None
    down: str = ""

    @property
    def at_gate(self) -> bool:
        """Whether a gate asks, and not a step."""
        return bool(self.seal)


class Signed(Body):
    """What a person said, with their signature where they proved who they are."""

    person: str = ""
    proved: bool = False
    #: the event by which the phase was launched: what is said counts for this launch only
    launch: int | None = None
    #: when it was said; the signature covers it, so that the row cannot be copied later
    said_at: Moment | None = None
    signature: str = ""


class VoteCast(Signed):
    """A person said go or no-go at a gate, or approved a rollback."""

    kind = Kind.VOTE
    #: the phase whose gate it is, or `roll back`
    on: str
    decision: str
    comment: str = ""
    seal: str = ""
    #: the event that asked
    asked: int | None = None
    #: the level and the phase that they approve, of a rollback
    level: str = ""
    back_to: int | None = None


class ItemConfirmed(Signed):
    """A person confirmed an item of a checklist."""

    kind = Kind.CONFIRMED
    item: str
    evidence: str = ""


class VoteRefused(Body):
    """What somebody said does not count."""

    kind = Kind.VOTE_REFUSED
    person: str = ""
    decision: str = ""
    #: the vote, or the confirmation, that is void
    vote: int | None = None


class GoVote(Value):
    """A vote that a go rests on."""

    person: str
    proved: bool = False
    event: int = Field(default=0, validation_alias=AliasChoices("event", "fact"))


class Go(ByRunner):
    """A phase may begin."""

    kind = Kind.GO
    judged: tuple[Judgement, ...] = ()
    votes: tuple[GoVote, ...] = ()
    seal: str = ""


class NoGo(Body):
    """A phase may not begin; it changed nothing."""

    kind = Kind.NO_GO
    judged: tuple[Judgement, ...] = ()


class Acknowledged(Body):
    """A person takes care of what needs people."""

    kind = Kind.ACKNOWLEDGED
    person: str = ""
    proved: bool = False
    comment: str = ""
    #: the alert, and its target, where it is one
    alert: str = ""
    target: str = ""


class HoldAsked(Body):
    """A person asks the run to stop before its next step."""

    kind = Kind.HOLD


#: what people may say of a backfill's pace; or a number of rows a second
PACES = ("slower", "faster", "pause", "go on", "as planned")


class PaceAsked(Body):
    """A person changes the pace of the backfill under way."""

    kind = Kind.PACE
    #: one of `PACES`, or nothing where rows are named
    says: str = ""
    #: how many rows a second at most
    rows: Annotated[int, Field(ge=0, le=10**12)] = 0


class Accepting(Body):
    """What a person says who may accept a data loss with it; on a protected target it is signed then."""

    #: rows may be destroyed that the application wrote since
    accept_loss: bool = False
    #: who signed it with a key of their own; without one the project did, once they had proved who they are
    person: str = ""
    #: the event that it follows, so that it cannot be copied to a later place
    follows: int = 0
    signature: str = ""


class ResumeAsked(Accepting):
    """A person lets a held run go on."""

    kind = Kind.RESUME


class RollbackAsked(Accepting):
    """A person rolls the run back, alone or as those agreed who must."""

    kind = Kind.ROLL_BACK
    level: str = ""
    #: the number of the phase whose start it leads to
    back_to: int | None = None
    #: who approved, and the events by which they did
    agreed: tuple[str, ...] = ()
    votes: tuple[int, ...] = ()


class AbortAsked(RollbackAsked):
    """A person ends the run for good."""

    kind = Kind.ABORT


# the work


class ScriptStarted(Body):
    """A script that cannot be transactional is about to run: from now on it is in doubt."""

    kind = Kind.STARTED
    step: int
    script: int = 0
    last: bool = False
    #: what it says of downtime (gonogo/core/engine/budgets.py)
    down: str = ""


class WrittenOver(Value):
    """Rows that somebody wrote after the run's first step, and that a script of the run wrote again."""

    #: the table's number, and its name
    table: int
    name: str
    #: how many rows, at most; -1 where nobody knows
    rows: int
    #: of these, how many hold a value in each column, by its number
    columns: Mapping[int, int] = Field(default_factory=dict)


class Waited(Body):
    """What has met the locks of others."""

    #: the seconds in which somebody was seen waiting for its locks, beside those that count as downtime anyway
    others_waited: Seconds = 0.0
    #: the sessions that were ended because they were idle in a transaction and in its way
    ended: tuple[str, ...] = ()


class ScriptDone(Waited):
    """A script of a step is done, or all that a step of another kind is."""

    kind = Kind.DONE
    step: int
    script: int = 0
    #: whether the step is done with it
    last: bool
    down: str = ""
    #: seconds, where it was measured
    took: Seconds | None = None
    judged: tuple[Judgement, ...] = ()
    rows: int = 0
    #: a snapshot of just before: what it does not show was written later
    since: str = ""
    #: what it wrote again of what others wrote
    over: tuple[WrittenOver, ...] = ()
    #: what a program, or a service, answered
    output: str = ""
    status: int | None = None


class ScriptNotDone(Body):
    """A script in doubt did not happen."""

    kind = Kind.NOT_DONE
    step: int | None = None
    script: int = 0
    last: bool = False
    down: str = ""
    #: it may be done again, and may have been done
    left: bool = False


class BatchDone(Waited):
    """A batch of a backfill committed, with the key that it ends with."""

    kind = Kind.BATCH
    step: int
    upto: tuple[str, ...]
    rows: int
    #: its number in this process, and the seconds before it
    batch: int = 0
    seconds: Seconds = 0.0
    #: how many rows its process did in these seconds
    done: int = 0
    #: about how many rows the table has
    of: int = 0
    down: str = ""
    since: str = ""
    over: tuple[WrittenOver, ...] = ()
    #: the 95th percentile of a small call beside it, in seconds: while it rested, and of all; and how
    #: many seconds the slowest standby was behind
    idle: Seconds | None = None
    read: Seconds | None = None
    lag: Seconds | None = None


class BackfillPaced(Body):
    """A backfill stopped by itself, or goes on; `why` says what it saw."""

    kind = Kind.PACED
    step: int
    #: whether it stopped; else it goes on
    stopped: bool
    #: whether the table was vacuumed meanwhile
    vacuumed: bool = False


class ScriptWarned(Body):
    """The server warned of something as a script, or an undo, ran: it did it all the same, or not as it was asked."""

    kind = Kind.WARNED
    step: int
    script: int = 0
    #: whether it was the undo's
    undo: bool = False
    #: the first of them, and how many there were
    warnings: tuple[str, ...] = ()
    count: int = 0


class StepFailed(Body):
    """A step failed, and the run rolls back."""

    kind = Kind.FAILED
    step: int | None = None
    #: whether a part of it may have stayed
    left: bool = False
    judged: tuple[Judgement, ...] = ()
    took: Seconds | None = None
    down: str = ""


class WorkDone(ByRunner):
    """Every step of the phase is done."""

    kind = Kind.WORK_DONE


class Verified(ByRunner):
    """Every check of `verify` passes."""

    kind = Kind.VERIFIED
    judged: tuple[Judgement, ...] = ()


class VerifyFailed(Body):
    """A check of `verify` fails, and the run rolls back."""

    kind = Kind.VERIFY_FAILED
    judged: tuple[Judgement, ...] = ()


class PhaseDone(ByRunner):
    """A phase is over, and another one follows."""

    kind = Kind.PHASE_DONE


class RunDone(ByRunner):
    """The last phase is over."""

    kind = Kind.RUN_DONE
    judged: tuple[Judgement, ...] = ()


class Held(Body):
    """gonogo itself holds the run."""

    kind = Kind.HELD
    check: str = ""
    #: the budget that is spent
    budget: str = ""
    #: the step that failed
    step: int | None = None
    judged: tuple[Judgement, ...] = ()
    took: Seconds | None = None
    down: str = ""


class LedgerLost(Body):
    """The ledger went back: it lacked events that were recorded in it, and the run was folded anew from what is there."""

    kind = Kind.LEDGER_LOST
    #: the newest event that was recorded, and the newest that is there
    known: int
    head: int
    #: the steps that acted beyond the database in what is lost, each with the event by which that attempt began
    beyond: tuple[tuple[int, int], ...] = ()
    why: str = ""


class TakenOver(Body):
    """Another process goes on with the run."""

    kind = Kind.TAKEN_OVER
    epoch: int = 0


# the watch, and alerts


class SampledCheck(Value):
    """One check of a sample."""

    value: str = ""
    #: which of its numbers that is; older ledgers have p95 or the value, and do not say which
    metric: str = ""
    verdict: str = ""
    says: str = ""
    #: of an alert: breach, blank or well
    look: str = ""


class Sampled(Body):
    """The watch, or the monitor, took a sample."""

    kind = Kind.SAMPLE
    phase: str = ""
    samples: Mapping[str, SampledCheck] = {}


class Tripped(Body):
    """The watch tripped."""

    kind = Kind.TRIPPED
    check: str = ""


class WouldTrip(Body):
    """The watch tripped where it is only to tell."""

    kind = Kind.WOULD_TRIP
    check: str = ""
    #: what it would have led to
    then: str = "tell"


class AlertRaised(Body):
    """A rule of the monitor tripped."""

    kind = Kind.ALERT
    alert: str
    target: str = ""


class AlertCleared(AlertRaised):
    """A raised alert was well for as long as its rule says."""

    kind = Kind.CLEARED


# the rollback


class StepLoss(Value):
    """What the undo of one step would destroy."""

    step: int
    #: rows by table; -1 where the number cannot be known
    rows: Mapping[str, int]
    #: how that is known
    how: str


class LossCounted(Body):
    """It was counted what the next undo, or the restore, would destroy."""

    kind = Kind.LOSS_COUNTED
    #: the step whose undo is next; past the last one, the restore
    step: int
    #: rows by table; -1 where the number cannot be known
    rows: Mapping[str, int]
    #: how that is known
    how: str = ""
    #: of a whole rollback: what each undo would destroy, the newest step first
    steps: tuple[StepLoss, ...] = ()
    #: it speaks of every undo of the rollback from this step on
    whole: bool = False


class UndoStarted(Body):
    """An undo that cannot be transactional is about to run."""

    kind = Kind.UNDO_STARTED
    step: int
    script: int = 0
    last: bool = False
    down: str = ""


class UndoBatchDone(Waited):
    """The undo of one batch of a backfill committed."""

    kind = Kind.UNDO_BATCH
    step: int
    #: the event of the batch, and how many rows were taken back: those of it that nobody changed since
    batch: int
    rows: int = 0
    down: str = ""


class UndoDone(Waited):
    """An undo script is done."""

    kind = Kind.UNDONE
    step: int
    script: int = 0
    last: bool
    down: str = ""
    took: Seconds | None = None
    output: str = ""
    status: int | None = None
    #: the rows that it destroyed and that somebody wrote since the step, by table, as measured in its own transaction
    lost: Mapping[str, int] = {}


class UndoFailed(Body):
    """The rollback failed; a person is needed."""

    kind = Kind.UNDO_FAILED
    step: int | None = None


class SwitchDone(Waited):
    """A script of a level that has its own committed."""

    kind = Kind.SWITCHED
    level: str
    script: int
    #: the rows that it destroyed and that somebody wrote since the run's first change, by table
    lost: Mapping[str, int] = {}


class BackupRestored(Body):
    """The backup replaced what was there."""

    kind = Kind.RESTORED
    folder: str = ""
    taken_at: Moment
    #: the first step that is undone with it
    step: int = 0
    #: seconds
    restored_in: Seconds | None = None
    #: what the failed database is called now, where it was kept
    kept: str = ""
    how: str = ""


class AllUndone(Body):
    """Everything that was to be rolled back is."""

    kind = Kind.ALL_UNDONE


class RollbackProved(Body):
    """All is as before: measured."""

    kind = Kind.PROVED
    judged: tuple[Judgement, ...] = ()
    differences: tuple[str, ...] = ()
    #: how many objects of the schema were compared
    objects: int = 0
    #: what differs of that which all databases of the server share: others may have changed it, so it is told and not judged
    shared: tuple[str, ...] = ()
    #: what could not be compared, as the role may not read it
    unseen: tuple[str, ...] = ()
    proof_took: str = ""
    #: the first step that is undone
    step: int = 0


class PhaseRollbackProved(RollbackProved):
    """A later phase is as before it began: measured."""

    kind = Kind.PHASE_PROVED


class RollbackNotProved(RollbackProved):
    """Something is not as before; a person is needed."""

    kind = Kind.NOT_PROVED


class RollbackOverran(Body):
    """Rolling back takes longer than its budget; it goes on."""

    kind = Kind.OVERRUN
    budget: str = "rollback"


# rehearsals


class PlanOfQuery(Value):
    """What the server says of a query: its plan's shape, the buffers and the milliseconds of a call."""

    shape: tuple[str, ...] = ()
    buffers: int = 0
    ms: float = 0.0


class LatencyCompared(Value):
    """A latency before and after the change, measured in turn, in milliseconds."""

    before: str
    after: str
    slower: bool
    says: str


class QueryEvidence(Value):
    """What the whole change did to a key query."""

    check: str
    before: PlanOfQuery
    after: PlanOfQuery | None = None
    latency: LatencyCompared | None = None


class QueryCost(Value):
    """What one step did to a key query: before, and after."""

    buffers: tuple[int, int]
    ms: tuple[float, float]
    another_plan: bool


class StepEvidence(Value):
    """What one step cost, and what its undo did."""

    step: str
    #: named apart from the kind of the event
    step_kind: str = Field(default="", validation_alias=AliasChoices("step_kind", "kind"))
    #: seconds
    took: Seconds = 0.0
    #: bytes of WAL
    wal: int = 0
    rewrites: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    queries: Mapping[str, QueryCost] = {}
    verdict: str = ""
    differences: tuple[str, ...] = ()


class LevelEvidence(Value):
    """What a rollback did."""

    level: str
    took: Seconds = 0.0
    outcome: str = ""
    verdict: str
    differences: tuple[str, ...] = ()


class PhaseEvidence(Value):
    """What rolling back a phase by itself did."""

    phase: str
    took: Seconds = 0.0
    verdict: str
    differences: tuple[str, ...] = ()


class ForwardEvidence(Value):
    """How the way forward went."""

    outcome: str = ""
    why: str = ""
    took: Seconds = 0.0


class DrillEvidence(Value):
    """What became of a run whose runner died before and after everything that it did."""

    #: how often it died, and before how much more it would have, had there been time
    kills: int
    left_out: int = 0
    took: Seconds = 0.0
    #: the steps of which only a person could say whether they had happened
    doubts: tuple[str, ...] = ()
    #: what is not as where nobody died
    differences: tuple[str, ...] = ()


class BlindSpot(Value):
    """Something small that was wrong where a step wrote, and that no check noticed."""

    step: str
    what: str
    where: str
    #: why the runbook accepts it, if it does
    accepted: str = ""


class BlindSpots(Value):
    """What of the wrongs that were planted on a copy no check would have noticed."""

    #: how many were planted, and how many more the schema itself refuses
    tried: int
    refused: int = 0
    spots: tuple[BlindSpot, ...] = ()
    #: the checks that noticed none of them; those that cannot be asked about what is not committed
    silent: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    #: what could not be planted, and why; and how many more there was no time for
    untried: tuple[str, ...] = ()
    left_out: int = 0
    took: Seconds = 0.0
    seed: int = 0

    @property
    def open(self) -> tuple[BlindSpot, ...]:
        """Those that nobody accepted."""
        return tuple(spot for spot in self.spots if not spot.accepted)


class Rehearsed(Body):
    """What a rehearsal showed."""

    kind = Kind.REHEARSED
    #: what is known is as old as the backup that it was rehearsed on
    at: Moment
    took: Seconds = 0.0
    #: the seal of the plan, and that of the plan on this schema of this target
    plan: str
    seal: str
    fingerprint: Fingerprint = Field(validation_alias=AliasChoices("fingerprint", "schema"))
    target: str = ""
    on: str
    backup: BackupProof | None = None
    rows: int = 0
    forward: ForwardEvidence
    tasks: Mapping[str, float]
    down: Mapping[str, float] = {}
    steps: tuple[StepEvidence, ...]
    levels: tuple[LevelEvidence, ...]
    phases: tuple[PhaseEvidence, ...] = ()
    queries: tuple[QueryEvidence, ...] = ()
    each_step: bool
    drill: DrillEvidence | None = None
    blind: BlindSpots | None = None
    #: what is another in the target's schema than before the rehearsal began
    target_changed: tuple[str, ...] = ()
    shortcomings: str = ""
    signature: str = ""

    @field_validator("backup", mode="before")
    @classmethod
    def _none_where_empty(cls, value: object) -> object:
        return value or None


def _concrete(of: type[Body]) -> list[type[Body]]:
    found = [of] if "kind" in vars(of) else []
    return [*found, *(each for sub in of.__subclasses__() for each in _concrete(sub))]


#: the body of each kind
BODIES: Mapping[Kind, type[Body]] = {body.kind: body for body in _concrete(Body)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a ledger."""

    seq: int
    at: datetime
    #: when the transaction that recorded it began, so that a script's event knows how long it took
    began: datetime
    actor: str = ""
    body: Body

    @property
    def kind(self) -> Kind:
        """What happened."""
        return self.body.kind


def not_of_plan(plan: Plan, body: Body) -> str:
    """Say what a body names that a plan does not have, or nothing. Past its last step is what comes after all of them."""
    step, script, phase = (getattr(body, name, None) for name in ("step", "script", "back_to"))
    if isinstance(step, int) and not 0 <= step <= len(plan.steps):
        return f"the step {step}, but the plan has only {len(plan.steps)}"
    if isinstance(body, SwitchDone):
        scripts = len(plan.switches.get(body.level, ()))
        return "" if 0 <= body.script < scripts else f"the script {body.script}, but the level {body.level} has {scripts}"
    if isinstance(step, int) and isinstance(script, int) and step < len(plan.steps):
        planned = plan.steps[step]
        most = len(planned.undo or ()) if isinstance(body, UndoDone | UndoStarted) else planned.units
        if not 0 <= script < max(1, most, len(planned.undo or ()) if isinstance(body, ScriptNotDone) else 0):
            return f"the script {script} of {planned.name}, which has {most}"
    if isinstance(step, int) and step == len(plan.steps) and isinstance(body, ScriptDone | ScriptStarted | UndoDone | BatchDone):
        return f"the step {step}, but the plan has only {len(plan.steps)}"
    if isinstance(phase, int) and not 0 <= phase < len(plan.phases):
        return f"the phase {phase}, but the plan has only {len(plan.phases)}"
    return ""


def write_body(body: Body) -> dict[str, Any]:
    """Return a body as JSON data, in the form of now; what is at its default is left out."""
    fields = type(body).model_fields
    data = body.model_dump(mode="json")
    kept = {
        name: value for name, value in data.items() if fields[name].is_required() or getattr(body, name) != fields[name].default
    }
    return {**kept, _VERSION: FORM}


def form_of(data: Mapping[str, Any]) -> Any:
    """Return the version of the form that JSON data of a ledger has: a number, unless somebody wrote it by hand."""
    return data.get(_VERSION, 1)


def read_body(kind: Kind, data: Mapping[str, Any]) -> Body:
    """Return the body that JSON data of a ledger means.

    Args:
        kind: the kind of its event.
        data: the body, in this form or an older one.

    Raises:
        ValueError: no gonogo writes such a body, or only a newer one does.
    """
    form = form_of(data)
    if not isinstance(form, int) or form > FORM:
        raise ValueError(f"it has the form {form}, and this version of gonogo reads up to {FORM}")
    try:
        # nothing was never written; where it lies there all the same, it says as little as a field that is left out
        said = {key: value for key, value in data.items() if key != _VERSION and value is not None}
        return BODIES[kind].model_validate(said, extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None
