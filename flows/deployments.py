"""`gonogo serve`: offer every runbook of a project in the Prefect UI, and run what is launched there.

Each runbook has four deployments: run, rehearse, resume, roll back; and monitor, where it has alerts. Their forms are made
from the runbook, so they offer just its phases, targets, people and inputs. A runbook that changes is offered again; one that
is broken says why, and the others stay.
"""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.callables import ParameterSchema

from flows.entrypoints import MONITOR, REHEARSE, RESUME, ROLL_BACK, RUN, monitor, rehearse, resume, roll_back, run
from flows.forms import inputs_schema, rehearsal_form, resume_form, rollback_form, run_form, target_field, text_field
from gonogo import clock
from gonogo.core.model.runbook import Runbook
from gonogo.errors import BadInput, GonogoError
from gonogo.planning.load import load_runbook
from gonogo.project import Project

Say = Callable[[str], None]
Schedules = list[DeploymentScheduleCreate | DeploymentScheduleUpdate]
#: seconds between two looks at the folder of runbooks, and at Prefect
_LOOK, _POLL = 2.0, 2.0
_FLOWS: dict[str, Flow[Any, Any]] = {RUN: run, REHEARSE: rehearse, RESUME: resume, ROLL_BACK: roll_back, MONITOR: monitor}
#: what each is called in the UI
_WORDS = {"run": RUN, "rehearse": REHEARSE, "resume": RESUME, "roll back": ROLL_BACK, "monitor": MONITOR}


async def serve(project: Project, say: Say, *, pool: str = "") -> None:
    """Offer a project's runbooks until it is ended.

    Args:
        project: whose runbooks.
        say: where it is told what is offered.
        pool: a Prefect work pool whose workers run the runs; without one, this process starts them.
    """
    os.environ["GONOGO_PROJECT"] = str(project.root)
    runner = _Host(name=f"gonogo {project.root.name}", query_seconds=_POLL, pause_on_shutdown=False)
    offer = _Offer(project, say, runner, pool)
    await offer.look()
    if pool:
        return
    looking = asyncio.create_task(offer.keep_looking())
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    try:
        await runner.start()
    finally:
        looking.cancel()


class _Host(Runner):
    """Prefect's runner; asked to end, it cancels what it runs, so that each of those runs is held cleanly."""

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """End, once the runs in work are held."""
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: setattr(self, "_ending", loop.create_task(self.astop())))


class _Offer:
    """What is offered now, and from which state of which file."""

    def __init__(self, project: Project, say: Say, runner: Runner, pool: str) -> None:
        self.project, self.say, self.runner, self.pool = project, say, runner, pool
        self._seen: dict[Path, tuple[int, int]] = {}
        self._names: dict[Path, str] = {}
        #: those that were never good, and are shown as what they are
        self._broken: dict[Path, str] = {}

    async def keep_looking(self) -> None:
        """Offer what is new or changed, until this is cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self.look()
            except (httpx.HTTPError, OSError) as error:
                # Prefect's server may be restarting; what is offered stays offered
                self.say(f"Prefect's server does not answer ({type(error).__name__}); trying again")
                self._seen.clear()

    async def look(self) -> None:
        """Offer each runbook whose file is new or changed; take back those whose file is gone."""
        files = _states(self.project.runbook_files)
        for file, found in files.items():
            stamp = (found.st_mtime_ns, found.st_size)
            if self._seen.get(file) != stamp:
                await self._offer(file)
                self._seen[file] = stamp
        for file in [file for file in self._seen if file not in files]:
            del self._seen[file]
            if file in self._broken:
                await _take_back(self._broken.pop(file), "broken")
            if name := self._names.pop(file, ""):
                await _take_back(name)
                self.say(f"{name}: its file is gone, so it is offered no more")

    async def _offer(self, file: Path) -> None:
        try:
            runbook = load_runbook(file)
        except GonogoError as error:
            problems = error.problems if isinstance(error, BadInput) else [error]
            self.say(f"{file.name} has problems, so it is not offered:")
            for problem in problems:
                self.say(f"  {problem}")
            told = [str(problem) for problem in problems]
            if name := self._names.get(file, ""):
                await _say_broken(name, told)
            else:
                await self._show_broken(file, told)
            return
        if taken := [other for other, name in self._names.items() if name == runbook.runbook and other != file]:
            self.say(f"{file.name} is not offered: {taken[0].name} is called {runbook.runbook} too; give each its own name")
            return
        if (former := self._names.get(file)) not in (None, runbook.runbook):
            await _take_back(str(former))
        for deployment in deployments(runbook, file.stem):
            await self._apply(deployment)
        if file in self._broken:
            await _take_back(self._broken.pop(file), "broken")
        again = "again, as changed" if self._names.get(file) else f"for {', '.join(runbook.targets)}"
        self._names[file] = runbook.runbook
        self.say(f"{runbook.runbook}: offered {again}")

    async def _show_broken(self, file: Path, problems: list[str]) -> None:
        """Offer a runbook that was never good as what it is: launched, it says what is wrong."""
        deployment = RunnerDeployment(
            name=f"{file.stem}: broken",
            flow_name=RUN,
            entrypoint="flows.entrypoints.run",
            description=_broken("This runbook is broken, so it cannot be launched:", problems),
            tags=["gonogo", file.stem, "broken"],
            parameters={"runbook": file.stem, "target": ""},
        )
        deployment._entrypoint_type = EntrypointType.MODULE_PATH  # noqa: SLF001 - as in `deployments`
        await self._apply(deployment)
        self._names.pop(file, None)
        self._broken[file] = file.stem

    async def _apply(self, deployment: RunnerDeployment) -> None:
        if self.pool:
            await deployment.aapply(work_pool_name=self.pool)
            return
        made = await self.runner.aadd_deployment(deployment)
        # its process runs this very function: what the API says of code and of steps before it is never read,
        # or whoever has the UI's password could run anything as this account
        self.runner._deployment_registry.register_flow(made, _FLOWS[deployment.flow_name or ""])  # noqa: SLF001


def _states(files: Iterable[Path]) -> dict[Path, os.stat_result]:
    """Return the files that can be read, each with what is known of it; a link that leads nowhere is none."""
    found = {}
    for file in files:
        with suppress(OSError):
            found[file] = file.stat()
    return found


def deployments(runbook: Runbook, name: str) -> list[RunnerDeployment]:
    """Return what the Prefect UI offers of a runbook: run, rehearse, resume, roll back.

    Args:
        runbook: the runbook.
        name: how its file is called in runbooks/; what is launched is read from there.
    """
    about = f"{runbook.title or runbook.runbook}\n\n{runbook.about}".strip()
    schemas = {
        "run": ("flows.entrypoints.run", run_form(runbook), "Launch a phase, or all that are left."),
        "rehearse": ("flows.entrypoints.rehearse", rehearsal_form(runbook), "Forward and back on a restored copy."),
        "resume": ("flows.entrypoints.resume", resume_form(runbook), "Go on with a run that is held or lost its process."),
        "roll back": ("flows.entrypoints.roll_back", rollback_form(runbook), "Undo what a run did, and prove it."),
    }
    if runbook.monitor or runbook.updates.escalate:
        does = "Look at the alerts, and tell people what waits too long; again and again, once its schedule is switched on."
        schemas["monitor"] = ("flows.entrypoints.monitor", {"target": target_field(runbook)}, does)
    made = []
    for word, (entrypoint, form, does) in schemas.items():
        properties = {"runbook": text_field("This runbook.", enum=[name], default=name), **form}
        for position, (label, field) in enumerate(properties.items()):
            field.update(position=position, title=label)
        deployment = RunnerDeployment(
            name=f"{runbook.runbook}: {word}",
            flow_name=_WORDS[word],
            entrypoint=entrypoint,
            description=f"{about}\n\n{does}",
            tags=["gonogo", runbook.runbook, word],
            parameters={name: field["default"] for name, field in properties.items() if field.get("default") not in (None, "")},
            enforce_parameter_schema=True,
            schedules=list(_SCHEDULES[word](runbook)) if word in _SCHEDULES else [],
        )
        deployment._entrypoint_type = EntrypointType.MODULE_PATH  # noqa: SLF001 - it has no public way to set a form
        deployment._parameter_openapi_schema = ParameterSchema(  # noqa: SLF001 - the same
            title="Parameters",
            properties=properties,
            required=[name for name, field in properties.items() if field.pop("needed", False)],
            definitions={"Inputs": inputs_schema(runbook)} if runbook.inputs else {},
        )
        made.append(deployment)
    return made


def _schedule(runbook: Runbook) -> Schedules:
    """Return how often a monitor looks: as its runbook says, and every minute where people may have to be told in turn."""
    every = [runbook.monitor.every] if runbook.monitor else []
    every += [timedelta(minutes=1)] if runbook.updates.escalate else []
    schedule = IntervalSchedule(interval=min(every), anchor_date=clock.now())
    return [DeploymentScheduleCreate(schedule=schedule, active=False, parameters={"target": _least_harm(runbook)})]


def _repeats(runbook: Runbook) -> Schedules:
    """Return when a runbook is run again: daily maintenance, say."""
    if not runbook.schedule.repeat:
        return []
    schedule = CronSchedule(cron=runbook.schedule.repeat, timezone=runbook.schedule.zone)
    return [DeploymentScheduleCreate(schedule=schedule, active=False, parameters={"target": _least_harm(runbook), "again": True})]


def _least_harm(runbook: Runbook) -> str:
    return min(runbook.targets, key=lambda name: runbook.targets[name].protected)


#: the deployments that have schedules; all of them are switched off until somebody switches them on
_SCHEDULES: dict[str, Callable[[Runbook], Schedules]] = {"monitor": _schedule, "run": _repeats}


async def _say_broken(name: str, problems: list[str]) -> None:
    """Say in the UI why a runbook that was offered cannot run as it stands now."""
    text = _broken("This runbook is broken since it was changed:", problems)
    async with get_client() as client:
        async for found in _offered(client, name):
            await client.update_deployment(found.id, DeploymentUpdate(description=text))


def _broken(head: str, problems: list[str]) -> str:
    return f"**{head}**\n\n" + "\n".join(f"- {problem}" for problem in problems)


async def _take_back(name: str, *words: str) -> None:
    async with get_client() as client:
        async for found in _offered(client, name, *words):
            await client.delete_deployment(found.id)


async def _offered(client: PrefectClient, name: str, *words: str) -> AsyncIterator[DeploymentResponse]:
    """Yield what is offered of a runbook: all of it, or what some words say."""
    for word, flow_name in [(word, _WORDS.get(word, RUN)) for word in words or _WORDS]:
        with suppress(ObjectNotFound):
            yield await client.read_deployment_by_name(f"{flow_name}/{name}: {word}")


def reachable(url: str) -> bool:
    """Say whether a Prefect API answers at an address."""
    try:
        return httpx.get(f"{url.rstrip('/')}/health", timeout=10).is_success
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False


def warn_of_an_open_api(url: str) -> list[str]:
    """Return what is dangerous about a Prefect API: no authentication, or open beyond this machine."""
    notes = []
    host = urllib.parse.urlsplit(url).hostname or ""
    if host not in ("127.0.0.1", "localhost", "::1"):
        notes.append(
            f"the Prefect API at {host} is reached over the network; put TLS before it, and let only people in who may launch"
        )
    try:
        answer = httpx.get(f"{url.rstrip('/')}/admin/version", timeout=10)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return notes
    if answer.is_success:
        notes.append(
            "the Prefect API asks nobody who they are: whoever reaches it can launch, cancel and read. Start the server with"
            " PREFECT_SERVER_API_AUTH_STRING, or use `gonogo up`. Gates do not rest on it: a decision on a protected"
            " target needs a one-time code"
        )
    return notes
