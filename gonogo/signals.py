"""What asks a process to end: Ctrl-C, SIGTERM, and a terminal that is closed (SIGHUP)."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WORDS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "its terminal was closed"}
_heard: list[int] = []


@contextmanager
def heard(act: Callable[[], None]) -> Iterator[None]:
    """Do something when the process is asked to end, as long as this lasts. Signals reach the main thread only.

    A SIGHUP that whoever started the process had switched off (`nohup`) stays off.

    Args:
        act: what to do; it may raise.
    """

    def hear(number: int, _: object) -> None:
        _heard.append(number)
        if number == signal.SIGHUP:
            _leave_the_terminal()
        act()

    former = {number: signal.getsignal(number) for number in _ASKS}
    for number, handler in former.items():
        if (number, handler) != (signal.SIGHUP, signal.SIG_IGN):
            signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def asked_by() -> str:
    """Say what asked this process to end; the newest, where several did."""
    return _WORDS[signal.Signals(_heard[-1])] if _heard else "it was asked to end"


def ignore() -> None:
    """Hear none of them any more: the process ends already, and is not to be cut short in that."""
    for number in _ASKS:
        signal.signal(number, signal.SIG_IGN)


def interrupt() -> None:
    """Raise what Ctrl-C raises.

    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt


def _leave_the_terminal() -> None:
    """Write to nobody instead of a terminal that is gone: an error of writing would stop the clean end."""
    with suppress(OSError):
        nobody = os.open(os.devnull, os.O_RDWR)
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            # a terminal that is gone does not say any more that it is one (isatty), but is a device still
            if stream is not None and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                os.dup2(nobody, stream.fileno())
