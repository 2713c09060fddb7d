"""Updates by e-mail: the run's own one opens a thread, what needs people and the report answer to it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from urllib.parse import parse_qs, unquote, urlsplit

from gonogo.core.model.people import Person
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import unmarked
from gonogo.notify.channel import Channel, NotDelivered, Sent, mentioned

_PATIENCE = 10.0
_PORTS = {"smtp": 587, "smtps": 465}
_SUBJECT = 150
_FORM = "GONOGO_SMTP_URL is not smtps://USER:PASSWORD@HOST or smtp://HOST:PORT, with ?from=ADDRESS behind it"


@dataclass(frozen=True, kw_only=True)
class EmailChannel:
    """Sends updates over one mail server."""

    address: str

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        """Send an update to all addresses; it answers to the run's first mail.

        Raises:
            NotDelivered: the server did not take it, or not for everybody.
        """
        message = _message(where, update, people, root)
        try:
            server = urlsplit(self.address)
            host, secure, plain = server.hostname or "", server.scheme == "smtps", "starttls=no" in server.query
            port = server.port or _PORTS[server.scheme]
            message["From"] = parse_qs(server.query).get("from", [unquote(server.username or "gonogo@localhost")])[0]
        except (ValueError, KeyError):
            raise NotDelivered(_FORM, hopeless=True) from None
        context = ssl.create_default_context()
        try:
            with (
                smtplib.SMTP_SSL(host, port, timeout=_PATIENCE, context=context)
                if secure
                else smtplib.SMTP(host, port, timeout=_PATIENCE) as smtp
            ):
                if not secure and not plain:
                    smtp.starttls(context=context)
                if server.username:
                    smtp.login(unquote(server.username), unquote(server.password or ""))
                refused = smtp.send_message(message)
        except smtplib.SMTPAuthenticationError:
            raise NotDelivered("the mail server refuses the login", hopeless=True) from None
        except smtplib.SMTPRecipientsRefused:
            raise NotDelivered("the mail server takes it for none of the addresses", hopeless=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"the mail server did not take it: {type(error).__name__}") from None
        if refused:
            raise NotDelivered(f"the mail server does not take it for {', '.join(refused)}", hopeless=False, doubtful=True)
        return Sent(channel=where, ts=str(message["Message-ID"]))


def _message(where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> EmailMessage:
    text = unmarked(update.text)
    named = [person.name for _, person in mentioned(update, people)]
    message = EmailMessage(policy=SMTP)
    message["To"] = ", ".join(address.strip() for address in where.split(",") if address.strip())
    message["Subject"] = ("gonogo: " + " ".join(text.splitlines()[0].split()))[:_SUBJECT]
    message["Message-ID"] = make_msgid(domain="gonogo.invalid")
    # no out-of-office note is to answer a machine (RFC 3834, 5)
    message["Auto-Submitted"] = "auto-generated"
    if root is not None and root.ts:
        message["In-Reply-To"] = message["References"] = root.ts
    parts = [text, *([f"For: {', '.join(named)}"] if named else []), *([f"Open the run: {update.link}"] if update.link else [])]
    message.set_content("\n\n".join(parts) + "\n")
    return message


def open_channel(secret: str) -> Channel:
    """Return what sends over a mail server."""
    return EmailChannel(address=secret.strip())
