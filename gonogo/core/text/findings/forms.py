"""The forms in which findings are written: a row here, and a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gonogo.core.text.findings.github import github
from gonogo.core.text.findings.gitlab import gitlab
from gonogo.core.text.findings.junit import junit
from gonogo.core.text.findings.markdown import markdown
from gonogo.core.text.findings.review import Review
from gonogo.core.text.findings.sarif import sarif

FORMS: Mapping[str, Callable[[Review], str]] = {
    "markdown": markdown,
    "sarif": sarif,
    "junit": junit,
    "github": github,
    "gitlab": gitlab,
}
