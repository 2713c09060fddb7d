"""What scripts read: one JSON document a command, also where it refuses; events as lines; and docs/json.md says which keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.command import start
from support.gate_desk import BOOK, FILES, Desk

from gonogo.cli.app import BACKUP, COMMANDS, LEDGER, PEOPLE
from gonogo.project import ROOT

Make = Callable[..., Path]
PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
#: what serves, prints a text of another form, or has nothing to answer
WITHOUT = {"up", "serve", "page", "demo", "psql", "schema", "objects", "events", "export"}


def documented() -> dict[str, list[str]]:
    """The keys of each command's answer, as the page has them."""
    found = {}
    for commands, keys in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE):
        for command in re.findall(r"`([^`]+)`", commands):
            found[command] = re.findall(r"`(\w+)`", keys)
    return found


@pytest.fixture
def desk(make_project: Make, old_url: str) -> Desk:
    return Desk(make_project(BOOK, **FILES), old_url, "open")


def answer(desk: Desk, *words: str, code: int = 0) -> Any:
    done = desk(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def moments(made: Any) -> list[str]:
    """Every text in an answer that looks like a moment."""
    if isinstance(made, dict):
        return [found for value in made.values() for found in moments(value)]
    if isinstance(made, list):
        return [found for value in made for found in moments(value)]
    return [made] if isinstance(made, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", made) else []


def test_each_command_answers_with_the_keys_that_the_page_names(desk: Desk) -> None:
    known = documented()

    def check(command: str, made: Any) -> Any:
        row = made[0] if isinstance(made, list) else made
        assert list(row) == known[command], command
        for moment in moments(made):
            assert moment.endswith("Z"), moment
            assert datetime.fromisoformat(moment).tzinfo is not None
        return made

    check("validate", answer(desk, "validate", "book"))
    assert known["people list"] == []
    assert answer(desk, "people", "list") == []
    check("run", answer(desk, "run", "book", "-t", "open", "--without-prefect", "--no-wait", code=4))
    shown = check("status", answer(desk, "status", "book", "-t", "open"))
    assert list(shown["schedule"][0]) == ["task", "planned_start", "planned_end", "start", "end", "state", "overdue"]
    check("check", answer(desk, "check", "book", "-t", "open"))
    check("go", answer(desk, "go", "book", "-t", "open", "--as", "lead"))
    check("hold", answer(desk, "hold", "book", "-t", "open"))
    check("resume", answer(desk, "resume", "book", "-t", "open", "--without-prefect", "--no-wait", code=4))
    check("go", answer(desk, "go", "book", "-t", "open", "--as", "owner"))
    check("resume", answer(desk, "resume", "book", "-t", "open", "--without-prefect"))
    check("ledger verify", answer(desk, "ledger", "verify", "book", "-t", "open"))
    made = answer(desk, "report", "book", "-t", "open")
    assert made["outcome"] == "done"
    assert check("people enroll", answer(desk, "people", "enroll", "lead"))["address"].startswith("otpauth://")
    check("people remove", answer(desk, "people", "remove", "lead"))
    assert check("people key", answer(desk, "people", "key", "--output", "my.key"))["made"]
    shown = answer(desk, "people", "key", "--output", "my.key")
    assert not shown["made"]
    (desk.project / "db").mkdir()
    (desk.project / "db" / "0001_first.up.sql").write_text("SELECT 1;\n", encoding="utf-8")
    made = check("import", answer(desk, "import", "db", "--name", "theirs"))
    assert made["tasks"] == made["no_rollback"] != []
    made = check("init", answer(desk, "init", "another"))
    assert (desk.project / "another" / made["files"][0]).exists()


def commands() -> list[tuple[str, ...]]:
    """Every command that answers something."""
    found: list[tuple[str, ...]] = [(name,) for name in COMMANDS if name not in WITHOUT]
    for group, table in (("ledger", LEDGER), ("people", PEOPLE), ("backup", BACKUP)):
        found += [(group, name) for name in table if name not in WITHOUT]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_what_is_wrong_is_json_too_and_prose_beside_it(desk: Desk, command: tuple[str, ...]) -> None:
    if command == ("people", "list"):
        pytest.skip("it has nothing that could be wrong")
    more = {"confirm": ["item"], "pace": ["slower"], "init": [], "rehearse": []}.get(command[-1], [])
    if command == ("init",):
        desk("init", ".")
        done = desk("init", ".", "--json")
    elif command == ("backup", "prove"):
        done = desk(*command, "no_such_book", "folder", "--json")
    elif command == ("people", "enroll"):
        done = desk(*command, "no such name", "--json")
    elif command == ("people", "key"):
        done = desk(*command, "--output", str(desk.project / "runbooks" / "book.yaml"), "--json")
    else:
        done = desk(*command, "no_such_book", *more, "--json")
    assert done.returncode in (2, 3), done.stdout + done.stderr
    said = json.loads(done.stdout)
    if command == ("validate",):
        assert not said[0]["ok"]
        return
    assert said["exit_code"] == done.returncode
    assert said["error"] == ("bad input" if done.returncode == 2 else "refused")
    assert said["problems"][0]["says"]
    assert said["problems"][0]["says"].splitlines()[0] in done.stderr


def test_a_problem_of_a_file_has_its_place(desk: Desk) -> None:
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("quorum: 2,", "quorum: many,"), encoding="utf-8")
    said = answer(desk, "plan", "book", code=2)
    problem = said["problems"][0]
    assert problem["file"].endswith("book.yaml")
    assert problem["line"] > 1
    assert "quorum" in problem["path"]


def test_events_are_lines_that_say_what_happened_and_follow_what_happens(desk: Desk) -> None:
    desk.launch()
    first = [json.loads(line) for line in desk("events", "book", "--target", "open").stdout.splitlines()]
    assert [line["seq"] for line in first] == list(range(1, len(first) + 1))
    assert {"run", "seq", "at", "event", "by", "says", "body"} == set(first[0])
    assert first[-1]["event"] == "people asked"
    seen = str(first[-1]["seq"])
    run = start("resume", "book", "-t", "open", "--without-prefect", cwd=desk.project, env=desk.env)
    try:
        follower = start("events", "book", "-t", "open", "--after", seen, "--follow", cwd=desk.project, env=desk.env)
        desk.go("lead")
        desk.go("owner")
        said, _ = follower.communicate(timeout=120)
    finally:
        run.communicate(timeout=60)
    later = [json.loads(line) for line in said.splitlines()]
    assert later[0]["seq"] > int(seen)
    assert "vote" in [line["event"] for line in later]
    if later[-1]["event"] != "run done":
        # it began before the run had a process, and had nothing to follow
        again = desk("events", "book", "-t", "open", "--after", str(later[-1]["seq"])).stdout.splitlines()
        later += [json.loads(line) for line in again]
    assert later[-1]["event"] == "run done"
    assert [line["seq"] for line in later] == list(range(int(seen) + 1, int(seen) + 1 + len(later)))


def test_a_name_that_is_nearly_right_is_guessed(desk: Desk) -> None:
    done = desk("run", "boook", "--without-prefect")
    assert done.returncode == 2
    assert "did you mean 'book'?" in done.stderr


def test_a_key_for_somebody_whom_no_runbook_knows_is_told(desk: Desk) -> None:
    assert "no runbook of this project has 'nobody'" in desk("people", "enroll", "nobody").stdout
    assert "no runbook of this project" not in desk("people", "enroll", "lead").stdout


def test_the_shell_completes_commands(desk: Desk) -> None:
    env = {**desk.env, "_GONOGO_COMPLETE": "complete_bash", "COMP_WORDS": "gonogo rol", "COMP_CWORD": "1"}
    command = Path(sys.executable).with_name("gonogo")
    done = subprocess.run([command], cwd=desk.project, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["rollback"]
