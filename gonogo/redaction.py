"""What nobody may see is struck out of a text, however it was written there."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

#: what is shorter is no secret, and would strike out half of every text
_SHORTEST = 4


def redacting(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what strikes some values out of a text, in every form in which programs write them."""
    forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
    longest_first = sorted(forms, key=len, reverse=True)

    def redact(text: str) -> str:
        for form in longest_first:
            text = text.replace(form, "***")
        return text

    return redact


def _forms(secret: str) -> Iterator[str]:
    """Return how a value is written: as it is, as a line, in JSON, Python, HTML, SQL, a shell, an address, and as base64."""
    if len(secret) < _SHORTEST:
        return
    for value in {secret, secret.strip()}:
        yield value
        yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
        # JSON within JSON, as services put what they met into what they answer; and as encoders do that think of HTML
        yield json.dumps(json.dumps(value)[1:-1])[1:-1]
        yield json.dumps(value)[1:-1].translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&'"})
        yield repr(value.encode())[2:-1]
        yield from (html.escape(value), html.escape(value, quote=False))
        yield html.escape(value, quote=False).replace("'", "&apos;").replace('"', "&quot;")
        for quoted in (quote(value), quote(value, safe=""), quote(value, safe="!'()*"), quote_plus(value)):
            yield quoted
            yield _with_small_hex(quoted)
            yield quote(quoted, safe="")
        # SQL; what a shell shows of its commands, and what quotes for one
        yield from (value.replace("'", "''"), value.replace("'", "'\\''"), value.replace("'", "'\"'\"'"))
        yield value.replace("\\", "\\\\").replace(":", "\\:")
        yield from _base64(value.encode())


def _with_small_hex(quoted: str) -> str:
    """Return a quoted text with %2f for %2F, as some programs write it."""
    head, *rest = quoted.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _base64(value: bytes) -> Iterator[str]:
    """Return what of a value's base64 stands in that of every text that holds it: alone, and at each of three offsets."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(value).decode()
        yield from (whole, whole.rstrip("="))
        for offset in range(3):
            encoded = encode(b"\0" * offset + value).decode().rstrip("=")
            # the first and the last characters hold bits of what stands beside the value
            inner = encoded[(0, 2, 3)[offset] : len(encoded) - (1 if (offset + len(value)) % 3 else 0)]
            if len(inner) >= 6:
                yield inner


__all__ = ["redacting"]
