"""Carry a run in this process: become its runner, send its updates, let go cleanly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gonogo.postgres.connection import Database
from gonogo.project import Project
from gonogo.run.context import Runner, acquire_run
from gonogo.run.signatures import keys_of

if TYPE_CHECKING:
    from gonogo.notify.sender import Sender


@contextmanager
def carried(
    database: Database,
    run: str,
    project: Project,
    *,
    actor: str,
    take_over: bool = False,
    resumed: bool = False,
) -> Iterator[Runner]:
    """Be the runner of a run for a while; its updates go to Slack where there is a token for it.

    Args:
        database: the target.
        run: the run.
        project: whose keys prove the people who decide.
        actor: who this is, for the ledger.
        take_over: end a runner that is still there.
        resumed: whether another process carried the run before.

    Raises:
        Refused: the target is not the run's, or another runner works on it.
    """
    runner = acquire_run(database, run, actor=actor, keys=keys_of(project), take_over=take_over, resumed=resumed)
    runner.room, runner.root = project.state, project.files
    sender: Sender | None = None
    try:
        if tells_slack(runner):
            from gonogo.notify.sender import Sender  # noqa: PLC0415 - Slack's library is for those who have a token

            def say(text: str) -> None:
                runner.session.say(text)  # whoever shows the run may change

            sender = Sender(database, runner.plan, run, say)
            sender.start()
        yield runner
    finally:
        if sender:
            sender.finish()
        runner.close()


def tells_slack(runner: Runner) -> bool:
    """Say whether the updates of a run go to Slack."""
    return bool(runner.plan.updates.slack and os.environ.get("SLACK_BOT_TOKEN"))
