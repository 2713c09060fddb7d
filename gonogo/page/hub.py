"""One look at a run for all who look at it: the ledger is asked once a second, whether one watches or fifty."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg

from gonogo import clock
from gonogo.core.text.plain import clean
from gonogo.errors import GonogoError, Refused
from gonogo.page.live import LiveRun
from gonogo.page.view import decided, render, shown
from gonogo.planning.open import OpenedRunbook

#: seconds between two looks; between two pictures of a run in which nothing happens; and to the end, once nobody looks
_EVERY, _QUIET, _IDLE = 1.0, 5.0, 20.0
#: seconds after which a word is sent to whoever hears nothing else, so that a proxy does not hang up
_ALIVE = 15.0
#: pictures that wait for somebody who is slow: only the newest counts
_WAITING = 4


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The parts of a page, as HTML."""

    title: str
    #: what the run is: its title, target, zone
    head: Mapping[str, Any]
    live: str
    decide: str
    #: the newest event of the run, and the run
    seq: int
    run: str


class Hub:
    """Follows one run for its viewers.

    Args:
        opened: the runbook, and the target.
        run: the run; the newest of the runbook where it is empty.
        token: what a form must bring back.
    """

    def __init__(self, opened: OpenedRunbook, run: str, token: str) -> None:
        self.opened, self.token = opened, token
        self._live = LiveRun(opened, run)
        # one thread alone ever touches its connection, whoever waits for that and whoever goes away meanwhile
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._viewers: set[asyncio.Queue[tuple[str, str]]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last_viewer = clock.monotonic()
        self._picture: Picture | None = None
        self._sent_at = 0.0
        #: whether what was told last is that the target does not answer
        self._troubled = False
        #: whether nobody looks any more, and nothing of it is left
        self.over = False

    @property
    def viewers(self) -> int:
        """How many listen."""
        return len(self._viewers)

    async def picture(self) -> Picture:
        """Return what there is to see now.

        Raises:
            GonogoError: the target does not answer, or there is no such run.
        """
        self._last_viewer = clock.monotonic()
        try:
            made = await self._look()
        except (GonogoError, psycopg.Error):
            if self._task is None:
                await self.close()
            raise
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        return made

    async def report(self) -> str:
        """Return the run's report, as HTML.

        Raises:
            GonogoError: the target does not answer, or there is no such run.
        """
        # it looks at the ledger by the same connection, so that one does it after the other
        await self.picture()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._live.report)

    async def messages(self, *, view_only: bool) -> AsyncIterator[str]:
        """Yield what is new, as server-sent events, for as long as somebody listens.

        Args:
            view_only: leave out what is for those who decide.
        """
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=_WAITING * 3)
        self._viewers.add(queue)
        try:
            first = await self.picture()
            yield _event("live", first.live)
            yield _event("title", first.title)
            if not view_only:
                yield _event("decide", first.decide)
            while True:
                try:
                    name, text = await asyncio.wait_for(queue.get(), _ALIVE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if not (view_only and name == "decide"):
                    yield _event(name, text)
        except (GonogoError, psycopg.Error) as error:
            yield _event("trouble", clean(error))
        finally:
            self._viewers.discard(queue)
            self._last_viewer = clock.monotonic()

    async def close(self) -> None:
        """Look no more: what it has is given back once a look under way is over."""
        if self.over:
            return
        self.over = True
        if self._task is not None:
            self._task.cancel()
        self._thread.submit(self._live.close)
        self._thread.shutdown(wait=False)

    async def _look(self) -> Picture:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._draw)
        except RuntimeError:
            # the last viewer went away as this one came
            raise Refused("the page was just put away; load it again") from None

    def _draw(self) -> Picture:
        look = self._live.look()
        words = shown(look)
        return Picture(
            title=f"{words['title']} on {words['target']}: {words['outcome']}",
            head={name: words[name] for name in ("title", "target", "protected", "zone", "run")},
            live=render("live.html.j2", **words),
            decide=render("decide.html.j2", token=self.token, **decided(look)),
            seq=look.found.state.seq,
            run=look.found.run,
        )

    async def _follow(self) -> None:
        """Look again and again, and send what changed."""
        try:
            while self._viewers or clock.monotonic() - self._last_viewer < _IDLE:
                await asyncio.sleep(_EVERY)
                if not self._viewers:
                    continue
                try:
                    self._send(await self._look())
                    if self._troubled:
                        self._troubled = False
                        self._tell("trouble", "")
                except (GonogoError, psycopg.Error) as error:
                    self._troubled = True
                    self._tell("trouble", clean(error))
                    self._thread.submit(self._live.close)
                    await asyncio.sleep(_EVERY)
        finally:
            await self.close()

    def _send(self, new: Picture) -> None:
        old = self._picture
        happened = old is None or (old.run, old.seq) != (new.run, new.seq)
        if not happened and clock.monotonic() - self._sent_at < _QUIET:
            return
        self._picture, self._sent_at = new, clock.monotonic()
        if old is None or old.live != new.live:
            self._tell("live", new.live)
        if old is None or old.decide != new.decide:
            self._tell("decide", new.decide)
        if old is None or old.title != new.title:
            self._tell("title", new.title)

    def _tell(self, name: str, text: str) -> None:
        for queue in self._viewers:
            if queue.full():
                # whoever is that slow is better served with what is new
                queue.get_nowait()
            queue.put_nowait((name, text))


def _event(name: str, text: str) -> str:
    return f"event: {name}\ndata: {json.dumps(text)}\n\n"
