"""What fifty who look at a run's page cost: `uv run python benchmarks/page.py [VIEWERS]`.

A run soaks with two watched checks a second; as many connections as there are viewers hear what its page sends. Printed are the
seconds of a processor that the page's process took a second, and how long the page took to load, beside the same with one viewer.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from gonogo import clock

_SECONDS = 20.0
_BOOK = """
runbook: page
targets: {here: {database: embedded}}
phases:
  - phase: only
    tasks: [{task: table, title: Make a table, takes: 1m, steps: [{sql: one.sql, undo: undo.sql}]}]
    watch: [tables, sessions]
    every: 1s
    soak: 10m
checks:
  tables: {query: SELECT count(*) FROM pg_class, roll_back_if: "> 100000"}
  sessions: {query: SELECT count(*) FROM pg_stat_activity, roll_back_if: "> 10000"}
"""


def main() -> None:
    """Measure it for one viewer and for many."""
    viewers = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-") as folder:
        root = Path(folder)
        (root / "runbooks").mkdir()
        (root / "runbooks" / "page.yaml").write_text(_BOOK, encoding="utf-8")
        templates = root / "sql_templates" / "page"
        templates.mkdir(parents=True)
        (templates / "one.sql").write_text("CREATE TABLE one (id int);\n", encoding="utf-8")
        (templates / "undo.sql").write_text("DROP TABLE one;\n", encoding="utf-8")
        run = _start(root, "run", "page", "--without-prefect")
        page = _start(root, "page", "--port", "4388")
        try:
            _measure(root, page, viewers)
        finally:
            for process in (page, run):
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)


def _start(root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gonogo", *words]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _measure(root: Path, page: subprocess.Popen[str], viewers: int) -> None:
    if page.stdout is None:
        raise RuntimeError("the page says nothing")
    said = page.stdout.readline() + page.stdout.readline()
    login = ("gonogo", re.findall(r"gonogo:(\S+)", said)[0])
    pid = page.pid
    while not (root / ".gonogo" / "page.json").exists():
        clock.sleep(0.2)
    clock.sleep(5)
    began = clock.monotonic()
    whole = httpx.get("http://127.0.0.1:4388/runs/page/here/", auth=login, timeout=30, trust_env=False)
    whole.raise_for_status()
    print(f"the page: {len(whole.content) / 1000:.0f} kB, loaded in {(clock.monotonic() - began) * 1000:.0f} ms")
    for count in (1, viewers):
        heard, used = asyncio.run(_look(count, login, pid))
        share, pace = used / _SECONDS, heard / count / _SECONDS
        print(f"{count:3} viewers: {share:.1%} of a processor, {pace:.1f} messages a second for each")


async def _look(count: int, login: tuple[str, str], pid: int) -> tuple[int, float]:
    """Let some viewers look for a while; return how many messages came, and the processor seconds that the server took."""
    heard = 0

    async def viewer(client: httpx.AsyncClient) -> None:
        nonlocal heard
        async with client.stream("GET", "http://127.0.0.1:4388/runs/page/here/stream", auth=login) as stream:
            async for line in stream.aiter_lines():
                heard += line.startswith("event:")

    limits = httpx.Limits(max_connections=count + 5)
    async with httpx.AsyncClient(timeout=120, limits=limits, trust_env=False) as client:
        tasks = [asyncio.create_task(viewer(client)) for _ in range(count)]
        await asyncio.sleep(3)
        before, heard = _used(pid), 0
        await asyncio.sleep(_SECONDS)
        used = _used(pid) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return heard, used


def _used(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
