"""Prefect shows a run: a real server, a real browser; and whatever becomes of Prefect, the run does not depend on it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from support.book import BOOK, FILES
from support.browser import CHROMIUM, PATIENT, QUIET_CHROMIUM
from support.command import environment, gonogo, start
from support.waiting import until

pytestmark = [pytest.mark.xdist_group("Prefect"), pytest.mark.timeout(900)]

Make = Callable[..., Path]
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


class PrefectServer:
    """A Prefect server in a process of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.env = {**SETTINGS, "PREFECT_HOME": str(home), "PREFECT_API_URL": self.api}
        self.log = home / "server.log"
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment(**self.env), stdout=log, stderr=log)

    def wait(self, seconds: float = 400) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.api}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.3)
        pytest.fail(f"the Prefect server did not start within {seconds} s: {self.log.read_text()}")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=15)

    def launch(self, deployment: str, parameters: dict[str, Any]) -> None:
        """Launch what is offered, as soon as it is."""
        flow, _, name = deployment.partition("/")
        wanted = {"deployments": {"name": {"any_": [name]}}, "flows": {"name": {"any_": [flow]}}}
        offered = self.wait_for("deployments", wanted, bool)[0]
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        launch = f"{self.api}/deployments/{offered['id']}/create_flow_run"
        # it says "later" where its own database is busy
        until(lambda: httpx.post(launch, json=body, timeout=400).status_code < 400)

    def ask(self, what: str, body: dict[str, Any] | None = None) -> Any:
        """Ask its API."""
        return httpx.post(f"{self.api}/{what}/filter", json=body or {}, timeout=400).json()

    def wait_for(self, what: str, body: dict[str, Any], wanted: Callable[[Any], bool], seconds: float = 400) -> Any:
        """Ask until the answer is as wanted: states and logs reach it a little later."""
        deadline = time.monotonic() + seconds
        while not wanted(found := self.ask(what, body)):
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def test_a_phase_is_a_flow_run_and_each_runbook_task_is_one_task_run(
    prefect: PrefectServer, make_project: Make, old_url: str
) -> None:
    many = BOOK.replace(
        "{sql: 010.sql, undo: 010.undo.sql}", '{sql: "many/*.sql", undo: nothing}\n          - {sql: 010.sql, undo: 010.undo.sql}'
    )
    scripts = {f"many/{n:03}__sql": f"CREATE TABLE many_{n} ();\n" for n in range(60)}
    project = make_project(many, **FILES, **scripts)

    done = gonogo("run", "book", cwd=project, env=environment(TEST_URL=old_url, **prefect.env))

    assert done.returncode == 0, done.stdout + done.stderr
    run = done.stdout.split("run book-")[1][:6]
    named = {"flow_runs": {"name": {"like_": run}}}
    flow_run = prefect.wait_for("flow_runs", named, lambda found: bool(found) and found[0]["state_type"] == "COMPLETED")[0]
    assert flow_run["name"] == f"book/one@db {run}"
    assert {"gonogo", "book", "one", "db", f"run:book-{run}"} <= set(flow_run["tags"])
    of_run = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    tasks = prefect.wait_for("task_runs", of_run, lambda found: len(found) >= 5)
    assert sorted(task["name"] for task in tasks) == ["gate", "indexes", "soak", "tables", "verify"] or sorted(
        task["name"] for task in tasks
    ) == ["gate", "indexes", "tables", "verify"]
    logs = prefect.wait_for("logs", {"logs": {"flow_run_id": {"any_": [flow_run["id"]]}}}, lambda found: len(found) > 8)
    story = "\n".join(log["message"] for log in logs)
    assert "GO: 1 criterion passes" in story
    assert "tables.2: book/010.sql committed" in story
    artifacts = prefect.wait_for(
        "artifacts", {"artifacts": {"flow_run_id": {"any_": [flow_run["id"]]}}}, lambda found: len(found) == 5
    )
    assert {artifact["key"] for artifact in artifacts} == {"book-now", "book-plan", "book-verdicts", "book-report"}
    everything = str(flow_run) + story + str(artifacts) + str(tasks)
    assert old_url not in everything
    assert "host=" not in everything


@pytest.mark.browser
def test_the_run_its_plan_and_its_report_open_in_the_ui(
    prefect: PrefectServer, make_project: Make, old_url: str, tmp_path: Path
) -> None:
    assert CHROMIUM, "Chromium is missing: install it (Debian: apt-get install chromium); the UI is tested in a real browser"
    from playwright.sync_api import expect, sync_playwright

    done = gonogo("run", "book", cwd=make_project(BOOK, **FILES), env=environment(TEST_URL=old_url, **prefect.env))
    assert done.returncode == 0, done.stdout + done.stderr
    run = done.stdout.split("run book-")[1][:6]
    named = {"flow_runs": {"name": {"like_": run}}}
    flow_run = prefect.wait_for("flow_runs", named, lambda found: bool(found) and found[0]["state_type"] == "COMPLETED")[0]
    of_run = {"artifacts": {"flow_run_id": {"any_": [flow_run["id"]]}}}
    artifacts = {a["key"]: a["id"] for a in prefect.wait_for("artifacts", of_run, lambda found: len(found) == 5)}

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET_CHROMIUM)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        base = f"http://127.0.0.1:{prefect.port}/v2"
        page.goto(f"{base}/runs/flow-run/{flow_run['id']}")
        expect(page.get_by_text(f"book/one@db {run}").first).to_be_visible(timeout=PATIENT)
        page.goto(f"{base}/artifacts/artifact/{artifacts['book-report']}")
        expect(page.get_by_text("A book: done").first).to_be_visible(timeout=PATIENT)
        page.goto(f"{base}/artifacts/artifact/{artifacts['book-plan']}")
        expect(page.get_by_text("010.undo.sql").first).to_be_visible(timeout=PATIENT)
        page.screenshot(path=tmp_path / "plan.png")
        browser.close()


def test_a_rolled_back_phase_is_not_green(prefect: PrefectServer, make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **{**FILES, "made__sql": "SELECT 4\n"})

    done = gonogo("run", "book", cwd=project, env=environment(TEST_URL=old_url, **prefect.env))

    assert done.returncode == 11, done.stdout + done.stderr
    run = done.stdout.split("run book-")[1][:6]
    named = {"flow_runs": {"name": {"like_": run}}}
    found = prefect.wait_for(
        "flow_runs", named, lambda found: bool(found) and found[0]["state_type"] not in ("RUNNING", "PENDING")
    )
    assert (found[0]["state_type"], found[0]["state"]["name"]) == ("FAILED", "Rolled back")
    assert "made: 4 is not = 3" in found[0]["state"]["message"]


def test_a_flow_run_whose_process_was_killed_is_closed_by_whoever_goes_on(
    prefect: PrefectServer, make_project: Make, old_url: str
) -> None:
    soak = "    verify: [made]\n    watch: [few]\n    every: 200ms\n    soak: 120s"
    few = 'checks:\n  few: {query: SELECT count(*) FROM new WHERE id > 9, roll_back_if: "> 0 in 2 of 3"}'
    watched = BOOK.replace("    verify: [made]", soak).replace("checks:", few)
    project, env = make_project(watched, **FILES), environment(TEST_URL=old_url, **prefect.env)
    process = start("run", "book", cwd=project, env=env)
    with psycopg.connect(old_url, autocommit=True) as connection:
        until(lambda: connection.execute("SELECT to_regclass('gonogo.event') IS NOT NULL").fetchone() == (True,))
        soaking = "SELECT count(*) FROM gonogo.event WHERE kind = 'sample'"
        until(lambda: (connection.execute(soaking).fetchone() or (0,))[0] > 1)
        process.kill()
        process.communicate(timeout=60)
        row = connection.execute("SELECT id FROM gonogo.run ORDER BY opened DESC LIMIT 1").fetchone()
        assert row
        tagged = {"flow_runs": {"tags": {"all_": [f"run:{row[0]}"]}}}
        assert [run["state_type"] for run in prefect.ask("flow_runs", tagged)] == ["RUNNING"]
        other = start("resume", "book", cwd=project, env=env)
        prefect.wait_for("flow_runs", tagged, lambda found: len(found) == 2)
        connection.execute("INSERT INTO new VALUES (10)")
        said, _ = other.communicate(timeout=400)
    # what was written since would be destroyed by the undo, and nobody accepted that: it holds
    assert other.returncode == 4, said
    ended = prefect.wait_for("flow_runs", tagged, lambda found: all(run["state_type"] != "RUNNING" for run in found))
    assert sorted(run["state_type"] for run in ended) == ["CRASHED", "FAILED"]
    crashed = next(run for run in ended if run["state_type"] == "CRASHED")
    assert "another one goes on with the run" in crashed["state"]["message"]


def test_a_prefect_server_that_dies_in_the_middle_changes_nothing_about_the_run(
    make_project: Make, old_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefect = PrefectServer(tmp_path_factory.mktemp("dying"))
    try:
        prefect.wait()
        slow = {**FILES, "010__sql": FILES["010__sql"] + "SELECT pg_sleep(3);\n"}
        process = start("run", "book", cwd=make_project(BOOK, **slow), env=environment(TEST_URL=old_url, **prefect.env))
        with psycopg.connect(old_url, autocommit=True) as connection:
            for _ in range(300):
                if connection.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND wait_event = 'PgSleep'"
                ).fetchone():
                    break
                time.sleep(0.1)
    finally:
        prefect.stop()
    output, _ = process.communicate(timeout=200)

    assert process.returncode == 0, output
    assert "A book on db: done" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("how", ["typed", pytest.param("launched in Prefect", marks=pytest.mark.long)])
def test_a_prefect_server_that_hangs_holds_neither_the_target_nor_the_process_of_a_run_that_is_over(
    make_project: Make, old_url: str, tmp_path_factory: pytest.TempPathFactory, how: str
) -> None:
    prefect = PrefectServer(tmp_path_factory.mktemp("hanging"))
    slow = {**FILES, "010__sql": FILES["010__sql"] + "SELECT pg_sleep(3);\n"}
    project, env = make_project(BOOK, **slow), environment(TEST_URL=old_url, **prefect.env)
    process = None
    try:
        prefect.wait()
        if how == "typed":
            process = start("run", "book", cwd=project, env=env)
        else:
            process = start("serve", cwd=project, env=env)
            prefect.launch("gonogo-run/book: run", {"runbook": "book", "target": "db"})
        with psycopg.connect(old_url, autocommit=True) as connection:
            sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND wait_event = 'PgSleep'"
            until(lambda: connection.execute(sleeping).fetchone())
            holder = connection.execute("SELECT holder FROM gonogo.fence").fetchone()
            prefect.process.send_signal(signal.SIGSTOP)
            until(lambda: connection.execute("SELECT at FROM gonogo.event WHERE kind = 'run done'").fetchone())
            # the target is let go before Prefect hears of it
            until(lambda: connection.execute("SELECT pid FROM gonogo.fence").fetchone() == (None,), 20)
        assert holder
        its_process = Path("/proc", str(holder[0]).split()[1])
        until(lambda: not its_process.exists() or "(zombie)" in (its_process / "status").read_text(), 90)
        if how == "typed":
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
            assert "A book on db: done" in output
            assert "Traceback" not in output
    finally:
        prefect.process.send_signal(signal.SIGCONT)
        if process is not None and process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)
        prefect.stop()


def test_a_prefect_server_that_is_not_there_changes_nothing_about_the_run(
    make_project: Make, old_url: str, tmp_path: Path
) -> None:
    env = environment(TEST_URL=old_url, PREFECT_API_URL="http://127.0.0.1:9/api", PREFECT_HOME=str(tmp_path / "home"))

    done = gonogo("run", "book", cwd=make_project(BOOK, **FILES), env=env)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "the run does not depend on it" in done.stdout


def test_without_a_server_prefect_is_not_started_and_the_run_says_how_to_get_one(
    make_project: Make, old_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"

    done = gonogo("run", "book", cwd=make_project(BOOK, **FILES), env=environment(TEST_URL=old_url, PREFECT_HOME=str(home)))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no Prefect server is set, so the run is shown here alone; `gonogo up` shows runs in a browser" in done.stdout
    assert not home.exists(), "nothing of Prefect was started"


def test_help_and_validate_never_import_prefect(make_project: Make) -> None:
    project = make_project(BOOK, **FILES)
    code = """
import sys
from gonogo.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in ("prefect", "sqlalchemy", "slack_sdk") if name in sys.modules])
"""
    for words in (["--help"], ["run", "--help"], ["validate", "book"], ["plan", "book"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=project, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_a_worker_of_a_process_pool_on_any_machine_carries_what_is_offered_to_the_pool(
    prefect: PrefectServer, make_project: Make, old_url: str
) -> None:
    looks = 'monitor: {every: 5m, alerts: [{alert: rows, check: counted, when: "> 9999"}]}'
    counted = '  counted: {query: "SELECT count(*) FROM pg_class", expect: "> 0"}'
    book = BOOK.replace("checks:", f'schedule: {{repeat: "0 3 * * *"}}\n{looks}\nchecks:\n{counted}', 1)
    project = make_project(book, **FILES)
    env = environment(**prefect.env, TEST_URL=old_url, GONOGO_PROJECT=str(project), PREFECT_WORKER_QUERY_SECONDS="2")

    def prefect_command(*arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect_command("work-pool", "create", "gonogo", "--type", "process")
    offered = gonogo("serve", "--pool", "gonogo", cwd=project, env=env)
    assert offered.returncode == 0, offered.stderr
    assert "the Prefect API asks nobody who they are" in offered.stdout
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gonogo"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        shown = prefect_command("deployment", "run", "gonogo-run/book: run", "--watch", "--watch-timeout", "380")
        looked = prefect_command("deployment", "run", "gonogo-monitor/book: monitor", "--watch", "--watch-timeout", "380")
    finally:
        worker.terminate()
        try:
            worker.wait(timeout=20)
        except subprocess.TimeoutExpired:
            # how long Prefect takes to end its worker is not ours
            worker.kill()
            worker.wait(timeout=10)

    assert "finished successfully in 'Done'" in " ".join(shown.split())
    assert "finished successfully in 'Healthy'" in " ".join(looked.split())
    schedules = prefect_command("deployment", "schedule", "ls", "gonogo-run/book: run") + prefect_command(
        "deployment", "schedule", "ls", "gonogo-monitor/book: monitor"
    )
    assert "0 3 * * *" in schedules
    assert schedules.count("False") >= 2, "a person switches them on"
    with psycopg.connect(old_url) as connection:
        assert connection.execute("SELECT count(*) FROM new").fetchone() == (3,)
