"""Runs are launched and decided in the Prefect UI: a real server on PostgreSQL, a real browser, a real target."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support.browser import CHROMIUM, PATIENT, QUIET_CHROMIUM
from support.control_room import (
    ScratchServer,
    answer,
    choose,
    logged_in,
    menu,
    open_form,
    press,
    require_chromium,
    submit,
)
from support.servers import Server, open_folder
from support.waiting import until

# a browser and a server on a busy machine: what it waits for, it waits for by what happens
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.xdist_group("control room")]
PICTURES = Path(__file__).parents[2] / "docs" / "images"
PEOPLE = """
people:
  lead: {name: Technical lead, roles: [technical_lead]}
  owner: {name: Project owner, roles: [project_owner]}
"""
GATED = """
runbook: NAME
title: NAME
targets: {db: {database: $NAME_URL}, guarded: {database: $NAME_URL, protected: true}}
inputs:
  rows: {type: integer, default: 5, min: 1, max: 10, help: How many pairs of rows to make.}
  kind: {default: small, choices: [small, large], help: What is made.}
backup: {waived: there is nothing in it yet}
rehearsal: {waived: it makes one table}
PEOPLE
phases:
  - phase: migrate
    gate:
      go_if: [quiet]
      approve: {roles: [technical_lead, project_owner], quorum: 2, within: 30m}
    tasks:
      - task: table
        title: Make the table
        takes: 5m
        steps: [{sql: make.sql.j2, undo: drop.sql}]
    verify: [made]
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
  made: {sql: made.sql, expect: "= 10"}
""".replace("PEOPLE\n", PEOPLE)
SLOW = """
runbook: NAME
title: NAME
targets: {db: {database: $NAME_URL}}
phases:
  - phase: migrate
    gate: {go_if: [quiet]}
    tasks:
      - task: quick
        steps: [{sql: make.sql.j2, undo: drop.sql}]
      - task: slow
        steps: [{sql: slow.sql, undo: nothing}]
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
inputs: {rows: {default: 5}, kind: {default: small}}
"""
FILES = {
    "make.sql.j2": "CREATE TABLE made AS SELECT g, {{ kind | literal }} AS kind FROM generate_series(1, {{ rows }} * 2) g;\n",
    "drop.sql": "DROP TABLE made;\n",
    "quiet.sql": "SELECT 0\n",
    "made.sql": "SELECT count(*) FROM made\n",
    # long enough for a browser on a busy machine to find the button
    "nap.sql": "SELECT pg_sleep(30);\n",
    "slow.sql": "SELECT pg_sleep(coalesce((SELECT 0 FROM pg_tables WHERE tablename = 'hurry'), 120));\n",
}
TURNS_BACK = SLOW.replace("    gate: {go_if: [quiet]}\n", "    gate: {go_if: [quiet]}\n    on_cancel: roll back\n")
NAPS = SLOW.replace("sql: make.sql.j2, undo: drop.sql", "sql: nap.sql, undo: nothing").replace(
    "sql: slow.sql, undo: nothing", "sql: make.sql.j2, undo: drop.sql"
)
BOOKS = {
    "form": GATED,
    "guarded": GATED,
    "open": GATED,
    "cancelled": SLOW,
    "turning": TURNS_BACK,
    "killed": SLOW,
    "restarted": GATED,
    "paused": NAPS,
}


def write(project: Path, name: str, text: str) -> None:
    (project / "runbooks").mkdir(exist_ok=True)
    (project / "runbooks" / f"{name}.yaml").write_text(text.replace("$NAME_URL", f"${name.upper()}_URL").replace("NAME", name))
    folder = project / "sql_templates" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, sql in FILES.items():
        (folder / file).write_text(sql)


@pytest.fixture(scope="module")
def urls(server: Server) -> dict[str, str]:
    return {name: server.database() for name in (*BOOKS, "late")}


@pytest.fixture(scope="module")
def room(urls: dict[str, str]) -> Iterator[ScratchServer]:
    with open_folder() as project:
        for name, text in BOOKS.items():
            write(project, name, text)
        (project / "runbooks" / "broken.yaml").write_text("runbook: broken\ntargets: {db: {database: $X, protectd: true}}\n")
        room = ScratchServer(project, **{f"{name.upper()}_URL": url for name, url in urls.items()})
        try:
            room.wait(len(BOOKS))
            yield room
            assert room.stop() == 0, room.log.read_text()
        finally:
            if room.process.poll() is None:
                room.process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_chromium(CHROMIUM), args=QUIET_CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def window(browser: Browser, room: ScratchServer) -> Iterator[BrowserContext]:
    with logged_in(browser, room) as window:
        yield window


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    page = window.new_page()
    yield page
    page.close()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def code_of(device: pyotp.TOTP) -> str:
    """Return a code that counts now and in half a minute: a form takes a while."""
    return device.at(int(time.time()) + 20)


def take(page: Page, name: str) -> None:
    """Keep a picture for the docs, when asked to."""
    if os.environ.get("GONOGO_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")


@pytest.mark.attack("the control room")
def test_the_server_asks_for_the_password_and_serves_no_other_origin(room: ScratchServer) -> None:
    api = f"{room.address}/api"
    assert httpx.get(f"{api}/admin/version").status_code == 401
    user, password = room.password.split(":")
    assert httpx.post(f"{api}/flows/filter", json={}, auth=(user, password)).status_code == 403, "CSRF protection is on"
    for path in ("/docs", "/redoc", "/openapi.json", "/api/docs", "/api/redoc", "/api/openapi.json"):
        told = httpx.get(f"{room.address}{path}").text
        assert "openapi" not in told.lower(), path
        assert "swagger" not in told.lower(), path
    answered = httpx.get(f"{api}/health", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answered.headers
    assert room.log.read_text().count(password) == 1, "the password is shown once"
    assert password not in room.served()


def test_the_runs_pages_are_up_with_the_room_behind_its_password(room: ScratchServer) -> None:
    address = f"http://127.0.0.1:{room.page_port}/"
    assert f"the runs, live: {address}" in room.log.read_text()
    room.until(lambda: httpx.get(address).status_code == 401)
    user, password = room.password.split(":")
    listed = httpx.get(address, auth=(user, password)).text
    assert "broken" in listed
    assert "did you mean &#39;protected&#39;?" in listed, "a broken runbook says why"
    assert "/v2/" not in listed


def test_a_broken_runbook_says_why_the_others_are_offered_and_a_new_one_is_picked_up(room: ScratchServer, page: Page) -> None:
    assert "broken.yaml has problems" in room.served()
    assert "did you mean 'protected'?" in room.served()
    write(room.project, "late", GATED)
    room.until(lambda: "late: offered for db, guarded" in room.served())

    page.goto(f"{room.address}/v2/deployments?limit=100")

    for name in (*BOOKS, "late"):
        for word in ("run", "resume", "roll back"):
            expect(page.get_by_role("link", name=f"{name}: {word}", exact=True)).to_be_visible(timeout=PATIENT)


def test_a_phase_is_launched_by_its_form_and_two_people_decide_one_in_the_form_and_one_on_the_command_line(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    open_form(page, room, "form: run")
    page.get_by_role("spinbutton").fill("99")
    page.get_by_role("button", name="Submit").click()
    assert page.get_by_role("spinbutton").evaluate("field => field.validity.rangeOverflow")
    expect(page.get_by_role("button", name="View run")).to_have_count(0)
    page.get_by_role("spinbutton").fill("5")
    choose(page, "kind", "large")
    take(page, "launch-form")
    run = submit(page)

    room.await_state(run, "Paused")
    menu(page, room, run, "Resume")
    expect(page.get_by_role("dialog").get_by_text("0 is = 0")).to_be_visible(timeout=PATIENT)
    take(page, "gate")
    answer(page, room, run, answer="go", who="lead", words="fine")
    until(lambda: "1 of 2 said go" in room.command("status", "form").stdout)
    said = room.command("go", "form", "migrate", "--as", "owner")
    assert said.returncode == 0, said.stderr

    room.await_state(run, "Done")
    assert ask(urls["form"], "SELECT count(*) || max(kind) FROM made") == "10large"
    page.goto(f"{room.address}/v2/runs/flow-run/{run}")
    expect(page.get_by_text("made: pass, 10 is = 10").first).to_be_visible(timeout=PATIENT)
    take(page, "finished-run")
    report = room.command("report", "form", "--format", "md").stdout
    assert "| vote | lead | go (not proved): fine |" in report
    assert "| vote | owner | go (not proved) |" in report


def test_a_rehearsal_is_launched_by_its_form_and_shows_what_it_found(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    open_form(page, room, "open: rehearse")
    run = submit(page)
    found = room.await_state(run, "Rehearsed", "Does not stand")

    assert found["state"]["name"] == "Rehearsed"
    assert ask(urls["open"], "SELECT to_regclass('made')") is None, "the target itself is not changed"
    page.goto(f"{room.address}/v2/artifacts/key/open-rehearsal")
    page.get_by_role("link", name=re.compile("^[0-9a-f]{8}$")).first.click(timeout=PATIENT)
    expect(page.get_by_text("It went forward and back").first).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text("restores exactly").first).to_be_visible(timeout=PATIENT)


def test_on_a_protected_target_names_and_wrong_codes_do_not_count_and_one_no_go_ends_it(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    lead, owner = room.enroll("lead"), room.enroll("owner")
    open_form(page, room, "guarded: run")
    choose(page, "target", "guarded")
    choose(page, "launched_by", "lead")
    page.get_by_role("textbox").nth(1).fill(code_of(lead))
    run = submit(page)
    answer(page, room, run, answer="go", who="owner")
    until(lambda: refused(urls["guarded"], "must prove who they are"))
    answer(page, room, run, answer="go", who="owner", code="000000")
    until(lambda: refused(urls["guarded"], "that is not owner's current code"))
    menu_shows(page, room, run, "The last answer did not count: that is not owner's current code")

    answer(page, room, run, answer="no-go", who="owner", code=code_of(owner), words="support is not ready")

    found = room.await_state(run, "No-go")
    assert (found["state"]["type"], found["state"]["message"]) == ("FAILED", "owner says no-go: support is not ready")
    assert ask(urls["guarded"], "SELECT to_regclass('made')") is None
    assert ask(urls["guarded"], "SELECT body->>'why' FROM gonogo.event WHERE kind = 'no-go'") == (
        "owner says no-go: support is not ready"
    )


def refused(url: str, why: str) -> bool:
    """Say whether somebody was refused for a reason, and it is recorded."""
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT 1 FROM gonogo.event WHERE kind = 'vote refused' AND position(%s IN body->>'why') > 0"
        return connection.execute(query, [why]).fetchone() is not None


def menu_shows(page: Page, room: ScratchServer, run: str, text: str) -> None:
    room.await_state(run, "Paused")
    menu(page, room, run, "Resume")
    expect(page.get_by_role("dialog").get_by_text(text)).to_be_visible(timeout=PATIENT)


def test_a_run_resumed_through_the_api_without_a_decision_stays_undecided(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    open_form(page, room, "open: run")
    run = submit(page)
    room.await_state(run, "Paused")
    user, password = room.password.split(":")
    with httpx.Client(base_url=f"{room.address}/api", auth=(user, password), timeout=400) as api:
        token = api.get("/csrf-token", params={"client": "test"}).json()["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        assert api.post(f"/flow_runs/{run}/resume", json={}, headers=headers).json()["status"] == "REJECT"
        forced = {"state": {"type": "RUNNING"}, "force": True}
        assert api.post(f"/flow_runs/{run}/set_state", json=forced, headers=headers).status_code in (200, 201)
    time.sleep(4)

    room.await_state(run, "Paused")
    assert ask(urls["open"], "SELECT count(*) FROM gonogo.event WHERE kind = 'go'") == 0
    assert room.command("no-go", "open", "--as", "lead").returncode == 0
    room.await_state(run, "No-go")


@pytest.mark.attack("the control room")
def test_the_api_runs_no_file_but_a_runbook_of_the_project(room: ScratchServer, tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    evil = tmp_path / "runbooks" / "evil.yaml"
    evil.write_text(
        f"runbook: evil\ntargets: {{db: {{database: embedded}}}}\nphases:\n  - phase: one\n    tasks:\n      - task: work\n"
        f"        steps: [{{run: [touch, {tmp_path}/done], undo: nothing}}]\n"
    )
    user, password = room.password.split(":")
    with httpx.Client(base_url=f"{room.address}/api", auth=(user, password), timeout=400) as api:
        token = api.get("/csrf-token", params={"client": "test"}).json()["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        offered = {found["name"]: found["id"] for found in api.post("/deployments/filter", json={}, headers=headers).json()}
        tries = [("open: run", tried) for tried in ("../../etc/passwd", "/etc/shadow", "", "open.yaml", 7)]
        tries += [(f"open: {what}", str(evil)) for what in ("run", "rehearse", "resume", "roll back")]
        made = []
        for name, runbook in tries:
            body = {
                "parameters": {"runbook": runbook, "target": "db"},
                "enforce_parameter_schema": False,
                "state": {"type": "SCHEDULED"},
            }
            made.append(api.post(f"/deployments/{offered[name]}/create_flow_run", json=body, headers=headers).json()["id"])
    for (name, runbook), run in zip(tries, made, strict=True):
        told = room.ended(run)
        assert told["type"] == "FAILED", (name, runbook, told)
        assert "root:" not in str(told["message"])
    assert not (tmp_path / "done").exists()


def test_cancelling_a_flow_run_stops_its_statement_at_once_and_holds_the_run(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    url = urls["cancelled"]
    open_form(page, room, "cancelled: run")
    run = submit(page)
    until(lambda: ask(url, f"SELECT count(*) FROM ({SLEEPING}) AS s") == 1)

    menu(page, room, run, "Cancel")
    press(page, "Cancel Flow Run")

    # by itself it sleeps two minutes
    until(lambda: ask(url, f"SELECT count(*) FROM ({SLEEPING}) AS s") == 0, 60)
    room.await_state(run, "Cancelled")
    until(lambda: ask(url, "SELECT body->>'why' FROM gonogo.event WHERE kind = 'held'") == "cancelled in Prefect")
    assert ask(url, "SELECT to_regclass('made')::text") == "made", "what was done stays done"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE hurry ()")
    open_form(page, room, "cancelled: resume")
    room.await_state(submit(page), "Done")


def test_pausing_a_flow_run_holds_the_run_before_its_next_step(room: ScratchServer, page: Page, urls: dict[str, str]) -> None:
    url = urls["paused"]
    open_form(page, room, "paused: run")
    run = submit(page)
    napping = (
        # the text of the script is in the statement that opens the run, too
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND datname = current_database()"
        " AND wait_event = 'PgSleep'"
    )
    until(lambda: ask(url, napping) == 1)

    menu(page, room, run, "Pause")
    press(page, "Pause Flow Run")

    until(lambda: ask(url, "SELECT count(*) FROM gonogo.event WHERE kind = 'hold'") == 1)
    until(lambda: '"running": false' in room.command("status", "paused", "--json").stdout)
    assert "holding" in room.command("status", "paused").stdout
    assert ask(url, "SELECT to_regclass('made')") is None
    open_form(page, room, "paused: resume")
    room.await_state(submit(page), "Done")
    assert ask(url, "SELECT count(*) FROM made") == 10


def test_cancelling_rolls_back_in_a_flow_run_of_its_own_where_the_phase_says_so(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    url = urls["turning"]
    open_form(page, room, "turning: run")
    run = submit(page)
    until(lambda: ask(url, f"SELECT count(*) FROM ({SLEEPING}) AS s") == 1)

    menu(page, room, run, "Cancel")
    press(page, "Cancel Flow Run")

    room.await_state(run, "Cancelled")
    proved = "SELECT count(*) FROM gonogo.event WHERE kind = 'rollback proved'"
    until(lambda: ask(url, proved) == 1)
    assert ask(url, "SELECT to_regclass('made')") is None


SLEEPING = (
    "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(coalesce%' AND wait_event = 'PgSleep'"
    " AND datname = current_database()"
)


def test_a_run_whose_process_was_killed_shows_crashed_and_a_retry_goes_on_where_it_was(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    url = urls["killed"]
    open_form(page, room, "killed: run")
    run = submit(page)
    until(lambda: ask(url, f"SELECT count(*) FROM ({SLEEPING}) AS s") == 1)
    holder = str(ask(url, "SELECT holder FROM gonogo.fence"))
    os.kill(int(holder.split()[1]), signal.SIGKILL)

    room.await_state(run, "Crashed")
    # its backend notices within half a second that nobody is there any more
    until(lambda: "(its process is gone)" in room.command("status", "killed").stdout)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE hurry ()")
    menu(page, room, run, "Retry")
    press(page, "Retry")
    until(lambda: room.flow_run(run)["state"]["name"] != "Crashed")

    room.await_state(run, "Done")
    assert ask(url, "SELECT count(*) FROM gonogo.event WHERE kind = 'script done'") == 2, "nothing was done twice"


def test_what_dies_is_started_again_and_a_gate_that_waits_outlives_the_server(
    room: ScratchServer, page: Page, urls: dict[str, str]
) -> None:
    open_form(page, room, "restarted: run")
    run = submit(page)
    room.await_state(run, "Paused")
    port = int(room.address.rpartition(":")[2])
    for name, again in (("flows.prefect_server", "the Prefect server ended"), ("gonogo serve", "the runbooks' host ended")):
        os.kill(child_of(room, name), signal.SIGKILL)
        # what answers there gets the password of whoever asks: it is nobody but the server, also while that is not there
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", port))
        room.until(partial(said, room, again))
    room.until(lambda: answers(room))

    answer(page, room, run, answer="go", who="lead")
    until(lambda: "1 of 2 said go" in room.command("status", "restarted").stdout)
    assert room.command("go", "restarted", "--as", "owner").returncode == 0

    until(lambda: ask(urls["restarted"], "SELECT count(*) FROM gonogo.event WHERE kind = 'run done'") == 1)


def said(room: ScratchServer, words: str) -> bool:
    """Say whether the room has said some words."""
    return words in room.log.read_text()


def child_of(room: ScratchServer, name: str) -> int:
    """Return the process of the room that has some words in its command."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if name in words and int(parent) == room.process.pid:
            return int(folder.name)
    raise AssertionError(f"{name} is not a child of the room")


def answers(room: ScratchServer) -> bool:
    try:
        return httpx.get(f"{room.address}/api/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
