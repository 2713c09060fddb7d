"""Secrets of every sort are planted, every command is tried and made to fail, and they are looked for everywhere."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from support.command import environment, gonogo, start
from support.servers import DEBIAN_15, open_folder, running_15
from support.slack_server import TOKEN, SlackServer
from support.waiting import until

from gonogo.redaction import redacting

pytestmark = [
    pytest.mark.attack("secrets"),
    pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="Debian's PostgreSQL 15 is not installed"),
    pytest.mark.timeout(900),
]
Make = Callable[..., Path]
#: each holds a word of its own, and what programs write in other forms
PASSWORD = "CANARYpassword p@/:?#%'\"\\ é+="
SECRETS = {
    "API_TOKEN": "CANARYtoken+/=:@ '\"\\",
    "SERVICE_KEY": "CANARYkey-with~tilde/and/slashes",
    "PROGRAM_SECRET": "CANARYprogram {line} $X\\",
    "SLACK_BOT_TOKEN": TOKEN,
}
BOOK = """
runbook: book
targets:
  db: {database: $TEST_URL}
  wrong: {database: $WRONG_URL}
  far: {database: $FAR_URL}
  torn: {database: $TORN_URL}
people:
  lead: {name: Technical lead, roles: [technical_lead], slack: U012ABCDEF}
updates: {slack: "#migration"}
backup: {}
baseline: [tells]
monitor: {every: 10m, alerts: [{alert: many, check: asks, when: "> 99"}]}
rollback: {levels: [undo, restore]}
phases:
  - phase: one
    gate: {go_if: [asks, tells]}
    tasks:
      - task: work
        steps:
          - {sql: a.sql, undo: a.undo.sql}
          - {step: say, run: {argv: [sh, -c, "env; env | base64; echo $PROGRAM_SECRET >&2"], environment: [PROGRAM_SECRET],
             url_as: DATABASE_URL}, undo: nothing}
          - {step: post, http: {method: POST, url: "$SERVICE/$SERVICE_KEY", headers: {X-Token: "$API_TOKEN"}}, undo: nothing}
          - {sql: b.sql, undo: b.undo.sql}
    verify: [counts]
checks:
  asks: {http: {url: "$SERVICE/$SERVICE_KEY", headers: {Authorization: "Bearer $API_TOKEN"}, field: n}, expect: "= 1"}
  broken: {http: {url: "$SERVICE/broken/$SERVICE_KEY", headers: {X-Token: "$API_TOKEN"}}, expect: "p95 < 1ms"}
  metric: {prometheus: {url: "$SERVICE/$SERVICE_KEY", query: up}, expect: "= 1"}
  tells: {run: {argv: [sh, -c, "env >&2; echo '{\\"n\\": 1}'"], environment: [PROGRAM_SECRET, TEST_URL], field: n}, expect: "= 1"}
  fails:
    run: {argv: [sh, -c, "env; env >&2; exit 3"], environment: [PROGRAM_SECRET, TEST_URL], pattern: "n=([0-9]+)"}
    expect: "= 1"
  counts: {sql: c.sql, expect: "= 0"}
"""
FILES = {
    "a__sql": "CREATE TABLE a (i int);\n",
    "a__undo__sql": "DROP TABLE a;\n",
    "b__sql": "SELECT pg_sleep(coalesce((SELECT 0 FROM pg_tables WHERE tablename = 'go'), 60));\nCREATE TABLE b (i int);\n",
    "b__undo__sql": "DROP TABLE b;\n",
    "c__sql": "SELECT count(*) FROM a\n",
}


class Echo(http.server.BaseHTTPRequestHandler):
    """A service that says back all that it was told."""

    def do_GET(self) -> None:
        """Answer with the address and the headers."""
        told = {"n": 1, "path": self.path, "headers": dict(self.headers), "error": self.path, "errorType": str(self.headers)}
        said = json.dumps(told).encode()
        self.send_response(500 if "broken" in self.path else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Seen:
    """All that anybody could see, by where."""

    texts: dict[str, str] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def watch_processes(self) -> None:
        """Look at the process list all the time."""
        while not self._over.wait(0.03):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    self.texts.setdefault(f"the process list: {line[:60]}", line)

    def end(self) -> None:
        """Look no longer."""
        self._over.set()

    def files(self, folder: Path, what: str, *besides: str) -> None:
        """Look into every file below a folder."""
        for file in folder.rglob("*"):
            if file.is_file() and file.name not in besides and "/postgres/" not in str(file) and "/scratch/" not in str(file):
                with suppress(OSError):
                    self.texts[f"{what}: {file.relative_to(folder)}"] = file.read_bytes().decode(errors="replace")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_secret_is_found_wherever_a_command_or_its_failure_could_have_left_it(
    make_project: Make, service: str, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_folder() as folder, running_15(folder) as server, SlackServer("migration") as slack:
        url = server.database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET log_statement = 'none'")
            password = psycopg.sql.Literal(PASSWORD)
            connection.execute(psycopg.sql.SQL("CREATE ROLE canary LOGIN SUPERUSER PASSWORD {}").format(password))
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
        rules = folder / "data/pg_hba.conf"
        rules.write_text("local all canary scram-sha-256\n" + rules.read_text(encoding="utf-8"), encoding="utf-8")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        before = (folder / "log").stat().st_size
        login = url.replace("postgres@", f"canary:{quote(PASSWORD, safe='')}@")
        env = environment(
            TEST_URL=login,
            WRONG_URL=login.replace("CANARYpassword", "CANARYwrong"),
            FAR_URL=f"postgresql://canary:{quote(PASSWORD, safe='')}@127.0.0.1:1/shop",
            TORN_URL=f"postgresql://canary:{PASSWORD}@db.example/shop",
            SERVICE=service,
            SLACK_API_URL=slack.url,
            TMPDIR=str(scratch),
            XDG_CONFIG_HOME=str(tmp_path / "config"),
            **SECRETS,
        )
        project = make_project(BOOK, **FILES)
        seen = Seen()
        looking = threading.Thread(target=seen.watch_processes)
        looking.start()
        try:
            codes = _every_command(project, env, seen, login)
        finally:
            seen.end()
            looking.join()
        with psycopg.connect(url, autocommit=True) as connection:
            for table in ("run", "event", "script", "fence", "delivery"):
                rows = connection.execute(f"SELECT t::text FROM gonogo.{table} t".encode()).fetchall()
                seen.texts[f"the ledger: {table}"] = "\n".join(str(row[0]) for row in rows)
        seen.texts["Slack"] = "\n".join(message.text for message in slack.channel.messages)
        with (folder / "log").open("rb") as log:
            log.seek(before)
            seen.texts["the server's log"] = log.read().decode(errors="replace")
    seen.files(project, "the project", "keys.json", "key")
    seen.files(scratch, "a temporary file")

    assert {code for code in codes.values() if code not in (0, 1, 2, 3, 4, 10, 11, 12, -9)} == set(), codes
    seeds = json.loads((project / ".gonogo/keys.json").read_text(encoding="utf-8"))
    private = (tmp_path / "config/gonogo/key").read_text(encoding="ascii").splitlines()[1:-1]
    planted = [PASSWORD, *SECRETS.values(), *(key["secret"] for key in seeds.values()), *private]
    redact = redacting(planted)
    found = {where for where, text in seen.texts.items() if redact(text) != text}
    words = {where for where, text in seen.texts.items() if "CANARY" in text}
    assert (found, words) == (set(), set()), [seen.texts[where][:3000] for where in sorted(found | words)][:3]
    assert len(seen.texts) > 60, "it was looked"


def _every_command(project: Path, env: dict[str, str], seen: Seen, login: str) -> dict[str, int]:
    """Try every command, also as it fails; keep what each said."""
    codes: dict[str, int] = {}

    def do(*command: str, **more: str) -> None:
        done = gonogo(*command, cwd=project, env={**env, **more}, timeout=200)
        name = f"{len(codes)}: {' '.join(command)}"
        codes[name] = done.returncode
        # the QR code and its address are shown once, to the person whose they are
        seen.texts[f"the output of {name}"] = "" if command[:2] == ("people", "enroll") else done.stdout + done.stderr

    do("people", "enroll", "lead")
    do("people", "key")
    do("people", "list", "--json")
    for command in (["validate", "book"], ["plan", "book", "--sql"], ["plan", "book", "--json"], ["schema"], ["objects", "book"]):
        do(*command)
    for name in ("asks", "broken", "metric", "tells", "fails", "counts"):
        do("check", "book", name)
        do("check", "book", name, "--json")
    for target in ("wrong", "far", "torn"):
        for command in (["run", "book"], ["status", "book"], ["check", "book"], ["backup", "take", "book"], ["rehearse", "book"]):
            more = ["--without-prefect"] if command[0] == "run" else []
            do(*command, "-t", target, *more)
    do("backup", "take", "book")
    do("backup", "list", "book")
    do("rehearse", "book", "--json")
    do("monitor", "book")
    do("psql", "book", "--", "-c", "SELECT 1", PATH=f"{DEBIAN_15}:{env['PATH']}")
    process = start("run", "book", "--without-prefect", cwd=project, env=env)
    _until_asleep(login, process)
    do("hold", "book", "--reason", "wait")
    do("status", "book", "--json")
    process.send_signal(signal.SIGKILL)
    seen.texts["the output of the killed run"] = process.communicate()[0]
    with psycopg.connect(login, autocommit=True) as connection:
        connection.execute("CREATE TABLE go ()")
    do("resume", "book", "--without-prefect", SERVICE="http://127.0.0.1:1")
    do("resume", "book", "--without-prefect", "--settle", "done", API_TOKEN="")
    do("resume", "book", "--without-prefect", "--settle", "done")
    do("status", "book")
    do("report", "book")
    do("report", "book", "--format", "html")
    do("report", "book", "--deliverables", "papers")
    do("ledger", "verify", "book", "--json")
    do("ledger", "export", "book")
    do("rollback", "book", "--without-prefect", "--accept-loss")
    do("rollback", "book", "--without-prefect", "--level", "restore", "--accept-loss")
    (project / "migrations").mkdir()
    (project / "migrations/1_a.up.sql").write_text("SELECT 1/0;\n", encoding="utf-8")
    do("doctor", "migrations")
    return codes


def _until_asleep(url: str, process: subprocess.Popen[str]) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(coalesce%' AND wait_event = 'PgSleep'"
        " AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        until(lambda: process.poll() is not None or connection.execute(query).fetchone() != (0,))
    assert process.poll() is None, process.communicate()[0]
