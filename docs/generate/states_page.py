"""The page `docs/states.md`, written from the table that the engine runs by, so that it cannot be wrong."""

from __future__ import annotations

from collections.abc import Iterable

from gonogo.core.engine.state import ANYWHERE, AT_REST, EDGES, ENDED, Edge, Status
from gonogo.core.text.plain import cell

_INTRO = """\
# The states of a run

A run is a list of events in the ledger, and its state follows from them: each event leads from one status to
another, as the tables below say; an event that they do not name in a status is recorded and changes nothing.
This page is made from that table (`gonogo/core/engine/state.py`) by `just docs`.
"""


def states_page() -> str:
    """Return the page, as Markdown."""
    parts = [_INTRO, _diagram(), *(_section(status) for status in Status), _anywhere(), _ends()]
    return "\n".join(parts)


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{status}" as {status.name}' for status in Status]
    lines.append(f"    [*] --> {Status.READY.name}: run opened")
    arrows: dict[tuple[Status, Status], list[str]] = {}
    for edge in EDGES:
        arrows.setdefault((edge.source, edge.target), []).append(edge.kind)
    lines += [f"    {source.name} --> {target.name}: {', '.join(kinds)}" for (source, target), kinds in arrows.items()]
    lines += [f"    {status.name} --> [*]" for status in Status if status in ENDED]
    return "\n".join([*lines, "```", ""])


def _section(status: Status) -> str:
    edges = [edge for edge in EDGES if edge.source is status]
    if not edges:
        return f"## {status}\n\nNo event leads on from here.\n"
    rest = "Nothing happens here until a person acts.\n\n" if status in AT_REST else ""
    return f"## {status}\n\n{rest}{_table(edges)}"


def _table(edges: Iterable[Edge]) -> str:
    rows = [f"| {edge.kind} | {edge.target} | {cell(edge.when)} |" for edge in edges]
    return "\n".join(["| Event | Status after it | When |", "| --- | --- | --- |", *rows, ""])


def _anywhere() -> str:
    rows = [f"| {kind} | {cell(when)} |" for kind, when in ANYWHERE.items()]
    head = "## In every status that is not an end\n\nThese events leave the status as it is.\n"
    return "\n".join([head, "| Event | When |", "| --- | --- |", *rows, ""])


def _ends() -> str:
    *most, last = (f"*{status}*" for status in Status if status in ENDED)
    return f"## Ends\n\nA run is over when it is {', '.join(most)} or {last}; what leads on from there, a person asks for.\n"
