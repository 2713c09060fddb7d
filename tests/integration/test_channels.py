"""Updates by e-mail, to Teams, to PagerDuty and to a webhook: real runs, told to servers that speak what those speak."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from support.command import environment, gonogo
from support.secured import certify

from gonogo.core.model.people import Person
from gonogo.core.text.messages import Update
from gonogo.notify import channel as channels
from gonogo.notify.channel import NotDelivered, Sent

Make = Callable[..., Path]
BOOK = """
runbook: book
title: Credits
targets: {db: {database: $TEST_URL}}
people: {lead: {name: Ada, roles: [technical_lead]}}
updates: {WHERE, blockers: [technical_lead]}
phases:
  - phase: build
    tasks: [{task: one, title: One, takes: 1m, steps: [{sql: one.sql, undo: undo.sql}]}]
"""
SCRIPTS = {"one__sql": "SELECT 'one'", "undo__sql": "SELECT 'undo'"}
#: a run that trips its own step
WRONG = {"one__sql": "SELECT 1 / 0", "undo__sql": "SELECT 'undo'"}


@dataclass
class Heard:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """A web service that keeps what it hears, and answers as it is told to."""

    answers: list[int] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def __post_init__(self) -> None:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                web.heard.append(Heard(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body))
                self.send_response(web.answers.pop(0) if web.answers else 202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.stop()


@dataclass
class Mailbox:
    """What a mail server took, and what it does not take."""

    mails: list[Message] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    password: str = ""

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:  # noqa: N802
        if address in self.refused:
            return "550 no such address"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    def login(self, _: SMTP, __: Session, ___: Envelope, mechanism: str, data: object) -> AuthResult:
        known = isinstance(data, LoginPassword) and data.password == self.password.encode()
        return AuthResult(success=known, handled=mechanism not in ("LOGIN", "PLAIN") or known)


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox(password="p@ss/word")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port, authenticator=box.login, auth_require_tls=False)
    server.start()
    yield box, f"smtp://gonogo:p%40ss%2Fword@127.0.0.1:{port}?from=ops@example.com&starttls=no"
    server.stop()


@contextmanager
def secure_mail(folder: Path, scheme: str) -> Iterator[tuple[Mailbox, str]]:
    """A mail server that speaks TLS alone: from the first byte, or by STARTTLS."""
    box, context = Mailbox(password="p@ss/word"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    how: dict[str, Any] = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context, "require_starttls": True}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # aiosmtpd asks for TLS of its own kind before a login, and knows nothing of what lies below
    how |= {"authenticator": box.login, "auth_require_tls": scheme == "smtp"}
    server = Controller(box, hostname="127.0.0.1", port=port, **how)
    server.start()
    try:
        yield box, f"{scheme}://gonogo:p%40ss%2Fword@127.0.0.1:{port}?from=ops@example.com"
    finally:
        server.stop()


def run(make: Make, url: str, where: str, scripts: Mapping[str, str] = SCRIPTS, **env: str) -> str:
    """Run the small runbook; return what it said."""
    folder = make(BOOK.replace("WHERE", where), **scripts)
    known = {key: value for key, value in environment(TEST_URL=url, **env).items() if "proxy" not in key.lower()}
    done = gonogo("run", "book", "--without-prefect", cwd=folder, env=known)
    assert done.returncode == (0 if scripts is SCRIPTS else 11), done.stdout + done.stderr
    return done.stdout + done.stderr


# the webhook


def verified(heard: Heard, secret: bytes) -> bool:
    """Verify a message as the specification says."""
    stamp, number = heard.headers["webhook-timestamp"], heard.headers["webhook-id"]
    mac = hmac.new(secret, f"{number}.{stamp}.".encode() + heard.body, hashlib.sha256).digest()
    return heard.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


@pytest.mark.parametrize("secret", ["a long secret", "whsec_" + base64.b64encode(b"another secret").decode()])
def test_a_webhook_hears_every_update_signed(make_project: Make, url: str, web: Web, secret: str) -> None:
    said = run(make_project, url, f"webhook: '{web.url}'", GONOGO_WEBHOOK_SECRET=secret)
    assert "not delivered" not in said
    assert secret not in said
    key = b"another secret" if secret.startswith("whsec_") else secret.encode()
    assert web.heard
    assert all(verified(heard, key) for heard in web.heard)
    assert not any(verified(heard, b"guessed") for heard in web.heard)
    told = [heard.data for heard in web.heard]
    assert {each["type"] for each in told} == {"gonogo.run", "gonogo.update"}
    texts = [each["data"]["text"] for each in told if each["type"] == "gonogo.update"]
    assert any("launches phase build" in text for text in texts)
    assert any(text.startswith("✅ Done") for text in texts)
    assert any(text.startswith("📄 Report") for text in texts)
    ids = {heard.headers["webhook-id"] for heard in web.heard}
    assert len(ids) == len(web.heard)
    first = told[0]["data"]
    assert set(first) == {
        "runbook",
        "target",
        "run",
        "key",
        "text",
        "needs_people",
        "mention",
        "can_say",
        "facts",
        "link",
        "links",
    }
    assert (first["runbook"], first["target"]) == ("book", "db")
    assert first["run"].startswith("book-")


def test_a_webhook_that_fails_is_tried_again_and_one_that_refuses_is_not(make_project: Make, url: str, web: Web) -> None:
    web.answers = [500, 202, 503, 429, 202]
    assert "not delivered" not in run(make_project, url, f"webhook: '{web.url}'", GONOGO_WEBHOOK_SECRET="s")
    web.answers, before = [410] * 100, len(web.heard)
    said = run(make_project, url, f"webhook: '{web.url}'", GONOGO_WEBHOOK_SECRET="s")
    assert "not delivered to the webhook" not in said, "the same runbook is done: nothing new is told"
    assert len(web.heard) == before


def test_a_webhook_that_is_gone_neither_fails_nor_holds_the_run(make_project: Make, url: str, web: Web) -> None:
    web.answers = [410] * 100
    said = run(make_project, url, f"webhook: '{web.url}'", GONOGO_WEBHOOK_SECRET="s")
    assert "not delivered to the webhook" in said
    assert "HTTP 410" in said
    assert len(web.heard) == 1, "no more is tried"


# Teams


def test_teams_is_sent_the_run_what_needs_people_and_the_report_as_cards(make_project: Make, url: str, web: Web) -> None:
    said = run(make_project, url, "teams: release channel", WRONG, TEAMS_WEBHOOK_URL=web.url)
    assert "not delivered" not in said
    cards = [heard.data["attachments"][0] for heard in web.heard]
    assert {card["contentType"] for card in cards} == {"application/vnd.microsoft.card.adaptive"}
    texts = ["\n".join(run["text"] for block in card["content"]["body"] for run in block["inlines"]) for card in cards]
    assert sum("Credits on db" in text for text in texts) == 1, "the run's own message is sent once"
    assert any("division by zero" in text and "Ada" in text for text in texts)
    assert any("Rolled back, and proved" in text for text in texts)
    assert any(text.startswith("📄 Report") for text in texts)
    assert not any("Task One starts" in text for text in texts), "what needs nobody rings for nobody"


# PagerDuty


def test_pagerduty_opens_an_incident_that_the_report_resolves(make_project: Make, url: str, web: Web) -> None:
    hold = {"one__sql": "SELECT 1 / 0", "undo__sql": "SELECT 1 / 0"}
    folder = make_project(
        BOOK.replace("WHERE", "pagerduty: billing").replace("- phase: build", "- phase: build\n    on_failure: hold"), **hold
    )
    keys = {"PAGERDUTY_ROUTING_KEY": "canary-routing-key", "GONOGO_PAGERDUTY_URL": web.url}
    env = {key: value for key, value in environment(TEST_URL=url, **keys).items() if "proxy" not in key.lower()}
    done = gonogo("run", "book", "--without-prefect", cwd=folder, env=env)
    assert done.returncode == 4, done.stdout
    assert "not delivered" not in done.stdout
    assert "canary-routing-key" not in done.stdout + done.stderr
    (event,) = [heard.data for heard in web.heard]
    assert (event["event_action"], event["routing_key"]) == ("trigger", "canary-routing-key")
    assert "division by zero" in event["payload"]["summary"]
    assert (event["payload"]["source"], event["payload"]["component"]) == ("db", "billing")
    gonogo("rollback", "book", "--without-prefect", cwd=folder, env=env)
    assert [heard.data["event_action"] for heard in web.heard][-1] == "resolve"
    assert {heard.data["dedup_key"] for heard in web.heard} == {event["dedup_key"]}


def test_an_alert_of_no_run_is_one_incident_until_it_is_back_to_normal(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONOGO_PAGERDUTY_URL", web.url)
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", "a key")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    channel = channels.open_channel("pagerduty")
    for update in (
        Update(key="1", text="slow on db", loud=True, about="slow"),
        Update(key="1:level 2", text="slow on db, still", loud=True, about="slow"),
        Update(key="2", text="somebody took it", about="slow"),
        Update(key="3", text="slow is back to normal", about="slow", over=True),
        Update(key="4", text="late on db", loud=True, about="late"),
    ):
        channel.send("billing", update, {}, None)
    events = [(heard.data["event_action"], heard.data["dedup_key"]) for heard in web.heard]
    assert [action for action, _ in events] == ["trigger", "trigger", "resolve", "trigger"]
    assert len({key for _, key in events[:3]}) == 1
    assert events[3][1] != events[0][1]


# e-mail


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_goes_over_tls_and_only_to_a_server_that_is_who_it_says(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = certify(tmp_path)
    with secure_mail(tmp_path, scheme) as (box, address):
        monkeypatch.setenv("GONOGO_SMTP_URL", address)
        with pytest.raises(NotDelivered, match="certificate is not accepted") as failure:
            channels.open_channel("email").send("a@example.com", Update(key="1", text="One"), {}, None)
        assert "p@ss" not in str(failure.value)
        assert not box.mails
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        channels.open_channel("email").send("a@example.com", Update(key="1", text="Two", facts=(("Until", "now"),)), {}, None)
        (mail,) = box.mails
        assert mail["Subject"] == "gonogo: Two"
        assert b"Until: now" in bytes(mail.get_payload(decode=True) or b"")


def test_mail_opens_a_thread_that_what_needs_people_answers_to(make_project: Make, url: str, mail: tuple[Mailbox, str]) -> None:
    box, address = mail
    said = run(make_project, url, "email: 'a@example.com, b@example.com'", WRONG, GONOGO_SMTP_URL=address)
    assert "not delivered" not in said
    assert "p@ss" not in said
    first, *answers = box.mails
    assert first["Subject"].startswith("gonogo: ")
    assert {mail["From"] for mail in box.mails} == {"ops@example.com"}
    assert all(envelope.rcpt_tos == ["a@example.com", "b@example.com"] for envelope in box.envelopes)
    assert answers
    assert {mail["In-Reply-To"] for mail in answers} == {first["Message-ID"]}
    assert {mail["Auto-Submitted"] for mail in box.mails} == {"auto-generated"}
    texts = [bytes(mail.get_payload(decode=True) or b"").decode() for mail in box.mails]
    assert any("division by zero" in text and "For: Ada" in text for text in texts)
    assert any(text.startswith("📄 Report") for text in texts)


def sent(channel: channels.Channel, where: str = "a@example.com", text: str = "hello", **more: Any) -> Sent:
    people = {"lead": Person(name="Ada", roles=("technical_lead",))}
    return channel.send(where, Update(key="1", text=text, **more), people, None)


def test_a_text_cannot_add_a_header_or_an_address(mail: tuple[Mailbox, str], monkeypatch: pytest.MonkeyPatch) -> None:
    box, address = mail
    monkeypatch.setenv("GONOGO_SMTP_URL", address)
    sent(channels.open_channel("email"), text="Subject\r\nBcc: evil@example.com\r\n\r\nbody\u2028Cc: evil@example.com")
    (mail_,) = box.mails
    assert mail_["Bcc"] is None
    assert mail_["Cc"] is None
    assert box.envelopes[0].rcpt_tos == ["a@example.com"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "is not smtps://"),
        ("ftp://127.0.0.1", "is not smtps://"),
        ("smtp://127.0.0.1:99999", "is not smtps://"),
        ("smtp://127.0.0.1:1", "did not take it"),
    ],
)
def test_a_mail_server_that_cannot_be_used_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, address: str, why: str
) -> None:
    monkeypatch.setenv("GONOGO_SMTP_URL", address)
    with pytest.raises(NotDelivered) as refused:
        sent(channels.open_channel("email"))
    assert why in str(refused.value)


def test_a_wrong_password_and_a_refused_address_are_not_tried_again(
    mail: tuple[Mailbox, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    box, address = mail
    monkeypatch.setenv("GONOGO_SMTP_URL", address.replace("p%40ss%2Fword", "wrong"))
    with pytest.raises(NotDelivered) as refused:
        sent(channels.open_channel("email"))
    assert refused.value.hopeless
    assert "wrong" not in str(refused.value)
    box.refused = ("a@example.com",)
    monkeypatch.setenv("GONOGO_SMTP_URL", address)
    with pytest.raises(NotDelivered) as refused:
        sent(channels.open_channel("email"))
    assert refused.value.hopeless
    box.refused = ("b@example.com",)
    with pytest.raises(NotDelivered) as partly:
        sent(channels.open_channel("email"), "a@example.com, b@example.com")
    assert "b@example.com" in str(partly.value)


@pytest.mark.parametrize("secret", ["whsec_é", "whsec_", "whsec_AAAA", "whsec_%%%"])
def test_a_secret_that_cannot_sign_fails_the_channel_and_never_the_run(
    make_project: Make, url: str, web: Web, secret: str
) -> None:
    said = run(make_project, url, f"webhook: '{web.url}'", GONOGO_WEBHOOK_SECRET=secret)
    assert "GONOGO_WEBHOOK_SECRET cannot be used" in said
    assert "Traceback" not in said
    assert not web.heard


@pytest.mark.parametrize(
    "address",
    [
        "smtp://u:p%C3%A4ss@HOST?from=ops@example.com&starttls=no",
        "smtp://x..y:25",
        "smtp://" + "x" * 70 + ":25",
        "smtp://u:p@HOST?from=a@[1&starttls=no",
    ],
)
def test_an_address_that_a_library_chokes_on_ends_no_sender(
    make_project: Make, url: str, mail: tuple[Mailbox, str], address: str
) -> None:
    host = mail[1].rpartition("@127")[0] and mail[1].split("@127.0.0.1")[1].split("?")[0]
    said = run(make_project, url, "email: a@example.com", GONOGO_SMTP_URL=address.replace("HOST", f"127.0.0.1{host}"))
    assert "Traceback" not in said
    assert "not delivered to e-mail" in said
    assert "p%C3%A4ss" not in said
    assert "päss" not in said


@pytest.mark.parametrize("text", ["", "> ", "\udc80", "x" * 100_000, "é\n" * 20_000])
@pytest.mark.parametrize("kind", ["teams", "webhook", "pagerduty", "email"])
def test_any_text_can_be_sent_or_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, web: Web, mail: tuple[Mailbox, str], kind: str, text: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    keys = {"TEAMS_WEBHOOK_URL": web.url, "GONOGO_WEBHOOK_SECRET": "s", "PAGERDUTY_ROUTING_KEY": "k", "GONOGO_SMTP_URL": mail[1]}
    for name, value in {**keys, "GONOGO_PAGERDUTY_URL": web.url}.items():
        monkeypatch.setenv(name, value)
    update = Update(key="1", text=text, loud=True)
    where = {"webhook": web.url}.get(kind, "a@example.com")
    try:
        channels.open_channel(kind).send(where, update, {}, None)
    except (NotDelivered, UnicodeEncodeError):
        # a sender takes any error for an update that was not delivered; a half character is none that JSON or mail can hold
        assert text == "\udc80"
    assert all(len(heard.body) < 28_000 for heard in web.heard if kind == "teams")


def test_dead_channels_delay_the_end_of_a_run_by_fifteen_seconds_in_all(make_project: Make, url: str) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        port = deaf.getsockname()[1]
        secrets = {
            "GONOGO_SMTP_URL": f"smtp://127.0.0.1:{port}?starttls=no",
            "TEAMS_WEBHOOK_URL": f"http://127.0.0.1:{port}/",
            "PAGERDUTY_ROUTING_KEY": "k",
            "GONOGO_PAGERDUTY_URL": f"http://127.0.0.1:{port}/",
            "GONOGO_WEBHOOK_SECRET": "s",
        }
        began = time.monotonic()
        where = f"email: a@b.c, teams: t, pagerduty: p, webhook: 'http://127.0.0.1:{port}/'"
        said = run(make_project, url, where, SCRIPTS, **secrets)
        took = time.monotonic() - began
    assert said.count("the updates take too long") >= 2
    assert took < 40, "fifteen for all of them, and what a slow machine adds"


@pytest.mark.parametrize(("kind", "variable"), [("teams", "TEAMS_WEBHOOK_URL"), ("webhook", "GONOGO_WEBHOOK_SECRET")])
@pytest.mark.parametrize("address", ["not a url", "http://", "http://127.0.0.1:1/secret-path", "http://[", "file:///etc/passwd"])
def test_an_address_that_leads_nowhere_is_said_without_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)
    monkeypatch.delenv("http_proxy", raising=False)
    with pytest.raises(NotDelivered) as refused:
        sent(channels.open_channel(kind), where=address)
    assert "secret-path" not in str(refused.value)
    assert "passwd" not in str(refused.value)
