"""Slack's Web API, and the only module that knows its words."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler, ServerErrorRetryHandler

from gonogo.core.message import Update
from gonogo.core.runbook import Person

#: Slack cuts a message's text at 40,000 characters; a section block holds 3,000
_MAX_TEXT = 2_900
#: errors that trying again cannot mend
_HOPELESS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "channel_not_found", "is_archived"})
_CANNOT_UPDATE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Where a message is."""

    channel: str
    ts: str


class NotDelivered(Exception):
    """Slack did not take a message.

    Args:
        why: in Slack's words, without the token.
        hopeless: whether trying again cannot mend it.
    """

    def __init__(self, why: str, *, hopeless: bool = False) -> None:
        self.hopeless = hopeless
        super().__init__(why)


def client(token: str, timeout: float = 5.0) -> WebClient:
    """Return a client that tries again where Slack asks for it.

    Args:
        token: the bot's token.
        timeout: how many seconds a call may take.
    """
    handlers = [
        RateLimitErrorRetryHandler(max_retry_count=5),
        ServerErrorRetryHandler(max_retry_count=2),
        ConnectionErrorRetryHandler(max_retry_count=1),
    ]
    # SLACK_API_URL serves gateways and tests
    base = os.environ.get("SLACK_API_URL", "https://slack.com/api/")
    return WebClient(token=token, base_url=base, timeout=max(1, int(timeout)), retry_handlers=list(handlers))


def send(web: WebClient, channel: str, update: Update, people: dict[str, Person], root: Sent | None) -> Sent:
    """Post an update: the root message is changed in place, the others follow in its thread.

    Raises:
        NotDelivered: Slack did not take it.
    """
    text = mrkdwn(update, people)
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
    try:
        if update.root and root is not None:
            try:
                web.chat_update(channel=root.channel, ts=root.ts, text=text, blocks=blocks)
                return root
            except SlackApiError as error:
                if error.response.get("error") not in _CANNOT_UPDATE:
                    raise
        answer = web.chat_postMessage(
            channel=channel,
            text=text,
            blocks=blocks,
            thread_ts=root.ts if root and not update.root else None,
            reply_broadcast=update.loud if root and not update.root else None,
        )
    except SlackApiError as error:
        code = str(error.response.get("error", "unknown error"))
        raise NotDelivered(f"Slack says {code}", hopeless=code in _HOPELESS) from None
    except (SlackClientError, OSError, ValueError) as error:
        raise NotDelivered(f"Slack cannot be reached: {type(error).__name__}") from None
    return Sent(channel=str(answer["channel"]), ts=str(answer["ts"]))


def mrkdwn(update: Update, people: dict[str, Person]) -> str:
    """Write an update's text for Slack: its three special characters escaped, people mentioned, never too long."""
    text = update.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"(?m)^&gt; ", "> ", text)
    if len(text) > _MAX_TEXT:
        text = text[: _MAX_TEXT - 20].rsplit("&", 1)[0] + " … (cut)"
    mentioned = [p for name, p in people.items() if name in update.mention or set(p.roles) & set(update.mention)]
    names = " ".join(f"<@{p.slack}>" if p.slack else p.name for p in mentioned)
    return f"{text}\n{names}" if names else text
