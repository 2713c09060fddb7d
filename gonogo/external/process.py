"""Programs that a runbook names: their arguments as they are, no shell, an environment of their own, a time limit.

What they say is kept up to a limit, and what may not be seen is redacted of it, wherever it goes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

import psycopg
import regex
from psycopg.conninfo import conninfo_to_dict

from gonogo import clock, private_files
from gonogo.core.model.duration import say_duration
from gonogo.errors import StepError
from gonogo.postgres.address import SECRETS, secrets_of
from gonogo.postgres.tools import end_with_parent
from gonogo.redaction import redacting

#: how much of what a program says is kept, in bytes: its end, where the reason stands
KEPT = 64_000
#: what every program may know of where it runs
KNOWN = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "SSL_CERT_FILE", "NODE_PATH")
#: how libpq's words for a connection are called in an environment: all that it reads there
_LIBPQ = {each.keyword.decode(): each.envvar.decode() for each in psycopg.pq.Conninfo.get_defaults() if each.envvar}
#: what says nothing of where a server is, and who comes
_ELSE = frozenset({"options", "application_name", "client_encoding", "connect_timeout"})
#: what would lead a program of libpq to another server, or in as somebody else
_SERVER = (*(variable for word, variable in _LIBPQ.items() if word not in _ELSE), "PGSERVICEFILE")
#: words that say together which server is meant: where an address has one of them, no other comes from the environment
_WHERE = frozenset({"host", "hostaddr", "service"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: the seconds that a regular expression may take
_SEARCH = 2.0
#: seconds between two looks at a program, and that it has to end in peace
_GLANCE, _KILL_AFTER = 0.05, 2.0


class EndedEarly(StepError):
    """A program was ended before it was done, as somebody or the watch wished."""


class NotStarted(StepError):
    """A program cannot even begin."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a program came to."""

    code: int
    output: str
    errors: str
    seconds: float
    #: the end of its output as it said it, secrets and all: to be read, and never shown
    unredacted: str = field(default="", repr=False)

    @property
    def words(self) -> str:
        """The end of what it said, for people."""
        lines = [line for line in (self.errors or self.output).strip().splitlines() if line.strip()]
        return " | ".join(lines[-3:])[-500:]


def run_command(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    url: str = "",
    url_as: str = "",
    copy_of: str = "",
    options: str = "",
    limit: float,
    stopping: Callable[[], bool] = lambda: False,
    started: Callable[[int], None] = lambda _: None,
) -> Answer:
    """Run a program to its end.

    Args:
        argv: the program and its arguments.
        folder: where it runs.
        environment: the names of the environment variables that it gets, beside the usual ones.
        given: variables that only it gets, with their values.
        url: the database that it may reach, as libpq's own variables; the password is in a file.
        url_as: the environment variable in which it gets the address of that database as well, password and all.
        copy_of: the database that this one is a copy of: nothing that names it is handed to the program.
        options: what its connections run under, as PGOPTIONS.
        limit: the seconds that it may take.
        stopping: says whether it should end now.
        started: is told the number of its group of processes.

    Raises:
        EndedEarly: it was ended as `stopping` said.
        NotStarted: it cannot even begin.
        StepError: it takes too long.
    """
    _require_place(argv, folder, environment)
    if copy_of:
        _require_no_target(argv, environment, url_as, copy_of)
    with (
        _prepared(environment, url, url_as, options, copy_of) as variables,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        began = clock.monotonic()
        process = _start(argv, folder, variables | dict(given or {}), out, err)
        try:
            started(process.pid)
            _wait(process, argv[0], began + limit, limit, stopping)
        finally:
            _end(process)
        redact, longest = redactor(environment, url), [len(os.environ.get(name, "")) for name in environment]
        said = _tail(out, spare := max(longest, default=0))
        return Answer(
            code=process.returncode,
            output=_cut(redact(said)),
            errors=_cut(redact(_tail(err, spare))),
            seconds=round(clock.monotonic() - began, 3),
            unredacted=said,
        )


def _require_place(argv: Sequence[str], folder: Path, environment: Sequence[str]) -> None:
    """See that a program has what it needs.

    Raises:
        NotStarted: it has not.
    """
    if missing := [name for name in environment if name not in os.environ]:
        raise NotStarted(f"{argv[0]}: the environment variable {missing[0]} is not set")
    if not folder.is_dir():
        raise NotStarted(f"{argv[0]}: there is no folder {folder}")


def _start(argv: Sequence[str], folder: Path, given: dict[str, str], out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, which ends with this process."""
    found = shutil.which(argv[0], path=given.get("PATH")) if os.sep not in argv[0] else argv[0]
    if found is None:
        raise NotStarted(f"{argv[0]}: there is no such program on the PATH")
    try:
        return subprocess.Popen(
            [found, *argv[1:]],
            cwd=folder,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - it takes no lock, and only calls the kernel
        )
    except OSError as error:
        raise NotStarted(f"{argv[0]}: {error.strerror}") from None


def redactor(environment: Sequence[str], url: str) -> Callable[[str], str]:
    """Return what strikes the values of some environment variables, and the database's secrets, out of a text."""
    named = [os.environ.get(name, "") for name in environment]
    # an address in a variable holds a password of its own
    values = [
        *named,
        os.environ.get("PGPASSWORD", ""),
        *secrets_of(url).values(),
        *(secret for value in named for secret in secrets_of(value).values()),
    ]
    return redacting(values)


@contextmanager
def _prepared(environment: Sequence[str], url: str, url_as: str, options: str, copy_of: str) -> Iterator[dict[str, str]]:
    """Make a program's environment; the password of the database is in a file that only this account may read."""
    given = {name: os.environ[name] for name in (*KNOWN, *environment) if name in os.environ}
    if not url:
        yield given
        return
    parts = conninfo_to_dict(url)
    # which server it reaches is not for its own variables to say
    own = {name: value for name, value in given.items() if name not in _SERVER}
    if url_as:
        own[url_as] = _address(parts)
    libpq = _as_libpq_reads(parts, inherits=not copy_of or _server(url) == _server(copy_of))
    # what its author names goes last, and counts
    if limits := " ".join(filter(None, (libpq.pop("PGOPTIONS", ""), options, own.pop("PGOPTIONS", "")))):
        libpq["PGOPTIONS"] = limits
    with private_files.for_libpq({"password": libpq.pop("PGPASSWORD", "")} | secrets_of(url)) as files:
        yield own | libpq | files


def _as_libpq_reads(parts: Mapping[str, Any], *, inherits: bool) -> dict[str, str]:
    """Return what a program of libpq needs to reach the database that gonogo reaches by an address, as variables.

    Args:
        parts: what the address says.
        inherits: whether what it does not say comes from this process's environment, as it does for gonogo itself.
    """
    named = {variable: str(parts[word]) for word, variable in _LIBPQ.items() if parts.get(word) and word not in SECRETS}
    kept = {_LIBPQ[word]: value for word, value in _from_environment(parts).items()} if inherits else {}
    kept |= {name: os.environ[name] for name in ("PGSERVICEFILE", "PGPASSFILE") if name in os.environ}
    # frameworks have defaults of their own
    return {"PGPORT": "5432"} | kept | named


def _from_environment(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return what libpq takes from the environment beside an address, by its words for it."""
    placed = not _WHERE.isdisjoint(parts)
    left = (word for word in _LIBPQ if word not in parts and not (placed and word in _WHERE))
    return {word: os.environ[_LIBPQ[word]] for word in left if _LIBPQ[word] in os.environ}


def _address(parts: Mapping[str, Any]) -> str:
    """Return the address of a database as programs read it: `postgresql://user:password@host:port/database?...`."""
    host, rest = str(parts.get("host") or ""), dict(parts)
    for word in ("user", "password", "port", "dbname", "options"):
        rest.pop(word, None)
    if not host.startswith("/"):
        rest.pop("host", None)
    who = ":".join(quote(str(parts[word]), safe="") for word in ("user", "password") if parts.get(word))
    where = "" if host.startswith("/") else (f"[{host}]" if ":" in host else host)
    port = f":{parts['port']}" if parts.get("port") and where else ""
    if parts.get("port") and not where:
        rest["port"] = str(parts["port"])
    query = f"?{urlencode(rest)}" if rest else ""
    return f"postgresql://{f'{who}@' if who else ''}{where}{port}/{quote(str(parts.get('dbname') or ''), safe='')}{query}"


def _require_no_target(argv: Sequence[str], environment: Sequence[str], url_as: str, target: str) -> None:
    """Refuse to hand a program on a copy what names the target.

    Raises:
        NotStarted: an argument or a variable does.
    """
    handed = {f"the variable {name}": os.environ.get(name, "") for name in environment if name not in (*_SERVER, url_as)}
    handed |= {f"its argument {number}": word for number, word in enumerate(argv[1:], 1)}
    for what, value in handed.items():
        if _names(value, target):
            raise NotStarted(
                f"{argv[0]}: {what} names the target, and in a rehearsal a program may reach the copy only. Let it read PGHOST,"
                " PGDATABASE and the like, or name the variable in which it reads an address with `url_as:`"
            )


def _names(value: str, target: str) -> bool:
    """Return whether a text holds the address of a database, in libpq's forms or another one."""
    if not value:
        return False
    theirs = _place(target)
    with suppress(psycopg.Error):
        if _place(value) == theirs:
            return True
    host, _, name = theirs
    # a copy lies on the target's own server, where its name is enough
    if name and name in re.split(r"[\s=/:?&,;'\"]+", value):
        return True
    spelled = [each for each in ({*_LOOPBACK} if host in _LOOPBACK else {host}) if each]
    return bool(name) and any(each in value for each in spelled) and name in value


def _place(url: str) -> tuple[str, str, str]:
    parts = conninfo_to_dict(url)
    host = str(parts.get("host") or parts.get("hostaddr") or "")
    return ("localhost" if host in _LOOPBACK else host), str(parts.get("port") or "5432"), str(parts.get("dbname") or "")


def _server(url: str) -> tuple[str, ...]:
    """Return which server an address leads to from here, with all that libpq takes from the environment for it."""
    parts = conninfo_to_dict(url)
    known = _from_environment(parts) | parts
    return tuple(str(known.get(word) or "") for word in (*sorted(_WHERE), "port"))


def _wait(process: subprocess.Popen[bytes], name: str, deadline: float, limit: float, stopping: Callable[[], bool]) -> None:
    while process.poll() is None:
        if stopping():
            raise EndedEarly(f"{name} was ended")
        if clock.monotonic() > deadline:
            raise StepError(f"{name} took longer than {say_duration(limit)}, and was ended")
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GLANCE)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started: in peace first."""
    for sign, patience in ((signal.SIGTERM, _KILL_AFTER), (signal.SIGKILL, None)):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
    with suppress(ProcessLookupError):
        # what it left running in the background is its own, and ends with it
        os.killpg(process.pid, signal.SIGKILL)


def _tail(file: IO[bytes], spare: int) -> str:
    """Return the end of what was said, and so much more that no secret is cut in two before it is redacted."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT - 4 * spare - 1024))
    return file.read().decode("utf-8", "replace").replace("\0", "")


def _cut(said: str) -> str:
    return f"[only the end is kept, here and elsewhere: {KEPT:,} characters]\n{said[-KEPT:]}" if len(said) > KEPT else said


def number_in(answer: str, field: str, pattern: str) -> tuple[str, str]:
    """Return the number that a program's output holds, and why there is none.

    Args:
        answer: what it said.
        field: where it stands in the JSON that it said.
        pattern: or the regular expression whose first group it is.
    """
    if pattern:
        try:
            # one that explodes would keep the whole watch waiting; Python's own has no limit
            found = regex.search(pattern, answer, regex.MULTILINE, timeout=_SEARCH)
        except TimeoutError:
            return "", f"{pattern!r} took longer than {_SEARCH:g} s to look for in its output"
        return (
            (found.group(1), "")
            if found and found.groups() and found.group(1) is not None
            else ("", f"its output has nothing like {pattern!r}")
        )
    try:
        value = in_json(json.loads(answer), field)
    except ValueError:
        return "", "its output is not JSON"
    except LookupError:
        return "", f"its JSON has no field {field!r}"
    return as_number(value, field)


def in_json(value: Any, path: str) -> Any:
    """Return a field of parsed JSON: `metrics.http.p95`, `items.0.name`.

    Raises:
        LookupError: there is none.
    """
    for part in filter(None, path.split(".")):
        if isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, list) and part.isdecimal():
            value = value[int(part)]
        else:
            raise LookupError(part)
    return value


def as_number(value: Any, field: str) -> tuple[str, str]:
    """Return a value of JSON as a number, and why it is none; true is 1."""
    if isinstance(value, bool):
        return str(int(value)), ""
    if isinstance(value, (int, float)):
        return str(value), ""
    return "", f"{field or 'its answer'} is {type(value).__name__}, not a number"


def living(group: int) -> list[int]:
    """Return the processes of a group that live: what a program started, and what outlived it."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            state, _, theirs = (each / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:3]
            if int(theirs) == group and state != "Z":
                found.append(int(each.name))
    return found


__all__ = ["Answer", "EndedEarly", "NotStarted", "as_number", "in_json", "living", "number_in", "redactor", "run_command"]
