"""A run's page without a server: what it says of a run in each state, who comes in, and what a form and a button carry."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.plans import PEOPLE, START, phase, plan, sql, task
from support.world import World

from flows.forms import inputs_schema, rehearsal_form, resume_form, rollback_form, run_form
from gonogo.core.engine.events import Kind
from gonogo.core.engine.state import Status
from gonogo.core.model.people import Approve
from gonogo.core.model.runbook import Runbook
from gonogo.core.text.acts import ACKNOWLEDGE
from gonogo.core.text.messages import Update
from gonogo.errors import BadInput, Refused
from gonogo.notify import pagerduty, teams, webhook
from gonogo.page import slack_buttons
from gonogo.page.app import Room, make_app
from gonogo.page.decisions import Said, choices
from gonogo.page.links import LONGEST, Viewed, make_link, read_link
from gonogo.page.live import Look
from gonogo.page.view import decided, render, shown
from gonogo.postgres.progress import StatementProgress
from gonogo.project import Project
from gonogo.report.charts import drawing
from gonogo.run.runs import FoundRun

MINUTE = timedelta(minutes=1)
ASKS = Approve(roles=("lead",), quorum=1)


def look(world: World, *, running: bool = True, later: timedelta = MINUTE) -> Look:
    found = FoundRun(run="example-000000", plan=world.plan, events=(), state=world.state, running=running)
    drawn = drawing(world.plan, world.events)
    statement = StatementProgress(running_for=MINUTE, command="VACUUM", part="scanning heap", done=1, total=4, unit="blocks")
    return Look(found=found, drawing=drawn, now=world.now + later, statement=statement, log=["12:00:00  <b>line</b>"], asked=None)


def asked() -> World:
    made = plan(phase(task(sql(), takes=10 * MINUTE), task(sql(), takes=MINUTE), soak=10 * MINUTE, approve=ASKS))
    world = World(plan=made, now=START)
    world.launch()
    world.go_on(until=lambda _: world.waits_for_people())
    return world


def parts(seen: Look) -> str:
    """The page's parts as HTML."""
    return render("live.html.j2", **shown(seen)) + render("decide.html.j2", token="t", **decided(seen))


def test_the_page_of_a_gate_asks_and_offers_go_and_no_go() -> None:
    seen = look(asked())
    assert [choice.title for choice in choices(seen.found)] == ["Go", "No-go", "Hold", "Roll back"]
    text = parts(seen)
    assert "waiting for go or no-go" in text
    assert "&lt;b&gt;line" in text, "a line of the log is text"
    assert "VACUUM: scanning heap, 25 % (1 of 4 blocks), for 1m" in text
    assert all(f"({name})" in text for name in PEOPLE)


def test_the_page_follows_a_run_through_work_soak_hold_and_end() -> None:
    world = asked()
    world.everybody_agrees()
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    assert "Watched until" in parts(look(world))
    world.tell(Kind.HELD, "watch", why="c gives no data")
    held = look(world, running=False)
    assert ACKNOWLEDGE in [choice.action for choice in choices(held.found)]
    assert "c gives no data" in parts(held)
    world.tell(Kind.RESUME, "ben")
    world.now += 11 * MINUTE
    world.go_on()
    over = look(world, running=False)
    assert world.state.status is Status.DONE
    assert choices(over.found) == []
    assert parts(over), "it is shown whenever one looks"


def test_a_form_is_read_whatever_it_holds() -> None:
    said = Said.of({"who": "lead\x00 ", "code": " 123456 ", "words": "x" * 5000, "asked": "17", "alarm": "²", "action": "go"})
    assert (said.caller.code, said.asked, said.alarm, said.action) == ("123456", 17, -1, "go")
    assert len(said.words) == 1000
    assert Said.of({}).asked == 0


# who comes in


@pytest.fixture
def room(tmp_path: Path) -> Room:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "broken.yaml").write_text("runbook: broken\ntargets: {db: {database: $X, protectd: true}}\n")
    return Room(project=Project(root=tmp_path), login="gonogo:secret", over=lambda: None)


def ask(room: Room, path: str, method: str = "GET", **more: Any) -> httpx.Response:
    """Ask the application itself, without a server."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(room, ["testserver"]))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())


LOGIN = ("gonogo", "secret")


def test_without_the_password_only_what_pages_are_made_of_is_open(room: Room) -> None:
    assert ask(room, "/static/style.css").status_code == 200
    assert ask(room, "/static/other.css").status_code == 404
    for path in ("/", "/metrics", "/runs/broken/db/", "/runs/broken/db/stream", "/view/a/runs/broken/db/", "/nothing"):
        assert ask(room, path).status_code == 401
    assert ask(room, "/view/x.y/").status_code == 409
    assert ask(room, "/", headers={"Host": "evil.example"}).status_code == 400
    assert "did you mean &#39;protected&#39;?" in ask(room, "/", auth=LOGIN).text
    assert ask(room, "/metrics", auth=LOGIN).status_code == 200
    for path in ("/nothing", "/runs/no_such/db/", "/runs/a.b/db/", "/runs/broken/db/zzz/"):
        assert ask(room, path, auth=LOGIN).status_code in (400, 404), path


def test_a_form_without_this_page_s_token_says_nothing(room: Room) -> None:
    json_please = {"Accept": "application/json"}
    said = ask(room, "/runs/broken/db/say", "POST", auth=LOGIN, data={"action": "go"}, headers=json_please)
    assert said.status_code == 409
    assert "not of this page" in said.json()["says"]
    assert ask(room, "/runs/broken/db/say", "POST", auth=LOGIN, content=b"x" * 30_000).status_code == 400


def test_a_link_leads_to_its_run_and_to_no_other_and_ends() -> None:
    viewed = Viewed(runbook="shop", target="db", run="shop-000000")
    token = make_link(b"secret", viewed, MINUTE)
    assert read_link(b"secret", token)[0] == viewed
    for wrong in (token[:-1], token + "A", "x" + token, "", ".", "é.é"):
        with pytest.raises(Refused):
            read_link(b"secret", wrong)
    with pytest.raises(Refused):
        read_link(b"another", token)
    for lasts in (timedelta(0), LONGEST + MINUTE):
        with pytest.raises(BadInput):
            make_link(b"secret", viewed, lasts)


# what a button, a card and a form carry


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"runbook": "a"}', "not json"])
def test_a_button_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        slack_buttons.Bound.read(text)


def test_a_form_in_slack_asks_for_a_code_only_where_it_is_needed() -> None:
    fields = [block.get("block_id") for block in slack_buttons._form("go", "{}", "C1", "lead", needs_code=True)["blocks"]]
    assert fields == [None, "code", "words"]
    item = slack_buttons._form("confirm told", "{}", "C1", "lead", needs_code=False)
    assert [block.get("block_id") for block in item["blocks"]] == [None, "words"]
    assert json.loads(item["private_metadata"]) == {"act": "confirm told", "value": "{}", "channel": "C1"}


def test_a_card_holds_text_and_no_markup() -> None:
    update = Update(key="1", text="*bold* [x](http://evil)\nsecond", loud=True, mention=("lead",), link="https://x")
    made = teams.card(update, PEOPLE)
    lines = [run["text"] for block in made["body"] for run in block["inlines"]]
    assert lines[:2] == ["bold [x](http://evil)", "second"]
    assert "Anna" in lines[2]
    assert made["actions"][0]["url"] == "https://x"


def test_secrets_open_their_channels() -> None:
    assert pagerduty.open_channel(" key \n") == pagerduty.PagerDutyChannel(key="key")
    assert webhook.open_channel("whsec_AAAAAAAAAAAAAAAA") == webhook.WebhookChannel(secret=bytes(12))
    # the example of the specification
    assert webhook.sign(b"s", "msg_1", "1", b"{}").startswith("v1,")


def test_forms_offer_what_the_runbook_has_and_no_protected_target_by_default() -> None:
    book = {
        "runbook": "shop",
        "targets": {"a": {"database": "$A", "protected": True}},
        "people": {"lead": {"name": "Ada"}},
        "inputs": {"limit": {"default": 5, "min": 1}, "names": {"default": ["a"]}},
        "phases": [{"phase": "one", "tasks": [{"task": "t", "steps": [{"sql": "a.sql", "undo": "nothing"}]}]}],
    }
    runbook = Runbook.model_validate(book)
    assert "default" not in run_form(runbook)["target"], "Quick run takes the defaults"
    assert run_form(runbook)["phase"]["enum"] == ["all", "one"]
    assert rollback_form(runbook)["reason"]["needed"]
    assert resume_form(runbook)["asked_by"]["enum"] == ["", "lead"]
    assert set(inputs_schema(runbook)["properties"]) == {"limit", "names"}
    assert "inputs" in rehearsal_form(runbook)
