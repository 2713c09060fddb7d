"""The whole story of a script that the server refused."""

from __future__ import annotations

import psycopg

from gonogo.core.plan.plan import Script
from gonogo.core.text.plain import indented, point_at


def explain(error: psycopg.Error, script: Script, sql: str, blockers: list[str], *, offset: int = 0) -> str:
    """Tell the whole story of a refused script: place, line, caret, SQLSTATE, hint, who blocked.

    Args:
        error: what the server said.
        script: what it refused.
        sql: its text.
        blockers: the sessions that it waited for.
        offset: how many characters of gonogo's own stood before it.
    """
    diag = error.diag
    message = indented((diag.message_primary or str(error)).strip()[:2000], 8)
    lines = [f"{script.source}: {error.sqlstate or type(error).__name__} {message}"]
    position = (int(diag.statement_position) if diag.statement_position else 0) - offset
    if 0 < position <= len(sql):
        before = sql[: position - 1]
        number = before.count("\n")
        lines[0] = f"{script.source}, rendered line {number + script.line}: {error.sqlstate} {message}"
        lines.append(point_at(sql.split("\n")[number], len(before) - before.rfind("\n") - 1))
    for word, text in (("detail", diag.message_detail), ("hint", diag.message_hint), ("context", diag.context)):
        if text:
            lines.append(f"    {word}: {indented(text.strip()[:1000], 8)}")
    lines += [f"    blocked by {blocker}" for blocker in dict.fromkeys(blockers)]
    return "\n".join(lines)
