"""Findings as JUnit's XML: a case for each file that was looked at, and a failure for each that has an error or a warning."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from gonogo.core.model.finding import Finding, Level
from gonogo.core.text.findings.review import Review, counts, said
from gonogo.core.text.plain import clean


def junit(review: Review) -> str:
    """Return a test suite."""
    files = list(dict.fromkeys((*review.files, *(finding.file for finding in review.findings))))
    of = {file: [finding for finding in review.findings if finding.file == file] for file in files}
    failing = [file for file in files if _failing(of[file])]
    suite = ET.Element(
        "testsuite",
        {
            "name": f"gonogo {review.command} {review.subject}",
            "tests": str(len(files)),
            "failures": str(len(failing)),
            "errors": "0",
        },
    )
    for file in files:
        case = ET.SubElement(
            suite, "testcase", {"classname": f"gonogo.{review.command}", "name": clean(file), "file": clean(file)}
        )
        if found := _failing(of[file]):
            failure = ET.SubElement(case, "failure", {"message": counts(found), "type": found[0].kind})
            failure.text = _lines(found)
        if others := [finding for finding in of[file] if finding not in found]:
            ET.SubElement(case, "system-out").text = _lines(others)
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _failing(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.accepted and finding.level is not Level.NOTE]


def _lines(findings: Sequence[Finding]) -> str:
    return "\n".join(
        clean(f"{f.file}:{f.line}: {f.kind}: {said(f)}" + (f" (accepted: {f.accepted})" if f.accepted else "")) for f in findings
    )
