"""The keys of the people who decide: who enrolled, what proves them, and what they signed.

A key makes a one-time code every thirty seconds (RFC 6238) on a person's own device. A code proves them once; then
their vote is signed with the same key, so that a row that somebody writes into the ledger by hand proves nothing.
Keys lie in one file that only this account may read, never in the ledger, the Prefect database or a log.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyotp

from gonogo import clock
from gonogo.core.model.duration import say_duration
from gonogo.errors import BadInput, Refused

#: a code counts for its own thirty seconds and the thirty before and after, for clocks that differ (RFC 6238, 5.2)
_NAME = 48
_STEP, _DRIFT = 30, (-1, 0, 1)
#: after this many wrong codes in a row each further one waits twice as long, in seconds
_FREE_TRIES, _FIRST_WAIT, _LONGEST_WAIT = 3, 5, 900

#: the name of the project's own key; no person can be called so
_HOUSE = "~gonogo"


class NotProved(Refused):
    """Somebody did not prove who they are."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of a project's people, in one file."""

    file: Path

    def people(self) -> list[str]:
        """Return who is enrolled."""
        with self._locked(write=False) as kept:
            return sorted(person for person, key in kept.items() if key["secret"] and person != _HOUSE)

    def any(self) -> bool:
        """Say whether anybody has a key here, or had one."""
        with self._locked(write=False) as kept:
            return bool(kept.keys() - {_HOUSE})

    def enroll(self, person: str, *, again: bool = False) -> str:
        """Make a key for a person; return the address that a QR code carries to their device.

        Args:
            person: who.
            again: replace the key that they have.

        Raises:
            Refused: they have one.
        """
        if len(person) > _NAME:
            raise BadInput(f"a name has at most {_NAME} characters")
        with self._locked() as kept:
            if kept.get(person, {}).get("secret") and not again:
                raise Refused(f"{person} is enrolled already; --again makes a new key, and the old one then proves nothing")
            secret = pyotp.random_base32()
            kept[person] = {"secret": secret, "last": 0, "wrong": 0, "wait_until": 0.0, "former": _former(kept.get(person))}
        return pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name="gonogo")

    def remove(self, person: str) -> None:
        """Forget a person's key.

        Raises:
            Refused: they have none.
        """
        with self._locked() as kept:
            if not kept.get(person, {}).get("secret"):
                known = sorted(name for name, key in kept.items() if key["secret"])
                raise Refused(f"{person} is not enrolled; there are {', '.join(known) or 'none'}")
            # what they signed with it stands: a run in work rests on it
            kept[person].update(former=_former(kept[person]), secret="")

    def prove(self, person: str, code: str) -> None:
        """See that a code is the person's, is of now, and was not used before; from then on it is used.

        Raises:
            NotProved: it is not, or too many wrong ones came before it.
        """
        with self._locked() as kept:
            key = kept.get(person)
            if not key or not key["secret"]:
                raise NotProved(f"{person} is not enrolled; on the machine that has the keys: gonogo people enroll {person}")
            now = clock.now().timestamp()
            if now < key["wait_until"]:
                wait = say_duration(key["wait_until"] - now)
                raise NotProved(f"too many wrong codes for {person}; the next one counts in {wait}")
            step = _step_of(key["secret"], code, int(now))
            if step is None:
                key["wrong"] += 1
                late = key["wrong"] - _FREE_TRIES
                key["wait_until"] = now + min(_LONGEST_WAIT, _FIRST_WAIT * 2**late) if late >= 0 else 0.0
            used = step is not None and step <= key["last"]
            if step is not None and not used:
                key.update(last=step, wrong=0, wait_until=0.0)
        # said only after the file is written: a wrong code counts even where its sender goes away
        if step is None:
            raise NotProved(f"that is not {person}'s current code")
        if used:
            raise NotProved("the code was used already; wait for the next one")

    def sign(self, person: str, said: Mapping[str, Any]) -> str:
        """Return the signature under what a person said, once they have proved themselves."""
        with self._locked(write=False) as kept:
            if not kept.get(person, {}).get("secret"):
                raise NotProved(f"{person} is not enrolled any more")
            return _sign(kept[person]["secret"], said)

    def signed(self, person: str, said: Mapping[str, Any], signature: str) -> bool:
        """Say whether a signature is the person's, under just this."""
        with self._locked(write=False) as kept:
            secrets = [key["secret"], *key.get("former", ())] if (key := kept.get(person)) else []
        given = signature.encode(errors="replace")
        return any(hmac.compare_digest(_sign(secret, said).encode(), given) for secret in secrets if secret)

    def sign_as_project(self, said: Mapping[str, Any]) -> str:
        """Return the signature under what gonogo itself saw, with a key of the project's own."""
        with self._locked() as kept:
            house = kept.setdefault(
                _HOUSE, {"secret": pyotp.random_base32(), "last": 0, "wrong": 0, "wait_until": 0.0, "former": []}
            )
            return _sign(house["secret"], said)

    def has_project_key(self) -> bool:
        """Say whether the project's own key is here."""
        with self._locked(write=False) as kept:
            return bool(kept.get(_HOUSE, {}).get("secret"))

    def signed_by_project(self, said: Mapping[str, Any], signature: str) -> bool:
        """Say whether gonogo itself signed just this, with this project's key."""
        return self.signed(_HOUSE, said, signature)

    @contextmanager
    def _locked(self, *, write: bool = True) -> Iterator[dict[str, Any]]:
        """Have the file to this process alone; keep what was changed, whole or not at all."""
        try:
            # behind the whole name: a file that only begins alike is somebody else's
            with _private(self.file.with_name(f"{self.file.name}.lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                text = self.file.read_text(encoding="utf-8") if self._is_private() else "{}"
                kept = _checked(json.loads(text))
                yield kept
                if write and (changed := json.dumps(kept, indent=1)) != text:
                    fresh = self.file.with_name(f"{self.file.name}.new")
                    with _private(fresh) as opened:
                        opened.write(changed)
                        opened.flush()
                        os.fsync(opened.fileno())
                    fresh.replace(self.file)
        except PermissionError:
            raise NotProved(
                f"the keys in {self.file} are not yours to read; vote in the Prefect form, or as the account that has them"
            ) from None
        except OSError as error:
            raise BadInput(f"{self.file} cannot be kept: {error.strerror}") from None
        except (_Damaged, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
            raise BadInput(f"{self.file} is damaged; fix it, or remove it and enroll everybody again") from None

    def _is_private(self) -> bool:
        """Say whether the file is there; refuse one that others may read."""
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return False
        mode = found.st_mode & 0o777
        if found.st_uid != os.geteuid():
            # root reads every file, and would vote by keys that somebody else put there
            raise Refused(
                f"{self.file} belongs to another account (uid {found.st_uid}): work as that account, or name your own keys"
            )
        if mode & 0o077:
            raise Refused(f"{self.file} can be read by others (mode {mode:o}): the keys may be known: chmod 600, enroll again")
        return True


class _Damaged(ValueError):
    """The file holds something else than keys."""


def _checked(kept: Any) -> dict[str, Any]:
    """Return what the file holds, where it is keys."""
    fits: dict[str, Any] = {"secret": str, "last": int, "wrong": int, "wait_until": (int, float)}
    whole = isinstance(kept, dict) and all(
        isinstance(key, dict) and all(isinstance(key.get(name), kind) for name, kind in fits.items()) for key in kept.values()
    )
    if not whole:
        raise _Damaged
    for key in kept.values():
        former = key.get("former", [])
        if not isinstance(former, list) or not all(isinstance(secret, str) for secret in former):
            raise _Damaged
        try:
            for secret in filter(None, (key["secret"], *former)):
                pyotp.TOTP(secret).byte_secret()
        except ValueError:
            raise _Damaged from None
    return dict(kept)


def _former(key: dict[str, Any] | None) -> list[str]:
    """Return the keys that somebody had before, which prove what they signed and nothing new."""
    return [secret for secret in [*key.get("former", ()), key["secret"]] if secret] if key else []


def _private(file: Path) -> IO[str]:
    """Open a file for writing that only this account may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return open(file, "w", encoding="utf-8", opener=_no_link)


def _no_link(name: str, flags: int) -> int:
    """Open a file that is no link: what a link leads to would be emptied."""
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)


def _step_of(secret: str, code: str, now: int) -> int | None:
    """Return which thirty seconds a code is of, where it is one of those that count now."""
    totp, digits = pyotp.TOTP(secret), "".join(code.split()).encode(errors="replace")
    found = [now // _STEP + d for d in _DRIFT if hmac.compare_digest(totp.at(now + d * _STEP).encode(), digits)]
    return max(found, default=None)


def _sign(secret: str, said: Mapping[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(pyotp.TOTP(secret).byte_secret(), b"gonogo vote\0" + text.encode(), hashlib.sha256).hexdigest()
