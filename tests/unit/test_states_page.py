from __future__ import annotations

from pathlib import Path

from generate.states_page import states_page

from gonogo.core.engine.state import ANYWHERE, EDGES, Status

PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_page_of_states_is_the_table_that_the_engine_runs_by() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == states_page(), "docs/states.md is not what the table says: write it again with `just docs`"


def test_the_page_names_every_status_and_every_fact_with_its_reason() -> None:
    page = states_page()
    for status in Status:
        assert f"\n## {status}\n" in page
    for edge in EDGES:
        section = page.split(f"\n## {edge.source}\n")[1].split("\n## ")[0]
        assert f"| {edge.kind} | {edge.target} | {edge.when} |" in section
    for kind, when in ANYWHERE.items():
        assert f"| {kind} | {when} |" in page


def test_the_picture_has_one_arrow_between_two_statuses_with_every_fact_on_it() -> None:
    picture = states_page().split("```mermaid\n")[1].split("```")[0]
    arrows = [line.strip() for line in picture.splitlines() if "-->" in line and "[*]" not in line]
    pairs = [tuple(arrow.split(":")[0].split(" --> ")) for arrow in arrows]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {(edge.source.name, edge.target.name) for edge in EDGES}
    for edge in EDGES:
        label = next(a.split(": ")[1] for a in arrows if a.startswith(f"{edge.source.name} --> {edge.target.name}:"))
        assert edge.kind in label.split(", ")
