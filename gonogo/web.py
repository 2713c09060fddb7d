"""Requests to web services, by checks and by steps; what stands for a secret comes from the environment and is struck out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gonogo import clock
from gonogo.command import KEPT, NotStarted, in_json, striker
from gonogo.core.question import Http
from gonogo.errors import StepError

if TYPE_CHECKING:
    import httpx

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a service answered."""

    status: int
    text: str
    seconds: float


def filled(text: str) -> str:
    """Return a text with the environment variables that it names.

    Raises:
        StepError: one of them is not set.
    """
    if missing := [name for name in _VARIABLE.findall(text) if name not in os.environ]:
        raise StepError(f"the environment variable {missing[0]} is not set")
    return _VARIABLE.sub(lambda found: os.environ[found.group(1)], text)


def in_words(error: Exception) -> str:
    """Say what went wrong; an address that cannot be read may hold a password, and is not said."""
    name = type(error).__name__
    return "the address is no URL" if name in ("InvalidURL", "UnsupportedProtocol") else f"{name}: {str(error)[:120]}"


def client(asked: Http, limit: float, **more: str) -> httpx.Client:
    """Return what asks a service.

    Args:
        asked: the request.
        limit: the seconds that each part of it may take.
        more: headers beside the request's own.
    """
    import httpx  # noqa: PLC0415 - only those who ask a service pay for it

    headers = {name: filled(value) for name, value in asked.headers.items()}
    return httpx.Client(timeout=limit, headers={**more, **headers}, follow_redirects=False)


def request(asked: Http, *, limit: float, key: str) -> Reply:
    """Make a request once, and see that it is answered as it must be.

    Args:
        asked: the request.
        limit: the seconds that it may take.
        key: what the service may know a second try of the same request by (the header Idempotency-Key).

    Raises:
        NotStarted: it never reached the service.
        StepError: it did, or may have, and the answer is none, or another than was asked for.
    """
    import httpx  # noqa: PLC0415 - see client

    strike = striker([*_VARIABLE.findall(asked.url), *(n for v in asked.headers.values() for n in _VARIABLE.findall(v))], "")
    began = clock.monotonic()
    try:
        with client(asked, limit, **{"Idempotency-Key": key}) as service:
            answer = service.request(asked.method, filled(asked.url), json=asked.body)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise NotStarted(f"{named(asked)}: {strike(in_words(error))}") from None
    except httpx.HTTPError as error:
        why = f"took longer than {limit:g}s" if isinstance(error, httpx.TimeoutException) else strike(in_words(error))
        raise StepError(f"{named(asked)}: {why}; it may have done its work") from None
    except StepError as error:
        raise NotStarted(f"{named(asked)}: {error}") from None
    text = strike(answer.text[:KEPT])
    if answer.status_code not in asked.status:
        raise StepError(f"{named(asked)} answered {answer.status_code}: {' '.join(text.split())[:300]}")
    if (asked.field or asked.equals is not None) and (why := _unlike(asked, answer)):
        raise StepError(f"{named(asked)}: {strike(why)}")
    return Reply(status=answer.status_code, text=text, seconds=round(clock.monotonic() - began, 3))


def named(asked: Http) -> str:
    """Name a request as people read it: its variables are not filled in."""
    return f"{asked.method} {asked.url}"


def _unlike(asked: Http, answer: httpx.Response) -> str:
    """Say that a field of the answer is not what it must be, or nothing."""
    try:
        value: Any = in_json(answer.json(), asked.field)
    except ValueError:
        return "its answer is no JSON"
    except LookupError:
        return f"its answer has no field {asked.field!r}"
    return "" if asked.equals is None or value == asked.equals else f"{asked.field} is {value!r}, not {asked.equals!r}"


__all__ = ["Reply", "client", "filled", "in_words", "named", "request"]
