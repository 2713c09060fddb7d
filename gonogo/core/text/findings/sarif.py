"""Findings as SARIF 2.1.0, which code hosts show beside the lines.

The form is that of OASIS: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import re
from typing import Any

from gonogo.core.model.finding import FINDING_KINDS, Finding
from gonogo.core.text.findings.review import Review, marks, rule_of, said
from gonogo.core.text.plain import as_json

#: what stands in a path of an address as it is (RFC 3986, 3.3)
_AS_IT_IS = re.compile(rb"[^A-Za-z0-9/._~!$&'()*+,;=:@-]")
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(review: Review) -> str:
    """Return a log of one run; what somebody accepted is in it as suppressed, with the reason."""
    rules = [_rule(kind) for kind in sorted({finding.kind for finding in review.findings})]
    driver = {"name": f"gonogo {review.command}", "semanticVersion": review.version, "rules": rules}
    results = [_result(finding, mark) for finding, mark in zip(review.findings, marks(review.findings), strict=True)]
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"gonogo-{review.command}/{review.subject}"},
        "results": results,
    }
    return as_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _rule(kind: str) -> dict[str, Any]:
    row = FINDING_KINDS[kind]
    return {
        "id": kind.replace(" ", "-"),
        "shortDescription": {"text": row.means},
        "defaultConfiguration": {"level": row.level.value},
    }


def _result(finding: Finding, mark: str) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": _path(finding.file)}, "region": {"startLine": max(1, finding.line)}}
    made: dict[str, Any] = {
        "ruleId": rule_of(finding),
        "level": finding.level.value,
        "message": {"text": said(finding)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"gonogo/v1": mark},
    }
    if finding.accepted:
        made["suppressions"] = [{"kind": "external", "justification": finding.accepted}]
    return made


def _path(file: str) -> str:
    """Return a path as part of an address."""
    return _AS_IT_IS.sub(lambda found: b"%%%02X" % found[0][0], file.encode(errors="replace")).decode("ascii")
