"""Slack's Web API, as much of it as the updates use, on a loopback port; it keeps what people would see.

It checks what Slack checks (the token, the channel, the limits of texts and blocks, how many messages a channel takes
in a second) and answers in Slack's words. Scripted answers come before its own: `server.next(...)` for the calls that
follow, `server.always(...)` for all of them.
"""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.parse import parse_qs

TOKEN = "xoxb-0000-canary-slack-token"
_SECTION, _BLOCKS, _TEXT = 3_000, 50, 40_000
_HEADER, _FIELD, _FIELDS = 150, 2_000, 10
_WINDOW = 1.0
_METHODS = ("auth.test", "chat.postMessage", "chat.update")
#: what Slack makes of `<...>`, and what it makes of plain words where it is left to parse them
_MANUAL = re.compile(r"<(@[UW][A-Z0-9]+|!(?:channel|here|everyone)|!subteam\^\w+)(?:\|[^>]*)?>")
_AUTOMATIC = re.compile(r"(?<![\w<])@(channel|here|everyone)\b")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to answer instead of Slack's own answer; with nothing set, it is Slack's own.

    Args:
        status: the HTTP status.
        error: Slack's word for what is wrong.
        retry_after: the header of a rate limit, in seconds.
        hang: how many seconds pass before anything is answered.
        close: the connection is closed without an answer.
        taken: the message is taken at once, whatever becomes of the answer.
        body: an answer as it is, in place of JSON.
        method: the only method that it is meant for.
    """

    status: int = 200
    error: str = ""
    retry_after: int | None = None
    hang: float = 0.0
    close: bool = False
    taken: bool = False
    body: str | None = None
    method: str = ""

    @property
    def own(self) -> bool:
        """Whether Slack goes on to answer by itself."""
        return not (self.error or self.close or self.body is not None or self.status != 200)


FINE = Answer()
BROKEN = Answer(status=500, body="")
CLOSED = Answer(close=True)
#: it never answers
HANGING = Answer(hang=60, close=True)
#: Slack takes the message, and nobody hears of it
LOST = Answer(close=True, taken=True)
GARBAGE = Answer(body="<html>a gateway's own page</html>")
HALF_JSON = Answer(body='{"ok": tr')


def limited(retry_after: int = 1) -> Answer:
    """A rate limit."""
    return Answer(status=429, error="ratelimited", retry_after=retry_after)


def refused(error: str, method: str = "") -> Answer:
    """An error in Slack's words."""
    return Answer(error=error, method=method)


@dataclass(kw_only=True)
class Message:
    """A message as a channel keeps it."""

    ts: str
    text: str
    blocks: Sequence[Mapping[str, Any]]
    thread_ts: str = ""
    broadcast: bool = False
    #: what it said before each edit
    edits: list[str] = field(default_factory=list)
    #: whom it has ever called: members by their id, or a whole channel as "!channel"
    mentions: list[str] = field(default_factory=list)
    deleted: bool = False

    @property
    def source(self) -> str:
        """What is shown, in Slack's markup: the blocks where there are any."""
        return "\n".join(line for block in self.blocks for line in _lines(block)) or self.text

    @property
    def shown(self) -> str:
        """What people read, with mentions as `@U1`."""
        return html.unescape(_MANUAL.sub(lambda found: "@" + found[1].lstrip("@!"), self.source))


@dataclass(kw_only=True)
class Channel:
    """A channel, and what people see in it."""

    id: str
    name: str
    messages: list[Message] = field(default_factory=list)
    arrivals: deque[float] = field(default_factory=deque)

    @property
    def roots(self) -> list[Message]:
        """What stands in the channel itself, without broadcasts from threads."""
        return [m for m in self.messages if not m.thread_ts and not m.deleted]

    @property
    def seen(self) -> list[Message]:
        """What people see in the channel without opening a thread."""
        return [m for m in self.messages if (not m.thread_ts or m.broadcast) and not m.deleted]

    def thread(self, root: Message) -> list[Message]:
        """The replies to a message, in their order."""
        return [m for m in self.messages if m.thread_ts == root.ts and not m.deleted]

    def find(self, ts: str) -> Message | None:
        """The message of that time, unless it was deleted."""
        return next((m for m in self.messages if m.ts == ts and not m.deleted), None)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as it came."""

    method: str
    headers: Mapping[str, str]
    body: str
    arguments: Mapping[str, Any]
    at: float


class SlackServer:
    """The server; a context manager."""

    def __init__(self, *channels: str, token: str = TOKEN, per_second: int | None = None) -> None:
        self.token, self.per_second = token, per_second
        self.channels = {name: Channel(id=f"C{1000 + n:07}", name=name) for n, name in enumerate(channels or ("release",))}
        self.calls: list[Call] = []
        self.limits_hit = 0
        #: is told of each call, before it is answered
        self.heard: Callable[[Call], None] = lambda _: None
        self._lock = threading.Lock()
        self._script: list[Answer] = []
        self._always = FINE
        self._released = threading.Event()
        self._ts = count(int(time.time()) * 1_000_000)
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="slack")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, and every call that hangs; from then on its port refuses connections."""
        self._released.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        """What SLACK_API_URL is to be."""
        return f"http://127.0.0.1:{self._http.server_port}/api/"

    @property
    def channel(self) -> Channel:
        """The first channel."""
        return next(iter(self.channels.values()))

    def next(self, *answers: Answer) -> None:
        """Answer the next calls like this, one after the other."""
        with self._lock:
            self._script.extend(answers)

    def always(self, answer: Answer) -> None:
        """Answer every call like this, once the script is through."""
        with self._lock:
            self._always = answer

    def delete(self, message: Message) -> None:
        """Delete a message, as a person does."""
        with self._lock:
            message.deleted = True

    def times(self, method: str) -> int:
        """How often a method was called."""
        return sum(call.method == method for call in self.calls)

    # one call

    def answer(self, call: Call) -> tuple[Answer, dict[str, Any]]:
        """Take a call; return what is scripted for it, and what Slack itself answers."""
        with self._lock:
            self.calls.append(call)
            answer = self._scripted(call.method)
        self.heard(call)
        said: dict[str, Any] = {"ok": False, "error": answer.error}
        if answer.taken:
            with self._lock:
                said = self._slack(call)
        if answer.hang:
            self._released.wait(answer.hang)
        if answer.own and not answer.taken:
            with self._lock:
                said = self._slack(call)
        too_fast = answer.own and said.get("error") == "ratelimited"
        return limited() if too_fast else answer, said

    def _scripted(self, method: str) -> Answer:
        for number, answer in enumerate(self._script):
            if answer.method in ("", method):
                return self._script.pop(number)
        return self._always if self._always.method in ("", method) else FINE

    def _slack(self, call: Call) -> dict[str, Any]:
        if call.method not in _METHODS:
            return {"ok": False, "error": "unknown_method"}
        authorization = call.headers.get("authorization", "")
        if not authorization:
            return {"ok": False, "error": "not_authed"}
        if authorization != f"Bearer {self.token}":
            return {"ok": False, "error": "invalid_auth"}
        if call.method == "auth.test":
            return {"ok": True, "team": "Tests", "team_id": "T1", "user": "gonogo", "user_id": "U0BOT", "bot_id": "B1"}
        return self._chat(call.arguments, update=call.method == "chat.update")

    def _chat(self, given: Mapping[str, Any], *, update: bool) -> dict[str, Any]:
        channel = self._channel(str(given.get("channel", "")), by_name=not update)
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if self._too_fast(channel):
            return {"ok": False, "error": "ratelimited"}
        text, blocks = str(given.get("text", "")), given.get("blocks", [])
        blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
        if problem := _problem(text, blocks):
            return problem
        called = _called(text, blocks, str(given.get("parse", "client" if update else "none")), given.get("link_names"))
        if update:
            found = channel.find(str(given.get("ts", "")))
            if found is None:
                return {"ok": False, "error": "message_not_found"}
            found.edits.append(found.source)
            found.text, found.blocks = text, blocks or found.blocks
            found.mentions += called
            return {"ok": True, "channel": channel.id, "ts": found.ts, "text": text}
        # a reply to what is no longer there lands in the channel itself
        parent = channel.find(str(given.get("thread_ts", "")))
        number = next(self._ts)
        message = Message(
            ts=f"{number // 1_000_000}.{number % 1_000_000:06}",
            text=text,
            blocks=blocks,
            thread_ts=parent.ts if parent else "",
            broadcast=bool(parent) and given.get("reply_broadcast") in (True, "1", "true"),
            mentions=called,
        )
        channel.messages.append(message)
        said = {"text": text, "ts": message.ts, "blocks": blocks} | ({"thread_ts": parent.ts} if parent else {})
        return {"ok": True, "channel": channel.id, "ts": message.ts, "message": said}

    def _channel(self, given: str, *, by_name: bool) -> Channel | None:
        for channel in self.channels.values():
            if given == channel.id or (by_name and given.removeprefix("#") == channel.name):
                return channel
        return None

    def _too_fast(self, channel: Channel) -> bool:
        if self.per_second is None:
            return False
        now = time.monotonic()
        while channel.arrivals and now - channel.arrivals[0] >= _WINDOW:
            channel.arrivals.popleft()
        if len(channel.arrivals) >= self.per_second:
            self.limits_hit += 1
            return True
        channel.arrivals.append(now)
        return False


def _problem(text: str, blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if len(text) > _TEXT:
        return {"ok": False, "error": "msg_too_long"}
    if not text and not blocks:
        return {"ok": False, "error": "no_text"}
    wrong = [each for number, block in enumerate(blocks) for each in _wrong(number, block)]
    if len(blocks) > _BLOCKS:
        wrong.append(f"no more than {_BLOCKS} items allowed [json-pointer:/blocks]")
    if not wrong:
        return None
    told = [f"[ERROR] {what}" for what in wrong]
    return {"ok": False, "error": "invalid_blocks", "errors": wrong, "response_metadata": {"messages": told}}


def _wrong(number: int, block: Mapping[str, Any]) -> Iterator[str]:
    place = f"[json-pointer:/blocks/{number}/text/text]"
    for said, most in _texts(block):
        if not said:
            yield f"must be more than 0 characters {place}"
        elif len(said) > most:
            yield f"must be less than {most + 1} characters {place}"
    if block.get("type") == "header" and block["text"]["type"] != "plain_text":
        yield f"must be plain_text {place}"
    if len(block.get("fields", ())) > _FIELDS:
        yield f"no more than {_FIELDS} items allowed [json-pointer:/blocks/{number}/fields]"


def _texts(block: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The texts of a block, each with the characters that it may have; a section may have fields alone."""
    if block.get("type") in ("section", "header") and ("text" in block or "fields" not in block):
        yield block.get("text", {}).get("text", ""), _HEADER if block["type"] == "header" else _SECTION
    yield from ((each["text"], _FIELD) for each in block.get("fields", ()))


def _lines(block: Mapping[str, Any]) -> Iterator[str]:
    """What a block shows; a field is a name in bold over what it is."""
    if "text" in block:
        said = block["text"]["text"]
        yield html.escape(said, quote=False) if block["text"]["type"] == "plain_text" else said
    for each in block.get("fields", ()):
        yield re.sub(r"^\*(.*)\*\n", r"\1: ", each["text"])


def _called(text: str, blocks: Sequence[Mapping[str, Any]], parse: str, link_names: object) -> list[str]:
    """Whom a message calls: what its text and its blocks mention, and what Slack itself makes of plain words."""
    called = [found.lstrip("@") for found in _MANUAL.findall(text)]
    if parse != "none" or link_names in (True, "1", "true"):
        called += [f"!{word}" for word in _AUTOMATIC.findall(text)]
    parts = ((block.get("text", {}), *block.get("fields", ()), *block.get("elements", ())) for block in blocks)
    for said in (each for part in parts for each in part):
        if said.get("type") != "mrkdwn":
            continue
        called += [found.lstrip("@") for found in _MANUAL.findall(said["text"])]
        if not said.get("verbatim"):
            called += [f"!{word}" for word in _AUTOMATIC.findall(said["text"])]
    return list(dict.fromkeys(called))


class _Http(ThreadingHTTPServer):
    daemon_threads = False


def _handler(slack: SlackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(
                method=self.path.partition("?")[0].rpartition("/")[2],
                headers=headers,
                body=raw.decode(),
                arguments=_arguments(headers.get("content-type", ""), raw),
                at=time.monotonic(),
            )
            answer, said = slack.answer(call)
            # somebody who did not wait is gone
            with suppress(ConnectionError):
                if not answer.close:
                    self._write(answer, said)

        def _write(self, answer: Answer, said: Mapping[str, Any]) -> None:
            body = (json.dumps(said) if answer.body is None else answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            if answer.retry_after is not None:
                self.send_header("Retry-After", str(answer.retry_after))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write nothing: what came is kept."""

    return Handler


def _arguments(kind: str, raw: bytes) -> dict[str, Any]:
    """Read a body as slack_sdk sends it: JSON, a form, or a form in parts."""
    if not raw:
        return {}
    if kind.startswith("application/json"):
        read: dict[str, Any] = json.loads(raw)
        return read
    if kind.startswith("multipart/form-data"):
        parts = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw).walk()
        named = {str(part.get_param("name", header="Content-Disposition")): part for part in parts if not part.is_multipart()}
        return {name: bytes(part.get_payload(decode=True) or b"").decode() for name, part in named.items()}
    return {name: values[-1] for name, values in parse_qs(raw.decode(), keep_blank_values=True).items()}
