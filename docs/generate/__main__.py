"""Write every page that is made from the code, so that it cannot be wrong: `uv run python docs/generate`."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from generate.glossary_page import glossary_page  # noqa: E402 - the folder must be on the path first
from generate.proof_page import proof_page  # noqa: E402
from generate.runbook_page import runbook_page  # noqa: E402
from generate.states_page import states_page  # noqa: E402
from gonogo.core.model.json_schema import schema_text  # noqa: E402
from gonogo.ledger.schema import ledger_sql, upgrade_sql  # noqa: E402


def write_pages() -> list[Path]:
    """Write the pages; return the files."""
    pages = {
        DOCS / "states.md": states_page(),
        DOCS / "what-is-proved.md": proof_page(),
        DOCS / "runbook.schema.json": schema_text(),
        DOCS / "runbook.md": runbook_page(),
        DOCS / "glossary.md": glossary_page(),
        DOCS.parent / "gonogo" / "ledger" / "ledger.sql": ledger_sql(),
        DOCS.parent / "gonogo" / "ledger" / "upgrade.sql": upgrade_sql(),
    }
    for file, text in pages.items():
        file.write_text(text, encoding="utf-8")
    return list(pages)


if __name__ == "__main__":
    for file in write_pages():
        print(file)  # noqa: T201 - a tool of the repository
