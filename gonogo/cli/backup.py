"""`gonogo backup`: take, prove, list, prune."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from gonogo import clock
from gonogo.cli.options import JsonOption, RunbookArg, TargetOption
from gonogo.cli.output import as_json, say
from gonogo.core.engine.events import BackupProof
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.model.rollback import Backup
from gonogo.core.text.backups import describe_backup
from gonogo.errors import GonogoError
from gonogo.ledger import store
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.planning.planner import planned_backup
from gonogo.postgres.connection import Connection, identify
from gonogo.postgres.scratch import ScratchServer, scratch_server_of
from gonogo.recovery import backups, dump
from gonogo.recovery.manifest import read_manifest
from gonogo.recovery.providers import Place
from gonogo.run import runs, targets


def take(runbook: RunbookArg, target: TargetOption = "", json: JsonOption = False) -> None:
    """Take a backup of a target as the runbook says, restore it into a scratch database, and compare.

    Example: [bold]gonogo backup take guardian-multi-credit --target demo[/]
    """
    opened = open_runbook(runbook, target)
    folder = _folder(opened) / f"{opened.name}-by-hand-{dump.stamp()}"
    _, proof = backups.take(_place(opened, json), folder, _rule(opened), lambda: _room(opened))
    _say_proof(proof, opened.runbook.schedule.zone, json)


def prove(
    runbook: RunbookArg,
    folder: Annotated[Path, typer.Argument(help="The backup's folder; `gonogo backup list` names them.", show_default=False)],
    target: TargetOption = "",
    json: JsonOption = False,
) -> None:
    """Restore a backup into a scratch database, and compare it with what it was taken of.

    Example: [bold]gonogo backup prove guardian-multi-credit .gonogo/backups/guardian-multi-credit-by-hand-20251012T180000[/]
    """
    opened = open_runbook(runbook, target)
    proof = backups.prove(_place(opened, json), folder, _rule(opened), lambda: _room(opened))
    _say_proof(proof, opened.runbook.schedule.zone, json)


def list_(runbook: RunbookArg, json: JsonOption = False) -> None:
    """List a runbook's backups, the newest first, and which ones are older than `keep:`.

    Example: [bold]gonogo backup list guardian-multi-credit[/]
    """
    opened = open_runbook(runbook)
    rows = list(_backups(opened))
    if json:
        as_json(rows)
        return
    for row in rows:
        old = ", older than keep: says" if row["outlived"] else ""
        what = f"restore point {row['point']}" if row["point"] else f"{row['bytes'] / 1e6:,.1f} MB"
        say(f"{row['folder']}: {what}, {say_duration(row['age'])} old{old}")
    if not rows:
        say(f"no backup of {opened.name} in {opened.project.state / 'backups'}")


def prune(
    runbook: RunbookArg,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; without it they are only named.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a runbook's backups that are older than `keep:`.

    Never the newest one, nor one that an unfinished run may need.

    Example: [bold]gonogo backup prune guardian-multi-credit --yes[/]
    """
    opened = open_runbook(runbook)
    older = [row for row in list(_backups(opened))[1:] if row["outlived"]]
    asked = _Ledgers(opened)
    stays = {row["folder"]: why for row in older if (why := asked.needs(row))}
    outlived = [*(row for row in older if row["folder"] not in stays), *_left_over(opened)]
    left = _delete(opened, outlived, json) if yes else {}
    if json:
        as_json({"removed": yes, "backups": outlived, "stays": stays, "left": left})
        return
    for folder, why in left.items():
        say(f"{folder}: {why}", "yellow")
    for folder, why in stays.items():
        say(f"{folder} stays: {why}", "yellow")
    for row in outlived:
        say(f"{'deleted' if yes else 'would delete'} {row['folder']}")
    if outlived and not yes:
        say("use --yes to delete them")
    if not outlived:
        say("no backup is older than the retention (`keep:`)")


def _delete(opened: OpenedRunbook, rows: list[dict[str, Any]], json: bool) -> dict[str, str]:
    """Delete some backups; return the restore points that are left to others, with why."""
    left = {}
    for row in rows:
        if provider := row.get("provider"):
            left[row["folder"]] = backups.delete(_place(opened, json), _rule(opened), provider, row["point"])
        shutil.rmtree(row["folder"])
    return {folder: why for folder, why in left.items() if why}


def _rule(opened: OpenedRunbook) -> Backup:
    """Return the backup that the runbook asks for, with the templates in its programs filled in."""
    return planned_backup(opened) or Backup()


def _place(opened: OpenedRunbook, json: bool) -> Place:
    return Place(database=targets.reach(opened), root=opened.project.files, say=_teller(json))


def _folder(opened: OpenedRunbook) -> Path:
    return opened.project.state / "backups"


def _backups(opened: OpenedRunbook) -> Iterator[dict[str, Any]]:
    """Yield a runbook's backups, the newest first."""
    keep = (opened.runbook.backup or Backup()).keep
    found = []
    kinds = r"-([0-9a-f]{6}-(before|after)|by-hand|rehearsal)-\d{8}T\d{6}-[0-9a-f]{4}"
    name = re.compile(re.escape(opened.name) + kinds)
    for folder in _folder(opened).glob("*"):
        if not name.fullmatch(folder.name):
            continue
        manifest = read_manifest(folder)
        size = sum(file.bytes for file in manifest.files.values())
        age = clock.now() - manifest.taken_at
        found.append(
            {
                "folder": str(folder),
                "taken_at": manifest.taken_at.isoformat(),
                "of": (manifest.system, manifest.database),
                "bytes": size,
                "provider": manifest.provider,
                "point": manifest.point,
                "age": age.total_seconds(),
                "outlived": age > keep,
            }
        )
    yield from sorted(found, key=lambda row: str(row["taken_at"]), reverse=True)


def _left_over(opened: OpenedRunbook) -> Iterator[dict[str, Any]]:
    """Yield what a backup that was killed a day ago or more left behind."""
    for folder in _folder(opened).glob(f".{opened.name}-*.partial"):
        age = clock.now() - datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        if age > timedelta(days=1):
            yield {"folder": str(folder), "age": age.total_seconds(), "partial": True}


def is_over(state: State) -> bool:
    """Say whether nobody can roll a run back by restoring any more: it is done, or back where it began."""
    if state.status is Status.NO_GO:
        return not state.changed
    return state.status is Status.DONE or (state.status is Status.ROLLED_BACK and state.rollback.level not in SWITCH_LEVELS)


class _Ledgers:
    """What the runs of a runbook's targets may still be restored from."""

    def __init__(self, opened: OpenedRunbook) -> None:
        self._opened = opened
        #: by target: the backups that its unfinished runs name, with the run
        self._named: dict[tuple[str, str], dict[str, str]] | None = None

    def needs(self, row: Mapping[str, Any]) -> str:
        """Say why a backup must stay, or nothing."""
        folder = Path(row["folder"])
        if "-before-" not in folder.name:
            return ""
        if self._named is None:
            self._named = dict(self._ask())
        if row["of"] not in self._named:
            return "no target that can be reached is the database it was taken from: a run may still need it"
        run = self._named[row["of"]].get(folder.name, "")
        return f"the run {run} is not over, and may be restored from it" if run else ""

    def _ask(self) -> Iterator[tuple[tuple[str, str], dict[str, str]]]:
        for target in self._opened.runbook.targets:
            with suppress(GonogoError):
                database = targets.reach(self._opened.on(target))
                with targets.connect_recovering(database, "gonogo/prune") as connection:
                    identity = identify(connection)
                    yield (identity.system_identifier, identity.database), dict(self._unfinished(connection))

    def _unfinished(self, connection: Connection) -> Iterator[tuple[str, str]]:
        name = self._opened.name
        for row in store.runs(connection, name) if store.exists(connection) else ():
            state = runs.find(connection, runbook=name, run=row.id).state
            if not is_over(state):
                yield from ((Path(known.folder).name, row.id) for known in state.known.backups.values())


def _room(opened: OpenedRunbook) -> ScratchServer:
    return scratch_server_of(targets.reach(opened), opened.chosen.rehearse_on, opened.project.state)


def _teller(json: bool) -> Any:
    return (lambda _: None) if json else lambda text: say(text, "dim")


def _say_proof(proof: BackupProof, zone: str, json: bool) -> None:
    if json:
        as_json(proof.model_dump(mode="json"))
    else:
        say(f"proved: {describe_backup(proof, zone)}", "green")
        say(proof.folder)
