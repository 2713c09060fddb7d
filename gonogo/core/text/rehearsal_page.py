"""What a rehearsal showed, as a page of Markdown: in the terminal's file, in the Prefect UI, at the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gonogo.core.model.duration import say_duration

_STEP = ("step", "its undo", "took", "locks", "rewrites", "WAL", "key queries", "difference")


def rehearsal_page(title: str, evidence: Mapping[str, Any]) -> str:
    """Return the page of a rehearsal.

    Args:
        title: what was rehearsed.
        evidence: what it showed.
    """
    forward = evidence["forward"]
    why = f": {forward['why']}" if forward.get("why") else ""
    parts = [
        f"# Rehearsal: {title}",
        f"On {evidence['on']}, from a backup of {evidence['backup'].get('taken_at', '')[:16]} with {evidence['rows']:,} rows.",
        f"It stands for the seal `{evidence['seal'][:16]}` on {evidence['target']}.",
        "",
        f"**{evidence['shortcomings'] or 'It went forward and back.'}**",
        "",
        f"Forward: {forward['outcome']}{why}, in {say_duration(forward['took'])}.",
        "",
        *_table(("way back", "verdict", "took", "difference"), [_level(level) for level in evidence["levels"]]),
        "",
        *_table(_STEP, [_step(s) for s in evidence["steps"]]),
    ]
    if phases := evidence.get("phases"):
        rows = [_level({**phase, "level": phase["phase"]}) for phase in phases]
        parts += ["", *_table(("phase by itself", "verdict", "took", "difference"), rows)]
    if queries := evidence["queries"]:
        heads = ("key query", "plan before", "plan after", "buffers", "median")
        parts += ["", *_table(heads, [_query(q) for q in queries])]
    return "\n".join(parts)


def _level(level: Mapping[str, Any]) -> list[str]:
    return [level["level"], level["verdict"], say_duration(level["took"]), "; ".join(level["differences"][:10])]


def _step(step: Mapping[str, Any]) -> list[str]:
    wal = f"{step['wal'] / 1e6:,.1f} MB"
    cells = [step["step"], step["verdict"], say_duration(step["took"]), ", ".join(step["locks"]), ", ".join(step["rewrites"])]
    return [*cells, wal, "; ".join(map(_impact, step.get("queries", {}).items())), "; ".join(step["differences"][:10])]


def _impact(query: tuple[str, Mapping[str, Any]]) -> str:
    """Say what a step did to a key query."""
    name, cost = query
    (was, now), (before, after) = cost["buffers"], cost["ms"]
    plan = ", another plan" if cost["another_plan"] else ""
    touched = f"{now} buffers" if was == now else f"{was} then {now} buffers"
    return f"{name}: {touched}, {before:.2g} then {after:.2g} ms{plan}"


def _query(query: Mapping[str, Any]) -> list[str]:
    before, after = query["before"], query.get("after") or {"shape": [], "buffers": 0}
    same = before["shape"] == after["shape"]
    shapes = [" > ".join(before["shape"]), "the same" if same else " > ".join(after["shape"]) or "not seen"]
    latency = query.get("latency")
    took = f"{latency['before']} then {latency['after']} ms" if latency else "-"
    return [query["check"], *shapes, f"{before['buffers']} then {after['buffers']}", took]


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") or "-" for cell in row) + " |" for row in rows]
