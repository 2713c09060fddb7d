"""Updates in Microsoft Teams, by a workflow's webhook: an adaptive card each.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gonogo.core.model.people import Person
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import unmarked
from gonogo.notify.channel import Channel, Sent, mentioned
from gonogo.notify.post import post

#: bytes that a message may have
_MOST = 27_000


@dataclass(frozen=True, kw_only=True)
class TeamsChannel:
    """Posts each update as a card."""

    address: str

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        """Post an update."""
        del root
        text, body = update.text[:_MOST], b""
        while not body or (len(body) > _MOST and text):
            made = card(replace(update, text=text if text == update.text else f"{text} … (cut)"), people)
            body = json.dumps({"type": "message", "attachments": [{"contentType": _CARD, "content": made}]}).encode()
            text = text[: len(text) * 3 // 4]
        post("Microsoft Teams", self.address, body, {})
        return Sent(channel=where, ts=update.key)


_CARD = "application/vnd.microsoft.card.adaptive"


def card(update: Update, people: Mapping[str, Person]) -> dict[str, Any]:
    """Return an update as an adaptive card: text that is no Markdown, so that nothing in it is a link."""
    text = unmarked(update.text)
    named = [person.name for _, person in mentioned(update, people)]
    first, *rest = text.split("\n")
    body: list[dict[str, Any]] = [_line(first, weight="bolder"), *(_line(line) for line in rest if line.strip())]
    body += [_line(", ".join(named), weight="bolder")] if named else []
    body += [_line(line) for name, says in update.facts for line in f"{name}: {says}".split("\n")]
    actions = [{"type": "Action.OpenUrl", "title": name, "url": address} for name, address in update.opens]
    return {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4"} | {
        "body": body,
        "actions": actions,
    }


def _line(text: str, **more: str) -> dict[str, Any]:
    # a rich text block, unlike a text block, reads no Markdown
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **more}]}


def open_channel(secret: str) -> Channel:
    """Return what posts to a workflow's address, which is a secret."""
    return TeamsChannel(address=secret.strip())
