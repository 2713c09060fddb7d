"""Findings as GitLab's report of code quality: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format"""

from __future__ import annotations

from gonogo.core.model.finding import Level
from gonogo.core.text.findings.review import Review, marks, rule_of, said
from gonogo.core.text.plain import as_json

_SEVERITY = {Level.ERROR: "critical", Level.WARNING: "minor", Level.NOTE: "info"}


def gitlab(review: Review) -> str:
    """Return what nobody accepted."""
    return (
        as_json(
            [
                {
                    "description": said(finding),
                    "check_name": f"gonogo-{review.command}-{rule_of(finding)}",
                    "fingerprint": mark,
                    "severity": _SEVERITY[finding.level],
                    "location": {"path": finding.file, "lines": {"begin": max(1, finding.line)}},
                }
                for finding, mark in zip(review.open, marks(review.open), strict=True)
            ]
        )
        + "\n"
    )
