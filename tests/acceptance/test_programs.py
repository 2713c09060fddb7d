"""Steps that run programs: done, failed, ended by a trip, in doubt; and steps and phases that are not for everywhere or now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo, start

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {{db: {{database: $TEST_URL}}, other: {{database: $TEST_URL}}}}
phases:
  - phase: one
    tasks:
      - task: work
        steps:
          - {{step: table, sql: a.sql, undo: a.undo.sql}}
          - {{step: deploy, run: {run}, undo: [sh, {root}/tool.sh, back], {more}}}
{rest}
"""
TOOL = """
echo "$1" >> {log}
test "$1" != fail || {{ echo "no such version" >&2; exit 7; }}
test "$1" != slow || {{ sleep 30; echo late >> {log}; }}
"""


class Desk:
    """A project with a tool that writes down what it is told."""

    def __init__(self, make: Make, url: str, root: Path) -> None:
        self.make, self.url, self.root, self.log = make, url, root, root / "log"
        (root / "tool.sh").write_text(TOOL.format(log=self.log), encoding="utf-8")

    def book(self, word: str = "v2", more: str = "within: 20s", rest: str = "", run: str = "", **files: str) -> None:
        argv = run or f"[sh, {self.root}/tool.sh, {word}]"
        text = BOOK.format(run=argv, root=self.root, more=more, rest=rest)
        self.make(text, a__sql="CREATE TABLE made (id int);\n", a__undo__sql="DROP TABLE made;\n", **files)

    def __call__(self, *command: str, **more: str) -> CompletedProcess[str]:
        return gonogo(*command, cwd=self.root, env=environment(TEST_URL=self.url, **more))

    def run(self, *more: str) -> CompletedProcess[str]:
        return self("run", "book", "--without-prefect", *more)

    @property
    def told(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []

    def one(self, query: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
            return row[0] if row else None


@pytest.fixture
def desk(make_project: Make, url: str, tmp_path: Path) -> Desk:
    return Desk(make_project, url, tmp_path)


def test_a_program_runs_once_and_is_reversed_by_its_own(desk: Desk) -> None:
    desk.book()
    done = desk.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.told == ["v2"]
    back = desk("rollback", "book", "--without-prefect")
    assert back.returncode == 11, back.stdout + back.stderr
    assert desk.told == ["v2", "back"]
    assert desk.one("SELECT to_regclass('made')") is None


def test_what_reverses_a_program_can_be_one_with_a_folder_and_variables_of_its_own(desk: Desk) -> None:
    (desk.root / "elsewhere").mkdir()
    own = '{argv: [sh, -c, \'echo "$WORD in $(basename "$PWD")" >> "$0"\', LOG], folder: elsewhere, environment: [WORD]}'
    desk.book(more="within: 20s", run="[sh, ROOT/tool.sh, v2]".replace("ROOT", str(desk.root)))
    file = desk.root / "runbooks" / "book.yaml"
    text = file.read_text(encoding="utf-8").replace(f"undo: [sh, {desk.root}/tool.sh, back]", f"undo: {own}")
    file.write_text(text.replace("LOG", str(desk.log)), encoding="utf-8")
    done = desk("run", "book", "--without-prefect", WORD="back")
    assert done.returncode == 0, done.stdout + done.stderr
    back = desk("rollback", "book", "--without-prefect", WORD="back")
    assert back.returncode == 11, back.stdout + back.stderr
    assert desk.told == ["v2", "back", "in", "elsewhere"]


def test_a_program_that_fails_is_reversed_and_so_is_all_before_it(desk: Desk) -> None:
    desk.book("fail")
    done = desk.run()
    assert done.returncode == 11, done.stdout + done.stderr
    assert "work.deploy failed: sh ended with 7: no such version" in done.stdout
    assert desk.told == ["fail", "back"]
    assert desk.one("SELECT to_regclass('made')") is None


def test_a_program_that_takes_too_long_is_ended_and_reversed(desk: Desk) -> None:
    desk.book("slow", "within: 500ms")
    done = desk.run()
    assert done.returncode == 11, done.stdout + done.stderr
    assert "sh took longer than 500ms, and was ended" in done.stdout
    assert desk.told == ["slow", "back"]


def test_a_trip_ends_a_running_program_at_once(desk: Desk) -> None:
    seen = '{seen: {query: SELECT count(*) FROM heard, expect: "= 0", roll_back_if: "> 0 in 3 of 3"}}'
    rest = f"    watch: [seen]\n    every: 100ms\nchecks: {seen}"
    desk.book("slow", "within: 25s", rest)
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE heard (id int)")
        process = start("run", "book", "--without-prefect", cwd=desk.root, env=environment(TEST_URL=desk.url))
        while process.poll() is None and desk.told != ["slow"]:
            time.sleep(0.05)
        connection.execute("INSERT INTO heard VALUES (1)")
        told, _ = process.communicate(timeout=180)
    assert process.returncode == 11, told
    assert desk.told == ["slow", "back"], "it was ended before it came to its end"
    assert "sh was ended" in told


@pytest.mark.parametrize(("more", "code", "told"), [("within: 20s", 4, ["slow"]), ("again: safe", 0, ["slow", "v2"])])
def test_a_program_whose_runner_died_is_in_doubt_unless_it_may_run_again(
    desk: Desk, more: str, code: int, told: list[str]
) -> None:
    desk.book("$WORD", more, run=f"[sh, -c, 'sh {desk.root}/tool.sh $(cat {desk.root}/word)']")
    (desk.root / "word").write_text("slow", encoding="utf-8")
    process = start("run", "book", "--without-prefect", cwd=desk.root, env=environment(TEST_URL=desk.url))
    while desk.told != ["slow"]:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    (desk.root / "word").write_text("v2", encoding="utf-8")
    done = desk("resume", "book", "--without-prefect")
    assert done.returncode == code, done.stdout + done.stderr
    assert desk.told == told
    if code == 4:
        assert "work.deploy is in doubt" in done.stdout
        assert desk("resume", "book", "--without-prefect", "--settle", "done").returncode == 0


def test_what_a_program_says_is_kept_without_what_it_may_not_say(desk: Desk) -> None:
    script = "import os; print('token', os.environ['DEPLOY_TOKEN'], 'on', os.environ['PGDATABASE'], os.environ.get('EDITOR'))"
    desk.book(run=f"""{{argv: [{sys.executable}, -c, "{script}"], environment: DEPLOY_TOKEN}}""")
    missing = desk.run()
    assert missing.returncode == 11
    assert "the environment variable DEPLOY_TOKEN is not set" in missing.stdout
    done = desk("run", "book", "--without-prefect", DEPLOY_TOKEN="s3cr3t-token", EDITOR="vi")
    assert done.returncode == 0, done.stdout + done.stderr
    name = desk.one("SELECT current_database()")
    assert desk.one("SELECT body->>'output' FROM gonogo.event WHERE body->>'output' IS NOT NULL") == f"token *** on {name} None\n"
    assert "s3cr3t" not in done.stdout
    assert desk.one("SELECT count(*) FROM gonogo.event WHERE body::text LIKE '%s3cr3t%'") == 0


#: what stands in the plan, and what somebody with rights to the ledger makes of it
FORGED = {
    "a program": ('"later"]', '"later", "; touch EVIL"]'),
    "an address": ("http://127.0.0.1:9/well", "http://127.0.0.1:9/$HOME"),
    "a check's limit": ('"expect":["errors = 0"]', '"expect":["errors >= 0"]'),
}


@pytest.mark.parametrize("what", FORGED)
def test_nothing_that_somebody_wrote_into_the_ledger_acts_beyond_the_database(desk: Desk, what: str) -> None:
    later = f"{{step: later, run: [sh, {desk.root}/tool.sh, later], undo: nothing}}"
    look, ask = "{confirm: [{item: look, title: Look}]}", "{step: ask, check: [well]}"
    well = 'checks: {well: {http: "http://127.0.0.1:9/well", samples: 1, within: 1s, expect: "errors = 0"}}'
    steps = "\n".join(f"          - {step}" for step in (look, ask, later))
    desk.book(rest=f"{steps}\n    on_failure: hold\npeople: {{ann: {{name: Ann}}}}\n{well}")
    process = start("run", "book", "--without-prefect", cwd=desk.root, env=environment(TEST_URL=desk.url))
    while desk.told != ["v2"] or desk.one("SELECT count(*) FROM gonogo.event WHERE kind = 'people asked'") == 0:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    was, is_ = FORGED[what]
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER ALL")
        forged = "UPDATE gonogo.event SET body = replace(body::text, %s, %s)::json WHERE seq = 1 AND body::text LIKE %s"
        changed = connection.execute(forged, [was, is_.replace("EVIL", str(desk.root / "evil")), f"%{was}%"]).rowcount
    assert changed == 1, "what is forged stands there"
    assert desk("confirm", "book", "look", "--as", "ann").returncode == 0
    done = desk("resume", "book", "--without-prefect")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the programs of this run are not signed with this project's key" in done.stdout
    assert desk.told == ["v2"]


def test_a_plan_that_was_signed_for_another_run_is_not_one_for_this(desk: Desk) -> None:
    look = "          - {confirm: [{item: look, title: Look}]}\n"
    later = f"          - {{step: later, run: [sh, {desk.root}/tool.sh, '{{{{ who }}}}'], undo: nothing}}\n"
    who = "people: {ann: {name: Ann}}\ninputs: {who: {default: old}}"
    desk.book(rest=look + later + who)
    for given in ("old", "new"):
        process = start(
            "run", "book", "--without-prefect", "--input", f"who={given}", cwd=desk.root, env=environment(TEST_URL=desk.url)
        )
        asked = "SELECT count(*) FROM gonogo.event WHERE kind = 'people asked'"
        while desk.one("SELECT to_regclass('gonogo.event')") is None or desk.one(asked) < (1 if given == "old" else 2):
            time.sleep(0.05)
        process.kill()
        process.communicate()
        if given == "old":
            assert desk("rollback", "book", "--without-prefect").returncode == 11
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER ALL")
        first, second = (row[0] for row in connection.execute("SELECT id FROM gonogo.run ORDER BY opened").fetchall())
        copied = (
            "UPDATE gonogo.event SET body = (SELECT body FROM gonogo.event WHERE run = %s AND seq = 1) WHERE run = %s AND seq = 1"
        )
        connection.execute(copied, [first, second])
    assert desk("confirm", "book", "look", "--as", "ann").returncode == 0
    done = desk("resume", "book", "--without-prefect")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "old" not in desk.told


def test_a_rehearsal_leaves_programs_out_that_would_reach_beyond_the_copy(desk: Desk) -> None:
    desk.book()
    done = desk("rehearse", "book")
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.told == []


#: writes down where its address leads, by libpq's variables and by the one that it reads, and what its connections run under
WHERE = """
import os, psycopg
for url in ("", os.environ["DATABASE_URL"]):
    with psycopg.connect(url) as c:
        limits = [c.execute(f"SHOW {name}_timeout").fetchone()[0] for name in ("lock", "statement")]
        print(limits)
        name = c.info.dbname
"""


def test_in_a_rehearsal_a_program_gets_the_copy_under_the_name_that_it_reads_and_never_the_target(desk: Desk) -> None:
    (desk.root / "where.py").write_text(WHERE + f"open({str(desk.log)!r}, 'a').write(name + chr(10))\n", encoding="utf-8")
    program = f"{{argv: [{sys.executable}, {desk.root}/where.py], url_as: DATABASE_URL}}"
    desk.book(run=program, more="in_rehearsal: true, within: 60s, lock_timeout: 3s, statement_timeout: 7s")

    done = desk("rehearse", "book")
    assert done.returncode == 0, done.stdout + done.stderr
    copies, target = set(desk.told), desk.one("SELECT current_database()")
    assert copies
    assert target not in copies
    pages = list((desk.root / ".gonogo/rehearsals").glob("*.md"))
    assert "The target's schema was the same before and after it." in pages[0].read_text(encoding="utf-8")

    desk.log.unlink()
    assert desk.run().returncode == 0
    assert desk.told == [target]
    kept = desk.one("SELECT body->>'output' FROM gonogo.event WHERE kind = 'script done' AND body->>'output' <> ''")
    assert kept.count("['3s', '7s']") == 2, "libpq's variables and the address lead to the limits of the step"


@pytest.mark.parametrize("names_it", ["argument", "variable", "jdbc", "name"])
def test_a_program_that_is_told_of_the_target_is_not_run_in_a_rehearsal(desk: Desk, names_it: str) -> None:
    host, name = (
        desk.one("SELECT split_part(current_setting('unix_socket_directories'), ',', 1)"),
        desk.one("SELECT current_database()"),
    )
    handed = {
        "name": f"[sh, {{0}}/tool.sh, -d, {name}]",
        "argument": "[sh, {0}/tool.sh, '{1}']",
        "variable": "{{argv: [sh, {0}/tool.sh, v2], environment: [PROD_URL]}}",
    }
    value = f"jdbc:postgresql://{host}:5432/{name}" if names_it == "jdbc" else desk.url
    desk.book(run=handed.get(names_it, handed["variable"]).format(desk.root, desk.url), more="in_rehearsal: true, within: 20s")

    done = desk("rehearse", "book", PROD_URL=value)

    assert done.returncode == 10, done.stdout + done.stderr
    assert "names the target, and in a rehearsal a program may reach the copy only" in done.stdout + done.stderr
    assert desk.told == []


def test_a_rehearsal_that_changed_the_target_all_the_same_is_no_evidence(desk: Desk) -> None:
    # a program that has the address from a place of its own
    (desk.root / "address").write_text(desk.url, encoding="utf-8")
    connect = f"psycopg.connect(open('{desk.root}/address').read(), autocommit=True)"
    sly = f"import psycopg; {connect}.execute('CREATE TABLE IF NOT EXISTS sly ()')"
    (desk.root / "sly.py").write_text(sly, encoding="utf-8")
    desk.book(run=f"[{sys.executable}, {desk.root}/sly.py]", more="in_rehearsal: true, within: 60s")

    done = desk("rehearse", "book")

    assert done.returncode == 10, done.stdout + done.stderr
    assert "the target itself changed while it was rehearsed: table public.sly" in done.stdout


def test_a_step_is_done_on_its_targets_only_and_a_wait_waits(desk: Desk) -> None:
    rest = "          - {step: sample, only_on: [other], sql: b.sql, undo: b.undo.sql}\n          - {step: settle, wait: 1500ms}"
    desk.book(rest=rest, b__sql="CREATE TABLE sample (id int);\n", b__undo__sql="DROP TABLE sample;\n")
    began = time.monotonic()
    assert desk.run().returncode == 0
    assert time.monotonic() - began > 1.5
    assert desk.one("SELECT to_regclass('sample')") is None
    assert desk("run", "book", "--without-prefect", "--target", "other", "--again").returncode != 0, "made is there already"
    assert "sample" in desk("plan", "book", "--target", "other").stdout
    assert "sample" not in desk("plan", "book").stdout


def test_a_deferred_phase_is_only_launched_by_its_name(desk: Desk) -> None:
    rest = "  - {phase: later, deferred: true, tasks: [{task: drop, steps: [{sql: b.sql, undo: b.undo.sql}]}]}"
    desk.book(rest=rest, b__sql="CREATE TABLE sample (id int);\n", b__undo__sql="DROP TABLE sample;\n")
    assert desk.run().returncode == 0
    assert desk.one("SELECT to_regclass('sample')") is None
    refused = desk.run()
    assert refused.returncode == 3
    assert "the next phase, later, is deferred: launch it by its name, with --phase" in refused.stderr
    assert desk.run("--phase", "later").returncode == 0
    assert desk.one("SELECT to_regclass('sample')") is not None


def test_a_program_does_not_outlive_its_runner(desk: Desk) -> None:
    desk.book("slow")
    process = start("run", "book", "--without-prefect", cwd=desk.root, env=environment(TEST_URL=desk.url))
    while desk.told != ["slow"]:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    for _ in range(100):
        alive = subprocess.run(
            ["pgrep", "-f", f"{desk.root}/tool.sh"], capture_output=True, text=True, check=False
        ).stdout.split()
        if not alive:
            break
        time.sleep(0.05)
    for pid in alive:
        os.kill(int(pid), signal.SIGKILL)
    assert not alive


@pytest.mark.parametrize(("rule", "code"), [("= 10", 0), ("> 10", 11), (">= 10", 0), ("= 0", 11)])
def test_a_step_that_changes_another_number_of_rows_than_it_must_fails_and_nothing_of_it_stays(
    desk: Desk, rule: str, code: int
) -> None:
    rest = f'          - {{step: fill, sql: b.sql, undo: b.undo.sql, rows: "{rule}"}}'
    fill = "INSERT INTO made SELECT generate_series(1, 6); UPDATE made SET id = id + 1 WHERE id > 2;\n"
    desk.book(rest=rest, b__sql=fill, b__undo__sql="DELETE FROM made;\n")
    done = desk.run()
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert f"work.fill failed: it changed 10 rows, and {rule} was expected; its transaction was rolled back" in done.stdout
    else:
        assert desk.one("SELECT count(*) FROM made") == 6
