"""Carry a run as the command line does, and die by SIGKILL right after a given fact of it was recorded.

python victim.py RUNBOOK FACT
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gonogo.house import move_in, project_of

move_in()

from flows import launch  # noqa: E402 - the house must be on the path first
from flows.decide import keys_of  # noqa: E402
from flows.loop import embark  # noqa: E402
from gonogo.loader import load_runbook  # noqa: E402
from gonogo.planning import prepare  # noqa: E402


def main() -> None:
    file, fact = Path(sys.argv[1]), int(sys.argv[2])
    runbook, project = load_runbook(file), project_of(file)
    database = launch.reach(runbook, project, "")
    with database.connect("gonogo/begin") as connection:
        run, _ = launch.begin(connection, prepare(runbook, file, project), "victim")
    conductor = embark(database, run, actor="victim", keys=keys_of(project))

    def die(_: object, event: object, __: object) -> None:
        if event.seq == fact:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)

    conductor.listeners.append(die)
    launch.go(conductor, 1, launch.carry_plainly, at_once=True)
    conductor.close()


main()
