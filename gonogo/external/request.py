"""Requests to web services, by checks and by steps: never longer than they may take, and never with a secret in what is kept.

What stands for a secret comes from the environment and is redacted of every answer and every error. A request runs in a loop
and a thread of its own, so that a service that answers a byte at a time can be left.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gonogo import clock
from gonogo.core.model.check_kinds import Http
from gonogo.core.model.duration import say_duration
from gonogo.errors import StepError
from gonogo.external.process import KEPT, EndedEarly, NotStarted, in_json, redactor

if TYPE_CHECKING:
    import httpx

#: a variable that the runbook's author named; two dollars are one, as in what came from an input
_VARIABLE = re.compile(r"\$(?:\$|\{?(\w+)\}?)")
#: how much of an answer is read, in bytes, and how much of one value of it is told, in characters
_MOST, _TOLD = 1_000_000, 200
#: seconds between two looks at whether a request should go on
_GLANCE = 0.05
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a service answered: its status, and its text as it may be seen."""

    status: int
    text: str
    seconds: float


class TooSlow(StepError):
    """A service took longer than it may."""


def filled(text: str) -> str:
    """Return a text with the environment variables that it names, without the line's end that a file leaves in one.

    Raises:
        NotStarted: one of them is not set.
    """
    if missing := [name for name in _named(text) if name not in os.environ]:
        raise NotStarted(f"the environment variable {missing[0]} is not set")
    return _VARIABLE.sub(lambda found: os.environ[found[1]].rstrip("\r\n") if found[1] else "$", text)


def _named(text: str) -> list[str]:
    """Return the environment variables that a text names."""
    return [name for name in _VARIABLE.findall(text) if name]


def redactor_of(asked: Http) -> Callable[[str], str]:
    """Return what strikes the values that a request's variables stand for out of a text."""
    return redactor([name for text in (asked.url, *asked.headers.values()) for name in _named(text)], "")


def within(limit: float, stopping: Callable[[], bool], work: Callable[[httpx.AsyncClient], Awaitable[_T]]) -> _T:
    """Do some work with a client, to an end: its own, the limit's, or somebody's.

    Args:
        limit: the seconds that it may take.
        stopping: says whether it should end now.
        work: what is done.

    Raises:
        TooSlow: it takes longer.
        EndedEarly: it was ended as `stopping` said.
    """
    import httpx  # noqa: PLC0415 - only those who ask a service pay for it

    async def watched() -> _T:
        # its own limit comes after this one, which says what happened
        async with httpx.AsyncClient(timeout=limit + 5, follow_redirects=False) as client:
            task = asyncio.ensure_future(work(client))
            deadline = clock.monotonic() + limit
            while not task.done():
                await asyncio.wait({task}, timeout=_GLANCE)
                ended, late = stopping(), clock.monotonic() > deadline
                if not task.done() and (ended or late):
                    task.cancel()
                    await asyncio.wait({task}, timeout=1)
                    raise EndedEarly("it was ended") if ended else TooSlow(f"took longer than {say_duration(limit)}")
            return task.result()

    # the thread that calls may have a loop of its own already
    with ThreadPoolExecutor(1, "gonogo-web") as beside:
        return beside.submit(asyncio.run, watched()).result()


async def ask(client: httpx.AsyncClient, asked: Http, sent: Callable[[], None] = lambda: None, **more: str) -> Reply:
    """Make a request once, and read its answer up to a limit.

    Args:
        client: who asks.
        asked: the request.
        sent: is told when the request may have reached the service.
        more: headers beside the request's own.

    Raises:
        NotStarted: it cannot be made.
        httpx.HTTPError: it is not answered.
    """
    import httpx  # noqa: PLC0415 - see within

    redact = redactor_of(asked)
    try:
        headers = {name: filled(value) for name, value in asked.headers.items()}
        made = client.build_request(asked.method, filled(asked.url), headers={**more, **headers}, json=asked.body)
    except StepError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing was sent, and its words may hold what nobody may see
        raise NotStarted(f"it cannot be made: {_plainly(error)}") from None
    began, read = clock.monotonic(), b""
    sent()
    try:
        answer = await client.send(made, stream=True)
        try:
            async for piece in answer.aiter_bytes():
                read += piece
                if len(read) > _MOST:
                    break
        finally:
            await answer.aclose()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise NotStarted(redact(describe(error))) from None
    # as UTF-8 whatever it says of itself: other charsets can make what no ledger can hold
    text = read.decode("utf-8", "replace").replace("\0", "\ufffd")
    return Reply(status=answer.status_code, text=redact(text), seconds=round(clock.monotonic() - began, 3))


def describe(error: Exception) -> str:
    """Say what went wrong; an address that cannot be read may hold a password, and is not said."""
    name = type(error).__name__
    if name in ("InvalidURL", "UnsupportedProtocol"):
        return "the address is not a URL"
    return "a header holds what none may" if name == "LocalProtocolError" else f"{name}: {str(error)[:_TOLD]}"


def _plainly(error: Exception) -> str:
    known = {"InvalidURL": "the address is not a URL", "UnicodeEncodeError": "a header holds letters that none may"}
    return known.get(type(error).__name__, type(error).__name__)


def value_in(reply: Reply, field: str) -> tuple[Any, str]:
    """Return a field of an answer's JSON, and why there is none."""
    try:
        return in_json(json.loads(reply.text), field), ""
    except LookupError:
        return None, f"its answer has no field {field!r}"
    except (ValueError, RecursionError):
        return None, "its answer is not JSON"


def is_equal(value: Any, expected: Any) -> bool:
    """Say whether a value of JSON is just what is expected: 1 is not true."""
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)


def in_short(value: Any) -> str:
    """Write a value of somebody else's for people: not too long, and in letters that every ledger can hold."""
    text = repr(value).encode("utf-8", "replace").decode()
    return text if len(text) <= _TOLD else f"{text[: _TOLD - 3]}..."


def request(asked: Http, *, limit: float, key: str, stopping: Callable[[], bool]) -> Reply:
    """Make a request once, and see that it is answered as it must be.

    Args:
        asked: the request.
        limit: the seconds that it may take, with its answer.
        key: what the service may know a second try of the same request by (the header Idempotency-Key).
        stopping: says whether it should end now.

    Raises:
        NotStarted: it never reached the service.
        EndedEarly: it was ended as `stopping` said.
        StepError: it did, or may have, and the answer is none, or another than was asked for.
    """
    reached: list[bool] = []
    name, redact = f"{asked.method} {asked.url}", redactor_of(asked)
    try:
        reply = within(
            limit, stopping, lambda client: ask(client, asked, lambda: reached.append(True), **{"Idempotency-Key": key})
        )
    except NotStarted as error:
        raise NotStarted(f"{name}: {error}") from None
    except EndedEarly as error:
        raise EndedEarly(f"{name}: {error}; it may have done its work") from None
    except Exception as error:  # noqa: BLE001 - whatever an answer does to a client, it may have done its work
        why = str(error) if isinstance(error, TooSlow) else redact(describe(error))
        if not reached:
            raise NotStarted(f"{name}: {why}") from None
        raise StepError(f"{name}: {why}; it may have done its work") from None
    if reply.status not in asked.status:
        said = " ".join(reply.text.split())[:300]
        raise StepError(f"{name} answered {reply.status}{f': {said}' if said else ''}")
    if asked.field or asked.equals is not None:
        value, why = value_in(reply, asked.field)
        if not why and asked.equals is not None and not is_equal(value, asked.equals):
            why = f"{asked.field} is {in_short(value)}, not {asked.equals!r}"
        if why:
            raise StepError(f"{name}: {why}")
    return Reply(status=reply.status, text=reply.text[:KEPT], seconds=reply.seconds)


__all__ = [
    "Reply",
    "TooSlow",
    "ask",
    "describe",
    "filled",
    "in_short",
    "is_equal",
    "redactor_of",
    "request",
    "value_in",
    "within",
]
