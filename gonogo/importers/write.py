"""Makes a runbook of what was read: one task for each change, its SQL as templates, and its rollback where it has one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from gonogo.errors import BadInput
from gonogo.importers.read import Change, Migrations, Piece

_HEAD = """\
# yaml-language-server: $schema=../runbook.schema.json
# Made from {form} by `gonogo import`. What it cannot know is yours: the gate's criteria, who decides, what is watched, what
# people confirm.
"""


def identifier(text: str) -> str:
    """Return a name as runbooks want it."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (words if words[:1].isalpha() else f"c-{words}")[:48].strip("-") or "imported"


def write(
    folder: Path,
    name: str,
    migrations: Migrations,
    kept: Mapping[str, Sequence[Piece]] | None = None,
    *,
    database: str = "embedded",
) -> Path:
    """Write a runbook and its templates below a folder; return the runbook's file.

    Args:
        folder: the project.
        name: the runbook's name.
        migrations: what was read.
        kept: by change, the statements to keep; all of them without it.
        database: the target's database, as a runbook says it.

    Raises:
        BadInput: something of that name is there already.
    """
    book, templates = folder / "runbooks" / f"{name}.yaml", folder / "sql_templates" / name
    for there in (book, templates):
        if there.exists():
            raise BadInput(f"{there} is there already; choose another --name")
    templates.mkdir(parents=True)
    book.parent.mkdir(parents=True, exist_ok=True)
    tasks = []
    for change in migrations.changes:
        forward = list(kept[change.name]) if kept is not None else change.forward
        step: dict[str, object] = {}
        if not forward:
            continue
        step["sql"] = _write(templates, change, "", forward)
        if change.back:
            step["undo"] = _write(templates, change, ".undo", change.back)
        tasks.append({"task": identifier(change.name), "title": change.title or change.name, "steps": [step]})
    body: dict[str, object] = {
        "runbook": name,
        "title": name,
        "targets": {"test": {"database": database}},
        "phases": [{"phase": "migrate", "tasks": tasks}],
        "checks": {},
    }
    if migrations.boxes:
        boxes = [{"item": identifier(f"box-{n}"), "title": text} for n, text in enumerate(migrations.boxes, 1)]
        body["phases"] = [{"phase": "migrate", "gate": {"confirm": boxes}, "tasks": tasks}]
    book.write_text(
        _HEAD.format(form=migrations.form) + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120),
        encoding="utf-8",
    )
    return book


def _write(templates: Path, change: Change, suffix: str, pieces: Sequence[Piece]) -> str:
    file = templates / f"{identifier(change.name)}{suffix}.sql"
    file.write_text("".join(piece.text.rstrip().rstrip(";") + ";\n" for piece in pieces), encoding="utf-8")
    return file.name
