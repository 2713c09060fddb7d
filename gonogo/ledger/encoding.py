"""The text in which a body is kept and hashed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def encode(body: Mapping[str, Any]) -> str:
    """Write a body as the JSON text that is kept and hashed."""
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"), default=str)
    if "\\ud" in text:
        # a lone surrogate, which PostgreSQL's text cannot store
        whole = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")
        text = json.dumps(json.loads(whole), ensure_ascii=True, separators=(",", ":"))
    # a NUL, which PostgreSQL cannot hold; six characters that only look like one are left alone
    return re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1\\ufffd", text) if "\\u0000" in text else text
