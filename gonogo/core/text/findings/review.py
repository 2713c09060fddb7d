"""What was found wrong with some files, and what they were looked at for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gonogo.core.model.finding import Finding, Level
from gonogo.core.text.plain import counted


@dataclass(frozen=True, kw_only=True)
class Page:
    """More for people, in Markdown.

    Attributes:
        title: what it is.
        text: the page.
        folded: whether it is shown only to who asks.
    """

    title: str
    text: str
    folded: bool = True


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a command found.

    Attributes:
        command: which: `doctor` or `plan`.
        version: gonogo's.
        subject: what was looked at: a folder, a file, a runbook.
        summary: one line that says what it came to.
        findings: what is wrong, with files named as the code host names them.
        files: every file that was looked at, also those with nothing wrong.
        pages: more for people.
    """

    command: str
    version: str
    subject: str
    summary: str
    findings: Sequence[Finding] = ()
    files: Sequence[str] = ()
    pages: Sequence[Page] = ()

    @property
    def open(self) -> list[Finding]:
        """What nobody accepted."""
        return [finding for finding in self.findings if not finding.accepted]

    @property
    def accepted(self) -> list[Finding]:
        """What somebody accepted."""
        return [finding for finding in self.findings if finding.accepted]


def rule_of(finding: Finding) -> str:
    """Return what a code host calls a kind of finding."""
    return finding.kind.replace(" ", "-")


def said(finding: Finding) -> str:
    """Say what is wrong, and what to do."""
    return finding.what + (f" -> {finding.fix}" if finding.fix else "")


def marks(findings: Sequence[Finding]) -> list[str]:
    """Return a mark for each finding that stays the same while it moves within its file, and is no other's."""
    seen: dict[str, int] = {}
    made = []
    for finding in findings:
        whole = f"{finding.kind}\0{finding.file}\0{finding.what}"
        seen[whole] = seen.get(whole, 0) + 1
        made.append(hashlib.sha256(f"{whole}\0{seen[whole]}".encode()).hexdigest())
    return made


def counts(findings: Sequence[Finding]) -> str:
    """Say how many findings there are of each level."""
    found = [
        counted(sum(f.level is level for f in findings), level.value)
        for level in Level
        if any(f.level is level for f in findings)
    ]
    return ", ".join(found) or "nothing found"
