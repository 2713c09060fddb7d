"""Updates by e-mail: the run's own one opens a thread, what needs people and the report answer to it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

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
            message["From"] = parse_qs(server.query).get("from", [unquote(server.username or "gonogo@localhost")])[0]
            refused = _deliver(server, message)
        except ssl.SSLError as error:
            # it is a ValueError, too
            raise NotDelivered(f"the mail server's certificate is not accepted: {type(error).__name__}") from None
        except (ValueError, KeyError):
            # among them an address with letters that none may have
            raise NotDelivered(_FORM, hopeless=True) from None
        except smtplib.SMTPAuthenticationError:
            raise NotDelivered("the mail server refuses the login", hopeless=True) from None
        except smtplib.SMTPRecipientsRefused:
            raise NotDelivered("the mail server takes it for none of the addresses", hopeless=True) from None
        except (smtplib.SMTPServerDisconnected, TimeoutError) as error:
            why = f"the mail server did not answer: {type(error).__name__}; it may be there"
            raise NotDelivered(why, doubtful=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"the mail server did not take it: {type(error).__name__}") from None
        if refused:
            raise NotDelivered(f"the mail server does not take it for {', '.join(refused)}", doubtful=True)
        return Sent(channel=where, ts=str(message["Message-ID"]))


def _deliver(server: SplitResult, message: EmailMessage) -> Iterable[str]:
    """Give a mail to a server; return the addresses that it does not take it for.

    Raises:
        ValueError: the server's address cannot be used.
        KeyError: it is of another kind.
        smtplib.SMTPException: it was not taken.
        OSError: there was no answer.
    """
    context, host, port = ssl.create_default_context(), server.hostname or "", server.port or _PORTS[server.scheme]
    if server.scheme == "smtps":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_PATIENCE, context=context)
    else:
        smtp = smtplib.SMTP(host, port, timeout=_PATIENCE)
    try:
        if server.scheme == "smtp" and "starttls=no" not in server.query:
            smtp.starttls(context=context)
        if server.username:
            smtp.login(unquote(server.username), unquote(server.password or ""))
        return list(smtp.send_message(message))
    finally:
        # what was taken is taken, however the server says good-bye
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()


def _message(where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> EmailMessage:
    text = unmarked(update.text)
    named = [person.name for _, person in mentioned(update, people)]
    message = EmailMessage(policy=SMTP)
    message["To"] = ", ".join(address.strip() for address in where.split(",") if address.strip())
    message["Subject"] = ("gonogo: " + " ".join(text.split("\n")[0].split()))[:_SUBJECT]
    message["Message-ID"] = make_msgid(domain="gonogo.invalid")
    # no out-of-office note is to answer a machine (RFC 3834, 5)
    message["Auto-Submitted"] = "auto-generated"
    if root is not None and root.ts:
        message["In-Reply-To"] = message["References"] = root.ts
    facts, opens = ("\n".join(f"{name}: {says}" for name, says in rows) for rows in (update.facts, update.opens))
    parts = [text, f"For: {', '.join(named)}" if named else "", facts, opens]
    message.set_content("\n\n".join(part for part in parts if part) + "\n")
    return message


def open_channel(secret: str) -> Channel:
    """Return what sends over a mail server."""
    return EmailChannel(address=secret.strip())
