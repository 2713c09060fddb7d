"""The page on updates prints every message of a good run and of one that trips: `GONOGO_WRITE=1` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.command import environment, gonogo
from support.slack_server import TOKEN, SlackServer

from gonogo.project import ROOT

Make = Callable[..., Path]
PAGE = ROOT / "docs" / "concepts" / "updates.md"
BOOK = """
runbook: shop-orders
title: Orders get a status
targets: {production: {database: $TEST_URL}}
people: {lead: {name: Ada, roles: [technical_lead]}}
updates: {slack: "#release", blockers: [technical_lead]}
phases:
  - phase: expand
    title: Add the column
    gate: {go_if: [orders_there]}
    tasks:
      - {task: column, title: Add the column, owner: lead, takes: 1m, steps: [{sql: column.sql, undo: column.undo.sql}]}
      - {task: fill, title: Fill it, owner: lead, takes: 1m, steps: [{sql: fill.sql, undo: nothing}]}
    verify: [all_filled]
    watch: [odd_orders]
    every: 200ms
    soak: 2s
checks:
  orders_there: {query: SELECT count(*) FROM orders, expect: "= 1000"}
  all_filled: {query: SELECT count(*) FROM orders WHERE status IS NULL, expect: "= 0"}
  odd_orders: {query: SELECT count(*) FROM orders WHERE total < 0, roll_back_if: "> 3 in 2 of 3"}
"""
FILL = "UPDATE orders SET status = 'new';\n"
ORDERS = """
CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL);
INSERT INTO orders SELECT n, 100 FROM generate_series(1, 1000) AS n;
"""


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer("release") as running:
        yield running


def told(make: Make, url: str, slack: SlackServer, fill: str) -> str:
    """Run it; return every message as people read it, those that call somebody marked."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ORDERS)
    column, undo = "ALTER TABLE orders ADD status text;\n", "ALTER TABLE orders DROP status;\n"
    folder = make(BOOK, column__sql=column, column__undo__sql=undo, fill__sql=fill)
    (folder / "runbooks" / "shop-orders.yaml").write_text(BOOK, encoding="utf-8")
    (folder / "runbooks" / "book.yaml").unlink()
    (folder / "sql_templates" / "book").rename(folder / "sql_templates" / "shop-orders")
    known = environment(TEST_URL=url, SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=TOKEN)
    env = {key: value for key, value in known.items() if "proxy" not in key.lower()}
    gonogo("run", "shop-orders", "--without-prefect", cwd=folder, env=env)
    (root,) = slack.channel.roots
    lines = [_indented("", root.shown)]
    for message in slack.channel.thread(root):
        lines.append(_indented("📣 " if message.broadcast else "   ", message.shown))
    return _plain("\n".join(lines))


def _indented(mark: str, text: str) -> str:
    return mark + text.replace("\n", "\n" + " " * 3)


def _plain(text: str) -> str:
    """Take away what is another one in each run: moments, durations, names of machines and runs."""
    text = re.sub(r"shop-orders-[0-9a-f]{6}", "shop-orders-54e2b5", text)
    text = re.sub(r"\S+@\S+ launches", "ada@desk launches", text)
    # past midnight, the day is written before the time
    text = re.sub(r"(\b[A-Z][a-z]{2} \d+ [A-Z][a-z]{2} )?\d\d:\d\d(:\d\d)? UTC", "19:41 UTC", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "19:41:07", text)
    text = re.sub(r"\b\d+(\.\d+)?m?s\b", "2s", text)
    text = re.sub(r"\d+ samples", "9 samples", text)
    return re.sub(r"\d+ schema objects", "17 schema objects", text)


@pytest.mark.parametrize(
    ("heading", "fill"),
    [("A good run", FILL), ("A run that trips", FILL + "UPDATE orders SET total = -1 WHERE id < 10;\n")],
)
def test_the_page_prints_every_message_of_a_run(
    make_project: Make, url: str, slack: SlackServer, heading: str, fill: str
) -> None:
    made = told(make_project, url, slack, fill)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(f"### {heading}\n")
    text, fence, after = rest.partition("\n```\n")
    intro, opening, shown = text.partition("```text\n")
    if os.environ.get("GONOGO_WRITE"):
        PAGE.write_text(f"{before}### {heading}\n{intro}{opening}{made}{fence}{after}", encoding="utf-8")
    else:
        assert shown == made, "GONOGO_WRITE=1 writes it anew"
    loud = [line for line in made.splitlines() if line.startswith("📣")]
    assert len(loud) <= 3, "the trip, its outcome, and the report at most"
    said = [line for line in made.splitlines() if line.strip() != "Ada"]
    assert len(set(said)) == len(said), "nothing is said twice"
