"""The web application of the runs' pages: who may come in, which page is where, and what a form may say.

Nothing is loaded from another host, a page can be framed by none, and only a form of its own can say anything.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gonogo.core.text.plain import clean
from gonogo.errors import BadInput, GonogoError, Refused, Unreachable
from gonogo.keys import NotProved
from gonogo.page import decisions
from gonogo.page.hub import Hub
from gonogo.page.links import Viewed, read_link
from gonogo.page.metrics import metrics
from gonogo.page.view import render
from gonogo.planning.load import each_runbook
from gonogo.planning.open import OpenedRunbook, open_for_run
from gonogo.project import Project
from gonogo.report import charts

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_RUN = re.compile(r"[a-z][a-z0-9_-]*-[0-9a-f]{6}")
#: what needs no password: what every page is made of, and what a link leads to
_OPEN = re.compile(r"/static/[a-z.]+|/view/[A-Za-z0-9_.-]+/(?:stream|report)?")
#: connections that are kept open for those who look
_MOST_VIEWERS = 500
#: bytes that a form may have
_LONGEST_FORM = 20_000
_FILES = {
    "style.css": (Path(charts.__file__).parent / "report_templates", "text/css"),
    "page.js": (Path(__file__).parent / "templates", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; style-src-attr 'unsafe-inline'; script-src 'self';"
    " connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: a report is a file of its own, with its style inside; nothing else of it is loaded or run
_OF_REPORT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
_STATUS: Mapping[type[GonogoError], int] = {BadInput: 400, NotProved: 403, Unreachable: 503}


@dataclass(kw_only=True)
class Room:
    """What the pages have in common."""

    project: Project
    #: user and password, with a colon between them
    login: str
    #: the address of Prefect's UI, where there is one
    prefect: str = ""
    #: called as the server ends
    over: Callable[[], object]
    #: what a form of this server must bring back
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    hubs: dict[tuple[str, str, str], Hub] = field(default_factory=dict)

    async def hub(self, viewed: Viewed) -> Hub:
        """Return what follows a run; what nobody looks at any more is forgotten.

        Raises:
            BadInput: there is no such runbook, or target.
        """
        key = (viewed.runbook, viewed.target, viewed.run)
        known = self.hubs.get(key)
        if known is None or known.over:
            opened = await asyncio.to_thread(self.open, viewed)
            # another request may have come by meanwhile; from here on nothing waits
            self.hubs = {name: hub for name, hub in self.hubs.items() if not hub.over}
            known = self.hubs.setdefault(key, Hub(opened, viewed.run, self.token))
        return known

    def open(self, viewed: Viewed) -> OpenedRunbook:
        """Load the runbook of a page.

        Raises:
            BadInput: there is no such runbook of this project, or target.
        """
        if not _NAME.fullmatch(viewed.runbook) or (viewed.target and not _NAME.fullmatch(viewed.target)):
            raise BadInput("there is no such runbook")
        if viewed.run and not _RUN.fullmatch(viewed.run):
            raise BadInput("there is no such run")
        return open_for_run(viewed.runbook, viewed.target, lambda _: None)


def make_app(room: Room, hosts: list[str]) -> ASGIApp:
    """Return the application.

    Args:
        room: the project, and the password.
        hosts: the names by which it is reached; whoever comes by another one is sent away.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        room.over()
        for hub in room.hubs.values():
            await hub.close()

    newest, run = "/runs/{runbook}/{target}", "/runs/{runbook}/{target}/{run}"
    app = Starlette(
        routes=[
            Route("/", _runs),
            Route("/metrics", _metrics),
            Route("/static/{name}", _static),
            Route("/view/{token}/", _page),
            Route("/view/{token}/stream", _stream),
            Route("/view/{token}/report", _report),
            *(Route(f"{path}/", _page) for path in (run, newest)),
            *(Route(f"{path}/stream", _stream) for path in (run, newest)),
            *(Route(f"{path}/report", _report) for path in (run, newest)),
            *(Route(f"{path}/say", _say, methods=["POST"]) for path in (run, newest)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(_Guard, room=room)],
        exception_handlers={GonogoError: _refused, psycopg.Error: _refused, 404: _not_found},
        lifespan=lifespan,
    )
    app.state.room = room
    return app


class _Guard:
    """Asks for the password, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self.app, self.room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                common = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] += [header for header in common if header[0] not in own]
            await send(message)

        if not _OPEN.fullmatch(scope["path"]) and not self._knows(Request(scope)):
            ask = {"WWW-Authenticate": 'Basic realm="gonogo", charset="UTF-8"'}
            answer = PlainTextResponse("the password of this page was told where it was started", 401, ask)
            await answer(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)

    def _knows(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            login = base64.b64decode(given, validate=True) if scheme.lower() == "basic" else b""
        except ValueError:
            return False
        return hmac.compare_digest(login, self.room.login.encode())


# pages


async def _runs(request: Request) -> Response:
    room: Room = request.app.state.room
    listed = await asyncio.to_thread(_listed, room.project)
    return HTMLResponse(render("runs.html.j2", base="", prefect=room.prefect, runbooks=listed))


def _listed(project: Project) -> list[dict[str, Any]]:
    """Return the project's runbooks with their targets; one that is broken says why."""
    found = []
    for file, read in each_runbook(project.runbook_files):
        made: dict[str, Any] = {"name": file.stem, "title": file.stem, "targets": [], "problems": []}
        if isinstance(read, BadInput):
            made["problems"] = [" ".join(clean(each).replace(f"{project.root}/", "").split()) for each in read.problems[:5]]
        else:
            made |= {"title": read.title or file.stem, "targets": list(read.targets)}
        found.append(made)
    return found


async def _metrics(request: Request) -> Response:
    return Response(await asyncio.to_thread(metrics, request.app.state.room.project), media_type=CONTENT_TYPE_LATEST)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        return PlainTextResponse("there is no such file", 404)
    folder, kind = _FILES[name]
    return Response((folder / name).read_bytes(), media_type=kind)


def _viewed(request: Request) -> tuple[Viewed, bool]:
    """Return the run that an address names, and whether whoever comes may only look.

    Raises:
        Refused: it is a link that was not made here, or whose time is over.
    """
    given = request.path_params
    if "token" in given:
        room: Room = request.app.state.room
        return read_link(room.login.encode(), given["token"])[0], True
    return Viewed(runbook=given["runbook"], target=given["target"], run=given.get("run", "")), False


async def _page(request: Request) -> Response:
    return await _whole_page(request, "")


async def _whole_page(request: Request, answer: str, status: int = 200) -> Response:
    viewed, view_only = _viewed(request)
    hub = await request.app.state.room.hub(viewed)
    picture = await hub.picture()
    whole = render(
        "run.html.j2",
        base=_base(request),
        stream="stream",
        view_only=view_only,
        answer=answer,
        page_title=picture.title,
        live=_Html(picture.live),
        decide="" if view_only else _Html(picture.decide),
        **picture.head,
    )
    return HTMLResponse(whole, status)


async def _report(request: Request) -> Response:
    viewed, _ = _viewed(request)
    hub = await request.app.state.room.hub(viewed)
    return HTMLResponse(await hub.report(), headers={"Content-Security-Policy": _OF_REPORT})


class _Html(str):
    """Text that is HTML already: the templates do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _base(request: Request) -> str:
    """Return the way back to the first page: relative, so that it works behind a proxy that puts a folder before it."""
    return "../" * (request.url.path.count("/") - 1)


async def _stream(request: Request) -> Response:
    viewed, view_only = _viewed(request)
    room: Room = request.app.state.room
    if sum(each.viewers for each in room.hubs.values()) >= _MOST_VIEWERS:
        raise Refused("too many look at these pages now; load this one again later")
    hub = await room.hub(viewed)
    return StreamingResponse(hub.messages(view_only=view_only), media_type="text/event-stream")


async def _say(request: Request) -> Response:
    room: Room = request.app.state.room
    form = await _form(request)
    _require_ours(request, form, room.token)
    viewed, _ = _viewed(request)
    run = form.get("run", "")
    opened = await asyncio.to_thread(room.open, Viewed(runbook=viewed.runbook, target=viewed.target, run=run))
    if not run or (viewed.run and viewed.run != run):
        raise BadInput("the form names no run, or another one than its page")
    says = await asyncio.to_thread(decisions.say, opened, run, decisions.Said.of(form))
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"says": says})
    return await _whole_page(request, says)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            raise BadInput("the form is too long")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise BadInput("the form cannot be read") from None


def _require_ours(request: Request, form: Mapping[str, str], token: str) -> None:
    """Refuse a form that another site sent with the password that the browser knows.

    Raises:
        Refused: it was not this page's own.
    """
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    same = request.headers.get("sec-fetch-site", "same-origin") == "same-origin" and origin.partition("://")[2] in ("", host)
    if not same or not hmac.compare_digest(form.get("token", "").encode(), token.encode()):
        raise Refused("this form is not of this page, or the page was started again since: load it again")


async def _refused(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 409)
    if isinstance(error, psycopg.Error):
        error, status = Unreachable("the target did not answer; trying again may help"), 503
    return _complain(request, clean(error), status)


async def _not_found(request: Request, _: Exception) -> Response:
    return _complain(request, "there is no such page", 404)


def _complain(request: Request, why: str, status: int) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"says": why}, status)
    view_only = request.url.path.startswith("/view/")
    return HTMLResponse(render("refused.html.j2", base=_base(request), title="Not now", why=why, view_only=view_only), status)
