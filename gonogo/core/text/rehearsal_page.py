"""What a rehearsal showed, as a page of Markdown: in the terminal's file, in the Prefect UI, at the gate."""

from __future__ import annotations

from gonogo.core.engine.events import (
    BlindSpot,
    BlindSpots,
    DrillEvidence,
    LevelEvidence,
    PhaseEvidence,
    PlanOfQuery,
    QueryCost,
    QueryEvidence,
    Rehearsed,
    StepEvidence,
)
from gonogo.core.model.duration import say_duration
from gonogo.core.text.plain import counted, data, table

_STEP = ("step", "its undo", "took", "locks", "rewrites", "WAL", "key queries", "difference")


def rehearsal_page(title: str, shown: Rehearsed) -> str:
    """Return the page of a rehearsal.

    Args:
        title: what was rehearsed.
        shown: what it showed.
    """
    forward = shown.forward
    why = f": {data(forward.why)}" if forward.why else ""
    source = "from a backup" if shown.backup else "as the target was"
    parts = [
        f"# Rehearsal: {title}",
        f"On {shown.on}, {source} of {shown.at:%Y-%m-%dT%H:%M} UTC with {shown.rows:,} rows.",
        f"It is valid for the seal `{shown.seal[:16]}` on {shown.target}.",
        "",
        f"**{data(shown.shortcomings) or 'It went forward and back.'}**",
        "",
        "The target's schema was the same before and after it."
        if not shown.target_changed
        else "**The target changed meanwhile.**",
        "",
        f"Forward: {forward.outcome}{why}, in {say_duration(forward.took)}.",
        "",
        *table(("rollback by", "verdict", "took", "difference"), [_way(each.level, each) for each in shown.levels]),
        "",
        *table(_STEP, [_step(each) for each in shown.steps]),
    ]
    if shown.drill is not None:
        parts += ["", f"Drill: {describe_drill(shown.drill)}"]
    if shown.blind is not None:
        parts += _blind(shown.blind)
    if shown.phases:
        rows = [_way(each.phase, each) for each in shown.phases]
        parts += ["", *table(("phase by itself", "verdict", "took", "difference"), rows)]
    if shown.queries:
        heads = ("key query", "plan before", "plan after", "buffers", "median")
        parts += ["", *table(heads, [_query(each) for each in shown.queries])]
    return "\n".join(parts)


def describe_drill(shown: DrillEvidence) -> str:
    """Say what became of a run whose runner died again and again."""
    result = (
        "; ".join(shown.differences) or "another one went on each time, nothing was done twice, and all was as where nobody died"
    )
    doubts = f". Only a person could say whether it had happened: {', '.join(shown.doubts)}" if shown.doubts else ""
    left = (
        f". It did not die at {shown.left_out:,} more, which are alike or for which there was no time" if shown.left_out else ""
    )
    return f"the runner died {shown.kills} times in {say_duration(shown.took)}: {result}{doubts}{left}"


def describe_blind_spots(shown: BlindSpots) -> str:
    """Say how many of the wrongs that were planted no check would have noticed."""
    wrongs = f"{counted(shown.tried, 'small wrong')} planted where the steps wrote, in {say_duration(shown.took)}"
    by_schema = f", and {shown.refused:,} more that the schema itself refuses" if shown.refused else ""
    kept = len(shown.spots) - len(shown.open)
    known = f" ({kept:,} of them accepted)" if kept else ""
    found = f"{counted(len(shown.spots), 'blind spot')}{known}" if shown.spots else "no blind spot"
    late = f". There was no time for {shown.left_out:,} more" if shown.left_out else ""
    return f"{found}: {wrongs}{by_schema}{late}"


def describe_blind_spot(spot: BlindSpot) -> str:
    """Say what no check noticed, and why that is no matter where somebody said so."""
    why = f" (accepted: {spot.accepted})" if spot.accepted else ""
    return f"{spot.step}: {spot.where}: {spot.what}{why}"


def _blind(shown: BlindSpots) -> list[str]:
    """Return what no check noticed, the checks that noticed nothing, and what was not looked at."""
    parts = ["", "## Blind spots", "", data(describe_blind_spots(shown)) + "."]
    if shown.spots:
        rows = [[spot.step, spot.where, spot.what, spot.accepted] for spot in shown.spots]
        parts += ["", *table(("step", "where", "what was wrong, and no check noticed", "accepted, because"), rows)]
    for says, names in (
        ("Checks that noticed none of them", shown.silent),
        ("Not asked, as they look beyond what is in the database", shown.not_asked),
        ("Not planted", shown.untried),
    ):
        if names:
            parts += ["", f"{says}: {data(', '.join(names))}."]
    return parts


def _way(name: str, shown: LevelEvidence | PhaseEvidence) -> list[str]:
    return [name, shown.verdict, say_duration(shown.took), "; ".join(shown.differences[:10])]


def _step(step: StepEvidence) -> list[str]:
    cells = [step.step, step.verdict, say_duration(step.took), ", ".join(step.locks), ", ".join(step.rewrites)]
    impact = "; ".join(_impact(name, cost) for name, cost in step.queries.items())
    return [*cells, f"{step.wal / 1e6:,.1f} MB", impact, "; ".join(step.differences[:10])]


def _impact(name: str, cost: QueryCost) -> str:
    """Say what a step did to a key query."""
    (was, now), (before, after) = cost.buffers, cost.ms
    plan = ", another plan" if cost.another_plan else ""
    touched = f"{now} buffers" if was == now else f"{was} then {now} buffers"
    return f"{name}: {touched}, {before:.2g} then {after:.2g} ms{plan}"


def _query(query: QueryEvidence) -> list[str]:
    before, after = query.before, query.after or PlanOfQuery()
    same = before.shape == after.shape
    shapes = [" > ".join(before.shape), "the same" if same else " > ".join(after.shape) or "not seen"]
    took = f"{query.latency.before} then {query.latency.after} ms" if query.latency else "-"
    return [query.check, *shapes, f"{before.buffers} then {after.buffers}", took]
