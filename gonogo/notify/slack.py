"""Slack's Web API, and the only module that knows its words."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from json import JSONDecodeError
from typing import Any
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler, ServerErrorRetryHandler

from gonogo.core.model.people import Person
from gonogo.core.text.acts import ROLL_BACK, STOPS, title_of
from gonogo.core.text.cards import Card, Fact
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import unmarked
from gonogo.notify.channel import Channel, NotDelivered, Sent, mentioned

#: what the names of our buttons begin with
PRESSED = "gonogo:"
#: a section block holds 3,000 characters
_MAX_TEXT, _MAX_NAMES = 2_990, 1_000
#: a header block holds 150 characters, a field of a section 2,000
_MAX_HEADER, _MAX_FIELD = 150, 1_900
#: errors that trying again cannot fix
_OF_CHANNEL = frozenset({"channel_not_found", "not_in_channel", "is_archived"})
_HOPELESS = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
    | {"channel_not_found", "not_in_channel", "is_archived"}
)
_CANNOT_UPDATE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
#: slack_sdk logs each failure, even a token that is no header; what was not delivered is listed by who sends
_SILENT = logging.getLogger(__name__)
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, kw_only=True)
class SlackChannel:
    """Sends updates to Slack."""

    web: WebClient

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        """Post an update: the root message is changed in place, the others follow in its thread."""
        return send(self.web, where, update, people, root)


def open_channel(secret: str) -> Channel:
    """Return what sends updates with a bot's token."""
    return SlackChannel(web=client(secret))


def client(token: str, timeout: float = 10.0) -> WebClient:
    """Return a client that tries again where Slack asks for it, and where nothing can have arrived.

    Args:
        token: the bot's token.
        timeout: how many seconds a call may take.
    """
    handlers = [
        RateLimitErrorRetryHandler(max_retry_count=5),
        ServerErrorRetryHandler(max_retry_count=2),
        ConnectionErrorRetryHandler(max_retry_count=1, error_types=[URLError]),
    ]
    # SLACK_API_URL serves gateways and tests
    base = os.environ.get("SLACK_API_URL", "https://slack.com/api/")
    return WebClient(token=token, base_url=base, timeout=max(1, int(timeout)), retry_handlers=list(handlers), logger=_SILENT)


def send(web: WebClient, channel: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
    """Post an update: the root message is changed in place, the others follow in its thread.

    Raises:
        NotDelivered: Slack did not take it.
    """
    text = mrkdwn(update, people)
    shown = _card(update.card) if update.card is not None else [_section(text)]
    shown += [{"type": "section", "fields": [_fact(fact) for fact in update.facts]}] if update.facts else []
    blocks = [*shown, *([_buttons(update)] if update.acts else []), *([_links(update)] if update.link else [])]
    said: dict[str, Any] = {"text": text, "blocks": blocks, "parse": "none"}
    try:
        if update.root and root is not None:
            try:
                web.chat_update(channel=root.channel, ts=root.ts, **said)
                return root
            except SlackApiError as error:
                if error.response.get("error") not in _CANNOT_UPDATE:
                    raise
        if root and not update.root:
            said |= {"thread_ts": root.ts, "reply_broadcast": update.loud}
        answer = web.chat_postMessage(channel=channel, **said)
    except SlackApiError as error:
        code = str(error.response.get("error", "unknown error"))
        why = f"Slack says {code}" if error.response.status_code < 500 else f"Slack answers HTTP {error.response.status_code}"
        raise NotDelivered(why, hopeless=code in _HOPELESS, of_channel=code in _OF_CHANNEL) from None
    except (TimeoutError, ConnectionError, HTTPException, JSONDecodeError) as error:
        raise NotDelivered(f"Slack did not answer: {type(error).__name__}; it may be there", doubtful=True) from None
    except (SlackClientError, OSError, ValueError) as error:
        raise NotDelivered(f"Slack cannot be reached: {type(getattr(error, 'reason', error)).__name__}") from None
    return Sent(channel=str(answer["channel"]), ts=str(answer["ts"]))


def _buttons(update: Update) -> dict[str, Any]:
    """Return the buttons under an update; what stops something asks once more in Slack's own words."""
    made = []
    for act in update.acts:
        button: dict[str, Any] = {
            "type": "button",
            "action_id": f"{PRESSED}{act}"[:255],
            "text": {"type": "plain_text", "text": title_of(act)[:75]},
            "value": update.bound,
            "style": "danger" if act in STOPS else "primary",
        }
        if act == ROLL_BACK:
            sure = {"type": "plain_text", "text": "What the run did is undone, and proved. Writes of others since may stop it."}
            words = {"title": "Roll back?", "confirm": "Roll back", "deny": "Leave it"}
            button["confirm"] = {key: {"type": "plain_text", "text": text} for key, text in words.items()} | {"text": sure}
        made.append(button)
    return {"type": "actions", "elements": made}


def _card(card: Card) -> list[dict[str, Any]]:
    """Return the blocks of the run's own message: what and how it is, how far, its times, and why it stands still."""
    head = {"type": "header", "text": {"type": "plain_text", "text": _cut(unmarked(card.head), _MAX_HEADER), "emoji": True}}
    fields = {"type": "section", "fields": [_fact(fact) for fact in card.facts]}
    return [head, _section(_escape(card.bar)), fields, *([_section(_quotes("\n".join(card.why)))] if card.why else [])]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(_cut(text, _MAX_TEXT))}


def _fact(fact: Fact) -> dict[str, Any]:
    name, says = fact
    return _text(f"*{_escape(name)}*\n{_cut(_escape(says), _MAX_FIELD)}")


def _text(text: str) -> dict[str, Any]:
    # Slack is not to make mentions and links of plain words, as it does by itself in blocks and in updates
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _links(update: Update) -> dict[str, Any]:
    """Return the line that leads to the run's page, to its report, and to Prefect."""
    made = [f"<{_escape(address).replace('|', '%7C')}|{name}>" for name, address in update.opens]
    return {"type": "context", "elements": [_text(" · ".join(made))]}


def mrkdwn(update: Update, people: Mapping[str, Person]) -> str:
    """Write an update's text for Slack: its three special characters escaped, people mentioned, never too long."""
    text = _quotes(update.text)
    # what is not a member's id would be another sort of mention, or none
    ids = [f"<@{p.slack}>" if re.fullmatch(r"[UW][A-Z0-9]+", p.slack) else _escape(p.name) for _, p in mentioned(update, people)]
    names = _cut(" ".join(ids), _MAX_NAMES)
    return _cut(text, _MAX_TEXT - len(names)) + (f"\n{names}" if names else "")


def _quotes(text: str) -> str:
    """Escape a text, but for the mark of its quotes."""
    return re.sub(r"(?m)^&gt; ", "> ", _escape(text))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    """Cut what is too long, but no escape and no mention in two."""
    return text if len(text) <= most else re.sub(r"[&<][^;> ]*$", "", text[: most - 10]) + " … (cut)"
