"""Makes a runbook of what was read: one task for each change, its SQL as templates, and its rollback where it has one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from gonogo.errors import BadInput
from gonogo.migrations.changes import Change, Migrations, Piece, ended
from gonogo.migrations.tools.record import Record
from gonogo.sql.parse import split

_HEAD = """\
# yaml-language-server: $schema=../runbook.schema.json
# Made from {form} by `gonogo import`. What it cannot know is yours: the gate's criteria, who decides, what is watched, what
# people confirm.
"""


def identifier(text: str) -> str:
    """Return a name as runbooks want it."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (words if words[:1].isalpha() else f"c-{words}")[:48].strip("-") or "imported"


def task_names(migrations: Migrations) -> dict[str, str]:
    """Return how the task of each change is called, by the change's name: no two alike, however long and alike those are."""
    found: dict[str, str] = {}
    for change in migrations.changes:
        plain = made = identifier(change.name)
        number = 2
        while made in found.values():
            made, number = f"{plain[:44].rstrip('-')}-{number}", number + 1
        found[change.name] = made
    return found


def write(
    folder: Path,
    name: str,
    migrations: Migrations,
    kept: Mapping[str, Sequence[Piece]] | None = None,
    *,
    database: str = "embedded",
    record: Record | None = None,
    before: Change | None = None,
) -> Path:
    """Write a runbook and its templates below a folder; return the runbook's file.

    Args:
        folder: the project.
        name: the runbook's name.
        migrations: what was read.
        kept: by change, the statements to keep; all of them without it.
        database: the target's database, as a runbook says it.
        record: how its tool records what is done, where that is to be written, too.
        before: the change that is done before the first of them, if any.

    Raises:
        BadInput: something of that name is there already, or no change holds SQL.
    """
    book, templates = folder / "runbooks" / f"{name}.yaml", folder / "sql_templates" / name
    for there in (book, templates):
        if there.exists():
            raise BadInput(f"{there} is there already; choose another --name")
    templates.mkdir(parents=True)
    book.parent.mkdir(parents=True, exist_ok=True)
    tasks = _tasks(templates, migrations, kept, before, record)
    if not tasks:
        raise BadInput(f"nothing of it is SQL: {migrations.form} of {len(migrations.changes)} changes, and no task comes of them")
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


def _tasks(
    templates: Path,
    migrations: Migrations,
    kept: Mapping[str, Sequence[Piece]] | None,
    before: Change | None,
    record: Record | None,
) -> list[dict[str, object]]:
    """Write the templates of all changes; return a task for each."""
    tasks: list[dict[str, object]] = []
    names = task_names(migrations)
    for change in migrations.changes:
        forward = list(kept[change.name]) if kept is not None else change.forward
        # one that holds no SQL is recorded all the same, or its tool would find it pending
        if forward or (record and record.add(change, before)):
            its_name = names[change.name]
            step = _step(templates / its_name, replace(change, forward=forward), before, record)
            tasks.append({"task": its_name, "title": change.title or change.name, "steps": [step]})
            before = change
    return tasks


def _step(template: Path, change: Change, before: Change | None, record: Record | None) -> dict[str, object]:
    """Write the templates of a change; return its step."""
    made: dict[str, object] = {}
    made["sql"] = _write(Path(f"{template}.sql"), change.forward, record.add(change, before) if record else "")
    if change.back:
        made["undo"] = _write(Path(f"{template}.undo.sql"), change.back, record.drop(change, before) if record else "")
    elif change.nothing_to_reverse:
        made["undo"] = "nothing"
    if record:
        made["keeps"] = {record.table: "it is what the run recorded"}
    return made


def _write(file: Path, pieces: Sequence[Piece], recorded: str) -> str:
    body = "".join(ended(piece.text) for piece in pieces)
    own = f"-- for the migration tool itself\n{recorded};\n" if recorded else ""
    # before the change, as it may set another search path; after one that is not one transaction, as it may end in its middle
    file.write_text(own + body if _is_one_transaction(body, file) else body + own, encoding="utf-8")
    return file.name


def _is_one_transaction(text: str, file: Path) -> bool:
    try:
        return all(statement.transactional for statement in split(text, str(file)))
    except BadInput:
        # whoever validates the runbook is told
        return True
