"""All of Prefect, and nothing else but the loop that it shows.

Prefect reads its settings when it is imported, so they are made here: nothing reported to anybody, patient at its
start, brief at its end.
"""

from __future__ import annotations

import os

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    # a slow machine needs more than the default 20 seconds
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # a server that died must not keep a finished run waiting for minutes
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    # gonogo tells the story on the terminal; Prefect keeps it for the UI
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
