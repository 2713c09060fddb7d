"""The workflows of docs/ci, step by step in a repository: findings, what differs, one comment of each that is kept up to date.

What installs gonogo is left out: the tests have it. GitHub's command line is played by a few lines that keep comments in a file
and choose from them as it does, by jq; GitLab's comments by a small server.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import environment, gonogo

ROOT = Path(__file__).parents[2]
CI = ROOT / "docs" / "ci"
GH = """#!/usr/bin/env python3
import json, os, subprocess, sys
words, file = sys.argv[1:], "COMMENTS"
assert words.pop(0) == "api"
with open(file) as opened:
    kept = json.load(opened)
path = next(word for word in words if word.startswith("repos/"))
if "--jq" in words:
    jq = ["jq", "-r", words[words.index("--jq") + 1]]
    chosen = subprocess.run(jq, input=json.dumps(kept), text=True, stdout=subprocess.PIPE)
    sys.stdout.write(chosen.stdout)
    sys.exit(chosen.returncode)
name, _, at = words[words.index("--field") + 1].partition("=@")
with open(at) as opened:
    body = opened.read()
how = words[words.index("--method") + 1]
if how == "PATCH":
    assert path.startswith("repos/me/shop/issues/comments/")
    next(each for each in kept if str(each["id"]) == path.rsplit("/", 1)[1])[name] = body
else:
    assert (how, path) == ("POST", "repos/me/shop/issues/7/comments")
    kept.append({"id": 100 + len(kept), name: body})
with open(file, "w") as opened:
    json.dump(kept, opened)
"""


def git(folder: Path, *words: str) -> None:
    settings = [word for name in ("init.defaultBranch=main", "user.name=t", "user.email=t@example") for word in ("-c", name)]
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project in a clone of its repository, on a branch with a change of its own."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init")
    assert gonogo("init", ".", cwd=origin, env=environment()).returncode == 0
    migrations = origin / "db" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "1_a.up.sql").write_text("CREATE TABLE orders (id int);\n")
    (migrations / "1_a.down.sql").write_text("DROP TABLE orders;\n")
    git(origin, "add", "-A")
    git(origin, "commit", "-m", "begin")
    git(tmp_path, "clone", str(origin), str(clone))
    git(clone, "checkout", "-b", "change")
    (clone / "db" / "migrations" / "2_b.up.sql").write_text("\nCREATE INDEX by_id ON orders (id);\n")
    book = clone / "runbooks" / "hello.yaml"
    book.write_text(book.read_text().replace("takes: 5m", "takes: 7m"))
    script = clone / "sql_templates" / "hello" / "020_index.sql"
    script.write_text(script.read_text() + ";\nCOMMENT ON TABLE greetings IS 'said';\n")
    git(clone, "commit", "-am", "change")
    return clone


def bash(script: str, folder: Path, programs: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = environment(PATH=path, MIGRATIONS="db/migrations", RUNBOOK="hello", **env)
    command = ["bash", "-e", "-o", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=250)


def test_the_workflow_for_github_finds_what_is_wrong_and_keeps_one_comment_of_each(repository: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    comments = tmp_path / "comments.json"
    comments.write_text(json.dumps([{"id": 1, "body": "looks good"}]))
    (programs / "gh").write_text(GH.replace("COMMENTS", str(comments)))
    (programs / "gh").chmod(0o755)
    steps = yaml.safe_load((CI / "github.yaml").read_text())["jobs"]["migrations"]["steps"]
    _, examine, plan, comment = [step["run"] for step in steps if "run" in step]

    done = bash(examine, repository, programs)
    assert done.returncode == 10, done.stdout + done.stderr
    assert "::warning file=db/migrations/2_b.up.sql,line=2,title=gonogo doctor%3A blocks::takes SHARE on orders" in done.stdout
    found = json.loads((repository / "doctor.sarif").read_text())["runs"][0]["results"]
    assert {each["ruleId"] for each in found} == {"blocks", "no-rollback"}
    done = bash(plan, repository, programs, BASE="main")
    assert done.returncode == 0, done.stdout + done.stderr

    for _ in range(2):
        done = bash(comment, repository, programs, GITHUB_REPOSITORY="me/shop", NUMBER="7", GH_TOKEN="t")
        assert done.returncode == 0, done.stdout + done.stderr
    bodies = [each["body"] for each in json.loads(comments.read_text())]
    assert [body.splitlines()[0] for body in bodies] == [
        "looks good",
        "<!-- gonogo doctor: db/migrations -->",
        "<!-- gonogo plan: hello on here -->",
    ], "the second time they were written over"
    assert "#### What differs from origin/main" in bodies[2]
    assert "# tasks[schema].takes was 300s and is 420s" in bodies[2]
    assert "+COMMENT ON TABLE greetings IS 'said'" in bodies[2]
    assert re.search(r"seal [0-9a-f]{16}", bodies[2])


class _Notes(BaseHTTPRequestHandler):
    """Comments of a merge request, as GitLab keeps them."""

    notes: list[dict[str, Any]]

    def _answer(self, made: object, code: int = 200) -> None:
        body = json.dumps(made).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> str:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        form = BytesParser().parsebytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + sent)
        (part,) = list(form.walk())[1:]
        whole = part.get_payload(decode=True)
        assert isinstance(whole, bytes)
        return whole.decode()

    def do_GET(self) -> None:
        assert self.headers["PRIVATE-TOKEN"] == "t"
        self._answer(self.notes)

    def do_POST(self) -> None:
        assert self.path == "/projects/5/merge_requests/7/notes"
        self.notes.append({"id": 100 + len(self.notes), "body": self._body()})
        self._answer({}, 201)

    def do_PUT(self) -> None:
        number = int(self.path.rsplit("/", 1)[1])
        next(note for note in self.notes if note["id"] == number)["body"] = self._body()
        self._answer({})

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gitlab() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    notes: list[dict[str, Any]] = [{"id": 1, "body": "looks good"}]
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Notes", (_Notes,), {"notes": notes}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", notes
    finally:
        server.shutdown()
        server.server_close()


def test_the_job_for_gitlab_reports_what_is_wrong_and_keeps_one_comment_of_each(repository: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    job = yaml.safe_load((CI / "gitlab.yaml").read_text())["migrations"]
    with gitlab() as (api, notes):
        given = {
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_API_V4_URL": api,
            "CI_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_IID": "7",
            "COMMENT_TOKEN": "t",
        }
        done = bash("\n".join(job["script"][1:]), repository, programs, **given)
        assert done.returncode == 10, done.stdout + done.stderr
        for _ in range(2):
            done = bash("\n".join(job["after_script"]), repository, programs, **given)
            assert done.returncode == 0, done.stdout + done.stderr
    assert [note["body"].splitlines()[0] for note in notes] == [
        "looks good",
        "<!-- gonogo doctor: db/migrations -->",
        "<!-- gonogo plan: hello on here -->",
    ]
    assert "What differs from FETCH_HEAD" in notes[2]["body"]
    quality = json.loads((repository / job["artifacts"]["reports"]["codequality"]).read_text())
    assert {(each["location"]["path"], each["location"]["lines"]["begin"]) for each in quality} == {
        ("db/migrations/2_b.up.sql", 2),
        ("db/migrations/2_b.up.sql", 1),
    }, "the lock, and that nothing reverses it"
    assert "<failure" in (repository / job["artifacts"]["reports"]["junit"]).read_text()


def test_a_plan_is_compared_with_that_of_another_commit(repository: Path) -> None:
    same = gonogo("plan", "hello", "--against", "HEAD", cwd=repository, env=environment())
    assert (same.returncode, "The same as on HEAD" in same.stdout) == (0, True), same.stdout + same.stderr
    told = gonogo("plan", "hello", "--against", "main", "--json", cwd=repository, env=environment())
    assert "tasks[schema].takes was 300s and is 420s" in json.loads(told.stdout)["against"]["changes"]
    none = gonogo("plan", "hello", "--against", "nowhere", cwd=repository, env=environment())
    assert (none.returncode, none.stderr.strip()) == (
        2,
        f"gonogo: --against: there is no branch or commit 'nowhere' in {repository}",
    )
    book = repository / "runbooks" / "hello.yaml"
    (repository / "runbooks" / "hi.yaml").write_text(book.read_text().replace("runbook: hello", "runbook: hi"))
    (repository / "sql_templates" / "hello").rename(repository / "sql_templates" / "hi")
    new = gonogo("plan", "hi", "--against", "main", cwd=repository, env=environment())
    assert new.returncode == 0, new.stderr
    assert "New since main: there it cannot be planned" in new.stdout


def test_what_a_rehearsal_measured_is_shown_and_of_which_plan_it_was(repository: Path, tmp_path: Path) -> None:
    shown = gonogo("rehearse", "hello", "--json", cwd=repository, env=environment())
    assert shown.returncode == 0, shown.stdout + shown.stderr
    measured = tmp_path / "rehearsal.json"
    measured.write_text(shown.stdout)

    def page() -> str:
        told = gonogo("plan", "hello", "--rehearsal", measured, "--format", "markdown", cwd=repository, env=environment())
        assert told.returncode == 0, told.stderr
        return told.stdout

    assert "<summary>The rehearsal</summary>" in page()
    assert "It was of another plan" not in page()
    book = repository / "runbooks" / "hello.yaml"
    book.write_text(book.read_text().replace("takes: 7m", "takes: 8m"))
    assert "**It was of another plan: the seal differs.**" in page()
    wrong = gonogo("plan", "hello", "--rehearsal", book, cwd=repository, env=environment())
    assert (wrong.returncode, "is not what `gonogo rehearse --json` prints" in wrong.stderr) == (2, True)


def test_what_is_new_in_a_plan_is_one_line_and_its_sql_is_shown(repository: Path) -> None:
    book = repository / "runbooks" / "hello.yaml"
    more = "          - {sql: 030_more.sql, undo: nothing}\n"
    lines = book.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if "020_index.sql" in line) + 1
    book.write_text("".join([*lines[:at], more, *lines[at:]]))
    (repository / "sql_templates" / "hello" / "030_more.sql").write_text("ANALYZE greetings;\n")
    told = gonogo("plan", "hello", "--against", "HEAD", "--json", cwd=repository, env=environment())
    assert json.loads(told.stdout)["against"]["changes"] == [
        "steps[schema.3] is new",
        "hello/030_more.sql has changed:",
        "    +ANALYZE greetings;",
    ]


def test_the_hooks_for_pre_commit_are_commands_that_there_are(repository: Path, tmp_path: Path) -> None:
    hooks = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert hooks.keys() == {"gonogo-validate", "gonogo-doctor"}
    files = [str(file.relative_to(repository)) for file in repository.rglob("*.yaml")]
    chosen = [file for file in files if re.search(hooks["gonogo-validate"]["files"], file)]
    assert chosen == ["runbooks/hello.yaml"]
    done = bash(f"{hooks['gonogo-validate']['entry']} {chosen[0]}", repository, tmp_path)
    assert done.returncode == 0, done.stderr
    done = bash(f"{hooks['gonogo-doctor']['entry']} db/migrations", repository, tmp_path)
    assert done.returncode == 10, done.stderr
