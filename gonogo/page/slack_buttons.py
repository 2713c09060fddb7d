"""What people press in Slack, heard over Socket Mode: no port is open, and Slack says who pressed.

A button says what it would say on the run's page, by the same rules. It is bound to a run and to what people were asked; who
pressed is looked for by their Slack id among the runbook's people. On a protected target Slack's word is not enough: a form asks
for the one-time code. What does not count is answered with the reason, to whoever pressed alone.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from gonogo.core.engine.forecast import fraction
from gonogo.core.engine.state import outcome
from gonogo.core.text.acts import ACKNOWLEDGE, CONFIRM, HOLD, title_of
from gonogo.core.text.plain import clean, tidy
from gonogo.errors import BadInput, GonogoError, Refused
from gonogo.notify.slack import PRESSED, client
from gonogo.page import decisions
from gonogo.page.decisions import Said
from gonogo.page.links import Viewed
from gonogo.planning.open import OpenedRunbook
from gonogo.run import runs, targets
from gonogo.run.votes import Caller

Open = Callable[[Viewed], OpenedRunbook]
#: seconds between two tries to reach Slack
_AGAIN = 5.0
#: presses that are remembered, so that one that Slack sends again is heard once
_REMEMBERED = 1000
#: a press is heard, and answered, within Slack's three seconds; so many at a time
_AT_ONCE = 4
_SILENT = logging.getLogger(__name__)
_SILENT.setLevel(logging.CRITICAL + 1)
_HELP = (
    "say `status`, `hold` or `ack`, then a runbook and, if it is not its first, a target: `/gonogo status shop-orders production`"
)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What a button is bound to."""

    runbook: str
    target: str
    run: str
    asked: int

    @classmethod
    def read(cls, text: str) -> Bound:
        """Read what a button carries.

        Raises:
            BadInput: no button of ours carries it.
        """
        try:
            kept = json.loads(text)
            return cls(runbook=str(kept["runbook"]), target=str(kept["target"]), run=str(kept["run"]), asked=int(kept["asked"]))
        except (ValueError, KeyError, TypeError):
            raise BadInput("this button is not one of this version of gonogo") from None


class SlackButtons:
    """Hears what people press, for as long as it is open.

    Args:
        open_runbook: opens a runbook of this project on a target.
        app_token: an app-level token with the scope connections:write.
        bot_token: the bot's token, to open forms and to answer.
        say: where it is told that Slack cannot be reached.
    """

    def __init__(self, open_runbook: Open, app_token: str, bot_token: str, say: Callable[[str], None]) -> None:
        self._open, self._say = open_runbook, say
        self._web: WebClient = client(bot_token)
        self._socket = SocketModeClient(app_token=app_token, web_client=self._web, concurrency=_AT_ONCE, logger=_SILENT)
        self._socket.socket_mode_request_listeners.append(self._hear)
        self._heard: deque[str] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._connect, name="slack buttons", daemon=True)

    def start(self) -> None:
        """Begin to listen; Slack is tried again until it answers."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._over.set()
        self._socket.close()

    def _connect(self) -> None:
        told = False
        while not self._over.is_set():
            try:
                self._socket.connect()
                return
            except (SlackClientError, OSError, ValueError) as error:
                if not told:
                    self._say(f"buttons in Slack are not heard: {type(error).__name__}; trying again")
                    told = True
                self._over.wait(_AGAIN)

    def _hear(self, socket: BaseSocketModeClient, request: SocketModeRequest) -> None:
        reply: Mapping[str, Any] | None = None
        if self._is_new(request.envelope_id):
            try:
                reply = self._answer(request)
            except (SlackClientError, OSError) as error:
                self._say(f"Slack did not take an answer: {type(error).__name__}")
        socket.send_socket_mode_response(SocketModeResponse(request.envelope_id, dict(reply) if reply else None))

    def _is_new(self, key: str) -> bool:
        with self._lock:
            if key in self._heard:
                return False
            self._heard.append(key)
            return True

    def _answer(self, request: SocketModeRequest) -> Mapping[str, Any] | None:
        """Do what was asked for; return what Slack shows at once, if anything."""
        payload = request.payload or {}
        if request.type == "slash_commands":
            return {"text": self._command(payload)}
        if payload.get("type") == "block_actions":
            self._pressed(payload)
        elif payload.get("type") == "view_submission":
            return self._submitted(payload)
        return None

    # a button

    def _pressed(self, payload: Mapping[str, Any]) -> None:
        action: Mapping[str, Any] = next(iter(payload.get("actions", ())), {})
        name = str(action.get("action_id", ""))
        if not name.startswith(PRESSED) or not self._is_new(f"{name} {action.get('action_ts')} {_user(payload)}"):
            return
        act, value = name.removeprefix(PRESSED), str(action.get("value", ""))
        channel = str(payload.get("channel", {}).get("id", ""))
        try:
            bound = Bound.read(value)
            opened, person = self._who(bound, _user(payload))
            protected = opened.chosen.protected and act != HOLD
            if protected or act.startswith(CONFIRM):
                form = _form(act, value, channel, person, needs_code=protected)
                self._web.views_open(trigger_id=str(payload.get("trigger_id", "")), view=form)
                return
            says = decisions.say(opened, bound.run, _said(act, Caller(person=person), _by_slack(act), bound))
        except (GonogoError, psycopg.Error) as error:
            says = f"It does not count: {_reason(error)}"
        self._tell(channel, _user(payload), says)

    def _who(self, bound: Bound, user: str) -> tuple[OpenedRunbook, str]:
        """Return the runbook, and which of its people pressed.

        Raises:
            Refused: nobody of them has this Slack id.
        """
        opened = self._open(Viewed(runbook=bound.runbook, target=bound.target, run=bound.run))
        # who there is stands in the plan that the run was opened with, which votes are judged by; this only finds the name
        found = [name for name, person in opened.runbook.people.items() if person.slack and person.slack == user]
        if not found:
            raise Refused(f"your Slack id {user} is that of none of this runbook's people (`people: ... slack:`)")
        return opened, found[0]

    # a form

    def _submitted(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        view = payload.get("view", {})
        try:
            kept = json.loads(view.get("private_metadata", ""))
            act, value, channel = str(kept["act"]), str(kept["value"]), str(kept["channel"])
        except (ValueError, KeyError, TypeError):
            return None
        typed = {name: part.get("value") or "" for block in view["state"]["values"].values() for name, part in block.items()}
        try:
            bound = Bound.read(value)
            opened, person = self._who(bound, _user(payload))
            caller = Caller(person=person, code=tidy(typed.get("code", ""), 20).strip())
            words = tidy(typed.get("words", ""), 1000)
            says = decisions.say(opened, bound.run, _said(act, caller, words, bound))
        except (GonogoError, psycopg.Error) as error:
            where = "code" if "code" in typed else "words"
            return {"response_action": "errors", "errors": {where: _reason(error)[:150]}}
        self._tell(channel, _user(payload), says)
        return None

    # a command

    def _command(self, payload: Mapping[str, Any]) -> str:
        words = str(payload.get("text", "")).split()
        if len(words) not in (2, 3) or words[0] not in ("status", "hold", "ack"):
            return _HELP
        bound = Bound(runbook=words[1], target=words[2] if len(words) == 3 else "", run="", asked=0)
        try:
            opened, person = self._who(bound, str(payload.get("user_id", "")))
            if words[0] == "status":
                return _status(opened)
            act = HOLD if words[0] == "hold" else ACKNOWLEDGE
            if opened.chosen.protected and act != HOLD:
                return f"the target is protected: press *{title_of(act)}* under the message, which asks for your code"
            run = _newest(opened)
            return decisions.say(opened, run, Said(action=act, caller=Caller(person=person), words=_by_slack(act)))
        except (GonogoError, psycopg.Error) as error:
            return f"It does not count: {_reason(error)}"

    def _tell(self, channel: str, user: str, text: str) -> None:
        """Answer to whoever pressed, alone; the run's own story tells the others."""
        try:
            self._web.chat_postEphemeral(channel=channel, user=user, text=text, parse="none")
        except SlackApiError as error:
            self._say(f"Slack did not take an answer: {error.response.get('error')}")


def _user(payload: Mapping[str, Any]) -> str:
    return str(payload.get("user", {}).get("id", ""))


def _said(act: str, caller: Caller, words: str, bound: Bound) -> Said:
    # a button is under the message of one event: what asks, or what needs people
    return Said(action=act, caller=caller, words=words, asked=bound.asked, alarm=bound.asked)


def _by_slack(act: str) -> str:
    """Return the reason of what is said with a button alone."""
    return "pressed in Slack" if act not in ("go", "no-go") else ""


def _reason(error: Exception) -> str:
    return "the target does not answer" if isinstance(error, psycopg.Error) else clean(error)


def _newest(opened: OpenedRunbook) -> str:
    with targets.connect_recovering(targets.reach(opened), "gonogo/page") as connection:
        return runs.require(connection, "", opened.name)


def _status(opened: OpenedRunbook) -> str:
    with targets.connect_recovering(targets.reach(opened), "gonogo/page") as connection:
        found = runs.find(connection, runbook=opened.name)
    why = f": {found.state.why}" if found.state.why else ""
    share = fraction(found.plan, found.state)
    return clean(f"{found.plan.title} on {found.plan.target}: {outcome(found.state)}, {share:.0%} of the work done{why}")


def _form(act: str, value: str, channel: str, person: str, *, needs_code: bool) -> dict[str, Any]:
    """Return the form that asks for what a button alone does not say."""
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "plain_text", "text": f"You are {person}. This is said in your name."}}
    ]
    if needs_code:
        blocks.append(_field("code", "Your one-time code", optional=False))
    blocks.append(_field("words", "The evidence" if act.startswith(CONFIRM) else "Why", optional=True))
    return {
        "type": "modal",
        "callback_id": "gonogo",
        "private_metadata": json.dumps({"act": act, "value": value, "channel": channel}),
        "title": {"type": "plain_text", "text": title_of(act)[:24]},
        "submit": {"type": "plain_text", "text": title_of(act)[:24]},
        "close": {"type": "plain_text", "text": "Leave it"},
        "blocks": blocks,
    }


def _field(name: str, label: str, *, optional: bool) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": name,
        "optional": optional,
        "label": {"type": "plain_text", "text": label},
        "element": {"type": "plain_text_input", "action_id": name},
    }
