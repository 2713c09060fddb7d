"""Prefect's server on a socket that the control room has opened: `python -m flows.prefect_server FD`.

Nobody else can answer on its port, from before the server starts until the control room ends. What Prefect offers without a
password beside its UI, the description of its API, is not offered.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.routing import Mount
from prefect.server.api.server import create_app

#: paths that describe the API; those below /api ask for the password
_DESCRIPTIONS = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
#: seconds for which a connection is kept, as Prefect's own command has it
_KEEP_ALIVE = 5


def main() -> None:
    """Serve until the process is asked to end."""
    app = create_app(final=True)
    _describe_nothing(app)
    server = uvicorn.Server(uvicorn.Config(app, timeout_keep_alive=_KEEP_ALIVE))
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


def _describe_nothing(app: FastAPI) -> None:
    """Take the descriptions away, also from the application of the UI that is mounted in it."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") not in _DESCRIPTIONS]
    for route in app.router.routes:
        if isinstance(route, Mount) and route.path != "/api" and isinstance(route.app, FastAPI):
            _describe_nothing(route.app)


if __name__ == "__main__":
    main()
