"""`gonogo demo`: the Guardian migration under live traffic, once with a bad function and once with the good one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from gonogo.cli.callers import caller_of
from gonogo.cli.options import PlainOption
from gonogo.cli.output import console, say
from gonogo.cli.run import launch
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.state import State
from gonogo.core.text.messages import updates
from gonogo.core.text.plain import unmarked
from gonogo.errors import Exit, GonogoError
from gonogo.planning.open import open_runbook
from gonogo.planning.templates import Templates
from gonogo.postgres import embedded
from gonogo.postgres.connection import Database, as_the_role_sees
from gonogo.project import ROOT, Project
from gonogo.run import runs
from gonogo.run.begin import LaunchRequest
from gonogo.run.targets import whoami

NAME = "guardian-multi-credit"
_RULE = 'roll_back_if: "p50 > baseline + 50% in 3 of 5"'
#: the runbook's own pace is a night's, and the demo has a minute; that the machine is busy with other things does not hold it
_PACE = (("every: 5s", "every: 1s"), ("soak: 10m", "soak: 8s"), (_RULE, f"{_RULE}\n    no_data: ignore"))
#: seconds that are seen to be the function's also where the machine takes several times as long as at the baseline
_SLOW = "  PERFORM pg_sleep(0.06);  -- somebody's debugging, left in\n"
#: transactions a second, and for how many seconds at most
_RATE, _TRAFFIC_LIMIT = 100, 600


def demo(
    folder: Annotated[Path | None, typer.Option(help="Where to keep it; by default a folder that is thrown away.")] = None,
    organizations: Annotated[int, typer.Option(min=100, max=1_000_000, help="How many organizations to make.")] = 20_000,
    without_prefect: PlainOption = False,
) -> None:
    """See it in half a minute: live traffic, a bad function caught and rolled back, then the good run.

    Example: [bold]gonogo demo[/]
    """
    root = folder or Path(tempfile.mkdtemp(prefix="gonogo-demo-"))
    file = make_project(root)
    project = Project(root=root)
    _head(
        "A database with live traffic", f"{organizations:,} organizations, one pool of credits each, on the embedded PostgreSQL"
    )
    try:
        with embedded.running(project.state / "postgres", database="target") as url:
            database = Database(url=url)
            load(database, project, organizations)
            with traffic(url, project) as answers:
                _bad_run(file, database, without_prefect)
                _good_run(file, database, without_prefect)
            say(f"\nlive traffic all the while: {answers()}")
    finally:
        if folder is None:
            shutil.rmtree(project.state / "postgres", ignore_errors=True)
    say(f"\nreports, runbook and templates: {root}", "bold")
    say("next: gonogo init my-project, and your own runbook")


def make_project(root: Path) -> Path:
    """Copy the Guardian runbook and its templates, at the demo's pace; return the runbook."""
    source = (ROOT / "runbooks" / f"{NAME}.yaml").read_text(encoding="utf-8")
    for theirs, ours in _PACE:
        if theirs not in source:
            raise GonogoError(f"the demo does not find {theirs!r} in its runbook")
        source = source.replace(theirs, ours)
    file = root / "runbooks" / f"{NAME}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    shutil.copytree(ROOT / "sql_templates" / NAME, root / "sql_templates" / NAME, dirs_exist_ok=True)
    return file


def load(database: Database, project: Project, organizations: int) -> None:
    """Make the plan's schema and fill it."""
    templates = Templates(project.template_roots)
    with database.connect("gonogo/demo") as connection, as_the_role_sees(connection):
        connection.execute(b"DROP SCHEMA IF EXISTS gonogo CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        for name in ("before.sql", "data.sql.j2"):
            connection.execute(templates.render(f"{NAME}/demo/{name}", {"organizations": organizations}).encode())
        connection.execute(b"VACUUM ANALYZE")


@contextmanager
def traffic(url: str, project: Project) -> Iterator[Callable[[], str]]:
    """Call the function as the application does, all the while; give a function that says how it went."""
    script = project.root / "sql_templates" / NAME / "demo" / "traffic.sql"
    log = project.state / "traffic.log"
    pace = f"-n -c 12 -R {_RATE} -T {_TRAFFIC_LIMIT} -P 1 -f".split()
    command = [str(embedded.program("pgbench")), *pace, str(script), url]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield lambda: _say_traffic(log.read_text(encoding="utf-8"))
        finally:
            process.terminate()
            process.wait(timeout=10)


def _say_traffic(log: str) -> str:
    """Add up pgbench's reports of each second."""
    seconds = re.findall(r"progress: [\d.]+ s, ([\d.]+) tps, lat ([\d.]+) ms stddev [\d.]+, (\d+) failed", log)
    calls = sum(float(tps) for tps, _, _ in seconds)
    slowest = max((float(latency) for _, latency, _ in seconds), default=0.0)
    failed = sum(int(count) for _, _, count in seconds) + len(re.findall(r"client \d+ aborted", log))
    return f"{calls:,.0f} calls in {len(seconds)} s, {failed} failed; {slowest:.0f} ms a call in the slowest second"


def _bad_run(file: Path, database: Database, without_prefect: bool) -> None:
    _head("1. The function that is slow", "its change passes every review; the watch sees it in seconds and rolls the run back")
    template = file.parent.parent / "sql_templates" / NAME / "030_consume_credits.sql.j2"
    good = template.read_text(encoding="utf-8")
    template.write_text(good.replace("BEGIN\n", "BEGIN\n" + _SLOW, 1), encoding="utf-8")
    try:
        _run(file, database, without_prefect, Exit.ROLLED_BACK)
    finally:
        template.write_text(good, encoding="utf-8")


def _good_run(file: Path, database: Database, without_prefect: bool) -> None:
    _head("2. The good run", "the same runbook, with the function fixed")
    _run(file, database, without_prefect, Exit.DONE)


def _run(file: Path, database: Database, without_prefect: bool, expected: Exit) -> None:
    code = 0
    try:
        request = LaunchRequest(caller=caller_of("", ""), otherwise=whoami(), at_once=True)
        launch(open_runbook(str(file), "demo"), [], request, without_prefect=without_prefect, hint=False)
    except typer.Exit as ended:
        code = ended.exit_code
    with database.connect("gonogo/demo") as connection:
        found = runs.find(connection, runbook=NAME, whole=True)
    _slack(found)
    if code != expected:
        raise GonogoError(
            f"the demo's run ended with {code} instead of {int(expected)}; please report it with {file.parent.parent}"
        )


def _slack(found: runs.FoundRun) -> None:
    """Show the run's updates as Slack would: one message that was kept up to date, and its thread."""
    state, root, thread = State(), "", []
    for event in found.events:
        before, state = state, evolve(state, event)
        for update in updates(found.plan, before, event, state, found.run):
            if update.root:
                root = update.text
            else:
                thread.append(("📣 " if update.loud else "   ") + update.text)
    text = Text(unmarked(root), style="bold")
    text.append("\n\n" + "\n".join(map(unmarked, thread)), style="dim")
    console.print(Panel(text, title=found.plan.updates.slack, title_align="left", border_style="magenta"))


def _head(title: str, about: str) -> None:
    console.print()
    console.print(Rule(Text(title, style="bold"), align="left"))
    say(about, "dim")
