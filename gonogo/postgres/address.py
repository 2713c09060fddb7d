"""Addresses of databases, as libpq reads them: a URL or `key=value`. They hold secrets, and none of these is ever shown."""

from __future__ import annotations

import os
import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo.errors import BadInput

#: what of an address nobody may see (PostgreSQL's manual, "Parameter Key Words")
SECRETS = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"})
#: what a host, a port and several of them look like; a folder of sockets begins with a / or an @
_HOST, _PORT = re.compile(r"[/@][^@]*|[\w.:%-]*"), re.compile(r"\d*")
_URL = re.compile(r"postgres(?:ql)?://(.*)", re.DOTALL)
#: parameters that Prisma, Rails, SQLAlchemy and JDBC take in an address of theirs
_OF_OTHERS = frozenset(
    {
        *("connection_limit", "pgbouncer", "pool_timeout", "schema", "socket_timeout", "sslaccept", "statement_cache_size"),
        *("encoding", "pool", "prepared_statements", "variables"),
        *("currentSchema", "search_path", "ssl", "sslfactory"),
    }
)
_ENCODE = "in a user name or password of a URL write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23 and % as %25"


def resolve_url(stated: str) -> str:
    """Return the URL that a runbook's `database:` means.

    Raises:
        BadInput: the environment variable is not set, it holds no clear address, or a password stands in the runbook.
    """
    if not stated.startswith("$"):
        if why := why_not_in_a_runbook(stated):
            raise BadInput(why)
        return stated
    name = stated[1:].strip("{}")
    url = os.environ.get(name)
    if not url:
        raise BadInput(f"the environment variable {name} is not set; set it to the target's connection URL")
    if why := why_unclear(url):
        raise BadInput(f"the environment variable {name}: {why}")
    return url


def why_not_in_a_runbook(stated: str) -> str:
    """Say why an address may not stand in a runbook, or nothing where it may."""
    if why := why_unclear(stated):
        return why
    if held := sorted(secrets_of(stated)):
        what = "a password" if held == ["password"] else ", ".join(held)
        return f"the runbook contains {what}; put the URL into an environment variable and write $NAME"
    return ""


def why_unclear(url: str) -> str:
    """Say why an address cannot be read, or may mean another one than was thought, without a part of it."""
    parts = _parts(url)
    if parts is None:
        odd = _words_of_others(url)
        why = f"{' and '.join(odd)}, which libpq does not know: leave it out; " if odd else ""
        return f"the target's connection URL cannot be read; {why}write postgresql://user@host:port/database; {_ENCODE}"
    hosts, ports = (str(parts.get(name) or "").split(",") for name in ("host", "port"))
    clear = all(map(_HOST.fullmatch, hosts)) and all(map(_PORT.fullmatch, ports))
    return "" if clear and not _is_torn(url) else f"the target's connection URL is not clear: {_ENCODE}"


def _words_of_others(url: str) -> list[str]:
    """Return what of an address is a word of some framework, and not libpq's.

    Only words that are known by themselves: what else stands there may be a part of a password.
    """
    scheme = re.match(r"(jdbc:postgresql|postgres(?:ql)?\+[a-z0-9]+)://", url)
    found = [f"it begins with {scheme[1]}://"] if scheme else []
    given = set() if _is_torn(url) else {word.partition("=")[0] for word in re.split("[?&]", url)[1:]}
    return found + [f"it has {word}=" for word in sorted(given & _OF_OTHERS)]


def _is_torn(url: str) -> bool:
    """Say whether a part of a password may have been taken for a host, a port, a database or a parameter.

    libpq ends the user's part at the first @ or /, and knows no ? and # before that.
    """
    found = _URL.match(url)
    if found is None:
        return False
    before, _, after = found[1].partition("/")
    user, at, host = before.partition("@")
    database, _, parameters = after.partition("?")
    # where nobody is named, an @ further on is that of a password in which there was a /
    return "@" in (host if at else user) or "@" in database or (not at and "@" in parameters.partition("=")[0])


def _parts(url: str) -> dict[str, Any] | None:
    """Return what an address says, by libpq's words; None where it cannot be read."""
    try:
        return dict(conninfo_to_dict(url))
    except (psycopg.Error, UnicodeError):
        # a %ab that is no UTF-8 is none that psycopg can tell of
        return None


def safe_url(url: str) -> str:
    """Return which database a connection URL means, for people."""
    if why_unclear(url):
        return "the database"
    parts = _parts(url) or {}
    return f"{parts.get('dbname') or parts.get('user') or 'postgres'} on {parts.get('host') or 'localhost'}"


def without_secrets(url: str) -> str:
    """Return a connection string that may stand in a process list."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if key not in SECRETS and value is not None}
    return make_conninfo(**parts)


def secrets_of(url: str) -> dict[str, str]:
    """Return what of an address nobody may see, by libpq's words for it; nothing of what is no address."""
    parts = _parts(url) or {} if url else {}
    return {name: str(value) for name, value in parts.items() if name in SECRETS and value}


__all__ = ["SECRETS", "resolve_url", "safe_url", "secrets_of", "why_not_in_a_runbook", "without_secrets"]
