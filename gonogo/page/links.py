"""Links for those who only look: each names one run and an end, and is signed, so that nobody can make another one of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from gonogo import clock
from gonogo.core.model.duration import say_duration
from gonogo.errors import BadInput, Refused

#: no link is good for longer
LONGEST = timedelta(days=31)


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """The run that a link leads to."""

    runbook: str
    target: str
    run: str


def make_link(secret: bytes, viewed: Viewed, lasts: timedelta) -> str:
    """Return the token of a link.

    Args:
        secret: what it is signed with; whoever has it can make links.
        viewed: where it leads to.
        lasts: for how long.

    Raises:
        BadInput: that is no time at all, or longer than a month.
    """
    if not timedelta(0) < lasts <= LONGEST:
        raise BadInput(f"a link is good for {say_duration(LONGEST)} at most, and not for {say_duration(lasts)}")
    body = json.dumps([viewed.runbook, viewed.target, viewed.run, int((clock.now() + lasts).timestamp())]).encode()
    return f"{_encode(body)}.{_encode(_mac(secret, body))}"


def read_link(secret: bytes, token: str) -> tuple[Viewed, datetime]:
    """Return where a link leads to, and until when.

    Raises:
        Refused: it was not made here, or its time is over.
    """
    try:
        first, _, second = token.partition(".")
        body, mac = _decode(first), _decode(second)
    except ValueError:
        raise Refused("this is no link of this page") from None
    if not hmac.compare_digest(_mac(secret, body), mac):
        raise Refused("this is no link of this page; its password may have changed since, as it does at each start")
    runbook, target, run, until = json.loads(body)
    ends = datetime.fromtimestamp(until, clock.now().tzinfo)
    if clock.now() >= ends:
        raise Refused("this link's time is over; ask for another one")
    return Viewed(runbook=runbook, target=target, run=run), ends


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, b"gonogo link\0" + body, hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
