"""Pages that are made from the code, so that they cannot be wrong: the states, the JSON Schema, the runbook reference."""

from __future__ import annotations

import json
from pathlib import Path

from gonogo.core.runbook import Runbook


def schema_text() -> str:
    """Return the JSON Schema of a runbook."""
    made = Runbook.model_json_schema()
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "gonogo runbook"}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def write_pages(folder: Path) -> list[Path]:
    """Write every page that is made from the code; return the files."""
    from gonogo.cli.runbook_page import runbook_page  # noqa: PLC0415
    from gonogo.core.states_page import states_page  # noqa: PLC0415
    from gonogo.ledger_schema import ledger_sql  # noqa: PLC0415 - SQLAlchemy is slow to import

    pages = {"states.md": states_page(), "runbook.schema.json": schema_text(), "runbook.md": runbook_page()}
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    schema = folder.parent / "gonogo" / "ledger.sql"
    schema.write_text(ledger_sql(), encoding="utf-8")
    return [*(folder / name for name in pages), schema]


if __name__ == "__main__":
    for file in write_pages(Path(__file__).resolve().parents[2] / "docs"):
        print(file)  # noqa: T201 - a tool of the repository
