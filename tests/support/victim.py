"""Run a runbook as the command line does, and die by SIGKILL right after a given event of it was recorded.

python victim.py RUNBOOK EVENT
"""

from __future__ import annotations

import os
import signal
import sys

from gonogo.project import prepend_import_root

prepend_import_root()

from gonogo.core.engine.events import Event  # noqa: E402
from gonogo.core.engine.state import State  # noqa: E402
from gonogo.planning.open import open_runbook  # noqa: E402
from gonogo.planning.planner import prepare  # noqa: E402
from gonogo.run import begin, launch, targets  # noqa: E402 - the project must be on the path first
from gonogo.run.acquire import acquire_run  # noqa: E402
from gonogo.run.signatures import keys_of  # noqa: E402


def main() -> None:
    opened, last = open_runbook(sys.argv[1]), int(sys.argv[2])
    database = targets.reach(opened)
    with database.connect("gonogo/begin") as connection:
        run, *_ = begin.begin(connection, prepare(opened), "victim")
    runner = acquire_run(database, run, actor="victim", keys=keys_of(opened.project))

    def die(_: State, event: Event, __: State) -> None:
        if event.seq == last:
            os.kill(os.getpid(), signal.SIGKILL)

    runner.listeners.append(die)
    launch.go(runner, 1, launch.run_without_ui, at_once=True)
    runner.close()


main()
