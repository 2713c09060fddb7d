"""A rehearsal beside the bare sum of its parts: restoring, running forward, rolling back.

    uv run python benchmarks/rehearsal.py --organizations 200000 --rounds 3

One embedded PostgreSQL 18 with the Guardian plan's data. What a rehearsal adds is the stock that is taken before and after
every step, and the proof of the backup.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import psycopg
from timing import quietly

from gonogo import project as house
from gonogo.core.engine.events import Rehearsed
from gonogo.postgres import embedded


def rehearse(folder: Path, url: str) -> Rehearsed:
    """Rehearse the Guardian runbook on a database; return what that showed."""
    from gonogo.planning.load import load_runbook  # noqa: PLC0415
    from gonogo.planning.open import OpenedRunbook  # noqa: PLC0415
    from gonogo.planning.planner import prepare  # noqa: PLC0415
    from gonogo.postgres.connection import Database  # noqa: PLC0415
    from gonogo.rehearsal import rehearse as rehearsing  # noqa: PLC0415 - the house must be on the path first

    file = house.ROOT / "runbooks/guardian-multi-credit.yaml"
    project = house.Project(root=folder)
    prepared = prepare(OpenedRunbook(runbook=load_runbook(file), file=file, project=project))
    return rehearsing.rehearse(prepared, Database(url=url), project, actor="benchmark", say=quietly)


def fill(url: str, organizations: int) -> None:
    """Make the Guardian plan's tables and their rows."""
    from gonogo.planning.templates import Templates  # noqa: PLC0415 - the house must be on the path first

    templates = Templates([house.ROOT / "sql_templates"])
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("before.sql", "data.sql.j2"):
            text = templates.render(f"guardian-multi-credit/demo/{name}", {"organizations": organizations})
            connection.execute(text.encode())
        connection.execute("VACUUM ANALYZE")


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    house.prepend_import_root()
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    folder = Path(tempfile.mkdtemp(prefix="gonogo-bench-"))
    folder.chmod(0o755)
    try:
        with embedded.running(folder / "pg", database="guardian") as url:
            fill(url, chosen.organizations)
            ratios = []
            for _ in range(chosen.rounds):
                seen = rehearse(folder, url)
                level = seen.levels[0]
                parts = (seen.backup.restored_in if seen.backup else 0.0) + seen.forward.took + level.took
                ratios.append(seen.took / parts)
                print(f"{seen.rows:,} rows: {seen.took:.1f} s, the parts {parts:.1f} s ({level.verdict})")
            print(f"{statistics.median(ratios):.2f} of the sum of its parts")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
