"""The process in which templates become text: what they take, of time and of memory, has a limit that they cannot lift.

It lives for a while, for the next one; it holds no connection and no file of its parent's, and ends with it.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from gonogo import clock
from gonogo.errors import BadInput, Problem

if TYPE_CHECKING:
    from gonogo.planning.rendering import Rendering

#: the seconds of a processor, and the bytes of memory beyond what it has, that one text may take
LIMIT, MEMORY = 1.0, 256 * 1024 * 1024
#: seconds beyond that, for what only the kernel can end
_SPARE = 2
#: seconds that an answer may take on a machine that is busy with other things
_PATIENCE = 60
#: seconds that the process waits for more work
_IDLE = 20


#: what a text without a file is: SQL, words, or words in which `$NAME` stands for an environment variable
Form = Literal["sql", "words", "request"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is rendered: a template by its name, or a text."""

    roots: tuple[Path, ...]
    name: str = ""
    #: where the template lies, for messages
    file: str = ""
    text: str = ""
    form: Form = "sql"
    variables: Mapping[str, Any] = field(default_factory=dict)


class _Gone(Exception):
    """The process is not there any more."""


def render(request: Request) -> tuple[str, set[str]]:
    """Return what a template becomes, and the files that it was made of.

    Raises:
        BadInput: a variable is missing, a value is bare, the syntax is wrong, or it takes too much.
    """
    with _lock:
        answer = _asked(request)
    if answer is None:
        what = f"it takes more than a template may: {LIMIT:g} s, {MEMORY // 1024 // 1024} MiB"
        raise BadInput(Problem(file=request.file, message=f"template: {what}"))
    if "problems" in answer:
        raise BadInput(*(Problem(**problem) for problem in answer["problems"]))
    return str(answer["text"]), set(answer["used"])


def _asked(request: Request) -> dict[str, Any] | None:
    """Return the answer of the process that renders; None where the request was the end of it."""
    while True:
        worker, began = _worker(), clock.monotonic()
        new = worker.new
        try:
            return worker.ask(request)
        except _Gone:
            _kept.pop().end()
            if new or clock.monotonic() - began > LIMIT:
                return None
            # it had waited for long, and ended by itself as it was asked


class _Worker:
    """A process that renders, as its parent sees it."""

    def __init__(self) -> None:
        self.parent, self.new = os.getpid(), True
        child_reads, self._writes = os.pipe()
        self._reads, child_writes = os.pipe()
        # copying this process is soonest, and safe while nothing else runs in it
        alone = sys.platform == "linux" and threading.active_count() == 1
        self._process = _Copy(child_reads, child_writes) if alone else _started(child_reads, child_writes)
        os.close(child_reads)
        os.close(child_writes)

    def ask(self, request: Request) -> dict[str, Any]:
        """Hand over what is to be rendered; return the answer.

        Raises:
            _Gone: there is none.
        """
        try:
            _send(self._writes, pickle.dumps(request))
            if not select.select([self._reads], [], [], _PATIENCE)[0]:
                raise _Gone
            said = json.loads(_receive(self._reads))
        except (OSError, EOFError, ValueError):
            raise _Gone from None
        self.new = False
        return dict(said)

    def end(self) -> None:
        """End it."""
        for end in (self._writes, self._reads):
            with suppress(OSError):
                os.close(end)
        if self.parent == os.getpid():
            with suppress(OSError):
                self._process.kill()
            self._process.wait()


class _Copy:
    """A copy of this process that renders."""

    def __init__(self, reads: int, writes: int) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _be_the_copy(reads, writes)

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait for its end."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _be_the_copy(reads: int, writes: int) -> NoReturn:
    """Keep nothing of the parent's but two pipes, and render until it goes away."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, end in enumerate((reads, writes, nothing)):
            os.dup2(end, number)
        # a lock, or a connection, of the parent's would otherwise last as long as this
        os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 65_536)
        serve(0, 1)
    finally:
        os._exit(0)


def _started(reads: int, writes: int) -> subprocess.Popen[bytes]:
    """Start a process that renders, with nothing of this one's environment."""
    path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gonogo.planning.render_process"],
        stdin=reads,
        stdout=writes,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath, "PYTHONPATH": path},
    )


_lock = threading.Lock()
_kept: list[_Worker] = []


def _worker() -> _Worker:
    """Return the process of this one that renders; start it where there is none."""
    if _kept and _kept[0].parent != os.getpid():
        _kept.pop().end()
    if not _kept:
        _kept.append(_Worker())
    return _kept[0]


@atexit.register
def _end() -> None:
    if _kept and _kept[0].parent == os.getpid():
        _kept.pop().end()


# in the process itself


def serve(reads: int, writes: int) -> None:
    """Render what is asked for, until nobody asks.

    Args:
        reads: the pipe by which requests come.
        writes: the pipe for the answers.
    """
    # Ctrl-C is for the parent, with which this ends; a copy has its handlers, too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, _too_long)
    with suppress(EOFError, OSError):
        while select.select([reads], [], [], _IDLE)[0]:
            request = pickle.loads(_receive(reads))  # noqa: S301 - the parent's own words
            # what is imported for the first one is not the template's doing
            rendering = _rendering(request.roots)
            with _limited():
                answer = _answer(rendering, request)
            _send(writes, json.dumps(answer).encode())


class _TooLong(Exception):
    """It takes too long."""


def _too_long(*_: object) -> NoReturn:
    raise _TooLong(f"it takes longer than {LIMIT:g} s")


@contextmanager
def _limited() -> Iterator[None]:
    """Limit one text: what Python can end ends with the template's line, what only the kernel can ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + LIMIT) + _SPARE)
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + MEMORY)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _lower(what: int, limit: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


@lru_cache(maxsize=4)
def _rendering(roots: tuple[Path, ...]) -> Rendering:
    from gonogo.planning.rendering import Rendering  # noqa: PLC0415 - Jinja2 is for those who have templates

    return Rendering(roots)


def _answer(rendering: Rendering, request: Request) -> dict[str, Any]:
    rendering.used.clear()
    try:
        text = (
            rendering.render(request.name, request.file, request.variables)
            if request.name
            else rendering.fill(request.text, request.variables, request.form)
        )
    except BadInput as error:
        return {"problems": [asdict(problem) for problem in error.problems]}
    except _TooLong as error:
        return {"problems": [asdict(Problem(file=request.file, message=f"template: {error}"))]}
    return {"text": text, "used": sorted(rendering.used)}


def _send(pipe: int, message: bytes) -> None:
    whole = memoryview(struct.pack("!Q", len(message)) + message)
    while whole:
        whole = whole[os.write(pipe, whole) :]


def _receive(pipe: int) -> bytes:
    return _read(pipe, struct.unpack("!Q", _read(pipe, 8))[0])


def _read(pipe: int, size: int) -> bytes:
    read = b""
    while len(read) < size:
        if not (piece := os.read(pipe, size - len(read))):
            raise EOFError
        read += piece
    return read


if __name__ == "__main__":
    serve(0, 1)


__all__ = ["LIMIT", "MEMORY", "Form", "Request", "render", "serve"]
