"""Standard output and error that outlive whoever reads them: a run does not end because a terminal or a pipe did."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

#: what writing says where nobody reads any more: a pipe's other end, a terminal
_GONE = frozenset({errno.EPIPE, errno.EIO})


class _Outlet(io.FileIO):
    """A file that writes to nobody once its reader is gone."""

    def write(self, what: Any) -> int:
        """Write, or let it be where nobody reads any more."""
        try:
            return super().write(what)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            nobody = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nobody, self.fileno())
            os.close(nobody)
            return len(memoryview(what).cast("B"))


def outlive_readers() -> None:
    """Let this process write on, to nobody, where the reader of its output or of its errors has gone."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue  # somebody put another one there
        stream.flush()
        raw = _Outlet(stream.fileno(), "wb", closefd=False)
        made = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, made)
