"""A run's live page: a real server and browser, real runs; who may come in, what they see, and what they may say."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from prometheus_client.parser import text_string_to_metric_families
from support.browser import CHROMIUM, PATIENT, QUIET_CHROMIUM
from support.command import start
from support.control_room import require_chromium
from support.gate_desk import BOOK, FILES, Desk
from support.waiting import until

from gonogo.core.engine.events import Event, Kind
from gonogo.ledger import store
from gonogo.postgres.connection import Database
from gonogo.project import ROOT

pytestmark = pytest.mark.timeout(600)
Make = Callable[..., Path]
#: the gate as in the support module; then work that takes a moment, and a watch
PAGED = (
    BOOK.replace("runbook: book", 'runbook: book\ntitle: "<script>alert(1)</script> & more"')
    .replace(
        "        steps: [{sql: a.sql, undo: a.undo.sql}]",
        "        steps: [{sql: a.sql, undo: a.undo.sql}]\n    watch: [few, bad]\n    every: 200ms\n    soak: 60s",
    )
    .replace(
        "checks:",
        'checks:\n  few: {query: "SELECT 7", roll_back_if: "> 9 in 2 of 3"}\n'
        "  bad: {query: \"SELECT count(*) FROM old WHERE note = 'bad'\", roll_back_if: '> 0', then: hold}",
    )
)


@dataclass
class Served:
    """The pages of a project, and a way in."""

    desk: Desk
    address: str
    password: str

    def client(self, **more: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.address,
            auth=("gonogo", self.password),
            headers=more,
            timeout=120,
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def page(self) -> str:
        return f"/runs/book/{self.desk.target}/"

    def form(self, client: httpx.Client, **said: str) -> dict[str, str]:
        """Return what the page's own form would send."""
        text = client.get(self.page).text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))
        assert hidden.keys() == {"token", "run", "asked", "alarm"}, text
        return hidden | said

    def say(self, client: httpx.Client, form: dict[str, str]) -> httpx.Response:
        return client.post(f"{self.page}say", data=form, headers={"Accept": "application/json"})

    def events(self) -> list[Event]:
        with Database(url=self.desk.url).connect("gonogo/look") as connection:
            return store.read(connection, store.runs(connection)[0].id)

    def happened(self, kind: Kind) -> list[Event]:
        return [event for event in self.events() if event.kind is kind]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(desk: Desk, port: int = 0) -> Iterator[Served]:
    port = port or free_port()
    process = start("page", "--port", port, cwd=desk.project, env=desk.env)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        found = re.search(r"password: gonogo:(\S+)", lines[1])
        assert found, lines
        served = Served(desk=desk, address=f"http://127.0.0.1:{port}", password=found.group(1))
        until(lambda: answers(served.address), 240)
        yield served
    finally:
        process.terminate()
        process.communicate(timeout=240)
    assert not (desk.project / ".gonogo" / "page.json").exists(), "what told where it is is gone with it"


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/static/style.css", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def running(desk: Desk) -> Iterator[subprocess.Popen[str]]:
    """Launch a run that waits at its gate, and end it afterwards."""
    who = ("--as", "lead", "--code", desk.code("lead")) if desk.target == "guarded" else ()
    run = start("run", "book", "--target", desk.target, "--without-prefect", *who, cwd=desk.project, env=desk.env)
    try:
        until(lambda: waits(desk))
        yield run
    finally:
        if run.poll() is None:
            run.terminate()
        run.communicate(timeout=240)


def waits(desk: Desk) -> bool:
    try:
        with psycopg.connect(desk.url) as connection:
            return connection.execute("SELECT 1 FROM gonogo.event WHERE kind = 'people asked'").fetchone() is not None
    except psycopg.Error:
        return False


@pytest.fixture(params=["open"])
def desk(make_project: Make, old_url: str, request: pytest.FixtureRequest) -> Desk:
    made = Desk(make_project(PAGED, **FILES), old_url, request.param)
    if request.param == "guarded":
        made.enroll("lead", "owner")
    return made


@pytest.fixture
def served(desk: Desk) -> Iterator[Served]:
    with serving(desk) as made:
        yield made


# who comes in


def test_without_the_password_nothing_is_shown_and_nothing_can_be_said(served: Served) -> None:
    with running(served.desk), httpx.Client(base_url=served.address, trust_env=False) as stranger:
        for path in ("/", served.page, f"{served.page}stream", "/runs/book/open/book-000000/"):
            answer = stranger.get(path)
            assert answer.status_code == 401
            assert "book" not in answer.text
        assert stranger.post(f"{served.page}say", data={"action": "go"}).status_code == 401
        assert stranger.get(served.page, auth=("gonogo", "wrong")).status_code == 401
        assert stranger.get(served.page, headers={"Authorization": "Basic %%%"}).status_code == 401
        assert not served.happened(Kind.VOTE)


def test_whoever_comes_by_another_name_of_this_machine_is_sent_away(served: Served) -> None:
    with served.client(Host="evil.example") as client:
        assert client.get(served.page).status_code == 400


def test_only_runbooks_and_targets_of_this_project_are_opened(served: Served) -> None:
    with served.client() as client:
        for path in (
            "/nothing/open/",
            "/book/nowhere/",
            "/..%2f..%2fetc%2fpasswd/open/",
            "/book/open/book-zzzzzz/",
            "/book.yaml/open/",
        ):
            answer = client.get(path)
            assert answer.status_code in (400, 404, 409), path
            assert "Traceback" not in answer.text
        # nothing has run there yet
        assert client.get(served.page).status_code == 409
        assert client.get("/").status_code == 200


def test_every_answer_lets_nothing_in_from_elsewhere(served: Served) -> None:
    with running(served.desk), served.client() as client:
        for path in ("/", served.page, "/static/page.js", f"{served.page}report"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
        text = client.get(served.page).text
        assert "<script>alert(1)" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
        assert not re.search(r'(?:src|href)="https?:', text)


# what is said


def test_a_form_of_another_site_says_nothing(served: Served) -> None:
    with running(served.desk), served.client() as client:
        form = served.form(client, action="no-go", who="lead")
        foreign = {"Accept": "application/json", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert client.post(f"{served.page}say", data=form, headers=foreign).status_code == 409
        assert client.post(f"{served.page}say", data=form, headers={"Origin": "https://evil.example"}).status_code == 409
        assert served.say(client, form | {"token": "guessed"}).status_code == 409
        assert served.say(client, {key: value for key, value in form.items() if key != "token"}).status_code == 409
        assert client.post(f"{served.page}say", content=b"x" * 30_000).status_code == 400
        assert not served.happened(Kind.VOTE)


def test_a_vote_on_what_is_not_asked_any_more_does_not_count(served: Served) -> None:
    with running(served.desk), served.client() as client:
        form = served.form(client, action="go", who="lead")
        stale = served.say(client, form | {"asked": "1"})
        assert stale.status_code == 409
        assert "has changed since" in stale.json()["says"]
        other_run = served.say(client, form | {"run": "book-000000"})
        assert other_run.status_code == 409
        assert not served.happened(Kind.VOTE)
        assert served.say(client, form).json()["says"] == "lead says go; 1 of 2 said go; waits for project_owner"
        twice = served.say(client, form)
        assert twice.status_code == 409
        assert "has voted already" in twice.json()["says"]
        assert len(served.happened(Kind.VOTE)) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"action": "go", "who": ""}, "choose who you are"),
        ({"action": "go", "who": "mallory"}, "not one of the runbook's people"),
        ({"action": "go", "who": "dev"}, "holds none of the roles"),
        ({"action": "acknowledge", "who": "lead"}, "is not asked of this run now"),
        ({"action": "drop everything", "who": "lead"}, "is not asked of this run now"),
        ({"who": "lead"}, "is not asked of this run now"),
    ],
)
def test_what_does_not_count_is_answered_with_the_reason(served: Served, said: dict[str, str], why: str) -> None:
    with running(served.desk), served.client() as client:
        answer = served.say(client, served.form(client, **said))
        assert 400 <= answer.status_code < 500
        assert why in answer.json()["says"]
        assert not served.happened(Kind.GO)


@pytest.mark.parametrize("desk", ["guarded"], indirect=True)
def test_on_a_protected_target_a_code_proves_who_votes_and_counts_once(served: Served) -> None:
    desk = served.desk
    with running(desk), served.client() as client:
        form = served.form(client, action="go", who="lead")
        assert "one-time code" in served.say(client, form).json()["says"]
        wrong = served.say(client, form | {"code": "000000"})
        assert wrong.status_code == 409
        assert not served.happened(Kind.VOTE)
        code = desk.code("lead")
        assert served.say(client, form | {"code": code}).status_code == 200
        again = served.say(client, form | {"who": "owner", "code": code})
        assert again.status_code == 409
        said = served.say(client, form | {"who": "owner", "code": desk.code("owner")})
        assert said.status_code == 200, said.text
        until(lambda: served.happened(Kind.GO))
    assert [event.body.proved for event in served.happened(Kind.VOTE)] == [True, True]  # type: ignore[attr-defined]


def test_a_hold_and_a_rollback_reach_the_run(served: Served) -> None:
    desk = served.desk
    with running(desk) as run, served.client() as client:
        for person in ("lead", "owner"):
            assert served.say(client, served.form(client, action="go", who=person)).status_code == 200
        until(lambda: served.happened(Kind.VERIFIED))
        first = served.say(client, served.form(client, action="roll back", who="lead", words="it is wrong"))
        assert "lead approves a rollback" in first.json()["says"]
        assert not served.happened(Kind.ROLL_BACK)
        second = served.say(client, served.form(client, action="roll back", who="owner", words="so it is"))
        assert "asked to roll back" in second.json()["says"], second.text
        assert run.wait(60) == 11
    assert served.happened(Kind.PROVED)


def test_a_hold_is_recorded_in_the_name_of_who_asked(served: Served) -> None:
    with running(served.desk) as run, served.client() as client:
        said = served.say(client, served.form(client, action="hold", who="dev", words="support sees errors"))
        assert said.status_code == 200, said.text
        assert run.wait(60) == 4
    (held,) = served.happened(Kind.HOLD)
    assert (held.actor, held.body.why) == ("dev", "support sees errors")


# who only looks


def test_a_link_shows_one_run_and_lets_nobody_say_anything(served: Served) -> None:
    desk = served.desk
    with running(desk):
        link = desk("link", "book", "--target", desk.target, "--for", "1h").stdout.strip()
        assert link.startswith(f"{served.address}/view/")
        with httpx.Client(trust_env=False) as stranger:
            page = stranger.get(link)
            assert page.status_code == 200
            assert "waiting for go or no-go" in page.text
            report = stranger.get(f"{link}report")
            assert report.status_code == 200
            assert "waiting for go or no-go" in report.text
            assert "<form" not in page.text
            assert "token" not in page.text
            with stranger.stream("GET", f"{link}stream") as stream:
                first = next(stream.iter_lines())
                assert first == "event: live"
            assert stranger.post(f"{link}say", data={"action": "go"}).status_code == 401
            assert stranger.get(f"{link}book/").status_code == 401
            head, _, mac = link.rstrip("/").rpartition(".")
            assert stranger.get(f"{head}.{mac[::-1]}/").status_code == 409
            assert stranger.get(f"{served.address}/view/x.y/").status_code == 409
            assert stranger.get(f"{served.address}{served.page}").status_code == 401
        too_long = desk("link", "book", "--target", desk.target, "--for", "90d")
        assert too_long.returncode == 2
        assert "at most" in too_long.stderr
        short = desk("link", "book", "--target", desk.target, "--for", "1s", "--json")
        made = json.loads(short.stdout)
        time.sleep(2)
        over = httpx.get(made["link"], trust_env=False)
        assert over.status_code == 409
        assert "time is over" in over.text


def test_a_link_needs_somebody_who_serves_the_pages(desk: Desk) -> None:
    desk.launch()
    done = desk("link", "book", "--target", desk.target)
    assert done.returncode == 3
    assert "gonogo page" in done.stderr


def test_a_target_that_does_not_answer_is_said_and_never_a_traceback(served: Served) -> None:
    file = served.desk.project / "runbooks" / "away.yaml"
    away = PAGED.replace("runbook: book", "runbook: away").replace("$TEST_URL", "postgresql://127.0.0.1:1/x")
    file.write_text(away, encoding="utf-8")
    with served.client() as client:
        answer = client.get("/runs/away/open/")
        assert answer.status_code == 503
        assert "Traceback" not in answer.text


def test_many_pages_opened_at_once_and_again_after_a_while_are_all_shown(served: Served) -> None:
    with running(served.desk), served.client() as client:
        run = served.form(client)["run"]
        pages = [served.page, f"{served.page}{run}/"]
        gone = [f"{served.page}book-{number:06x}/" for number in range(6)]
        with ThreadPoolExecutor(10) as pool:
            found = list(pool.map(lambda path: (path, client.get(path).status_code), (pages + gone) * 8))
        assert {code for path, code in found if path in pages} == {200}
        assert {code for path, code in found if path in gone} == {409}
        # longer than a page that nobody looks at is kept
        time.sleep(22)
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(lambda path: client.get(path).status_code, pages * 4)) == {200}


def test_a_stream_begins_with_all_that_the_page_has_and_says_when_trouble_is_over(served: Served) -> None:
    with running(served.desk), served.client() as client:
        client.get(served.page)
        with client.stream("GET", f"{served.page}stream") as stream:
            lines = stream.iter_lines()
            names = [next_event(lines)[0] for _ in range(3)]
            assert names == ["live", "title", "decide"]
            name = re.split(r"[?/]", served.desk.url.split("//", 1)[1])[1]
            server = served.desk.url.replace(f"/{name}", "/postgres", 1)
            with psycopg.connect(server, autocommit=True) as admin:
                admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
                page = "application_name = 'gonogo/page' AND datname = %s"
                admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {page}".encode(), [name])
                told = until(lambda: next((text for each, text in [next_event(lines)] if each == "trouble"), ""))
                assert told != '""'
                admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            until(lambda: next_event(lines) == ("trouble", '""'))


def next_event(lines: Iterator[str]) -> tuple[str, str]:
    """The next event of a stream: its name, and its data."""
    for line in lines:
        if line.startswith("event: "):
            return line.removeprefix("event: "), next(lines).removeprefix("data: ")
    raise AssertionError("the stream ended")


def test_an_acknowledgement_counts_for_what_was_seen(served: Served) -> None:
    with running(served.desk), served.client() as client:
        for person in ("lead", "owner"):
            served.say(client, served.form(client, action="go", who=person))
        until(lambda: served.happened(Kind.VERIFIED))
        with psycopg.connect(served.desk.url, autocommit=True) as connection:
            connection.execute("UPDATE old SET note = 'bad' WHERE ctid = (SELECT min(ctid) FROM old)")
        until(lambda: 'value="acknowledge"' in client.get(served.page).text)
        form = served.form(client, action="acknowledge", who="lead")
        older = served.say(client, form | {"alarm": "1"})
        assert older.status_code == 409
        assert "another thing by now" in older.json()["says"]
        assert not served.happened(Kind.ACKNOWLEDGED)
        assert served.say(client, form).status_code == 200
    assert served.happened(Kind.ACKNOWLEDGED)


def test_the_page_has_the_whole_report_of_its_run_and_nothing_in_it_is_loaded_or_run(served: Served) -> None:
    with running(served.desk), served.client() as client:
        assert 'href="report"' in client.get(served.page).text
        report = client.get(f"{served.page}report")
        assert report.status_code == 200
        assert "<h2" in report.text
        assert "<style>" in report.text, "the file is whole, and its policy lets its own style in"
        assert "style-src 'unsafe-inline'" in report.headers["content-security-policy"]
        assert "script-src" not in report.headers["content-security-policy"]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report.text
        assert "<script" not in report.text
    assert httpx.get(f"{served.address}{served.page}report", trust_env=False).status_code == 401


def test_a_page_names_the_target_of_its_run(served: Served) -> None:
    with running(served.desk), served.client() as client:
        text = client.get("/runs/book/guarded/").text
        assert " on open" in text, "both targets are one database, and the run is of the other one"


def test_prometheus_reads_where_each_run_stands(served: Served) -> None:
    away = PAGED.replace("runbook: book", "runbook: away").replace("$TEST_URL", "postgresql://127.0.0.1:1/x")
    (served.desk.project / "runbooks" / "away.yaml").write_text(away, encoding="utf-8")
    with running(served.desk), served.client() as client:
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        found = {
            (sample.name, sample.labels["runbook"], sample.labels["target"], sample.labels.get("status", "")): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        assert found["gonogo_run_status", "book", "open", "deciding"] == 1
        assert found["gonogo_run_status", "book", "open", "working"] == 0
        assert found["gonogo_run_running", "book", "open", ""] == 1
        assert found["gonogo_run_done_ratio", "book", "open", ""] == 0
        assert found["gonogo_target_up", "away", "open", ""] == 0
        assert found["gonogo_target_up", "book", "open", ""] == 1
        assert abs(found["gonogo_run_last_event_timestamp_seconds", "book", "open", ""] - time.time()) < 600
    assert httpx.get(f"{served.address}/metrics", trust_env=False).status_code == 401


# in a browser, which one worker starts

IN_BROWSER = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_chromium(CHROMIUM), args=QUIET_CHROMIUM)
        yield browser
        browser.close()


@contextmanager
def window(browser: Browser, served: Served, width: int = 1200, *, fails: bool = False) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, http_credentials={"username": "gonogo", "password": served.password}
    )
    context.set_default_timeout(PATIENT)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        yield page
    finally:
        context.close()
    assert fails or not wrong
    assert all(url.startswith(served.address) or url == "data:," for url in asked), "it asks nothing of another host"


@IN_BROWSER
@pytest.mark.browser
def test_a_gate_is_decided_in_three_clicks_and_the_page_follows_the_run(browser: Browser, served: Served) -> None:
    with running(served.desk) as run, window(browser, served) as page:
        page.goto(f"{served.address}{served.page}")
        page.get_by_label("Why, or the evidence").fill("half a sentence")
        for person in ("lead", "owner"):
            page.get_by_label("Who you are").select_option(person)
            page.get_by_role("button", name="Go", exact=True).click()
            page.get_by_role("alert").get_by_text(f"{person} says go").wait_for()
            if person == "lead":
                page.get_by_text("lead says go (not proved)").wait_for()
                assert page.get_by_label("Why, or the evidence").input_value() == "half a sentence", "what is typed stays"
        # nobody loads the page again
        page.get_by_text("soaking", exact=True).wait_for()
        page.get_by_role("heading", name="Watch").wait_for()
        if os.environ.get("GONOGO_PICTURES"):
            page.screenshot(path=ROOT / "docs" / "images" / "run-page.png")
        samples = page.locator(".watched .quiet").last
        before = samples.inner_text()
        until(lambda: samples.inner_text() != before)
        page.get_by_label("Who you are").select_option("dev")
        page.get_by_role("button", name="Hold").click()
        page.get_by_text("holding while soaking").wait_for()
        assert run.wait(60) == 4
        page.get_by_text("gonogo resume book --target open").first.wait_for()


@IN_BROWSER
@pytest.mark.browser
def test_a_page_whose_server_was_started_again_says_so(browser: Browser, desk: Desk) -> None:
    with running(desk), ExitStack() as first:
        served = first.enter_context(serving(desk))
        with window(browser, served, fails=True) as page:
            page.goto(f"{served.address}{served.page}")
            page.get_by_role("button", name="Go", exact=True).wait_for()
            first.close()
            with serving(desk, int(served.address.rpartition(":")[2])):
                page.get_by_text("load this page again").wait_for()


@IN_BROWSER
@pytest.mark.browser
def test_the_page_fits_a_phone_and_can_be_used_by_keyboard(browser: Browser, served: Served) -> None:
    with running(served.desk), window(browser, served, 390) as page:
        page.goto(f"{served.address}{served.page}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_label("Who you are").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Go"
        # asked in one go: the page puts new buttons in the place of the old ones whenever something happens
        small = page.evaluate("[...document.querySelectorAll('button')].map(each => each.getBoundingClientRect().height)")
        assert min(small) >= 44, "a thumb finds every button"


def test_the_password_is_in_no_argument_and_no_other_account_can_read_it(served: Served) -> None:
    kept = served.desk.project / ".gonogo" / "page.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    pid = json.loads(kept.read_text(encoding="utf-8"))["pid"]
    assert served.password not in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
