"""Carry a run in this process: become its runner, send its updates, let go cleanly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.decide import keys_of
from flows.loop import Conductor, embark
from gonogo.database import Database
from gonogo.house import Project

if TYPE_CHECKING:
    from gonogo.updates import Sender


@contextmanager
def carried(
    database: Database,
    run: str,
    project: Project,
    *,
    actor: str,
    take_over: bool = False,
    resumed: bool = False,
) -> Iterator[Conductor]:
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
    conductor = embark(database, run, actor=actor, keys=keys_of(project), take_over=take_over, resumed=resumed)
    conductor.room, conductor.root = project.state, project.files
    sender: Sender | None = None
    try:
        if tells_slack(conductor):
            from gonogo.updates import Sender  # noqa: PLC0415 - Slack's library is for those who have a token

            def say(text: str) -> None:
                conductor.session.say(text)  # whoever shows the run may change

            sender = Sender(database, conductor.plan, run, say)
            sender.start()
        yield conductor
    finally:
        if sender:
            sender.finish()
        conductor.close()


def tells_slack(conductor: Conductor) -> bool:
    """Say whether the updates of a run go to Slack."""
    return bool(conductor.plan.updates.slack and os.environ.get("SLACK_BOT_TOKEN"))
