"""`gonogo up` and `gonogo serve`: the runbooks in the Prefect UI."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from flows import control_room
from gonogo.cli.output import say
from gonogo.errors import BadInput, Unreachable
from gonogo.project import find_project


def up(port: Annotated[int, typer.Option(min=1024, max=65535, help="The server's port on this machine.")] = 4200) -> None:
    """Start the control room: Prefect's server on its own PostgreSQL, behind a password, and the served runbooks.

    What dies is started again; Ctrl-C ends it, and holds the runs in work cleanly.

    Example: [bold]gonogo up[/]
    """
    control_room.up(find_project(), say, port=port)


def serve(
    pool: Annotated[str, typer.Option(help="A Prefect work pool whose workers do the runs, instead of this process.")] = "",
) -> None:
    """Offer every runbook of the project in the Prefect UI (PREFECT_API_URL), and run what is launched there.

    Example: [bold]PREFECT_API_URL=http://127.0.0.1:4200/api gonogo serve[/]
    """
    project = find_project()
    control_room.find_control_room(project)
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise BadInput("PREFECT_API_URL is not set; `gonogo up` starts a server, or set it to yours: http://host:4200/api")
    from flows import deployments  # noqa: PLC0415 - this imports Prefect

    for warning in deployments.warn_of_an_open_api(url):
        say(f"warning: {warning}", "yellow")
    if not deployments.reachable(url):
        raise Unreachable(f"no Prefect API answers at {url}; start one with `gonogo up` or `prefect server start`")
    try:
        asyncio.run(deployments.serve(project, say, pool=pool))
    except KeyboardInterrupt:
        say("ended; what runs goes on in its own process")
