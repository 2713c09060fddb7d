"""Texts from a database drive no terminal, forge no line, and are no link, image or markup on any page."""

from __future__ import annotations

import json
import re

import pytest
from support.events import event
from support.plans import phase, plan, sql, task

from gonogo.core.engine.events import Held, Kind, write_body
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import State
from gonogo.core.text import plain
from gonogo.core.text.messages import headline
from gonogo.report import report

#: what somebody may call a table, or write into a comment or an answer
TEXTS = [
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "a\nDONE: all is well",
    "a\r\n✅ *Done* on production",
    "a\u2028b",
    "a\x85b\x0cc",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "![x](http://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "\\[click](http://evil.example)",
    "\\\\[click](http://evil.example)",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a|b|c",
    "<!channel> <@U012ABCDEF>",
    "> quoted",
    "\x00",
    "`code` *bold* _italic_",
    '"; DROP TABLE t; --',
]
_ACTIVE = re.compile(r"!?\[[^\]\\]*\]\(|<[a-z!/@]")


@pytest.mark.attack("markup")
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_one_line_of_text_in_a_table_of_a_page(text: str) -> None:
    (_, _, row) = plain.table(("a", "b"), [(text, "x")])
    assert "\n" not in plain.clean(row)
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    # a backslash takes the meaning of what stands behind it, also of another one
    assert not _ACTIVE.search(re.sub(r"\\.", "", row)), row


@pytest.mark.attack("markup")
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_in_json_is_what_it_was_and_drives_no_terminal(text: str) -> None:
    made = plain.as_json({"why": text, text: [text]})
    assert json.loads(made) == {"why": text, text: [text]}
    assert all(c == "\n" or c.isprintable() for c in made)


@pytest.mark.attack("markup")
@pytest.mark.parametrize("text", TEXTS)
def test_a_reason_begins_no_line_of_its_own(text: str) -> None:
    body = Held(why=f"23505 duplicate key in {text}")
    assert all(line.startswith("    ") for line in body.why.splitlines()[1:]), body.why
    assert write_body(body)["why"] == body.why


@pytest.mark.attack("markup")
@pytest.mark.parametrize("text", TEXTS)
def test_a_reason_stays_within_its_quote_in_an_update_and_within_its_cell_in_a_report(text: str) -> None:
    made = plan(phase(task(sql())))
    opened = event(Kind.RUN_OPENED, plan=made)
    events = [opened, event(Kind.PHASE_STARTED, seq=2), event(Kind.HELD, seq=3, why=text)]
    state: State = fold(events)
    assert state.held or not text.strip()
    told = headline(made, state, "run", events[-1].at).text.splitlines()
    assert all(line.startswith("> ") for line in told[3:]), told
    shown = report.report(made, events, "run")
    page, html = report.as_markdown(shown), report.as_html(shown)
    for whole in (page, html):
        assert all(c == "\n" or c.isprintable() for c in whole)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert not re.search(r"!?\[(click|x)\]\(", page.replace("\\[", ""))
