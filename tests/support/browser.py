"""The real browser that tests look at the UI with."""

from __future__ import annotations

import os
import shutil

#: milliseconds that a browser may take on a machine that does other things
PATIENT = 120_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    # the graph of a flow run takes a whole core where there is no graphics card; pictures for the docs have it
    *([] if os.environ.get("GONOGO_PICTURES") else ["--disable-3d-apis"]),
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
