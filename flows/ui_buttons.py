"""What the buttons of the Prefect UI mean: *cancel* and *pause* on a flow run reach the run.

Prefect itself stops a flow run only where it started the process, and never pauses one from outside.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import get_client

from gonogo.core.engine.events import HoldAsked
from gonogo.ledger import store
from gonogo.run.acquire import LiveRunner

#: seconds between two looks at the flow run
_EVERY = 2.0
#: how many looks a runner has to stop what was cancelled
_PATIENCE = 4


class FlowRunWatcher(threading.Thread):
    """Looks at the flow run, and passes on what people do to it in the UI."""

    def __init__(self, runner: LiveRunner, flow_run: UUID, *, asking: Callable[[], bool], cancels: bool) -> None:
        """Watch a flow run.

        Args:
            runner: the run that it shows.
            flow_run: the flow run.
            asking: says whether the run has paused it itself, to ask people.
            cancels: whether a cancelled flow run is stopped from here at once, as no runner of Prefect's does it;
                otherwise the runner has some seconds to do so, if it still lives.
        """
        super().__init__(name="attendant", daemon=True)
        self.runner, self.flow_run, self.asking, self.cancels = runner, flow_run, asking, cancels
        self._over = threading.Event()

    def run(self) -> None:
        """Look until it is stopped; an API that does not answer is asked again."""
        waited = 0
        while not self._over.wait(_EVERY):
            try:
                with get_client(sync_client=True) as client:
                    state = client.read_flow_run(self.flow_run).state
                if state is None or self._over.is_set():
                    continue
                cancelled = state.is_cancelling() or state.is_cancelled()
                waited = waited + 1 if cancelled else 0
                if cancelled and (self.cancels or waited > _PATIENCE):
                    # as Ctrl-C does: the statement is stopped at once and the run is held
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                if state.is_paused() and not self.asking():
                    self._hold()
                    return
            except Exception:  # noqa: BLE001, S112 - Prefect's troubles are not the run's
                continue

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def _hold(self) -> None:
        session = self.runner.session
        with session.database.connect("gonogo/request") as connection:
            store.append(connection, session.run, HoldAsked(why="paused in Prefect"), "the Prefect UI")
