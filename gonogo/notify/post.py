"""A message posted to a web service, for the channels that are one."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from gonogo.notify.channel import NotDelivered

#: seconds for an answer
_PATIENCE = 10.0
#: answers that may be another one later; the others are final
_LATER = frozenset({408, 425, 429})


def post(service: str, address: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """Post a message; return the answer, which is a good one.

    Args:
        service: what it is called where it fails; its address may be a secret.
        address: where to.
        body: the message.
        headers: beside its type, which is JSON.

    Raises:
        NotDelivered: it was not taken.
    """
    try:
        said = {"Content-Type": "application/json", **headers}
        answer = httpx.post(address, content=body, headers=said, timeout=_PATIENCE, follow_redirects=False)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise NotDelivered(f"{service} cannot be reached: {type(error).__name__}") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise NotDelivered(f"the address of {service} is not a URL", hopeless=True) from None
    except httpx.HTTPError as error:
        raise NotDelivered(f"{service} did not answer: {type(error).__name__}; it may be there", doubtful=True) from None
    if answer.is_success:
        return answer
    final = answer.status_code < 500 and answer.status_code not in _LATER
    raise NotDelivered(f"{service} answers HTTP {answer.status_code}", hopeless=final)
