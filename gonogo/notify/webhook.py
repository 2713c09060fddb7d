"""Updates as signed JSON to an address: a webhook by the Standard Webhooks specification, https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from gonogo import clock
from gonogo.core.model.people import Person
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import unmarked
from gonogo.notify.channel import Channel, Sent, mentioned
from gonogo.notify.post import post

#: what a secret of the specification begins with
_PREFIX = "whsec_"
#: bytes; the specification asks for 24 to 64
_SHORTEST = 8


@dataclass(frozen=True, kw_only=True)
class WebhookChannel:
    """Posts each update, signed."""

    secret: bytes

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        """Post an update; the run's own one is posted again each time that it changes."""
        del root
        known = json.loads(update.bound or "{}")
        moment = clock.now()
        data = {
            **{name: known.get(name, "") for name in ("runbook", "target", "run")},
            "key": update.key,
            "text": unmarked(update.text),
            "needs_people": update.loud,
            "mention": [name for name, _ in mentioned(update, people)],
            "can_say": list(update.acts),
            "facts": dict(update.card.facts if update.card is not None else update.facts),
            "link": update.link,
            "links": dict(update.links),
        }
        kind = "gonogo.run" if update.root else "gonogo.update"
        body = json.dumps({"type": kind, "timestamp": moment.isoformat().replace("+00:00", "Z"), "data": data}).encode()
        number, stamp = f"msg_{uuid.uuid4().hex}", str(int(moment.timestamp()))
        headers = {"webhook-id": number, "webhook-timestamp": stamp, "webhook-signature": sign(self.secret, number, stamp, body)}
        post("the webhook", where, body, headers)
        return Sent(channel="webhook", ts=number)


def sign(secret: bytes, number: str, stamp: str, body: bytes) -> str:
    """Return the signature of a message, as the specification writes it."""
    mac = hmac.new(secret, f"{number}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}"


def open_channel(secret: str) -> Channel:
    """Return what posts updates; a secret of the specification is base64 behind `whsec_`, any other one is taken as it is."""
    text = secret.strip()
    if not text.startswith(_PREFIX):
        return WebhookChannel(secret=text.encode())
    # what is no base64 is no secret of the specification: whoever verifies would read it so, and refuse every message
    secret_ = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    if len(secret_) < _SHORTEST:
        raise ValueError("the secret is too short to sign with")
    return WebhookChannel(secret=secret_)
