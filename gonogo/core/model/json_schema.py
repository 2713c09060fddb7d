"""The JSON Schema of a runbook, for editors."""

from __future__ import annotations

import json

from gonogo.core.model.runbook import Runbook


def schema_text() -> str:
    """Return the JSON Schema of a runbook."""
    made = Runbook.model_json_schema()
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "gonogo runbook"}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
