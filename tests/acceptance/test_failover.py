"""A server that comes back without its newest commits, and a ledger from which somebody removed events."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from support.command import environment, gonogo
from support.servers import DEBIAN_15, Server, open_folder, running_15

import gonogo as api
from gonogo.core.engine.events import Event, LedgerLost

BOOK = """
runbook: book
title: Steps
targets: {{db: {{database: $TEST_URL}}}}
phases:
  - phase: one
    tasks:
      - task: many
        steps:
{steps}
"""


@pytest.fixture
def long_project(make_project: Callable[..., Path]) -> Path:
    """A runbook of thirty small steps, with a program in their middle."""
    steps = [f"          - {{sql: {n:03}.sql, undo: {n:03}.undo.sql}}" for n in range(1, 31)]
    steps.insert(20, '          - {run: {argv: [sh, -c, "echo ran >> said.txt"]}, undo: nothing}')
    scripts = {f"{n:03}__sql": f"INSERT INTO done VALUES ({n}); SELECT pg_sleep(0.15);" for n in range(1, 31)}
    scripts |= {f"{n:03}__undo__sql": f"DELETE FROM done WHERE n = {n};" for n in range(1, 31)}
    return make_project(BOOK.format(steps="\n".join(steps)), **scripts)


@dataclass
class Pair:
    """A primary server with an asynchronous standby."""

    folder: Path
    url: str

    def run(self, *command: object) -> None:
        """Run one of PostgreSQL's programs as its own user."""
        user = "postgres" if os.geteuid() == 0 else None
        subprocess.run(
            [DEBIAN_15 / str(command[0]), *map(str, command[1:])],
            check=True,
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            timeout=180,
        )

    def start(self, name: str) -> None:
        """Start one of the two."""
        (self.folder / f"{name}.s").mkdir(exist_ok=True)
        (self.folder / f"{name}.s").chmod(0o777)
        options = f"-h '' -k {self.folder}/{name}.s"
        self.run("pg_ctl", "-D", self.folder / name, "-w", "-l", self.folder / f"{name}.log", "-o", options, "start")

    def stop_receiving(self) -> int:
        """Stop what the standby receives with; return its process."""
        found = subprocess.run(["pgrep", "-f", "walreceiver"], capture_output=True, text=True, check=True).stdout.split()
        mine = [int(pid) for pid in found if str(self.folder) in _command_of(int(pid), self.folder)]
        os.kill(mine[0], signal.SIGSTOP)
        return mine[0]

    def fail_over(self, receiver: int) -> None:
        """Kill the primary at once, and make the standby the primary."""
        postmaster = int((self.folder / "a" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)
        os.kill(receiver, signal.SIGKILL)
        self.run("pg_ctl", "-D", self.folder / "b", "-w", "promote")


def _command_of(process: int, folder: Path) -> str:
    """Return the data folder that a server's process works in, as its working directory says."""
    try:
        return str(Path(f"/proc/{process}/cwd").resolve())
    except OSError:
        return str(folder.parent / "gone")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two servers, the second of which follows the first."""
    if not DEBIAN_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
    with open_folder() as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        hosts = f"host={folder}/a.s,{folder}/b.s port=5432,5432 user=postgres dbname=postgres target_session_attrs=read-write"
        pair = Pair(folder, hosts)
        pair.run("initdb", "-D", folder / "a", "-U", "postgres", "--auth=trust", "--encoding=UTF8")
        with (folder / "a" / "postgresql.conf").open("a") as conf:
            conf.write("wal_level = replica\nhot_standby = on\nmax_wal_senders = 4\n")
        pair.start("a")
        pair.run("pg_basebackup", "-h", folder / "a.s", "-U", "postgres", "-D", folder / "b", "-R", "-c", "fast")
        pair.start("b")
        try:
            yield pair
        finally:
            for name in ("a", "b"):
                if (folder / name / "postmaster.pid").is_file():
                    subprocess.run(
                        [DEBIAN_15 / "pg_ctl", "-D", folder / name, "-m", "immediate", "stop"],
                        check=False,
                        user="postgres" if os.geteuid() == 0 else None,
                        cwd="/",
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )


def test_a_failover_that_lost_commits_is_said_and_each_step_happens_once_all_the_same(
    pair: Pair, long_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_URL", pair.url)
    with psycopg.connect(pair.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE done (n int)")
    seen: list[Event] = []

    def hear(event: Event) -> None:
        seen.append(event)
        if getattr(event.body, "step", None) == 8 and event.kind == "script done":
            receivers.append(pair.stop_receiving())
        if getattr(event.body, "step", None) == 24 and event.kind == "script done" and len(receivers) == 1:
            receivers.append(0)
            threading.Thread(target=pair.fail_over, args=(receivers[0],)).start()

    receivers: list[int] = []
    run = api.launch(api.load(long_project / "runbooks" / "book.yaml"), at_once=True, hear=hear)

    lost = [event.body for event in seen if isinstance(event.body, LedgerLost)]
    assert len(lost) == 1
    assert lost[0].known > lost[0].head, "what was recorded and is gone is told"
    assert [step for step, _ in lost[0].beyond] == [20], "the program ran, and the ledger lost that"
    assert run.state.held, "whether the program ran is for a person to say"
    assert (long_project / "said.txt").read_text() == "ran\n"
    done = gonogo("resume", "book", "--settle", "done", "--without-prefect", cwd=long_project, env=environment(TEST_URL=pair.url))
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(pair.url, autocommit=True) as connection:
        rows = connection.execute("SELECT n, count(*) FROM done GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [(n, 1) for n in range(1, 31)]
    assert (long_project / "said.txt").read_text() == "ran\n"


@pytest.fixture
def ended(server: Server, long_project: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A run that holds after some steps; its project, and its database."""
    url = server.database()
    monkeypatch.setenv("TEST_URL", url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE done (n int)")
    opened = api.load(long_project / "runbooks" / "book.yaml")

    def hear(event: Event) -> None:
        if getattr(event.body, "step", None) == 5 and event.kind == "script done":
            gonogo("hold", "book", cwd=long_project, env=environment(TEST_URL=url))

    assert api.launch(opened, at_once=True, hear=hear).state.held
    return long_project, url


@pytest.mark.parametrize(
    ("removal", "why"),
    [
        ("DELETE FROM gonogo.event WHERE kind = 'script done' AND body->>'step' = '2'", "is not whole"),
        ("DELETE FROM gonogo.event WHERE seq = 1", "not begin with its plan"),
        (
            "DELETE FROM gonogo.event WHERE seq > 8; UPDATE gonogo.run SET seq = 8",
            "somebody removed events",
        ),
    ],
)
def test_a_ledger_from_which_events_were_removed_is_found_and_not_gone_on_with(
    ended: tuple[Path, str], removal: str, why: str
) -> None:
    project, url = ended
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(removal.encode())
        before = connection.execute("SELECT count(*) FROM done").fetchone()
    env = environment(TEST_URL=url)
    resumed = gonogo("resume", "book", "--without-prefect", cwd=project, env=env)
    verified = gonogo("ledger", "verify", "book", cwd=project, env=env)

    assert resumed.returncode == 3, resumed.stdout + resumed.stderr
    assert why in resumed.stderr
    assert "Traceback" not in resumed.stderr + verified.stderr
    assert verified.returncode != 0, verified.stdout
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM done").fetchone() == before, "nothing is done"


WATCHED = """
runbook: book
title: Watched
targets: {db: {database: $TEST_URL}}
phases:
  - phase: one
    gate: {go_if: [well]}
    every: 1s
    soak: 6s
    tasks:
      - task: one
        steps: [{sql: one.sql, undo: one.undo.sql}, {check: well}]
    verify: [well]
    watch: [well]
checks:
  well: {query: SELECT count(*) FROM done, expect: ">= 0", roll_back_if: "> 5"}
"""


@pytest.mark.parametrize("at", ["verified", "script done"])
def test_a_restart_of_the_target_ends_neither_the_watch_nor_the_run(
    at: str, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not DEBIAN_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
    root = make_project(WATCHED, one__sql="INSERT INTO done VALUES (1);", one__undo__sql="DELETE FROM done;")
    with open_folder() as folder, running_15(folder) as server:
        monkeypatch.setenv("TEST_URL", server.url)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE done (n int)")

        def restart() -> None:
            user = "postgres" if os.geteuid() == 0 else None
            words = f"restart -w -m fast -D {folder}/data -l {folder}/log".split()
            subprocess.run([DEBIAN_15 / "pg_ctl", *words], user=user, cwd="/", stdout=subprocess.DEVNULL, check=True)

        def hear(event: Event) -> None:
            if event.kind == at and not threads:
                threads.append(threading.Thread(target=restart))
                threads[-1].start()

        threads: list[threading.Thread] = []
        run = api.launch(api.load(root / "runbooks" / "book.yaml"), at_once=True, hear=hear)
        for thread in threads:
            thread.join()
        assert threads
        assert run.outcome == "done", [event.body for event in run.events][-6:]
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT count(*) FROM done").fetchone() == (1,)
