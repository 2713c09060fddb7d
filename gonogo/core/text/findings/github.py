"""Findings as the lines that GitHub Actions shows beside the code: workflow commands.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from gonogo.core.model.finding import Level
from gonogo.core.text.findings.review import Review, said

_WORD = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def github(review: Review) -> str:
    """Return a line for each finding that nobody accepted, and the summary."""
    lines = [
        f"::{_WORD[f.level]} file={_property(f.file)},line={f.line},title={_property(f'gonogo {review.command}: {f.kind}')}::"
        f"{_message(said(f))}"
        for f in review.open
    ]
    return "\n".join([*lines, _message(review.summary)]) + "\n"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
