"""`gonogo up` and `gonogo serve`: the runbooks in the Prefect UI."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Annotated

import typer

from flows import control_room
from gonogo.cli.options import JsonOption, RunbookOrRunArg, RunOption, TargetOption
from gonogo.cli.output import as_json, say
from gonogo.core.model.duration import parse_duration
from gonogo.errors import BadInput, Refused, Unreachable
from gonogo.page.links import Viewed, make_link
from gonogo.project import find_project, page_of
from gonogo.run.open import found_run


def up(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="The server's port on this machine.")] = 4200,
    page_port: Annotated[
        int | None,
        typer.Option(min=1024, max=65535, help="The port of the runs' live pages.", show_default="the next one"),
    ] = None,
) -> None:
    """Start the control room: Prefect's server on its own PostgreSQL, behind a password, the served runbooks, the runs' pages.

    What dies is started again; Ctrl-C ends it, and holds the runs in work cleanly.

    Example: [bold]gonogo up[/]
    """
    control_room.up(find_project(), say, port=port, page_port=port + 1 if page_port is None else page_port)


def page(port: Annotated[int, typer.Option(min=1024, max=65535, help="Their port on this machine.")] = 4201) -> None:
    """Serve the live pages of the project's runs, behind a password, without Prefect (`gonogo up` serves them, too).

    Example: [bold]gonogo page[/]
    """
    from gonogo.page import server  # noqa: PLC0415 - no other command needs a web server

    project = find_project()
    if page_of(project) is not None:
        raise Refused("this project's pages are served already, by `gonogo up` or another `gonogo page`")
    password = secrets.token_urlsafe(12)
    with control_room.listening(port) as listener:
        say(f"the runs, live: http://127.0.0.1:{port}/")
        say(f"password: gonogo:{password}   (shown only now); end it with Ctrl-C")
        server.serve(project, listener, f"gonogo:{password}")


def link(
    runbook: RunbookOrRunArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    lasts: Annotated[str, typer.Option("--for", help="For how long it is good: 90m, 12h, 3d.")] = "12h",
    json: JsonOption = False,
) -> None:
    """Make a link to a run's live page for those who only look: it needs no password, and ends by itself.

    Example: [bold]gonogo link guardian-multi-credit --for 8h[/]
    """
    with found_run(runbook, target, run_id) as (opened, _, _, found):
        served = page_of(opened.project)
        if served is None:
            raise Refused("nothing serves this project's pages now; `gonogo up`, or `gonogo page`, does")
        try:
            time = parse_duration(lasts)
        except ValueError as error:
            raise BadInput(f"--for: {error}") from None
        viewed = Viewed(runbook=opened.name, target=found.plan.target, run=found.run)
        address = f"{served.address.rstrip('/')}/view/{make_link(served.login.encode(), viewed, time)}/"
    if json:
        as_json({"run": found.run, "link": address, "seconds": time.total_seconds()})
        return
    say(address)


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
