"""Slack's Socket Mode on a loopback port, beside its Web API: it opens connections, sends what people press, and keeps what is
acknowledged.

It speaks Slack's envelopes over a real web socket, can drop its connections, ask for a reconnect, send an envelope twice, and be
away for a while.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from support.slack_server import Call, Message, SlackServer
from support.waiting import until

APP_TOKEN = "xapp-0000-canary-app-token"


@dataclass
class Shown:
    """A form that was opened for somebody."""

    view: Mapping[str, Any]
    trigger: str


@dataclass
class SocketSlack(SlackServer):
    """Slack, with buttons, forms and commands."""

    opened: list[Shown] = field(default_factory=list)
    #: what was answered to one person alone: whom, and what
    whispers: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    connections: list[ServerConnection] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("release")
        self._numbers = count(1)
        self._server: Server = serve(self._talk, "127.0.0.1", 0)
        self._sockets = threading.Thread(target=self._server.serve_forever, name="socket mode")
        self._sockets.start()
        self.away = False

    def stop(self) -> None:
        """End it, with every connection."""
        self._server.shutdown()
        self._sockets.join()
        super().stop()

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/link"

    def _slack(self, call: Call) -> dict[str, Any]:
        if call.method == "apps.connections.open":
            if self.away:
                return {"ok": False, "error": "internal_error"}
            known = call.headers.get("authorization") == f"Bearer {APP_TOKEN}"
            return {"ok": True, "url": self.socket_url} if known else {"ok": False, "error": "invalid_auth"}
        if call.method in ("views.open", "chat.postEphemeral") and call.headers.get("authorization") != f"Bearer {self.token}":
            return {"ok": False, "error": "invalid_auth"}
        if call.method == "views.open":
            view = call.arguments["view"]
            self.opened.append(
                Shown(view=json.loads(view) if isinstance(view, str) else view, trigger=call.arguments["trigger_id"])
            )
            return {"ok": True}
        if call.method == "chat.postEphemeral":
            self.whispers.append((str(call.arguments["user"]), str(call.arguments["text"])))
            return {"ok": True, "message_ts": "1.1"}
        return super()._slack(call)

    def _talk(self, connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "hello", "num_connections": 1}))
        self.connections.append(connection)
        try:
            for text in connection:
                said = json.loads(text)
                self.acknowledged[said["envelope_id"]] = said.get("payload") or {}
        except ConnectionClosed:
            pass
        finally:
            self.connections.remove(connection)

    # what people do

    def send(self, kind: str, payload: Mapping[str, Any], envelope: str = "") -> str:
        """Send an envelope over the newest connection; return its id."""
        envelope = envelope or f"envelope-{next(self._numbers)}"
        said = {"type": kind, "envelope_id": envelope, "payload": payload, "accepts_response_payload": True}
        until(lambda: self.connections, 60)
        self.connections[-1].send(json.dumps(said))
        return envelope

    def answer_to(self, envelope: str, seconds: float = 60) -> Mapping[str, Any]:
        """Wait until an envelope is acknowledged; return what came with that."""
        until(lambda: envelope in self.acknowledged, seconds)
        return self.acknowledged[envelope]

    def press(self, message: Message, act: str, user: str, *, stamp: str = "", value: str = "") -> str:
        """Press a button under a message."""
        button = next(each for each in buttons(message) if each["action_id"] == f"gonogo:{act}")
        pressed = {
            "type": "button",
            "action_id": button["action_id"],
            "value": value or button["value"],
            "action_ts": stamp or f"{time.time():.6f}",
        }
        payload = {
            "type": "block_actions",
            "user": {"id": user},
            "channel": {"id": self.channel.id},
            "message": {"ts": message.ts},
            "trigger_id": f"trigger-{next(self._numbers)}",
            "actions": [pressed],
        }
        return self.send("interactive", payload)

    def submit(self, form: Shown, user: str, **typed: str) -> Mapping[str, Any]:
        """Fill a form in and send it; return what Slack is told to show."""
        values = {name: {name: {"type": "plain_text_input", "value": text}} for name, text in typed.items()}
        view = {"private_metadata": form.view["private_metadata"], "callback_id": "gonogo", "state": {"values": values}}
        return self.answer_to(self.send("interactive", {"type": "view_submission", "user": {"id": user}, "view": view}))

    def command(self, text: str, user: str) -> str:
        """Type a command; return what is answered."""
        payload = {"command": "/gonogo", "text": text, "user_id": user, "channel_id": self.channel.id}
        return str(self.answer_to(self.send("slash_commands", payload)).get("text", ""))

    def whispered(self, user: str) -> list[str]:
        """What somebody alone was told."""
        return [text for whom, text in self.whispers if whom == user]

    def drop(self) -> None:
        """Drop every connection, as a network does."""
        for connection in list(self.connections):
            connection.socket.shutdown(2)

    def refresh(self) -> None:
        """Ask for a reconnect, as Slack does every few hours."""
        for connection in list(self.connections):
            connection.send(json.dumps({"type": "disconnect", "reason": "refresh_requested"}))


def buttons(message: Message) -> list[Mapping[str, Any]]:
    """The buttons under a message."""
    return [each for block in message.blocks if block.get("type") == "actions" for each in block["elements"]]
