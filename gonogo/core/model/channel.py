"""The kinds of channels that updates go to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ChannelKind:
    """What is true of a kind of channel.

    It stands at the field of `Updates` that says where in it the updates go; what sends is `gonogo/notify/<field>.py`.
    """

    #: its name, for people
    title: str
    #: the environment variable that holds its secret; without one nothing is sent
    variable: str
    #: whether a message that was sent can be changed: the run's own message is kept up to date there, and sent once elsewhere
    edits: bool
    #: whether it hears what needs nobody, too; where each message rings for somebody, it hears what needs people and the report
    quiet: bool
