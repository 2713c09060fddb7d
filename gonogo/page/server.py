"""The server of the runs' pages: `python -m gonogo.page.server FD`, on a socket that its parent opened on loopback.

Its password comes in `GONOGO_PAGE_LOGIN`. Where it is, and the password, are kept in a file that only this account may read, so
that updates can link to the page, and `gonogo link` can make links.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from urllib.parse import urlsplit

import uvicorn

from gonogo import private_files
from gonogo.page.app import Room, make_app
from gonogo.page.slack_buttons import SlackButtons
from gonogo.project import PAGE_FILE, Project, find_project

LOGIN, ADDRESS = "GONOGO_PAGE_LOGIN", "GONOGO_PAGE_URL"
#: seconds for which a stream may go on once the server is to end
_GRACE = 1


def serve(project: Project, listener: socket.socket, login: str, *, prefect: str = "") -> None:
    """Serve the pages of a project's runs until the process is asked to end.

    Args:
        project: whose runs.
        listener: where to listen: a socket on loopback.
        login: user and password, with a colon between them.
        prefect: the address of Prefect's UI, where there is one.
    """
    port = listener.getsockname()[1]
    address = os.environ.get(ADDRESS) or f"http://127.0.0.1:{port}"
    kept = project.state / PAGE_FILE
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept.unlink(missing_ok=True)
    app_token, bot_token = (os.environ.get(name, "").strip() for name in ("SLACK_APP_TOKEN", "SLACK_BOT_TOKEN"))
    hears = bool(app_token and bot_token)
    where = {"address": address, "login": login, "pid": os.getpid(), "hears_buttons": hears, "prefect": prefect}
    private_files.write(kept, json.dumps(where))
    room = Room(project=project, login=login, prefect=prefect, over=lambda: kept.unlink(missing_ok=True))
    buttons = SlackButtons(room.open, app_token, bot_token, _say) if hears else None
    if buttons is not None:
        buttons.start()
    hosts = list(dict.fromkeys(("127.0.0.1", "localhost", urlsplit(address).hostname or "127.0.0.1")))
    # an access log would hold the links of those who only look
    config = uvicorn.Config(
        make_app(room, hosts), access_log=False, log_level="warning", timeout_graceful_shutdown=_GRACE, server_header=False
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        if buttons is not None:
            buttons.close()


def _say(text: str) -> None:
    sys.stderr.write(f"gonogo: {text}\n")


def main() -> None:
    """Serve on the socket that is inherited."""
    login = os.environ.pop(LOGIN)
    prefect = os.environ.get("PREFECT_UI_URL") or os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    serve(find_project(), socket.socket(fileno=int(sys.argv[1])), login, prefect=prefect)


if __name__ == "__main__":
    main()
