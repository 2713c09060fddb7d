"""The end of a process whose run is over, where Prefect takes too long to hear of it: nothing waits for Prefect then."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from gonogo.core.engine.events import Event
from gonogo.core.engine.state import ENDED, State
from gonogo.notify.sender import finish_all
from gonogo.run.acquire import LiveRunner

#: the seconds that Prefect may take to hear how a run ended
_PREFECT_MAY_TAKE = 30.0


class LateEnd:
    """Ends this process some seconds after its run has come to rest for good, where nothing else has ended it by then."""

    def __init__(self, runner: LiveRunner, say: Callable[[str], object], last_words: Callable[[], int]) -> None:
        """Get ready; it is a listener of the run.

        Args:
            runner: the run.
            say: where it is told that Prefect is not waited for.
            last_words: what is done last; it returns the exit code of the process.
        """
        self._runner, self._say, self._last_words = runner, say, last_words
        self._timer: threading.Timer | None = None

    def on_event(self, _before: State, _event: Event, after: State) -> None:
        """Begin to wait when the run comes to rest for good, and no longer where it goes on after all."""
        self.cancel()
        if after.status in ENDED or after.held:
            self._timer = threading.Timer(_PREFECT_MAY_TAKE, self._end)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._say(f"Prefect has not answered for {_PREFECT_MAY_TAKE:g} s; the run is over, and this ends without it")
        finish_all(self._runner.senders)
        self._runner.close()
        code = self._last_words()
        sys.stdout.flush()
        sys.stderr.flush()
        # the thread that waits for Prefect cannot be asked to stop, and has nothing left to do
        os._exit(code)
