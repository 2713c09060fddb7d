"""The page `docs/what-is-proved.md`: what each word of success rests on, and what it does not cover."""

from __future__ import annotations

from collections.abc import Mapping

from gonogo.core.engine.events import Kind
from gonogo.core.engine.rehearsal import GOOD, Restores
from gonogo.core.text.plain import cell
from gonogo.postgres import not_compared
from gonogo.recovery.data_loss import ESTIMATE, JOURNAL
from gonogo.run.losses import AS_IT_RUNS, MEASURED

_INTRO = """\
# What is proved

gonogo says *done*, *rolled back* and *proved* only of what was measured. This page says what was measured for each word, and
what was not looked at. It is made from the code by `just docs`; a test sees that no word of success is missing.
"""

#: an event that says that something went well: what was measured, and what that does not cover
WORDS: Mapping[Kind, tuple[str, str]] = {
    Kind.GO: (
        "every criterion of the gate passed at that moment, and enough people said go of just this plan on just this schema",
        "what nobody made a criterion of",
    ),
    Kind.DONE: (
        (
            "the script's transaction committed together with this event; of what cannot be in a transaction, the server "
            "answered, or the catalog, `done_if` or a person says so"
        ),
        "what a program, a service, dblink or a file did outside the database, beyond their own answer",
    ),
    Kind.BATCH: (
        "the batch committed together with its cursor",
        "rows that arrive below the cursor later",
    ),
    Kind.UNDO_BATCH: (
        "the undo of the batch committed: of the rows that it wrote, those that nobody changed since are taken back",
        "rows that somebody changed since: they stay as they are now; rows that a function wrote behind an EXCEPTION block",
    ),
    Kind.VERIFIED: ("every check of `verify` passed once", "what no check asks; a check that can never fail"),
    Kind.PHASE_DONE: (
        "the watch looked for the whole soak by the server's clock, and its last look, after the soak, was no breach",
        "what happens after the soak; what no watched check asks",
    ),
    Kind.RUN_DONE: ("the same, for the last phase", "the same"),
    Kind.BACKED_UP: (
        (
            "the dump was restored into a scratch database: the same rows and checksums, the same objects, each file's sha256; "
            "of a restore point by programs or pgBackRest, a database was made of it: the same objects, the ledger's newest "
            "event, each table whole by its checksum or the rows that are still there one by one (`sampled`: how many, of how "
            "many)"
        ),
        (
            "what the event lists as `uncovered`: rows that the runbook leaves out, large objects, foreign tables, "
            "subscriptions; on another major version, definitions but for their names; of a restore point, rows beyond the "
            "sample, and those that were changed or deleted while it was taken"
        ),
    ),
    Kind.RESTORED: (
        (
            "a new database was built from the proved backup, compared with what the backup recorded, and its name swapped in; "
            "of a restore point, the target answers and its ledger had gone back (*rollback proved* compares the rest)"
        ),
        (
            "rows written since the backup, which a person accepted; what belongs to the database and not to its dump "
            "(settings, comment)"
        ),
    ),
    Kind.UNDONE: (
        (
            "the undo committed together with this event; `lost` has the rows that it destroyed of those that others wrote "
            "since, measured in its own transaction, or as the step's journal says"
        ),
        (
            "whether it put back what was there: *rollback proved* says that; of an undo that cannot be in a transaction, "
            "what it destroyed is an estimate"
        ),
    ),
    Kind.SWITCHED: (
        (
            "the script of the level committed; `lost` has the rows that it destroyed of those that others wrote since the run's "
            "first change, measured in its own transaction"
        ),
        (
            "what the run did before, which is still there; where it could not be measured what the script destroys, the run "
            "says so as it runs"
        ),
    ),
    Kind.PROVED: (
        (
            "the fingerprint of the database is what it was before the first change, object by object; the checks of the "
            "baseline and of `prove` pass again"
        ),
        (
            "rows of tables that no `checksum` check names; what all databases of the server share, which is told and "
            "not judged; what the role may not read, which is named; the list below; everything beyond the database"
        ),
    ),
    Kind.PHASE_PROVED: ("the same, compared with the moment before that phase", "the same"),
    Kind.REHEARSED: (
        (
            "on a restored copy: forward, verified, and back by each level, with the fingerprint and the checksum of "
            "every table compared"
        ),
        "the load and the rows of the real database; what programs and services do there",
    ),
    Kind.REHEARSAL_FOUND: (
        "the newest rehearsal has the seal of this plan on this schema of this target, and is young enough",
        "rows that have changed since",
    ),
}
_RESTORES: Mapping[Restores, str] = {
    Restores.EXACTLY: "the fingerprint and the checksum of every table are what they were",
    Restores.BUT_FOR_ORDER: "the same, but columns are in another order",
    Restores.CHECKS_PASS: "the level has scripts of its own: its checks pass, and the rest was not compared",
}
#: how it is known what a rollback destroys: what that rests on, and what it does not cover
LOSS: Mapping[str, tuple[str, str]] = {
    MEASURED: (
        (
            "the undo ran, and the rows that others wrote since the step were compared with what was there after it; beforehand "
            "in a transaction that was taken back, and again as it ran for good"
        ),
        (
            "rows that the application deleted and the undo brings back; a row that the application writes in the "
            "moment between gonogo's look at it and a later step that writes it again; the content of large objects, foreign "
            "tables and other databases; sequences; what acts beyond the database. Rows that are copied elsewhere "
            "before they go count as lost, and so do values that only "
            "read differently"
        ),
    ),
    AS_IT_RUNS: ("nothing beforehand, for the reason that is given; the undo is measured as it runs, and taken back", "the same"),
    JOURNAL: ("the answer of the step's `journal:` query", "what the query does not ask"),
    ESTIMATE: (
        "the rows that others wrote since, in the tables that the undo's statements name; for a restore, in all tables",
        "rows that go by cascade, trigger or function; rows that were deleted since; what the undo leaves alone is counted, too",
    ),
}


def proof_page() -> str:
    """Return the page, as Markdown."""
    words = [f"| *{kind}* | {cell(measured)} | {cell(not_covered)} |" for kind, (measured, not_covered) in WORDS.items()]
    losses = [f"| *{how}* | {cell(rests)} | {cell(not_covered)} |" for how, (rests, not_covered) in LOSS.items()]
    ways = [f"| *{word}* | {cell(_RESTORES[word])} |" for word in Restores if word in GOOD]
    catalogs = [f"| `{name}` | {cell(why)} |" for name, why in not_compared.CATALOGS.items()]
    columns = [f"| `{name}` | {_grouped(reasons)} |" for name, reasons in not_compared.COLUMNS.items()]
    return "\n".join(
        [
            _INTRO,
            "## Events\n\n| Event | What was measured | What that does not cover |\n| --- | --- | --- |",
            *words,
            "\n## Words of a rehearsal\n\n| Word | What was measured |\n| --- | --- |",
            *ways,
            "\n## What a rollback destroys\n",
            "| How it is known | What that rests on | What it does not cover |\n| --- | --- | --- |",
            *losses,
            "\n## What the fingerprint leaves out\n\nEverything else in the system catalogs counts.\n",
            "| Catalog | Why |\n| --- | --- |",
            *catalogs,
            "\n| Catalog | Columns, and why |\n| --- | --- |",
            *columns,
            "",
        ]
    )


def _grouped(reasons: Mapping[str, str]) -> str:
    by_reason: dict[str, list[str]] = {}
    for column, why in reasons.items():
        by_reason.setdefault(why, []).append(f"`{column}`")
    return cell("; ".join(f"{', '.join(columns)}: {why}" for why, columns in by_reason.items()))
