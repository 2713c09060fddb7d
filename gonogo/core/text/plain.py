"""Plain text for people: nothing in a database or a file may drive a terminal, forge a line or flood a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta


def clean(text: object) -> str:
    """Return a text without control characters, so that nothing in a database can drive the terminal."""
    return "".join(c if c == "\n" or c.isprintable() else " " if c == "\t" else "�" for c in str(text))


def tidy(text: str, most: int = 2000) -> str:
    """Return what somebody wrote as text that every file and table can hold, and no longer than a page.

    Args:
        text: what they wrote; bytes of a shell that are no text become a mark.
        most: how many characters are kept.
    """
    whole = text.encode("utf-8", errors="replace").decode().replace("\0", "\ufffd")
    return whole if len(whole) <= most else whole[: most - 3] + "..."


def indented(text: str, by: int) -> str:
    """Set the further lines of a text apart by some blanks, so that none can pass for a line of the story."""
    return text.replace("\n", "\n" + " " * by)


def quoted(text: str) -> list[str]:
    """Return the lines of a text that is not ours, each marked as a quote: none can pass for a line of an update."""
    return [f"> {line}" for line in text.splitlines()]


def point_at(line: str, column: int, width: int = 160) -> str:
    """Show a place in a line with a caret below it, and of a very long line only what is around it.

    Args:
        line: the line.
        column: the place, counted from 0.
        width: how many characters to show.
    """
    start = max(0, column - width // 2)
    lead, tail = "..." if start else "", "..." if start + width < len(line) else ""
    return f"    {lead}{line[start : start + width]}{tail}\n    {' ' * (column - start + len(lead))}^"


def data(text: object) -> str:
    """Return a text that is not ours as one line of Markdown that is text: no link, no image that is fetched, no HTML."""
    # a backslash first: one before a bracket would take the bracket's own away
    return " ".join(str(text).split()).replace("\\", "\\\\").replace("[", "\\[").replace("<", "&lt;")


def cell(text: object) -> str:
    """Return a text as a cell of a Markdown table: `data` with its bars escaped, `-` where it is empty; a list line by line."""
    if isinstance(text, list):
        return "<br>".join(map(cell, text)) or "-"
    return data(text).replace("|", "\\|") or "-"


def as_json(made: object, *, indent: int = 2, sort_keys: bool = False) -> str:
    """Write data as JSON that drives no terminal: what does not print is escaped, as JSON may."""
    text = json.dumps(made, indent=indent, ensure_ascii=False, default=_as_data, sort_keys=sort_keys)
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def as_json_line(made: object) -> str:
    """Write data as one line of JSON that drives no terminal."""
    text = json.dumps(made, ensure_ascii=False, default=_as_data, separators=(", ", ": "))
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _as_data(value: object) -> object:
    """Return what JSON has no form for: a moment in UTC by ISO 8601, a duration in seconds, anything else as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table, line by line."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return [*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)]


def counted(number: int, noun: str) -> str:
    """Say how many of something there are: `1 check`, `2,000 checks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def criteria_pass(number: int) -> str:
    """Say how many criteria pass: `1 criterion passes`, `3 criteria pass`."""
    return f"{number:,} criterion passes" if number == 1 else f"{number:,} criteria pass"


def unmarked(text: str) -> str:
    """Return an update's text without its marks: `*bold*`, `` `code` `` and `> quote` (see gonogo/core/text/messages.py)."""
    return re.sub(r"(?m)^> ", "", re.sub(r"(?<!\w)[*`]([^*`\n]+)[*`](?!\w)", r"\1", text))
