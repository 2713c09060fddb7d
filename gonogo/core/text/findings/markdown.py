"""Findings as Markdown, for a comment on a pull request that is kept up to date by the mark in its first line."""

from __future__ import annotations

from collections.abc import Sequence

from gonogo.core.model.finding import Finding, Level
from gonogo.core.text.findings.review import Review, counts, said
from gonogo.core.text.plain import counted, data, table

_SIGN = {Level.ERROR: "❌", Level.WARNING: "⚠️", Level.NOTE: "💬"}
#: code hosts take comments of 65,536 characters
_ROWS, _WIDE = 100, 300


def markdown(review: Review) -> str:
    """Return a comment: what it came to, what is wrong by file, and what was accepted."""
    sign = _SIGN[min((f.level for f in review.open), key=list(Level).index)] if review.open else "✅"
    lines = [f"<!-- gonogo {review.command}: {review.subject.replace('--', '')} -->"]
    lines += [f"### {sign} gonogo {review.command}: {data(review.subject)}", "", f"{counts(review.open)}. {data(review.summary)}"]
    lines += _findings(review.open)
    if review.accepted:
        rows = [(_place(f), f.kind, data(f.what)[:_WIDE], f.accepted) for f in review.accepted[:_ROWS]]
        lines += _folded(
            counted(len(review.accepted), "accepted finding"), table(("where", "", "what", "accepted because"), rows)
        )
    for page in review.pages:
        lines += _folded(page.title, [page.text]) if page.folded else ["", f"#### {data(page.title)}", "", page.text]
    return "\n".join(lines) + "\n"


def _findings(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    rows = [(_SIGN[f.level], _place(f), f.kind, said(f)[:_WIDE]) for f in findings[:_ROWS]]
    more = [f"and {len(findings) - _ROWS:,} more"] if len(findings) > _ROWS else []
    return ["", *table(("", "where", "", "what, and what to do"), rows), *more]


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return ["", "<details>", f"<summary>{data(title)}</summary>", "", *lines, "", "</details>"]


def _place(finding: Finding) -> str:
    return f"`{finding.file}:{finding.line}`"
