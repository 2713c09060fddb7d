"""`gonogo backup`: take, prove, list, prune."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from flows import launch
from flows.opening import Opened, open_runbook
from gonogo import clock
from gonogo.cli.show import as_json, say
from gonogo.core.duration import say_duration
from gonogo.core.message import backup_in_words
from gonogo.core.way_back import Backup
from gonogo.loader import choose_target


def take(name: str, target: str, json: bool) -> None:
    """Take a backup and prove it."""
    from gonogo import backup  # noqa: PLC0415 - listing them needs no driver

    opened = open_runbook(name)
    database = launch.reach(opened.runbook, opened.project, target)
    folder = _folder(opened) / f"{opened.runbook.runbook}-by-hand-{backup.stamp()}"
    made = backup.take(database, folder, _teller(json), opened.runbook.backup)
    _say_proof(backup.prove(made, _room(opened, target), _teller(json)), json)


def prove(name: str, folder: Path, target: str, json: bool) -> None:
    """Prove a backup that is there."""
    from gonogo import backup  # noqa: PLC0415 - see take
    from gonogo.manifest import read  # noqa: PLC0415 - see take

    opened = open_runbook(name)
    made = read(folder)
    _say_proof(backup.prove(made, _room(opened, target), _teller(json)), json)


def listed(name: str, json: bool) -> None:
    """List the backups of a runbook."""
    opened = open_runbook(name)
    rows = list(_backups(opened))
    if json:
        as_json(rows)
        return
    for row in rows:
        old = ", older than keep: says" if row["outlived"] else ""
        say(f"{row['folder']}: {row['bytes'] / 1e6:,.1f} MB, {say_duration(row['age'])} old{old}")
    if not rows:
        say("there is none")


def prune(name: str, yes: bool, json: bool) -> None:
    """Remove the backups that have outlived what the runbook says; the newest stays."""
    opened = open_runbook(name)
    outlived = [row for row in list(_backups(opened))[1:] if row["outlived"]]
    if yes:
        for row in outlived:
            shutil.rmtree(row["folder"])
    if json:
        as_json({"removed": yes, "backups": outlived})
        return
    for row in outlived:
        say(f"{'removed' if yes else 'would remove'} {row['folder']}")
    if outlived and not yes:
        say("they are removed with --yes")
    if not outlived:
        say("none is older than `keep:` says")


def _folder(opened: Opened) -> Path:
    return opened.project.state / "backups"


def _backups(opened: Opened) -> Iterator[dict[str, Any]]:
    """Yield a runbook's backups, the newest first."""
    keep = (opened.runbook.backup or Backup()).keep
    from gonogo.manifest import read_manifest  # noqa: PLC0415 - see take

    found = []
    kinds = r"-([0-9a-f]{6}-(before|after)|by-hand|rehearsal)-\d{8}T\d{6}-[0-9a-f]{4}"
    name = re.compile(re.escape(opened.runbook.runbook) + kinds)
    for folder in _folder(opened).glob("*"):
        if not name.fullmatch(folder.name):
            continue
        manifest = read_manifest(folder)
        taken = datetime.fromisoformat(manifest["taken_at"])
        size = sum(int(each["bytes"]) for each in manifest["files"].values())
        age = clock.now() - taken
        found.append(
            {
                "folder": str(folder),
                "taken_at": manifest["taken_at"],
                "bytes": size,
                "age": age.total_seconds(),
                "outlived": age > keep,
            }
        )
    yield from sorted(found, key=lambda row: str(row["taken_at"]), reverse=True)


def _room(opened: Opened, target: str) -> Any:
    from gonogo.scratch import room_of  # noqa: PLC0415 - see take

    chosen = opened.runbook.targets[choose_target(opened.runbook, target)]
    return room_of(launch.reach(opened.runbook, opened.project, target), chosen.rehearse_on, opened.project.state)


def _teller(json: bool) -> Any:
    return (lambda _: None) if json else lambda text: say(text, "dim")


def _say_proof(proof: dict[str, Any], json: bool) -> None:
    if json:
        as_json(proof)
    else:
        say(f"proved: {backup_in_words(proof)}", "green")
        say(proof["folder"])
