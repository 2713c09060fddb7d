"""One look at a run for all who look at it: the ledger is asked once a second, whether one watches or fifty."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psycopg

from gonogo import clock
from gonogo.core.text.plain import clean
from gonogo.errors import GonogoError
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
        self._looking = asyncio.Lock()
        self._viewers: set[asyncio.Queue[tuple[str, str]]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last_viewer = clock.monotonic()
        self._picture: Picture | None = None
        self._sent_at = 0.0

    @property
    def over(self) -> bool:
        """Whether nobody looks any more."""
        return self._task is None or self._task.done()

    async def picture(self) -> Picture:
        """Return what there is to see now.

        Raises:
            GonogoError: the target does not answer, or there is no such run.
        """
        self._last_viewer = clock.monotonic()
        made = await self._look()
        if self.over:
            self._task = asyncio.create_task(self._follow())
        return made

    async def messages(self, *, view_only: bool) -> AsyncIterator[str]:
        """Yield what is new, as server-sent events, for as long as somebody listens.

        Args:
            view_only: leave out what is for those who decide.
        """
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=_WAITING * 3)
        self._viewers.add(queue)
        try:
            yield _event("live", (await self.picture()).live)
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
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.to_thread(self._live.close)

    async def _look(self) -> Picture:
        async with self._looking:
            return await asyncio.to_thread(self._draw)

    def _draw(self) -> Picture:
        look = self._live.look()
        words = shown(look)
        return Picture(
            title=f"{words['title']} on {words['target']}: {words['outcome']}",
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
                except (GonogoError, psycopg.Error) as error:
                    self._tell("trouble", clean(error))
                    await asyncio.to_thread(self._live.close)
                    await asyncio.sleep(_EVERY)
        finally:
            await asyncio.to_thread(self._live.close)

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
