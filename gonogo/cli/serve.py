"""`gonogo up` and `gonogo serve`: the runbooks in the Prefect UI."""

from __future__ import annotations

import asyncio
import os

from flows import control_room
from gonogo.cli.output import say
from gonogo.errors import BadInput, Unreachable
from gonogo.project import find_project


def up(port: int) -> None:
    """Keep the control room up until it is ended."""
    control_room.up(find_project(), say, port=port)


def serve(pool: str) -> None:
    """Offer the project's runbooks until it is ended."""
    project = find_project()
    control_room.find_control_room(project)
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise BadInput("PREFECT_API_URL is not set; `gonogo up` brings a server, or set it to yours: http://host:4200/api")
    from flows import deployments  # noqa: PLC0415 - this imports Prefect

    for warning in deployments.warn_of_an_open_api(url):
        say(f"warning: {warning}", "yellow")
    if not deployments.reachable(url):
        raise Unreachable(f"no Prefect API answers at {url}; start one with `gonogo up` or `prefect server start`")
    try:
        asyncio.run(deployments.serve(project, say, pool=pool))
    except KeyboardInterrupt:
        say("ended; what runs goes on in its own process")
