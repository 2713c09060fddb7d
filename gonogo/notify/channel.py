"""A channel that updates go to: a row at its field in `Updates`, and a module of this room with `open_channel`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from gonogo.core.model.people import Person
from gonogo.core.model.runbook import CHANNEL_KINDS, Updates
from gonogo.core.text.messages import Update


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Where a message is, in the channel's own words."""

    channel: str
    ts: str


class NotDelivered(Exception):
    """A channel did not take a message.

    Args:
        why: in the channel's words, without its secret.
        hopeless: whether trying again cannot fix it.
        doubtful: whether it may be there all the same, as only the answer is missing.
        of_channel: whether only that place in the channel takes nothing.
    """

    def __init__(self, why: str, *, hopeless: bool = False, doubtful: bool = False, of_channel: bool = False) -> None:
        self.hopeless, self.doubtful, self.of_channel = hopeless, doubtful, of_channel
        super().__init__(why)


class Channel(Protocol):
    """What sends updates."""

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        """Send an update.

        Args:
            where: where to, as the runbook says.
            update: what to send. Its text has three marks, which the channel writes its own way (gonogo/core/text/messages.py).
            people: the runbook's people, for mentions.
            root: the run's own message, once it is there: an update that is the root replaces it, others belong to it.

        Raises:
            NotDelivered: the channel did not take it.
        """


class ChannelModule(Protocol):
    """What the module of a kind has."""

    def open_channel(self, secret: str) -> Channel:
        """Return what sends updates with a secret."""


def ready(updates: Updates) -> list[tuple[str, str]]:
    """Return the channels that a runbook names and whose secret is there: each kind, and where in it."""
    named = [(kind, str(getattr(updates, kind))) for kind in CHANNEL_KINDS]
    return [(kind, where) for kind, where in named if where and os.environ.get(CHANNEL_KINDS[kind].variable)]


def open_channel(kind: str) -> Channel:
    """Return what sends updates to a kind of channel; its library is imported now."""
    module = cast("ChannelModule", import_module(f"gonogo.notify.{kind}"))
    row = CHANNEL_KINDS[kind]
    try:
        return module.open_channel(os.environ.get(row.variable, ""))
    except Exception:  # noqa: BLE001 - whatever is wrong with a secret, it stops no run, and its words may hold it
        return _Unusable(f"{row.variable} cannot be used")


@dataclass(frozen=True)
class _Unusable:
    """A channel whose secret is none."""

    why: str

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        del where, update, people, root
        raise NotDelivered(self.why, hopeless=True)


def mentioned(update: Update, people: Mapping[str, Person]) -> list[tuple[str, Person]]:
    """Return the people whom an update mentions, by name or by a role of theirs."""
    return [
        (name, person) for name, person in people.items() if name in update.mention or set(person.roles) & set(update.mention)
    ]


def say_undelivered(update: Update, why: str) -> str:
    """Say in a line what could not be delivered, and why."""
    return f"{update.text.splitlines()[0][:100]} ({why})"


def delivery_key(kind: str, key: str) -> str:
    """Return the name under which the ledger keeps that an update was delivered; Slack, which was the first, has no prefix."""
    return key if kind == "slack" else f"{kind} {key}"
