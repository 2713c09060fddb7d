"""Whether a runbook's files are the ones that a run was made from: answered without planning anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gonogo.planning.migrations import migration_files
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.sources import Library, digest_sources, own_checks_of, patterns_of, resolve_inputs


def sources_of(opened: OpenedRunbook, inputs: Mapping[str, Any]) -> str:
    """Return the digest over a runbook's files, without planning it, to know quickly that nothing has changed.

    Raises:
        BadInput: a template is missing or cannot be rendered.
    """
    library = Library(opened.project.template_roots)
    variables = resolve_inputs(opened.runbook, inputs)
    names = [name for pattern in patterns_of(opened.runbook) for name in library.find(pattern, opened.name)]
    library.used.update(map(library.file, names))
    library.used |= own_checks_of(opened.runbook, opened.project.files)
    library.used |= migration_files(opened.runbook, opened.project.files)
    if templates := [name for name in names if name.endswith(".j2")]:
        from gonogo.planning.templates import Templates  # noqa: PLC0415 - Jinja2 is for those who have templates

        rendering = Templates(opened.project.template_roots)
        for name in templates:
            # rendering shows what it includes
            rendering.render(name, variables)
        library.used |= rendering.used
    return digest_sources(opened.file, library, variables, opened.target)
