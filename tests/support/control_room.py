"""A control room in a process of its own, and a browser in it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from support.browser import PATIENT
from support.command import environment, gonogo


class ScratchServer:
    """`gonogo up` for a project."""

    def __init__(self, project: Path, **environ: str) -> None:
        with socket.socket() as probe, socket.socket() as another:
            probe.bind(("127.0.0.1", 0))
            another.bind(("127.0.0.1", 0))
            self.port, self.page_port = probe.getsockname()[1], another.getsockname()[1]
        self.project, self.address = project, f"http://127.0.0.1:{self.port}"
        self.env = environment(**environ)
        self.log = project / "up.log"
        command = [sys.executable, "-m", "gonogo", "up", "--port", str(self.port)]
        command += ["--page-port", str(self.page_port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=project, env=self.env, stdout=log, stderr=log)
        self.password = ""

    def wait(self, offered: int, seconds: float = 400) -> None:
        """Wait until it is up and offers so many runbooks."""
        self.until(lambda: "password: " in self.log.read_text(), seconds)
        self.password = self.log.read_text().split("password: ")[1].split()[0]
        self.until(lambda: self.served().count(": offered for ") >= offered, seconds)

    def served(self) -> str:
        """What the runbooks' host said."""
        log = self.project / ".gonogo/prefect/serve.log"
        return log.read_text() if log.exists() else ""

    def until(self, true: Callable[[], object], seconds: float = 400) -> None:
        """Wait until something is true, while the room is up."""
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text() + self.served()[-3000:]
            time.sleep(0.3)

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=240)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def flow_run(self, run: str) -> Any:
        """Return a flow run as the API knows it."""
        user, password = self.password.split(":")
        return httpx.get(f"{self.address}/api/flow_runs/{run}", auth=(user, password), timeout=400).json()

    def await_state(self, run: str, *names: str, seconds: float = 400) -> Any:
        """Wait until a flow run is in one of some states."""
        deadline = time.monotonic() + seconds
        while (found := self.flow_run(run))["state"]["name"] not in names:
            over = found["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            assert not over or found["state"]["name"] == "Cancelling", (found["state"], self.served()[-3000:])
            assert time.monotonic() < deadline, (found["state"], self.served()[-3000:])
            time.sleep(0.5)
        return found

    def ended(self, run: str, seconds: float = 400) -> Any:
        """Wait until a flow run has ended, however it did; return its state."""
        deadline = time.monotonic() + seconds
        while (found := self.flow_run(run))["state"]["type"] not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            assert time.monotonic() < deadline, (found["state"], self.served()[-3000:])
            time.sleep(0.5)
        return found["state"]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project."""
        return gonogo(*arguments, cwd=self.project, env=self.env)

    def enroll(self, person: str) -> pyotp.TOTP:
        """Enroll somebody; return what makes their codes."""
        done = self.command("people", "enroll", person)
        assert done.returncode == 0, done.stderr
        found = re.search(r"otpauth://\S+", done.stdout)
        assert found
        made = pyotp.parse_uri(found.group())
        assert isinstance(made, pyotp.TOTP)
        return made


@contextmanager
def logged_in(browser: Browser, room: ScratchServer) -> Iterator[BrowserContext]:
    """Be somebody in the room, past its password: a window of the browser, which keeps what it loaded."""
    context = browser.new_context(viewport={"width": 1400, "height": 1100})
    context.set_default_timeout(PATIENT)
    page = context.new_page()
    page.goto(f"{room.address}/v2/deployments")
    page.get_by_role("textbox").first.fill(room.password)
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_role("link", name="Deployments")).to_be_visible(timeout=PATIENT)
    page.close()
    try:
        yield context
    finally:
        context.close()


def open_form(page: Page, room: ScratchServer, deployment: str) -> None:
    """Open the launch form of a deployment."""
    page.goto(f"{room.address}/v2/deployments?limit=100")
    # the list is drawn again whenever the UI asks for it: on a busy machine no click meets its line
    where = page.get_by_role("link", name=deployment, exact=True).get_attribute("href", timeout=PATIENT)
    page.goto(f"{room.address}{where}")
    page.get_by_role("button", name="Run", exact=True).click(timeout=PATIENT)
    page.get_by_role("menuitem", name="Custom run").click()
    expect(page.get_by_role("button", name="Submit")).to_be_visible(timeout=PATIENT)


def choose(page: Any, label: str, option: str) -> None:
    """Choose from a drop-down.

    The UI asks the server again every few seconds and may draw the list again under the pointer, which closes it:
    whoever sits there opens it again.
    """
    owner = page if isinstance(page, Page) else page.page
    for _ in range(5):
        try:
            if not owner.get_by_role("option", name=option, exact=True).is_visible():
                page.get_by_role("button", name=f"Select {label}", exact=True).click(timeout=5_000)
            owner.get_by_role("option", name=option, exact=True).click(timeout=5_000)
        except PlaywrightTimeout:
            continue
        return
    pytest.fail(f"the list {label!r} does not let anybody choose {option!r}")


def submit(page: Page) -> str:
    """Send the launch form; return the id of the flow run."""
    # after a refusal the form's next Submit only looks again, and the one after that sends
    for _ in range(3):
        page.get_by_role("button", name="Submit").click()
        try:
            page.get_by_role("button", name="View run").first.click(timeout=4_000)
            break
        except Exception:  # noqa: BLE001, S112 - it was not sent yet
            continue
    page.wait_for_url("**/runs/flow-run/**", timeout=PATIENT)
    run = page.url.split("/flow-run/")[1].split("?")[0]
    leave(page)
    return run


def leave(page: Page) -> None:
    """Look at nothing: what the UI draws and asks meanwhile takes a third of all that a run of the tests takes."""
    page.goto("about:blank")


def press(page: Page, button: str) -> None:
    """Press the button of a dialog, and see it through: the dialog may close before the server has answered."""
    with page.expect_response(re.compile(r"/flow_runs/[^/]+/(set_state|resume)")):
        page.get_by_role("button", name=button, exact=True).click()
    # a list that was just chosen from is one, too, until it has closed
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=PATIENT)
    leave(page)


def menu(page: Page, room: ScratchServer, run: str, item: str) -> None:
    """Choose from the menu of a flow run."""
    page.goto(f"{room.address}/v2/runs/flow-run/{run}")
    page.get_by_role("button", name="Open menu").first.click(timeout=PATIENT)
    page.get_by_role("menuitem", name=item, exact=True).click()


def answer(page: Page, room: ScratchServer, run: str, *, code: str = "", words: str = "", **chosen: str) -> None:
    """Answer the form of a paused flow run."""
    room.await_state(run, "Paused")
    menu(page, room, run, "Resume")
    dialog = page.get_by_role("dialog")
    for label, option in chosen.items():
        choose(dialog, label.title(), option)
    dialog.get_by_role("textbox").nth(0).fill(code)
    dialog.get_by_role("textbox").nth(1).fill(words)
    press(page, "Resume")


def require_chromium(path: str | None) -> str:
    """Say loudly that there is no browser."""
    if not path:
        pytest.fail("Chromium is missing, so nothing is known about the UI: install it (Debian: apt-get install chromium)")
    return path
