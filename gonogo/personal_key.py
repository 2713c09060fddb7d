"""A key of one person's own: its private half stays with them, its public half stands in the runbook, where it is reviewed.

Ed25519 (RFC 8032), in the form of OpenSSH: a key that somebody has for SSH will do.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gonogo import private_files
from gonogo.errors import BadInput, Refused

#: what is signed begins with this, so that it can be taken for nothing else that the key signs
_WHAT = b"gonogo says\0"
_FORM = "ed25519:"


@dataclass(frozen=True, kw_only=True)
class PersonalKey:
    """A person's key, whole."""

    #: its public half, as it stands in the runbook: `ssh-ed25519 AAAA...`
    public: str
    _private: Ed25519PrivateKey = field(repr=False)

    def sign(self, said: Mapping[str, Any]) -> str:
        """Return the signature under what the person says."""
        return _FORM + base64.b64encode(self._private.sign(_written(said))).decode()

    def is_of(self, public: str) -> bool:
        """Say whether a public key is its own; a comment behind it does not count."""
        return _bare(public) == _bare(self.public)


def key_file() -> Path:
    """Return where the key of whoever works here lies: `GONOGO_KEY`, or `gonogo/key` in the folder for settings."""
    if named := os.environ.get("GONOGO_KEY"):
        return Path(named).expanduser()
    settings = os.environ.get("XDG_CONFIG_HOME")
    return (Path(settings) if settings else Path.home() / ".config") / "gonogo/key"


def make(file: Path, passphrase: str = "") -> PersonalKey:
    """Make a key, in a file that only this account may read.

    Args:
        file: where; there is none yet.
        passphrase: what it is encrypted with; it is not, without one.

    Raises:
        BadInput: it cannot be written, or there is one.
    """
    private = Ed25519PrivateKey.generate()
    how = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    text = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, how).decode()
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(file, "x", encoding="ascii", opener=private_files.opener) as opened:
            opened.write(text)
    except FileExistsError:
        raise BadInput(f"there is a key in {file} already") from None
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from None
    return _whole(private)


def load(file: Path, passphrase: Callable[[], str]) -> PersonalKey:
    """Read a key.

    Args:
        file: where it lies.
        passphrase: asks for what it is encrypted with, where it is.

    Raises:
        Refused: it is not there, others may read it, or it is no Ed25519 key.
    """
    try:
        text, mode = file.read_bytes(), file.stat().st_mode & 0o777
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}; make a key with `gonogo people key`, or name yours with GONOGO_KEY") from None
    if mode & 0o077:
        raise Refused(f"{file} can be read by others (mode {mode:o}): chmod 600 {file}")
    private = _read(text, None)
    if private is None:
        private = _read(text, passphrase().encode())
    if not isinstance(private, Ed25519PrivateKey):
        raise Refused(
            f"{file} holds no Ed25519 key of OpenSSH's, or the passphrase is another; make one with `gonogo people key`"
        )
    return _whole(private)


def _read(text: bytes, passphrase: bytes | None) -> object:
    """Return the private key in a file; None where it is no key, or encrypted with something else."""
    try:
        return serialization.load_ssh_private_key(text, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _whole(private: Ed25519PrivateKey) -> PersonalKey:

    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return PersonalKey(public=public.decode(), _private=private)


def is_signed(public: str, said: Mapping[str, Any], signature: str) -> bool:
    """Say whether a signature is that of a public key, under just this.

    Args:
        public: the key, as it stands in the runbook.
        said: what was said.
        signature: as `PersonalKey.sign` writes it.
    """
    if not signature.startswith(_FORM):
        return False
    try:
        key = serialization.load_ssh_public_key(_bare(public).encode())
        given = base64.b64decode(signature.removeprefix(_FORM), validate=True)
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(given, _written(said))
    except (ValueError, UnsupportedAlgorithm, binascii.Error, InvalidSignature):
        return False
    return True


def _bare(public: str) -> str:
    return " ".join(public.split()[:2])


def _written(said: Mapping[str, Any]) -> bytes:
    return _WHAT + json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


__all__ = ["PersonalKey", "is_signed", "key_file", "load", "make"]
