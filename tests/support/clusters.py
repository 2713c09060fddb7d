"""A whole PostgreSQL 15 of a test's own: stopped, started, copied and restored by programs, as an operator's would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.servers import DEBIAN_15, Server

#: what takes, opens and puts back a copy of the whole server: a storage's snapshot, as far as gonogo can tell
SNAPSHOT = r"""
import json, os, pathlib, shutil, subprocess, sys, time

folder, word = pathlib.Path(sys.argv[1]), sys.argv[2]
bin = pathlib.Path("/usr/lib/postgresql/15/bin")
account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
point = os.environ.get("GONOGO_RESTORE_POINT", "")
flags = set((folder / "flags").read_text().split()) if (folder / "flags").exists() else set()
(folder / "calls").open("a").write(f"{word} {point} {os.environ.get('GONOGO_COPY', '')}\n")

def run(*words):
    subprocess.run([*account, *map(str, words)], check=True, cwd="/", stdout=sys.stderr)

def beside(data, port):
    return ["-D", data, "-w", "-l", folder / "side.log", "-o", f"-k {folder} -p {port} -h ''"]

if word == "take":
    name = os.environ["GONOGO_NAME"]
    run(bin / "pg_basebackup", "-h", folder, "-U", "postgres", "-D", folder / name, "-c", "fast", "-X", "stream")
    if "alters" in flags:
        run("psql", "-h", folder, "-U", "postgres", "-d", os.environ["PGDATABASE"], "-qc", "ALTER TABLE item ADD COLUMN odd int")
    print(json.dumps({"id": name}))
elif word == "prove":
    if "says-nothing" in flags:
        print("all is well")
        sys.exit()
    if "fails" in flags:
        print("the storage is away", file=sys.stderr)
        sys.exit(7)
    if "the-target" in flags:
        print(json.dumps({"url": f"postgresql://postgres@/{os.environ['PGDATABASE']}?host={folder}&port={os.environ['PGPORT']}"}))
        sys.exit()
    old = sorted(each.name for each in folder.iterdir() if (each / "PG_VERSION").exists() and each.name not in ("data", "side"))
    run("cp", "-a", folder / (next(each for each in old if each != point) if "another" in flags else point), folder / "side")
    run(bin / "pg_ctl", *beside(folder / "side", 7001), "start")
    database = os.environ["PGDATABASE"]
    for flag in flags:
        if (folder / f"{flag}.sql").exists():
            run("psql", "-h", folder, "-p", 7001, "-U", "postgres", "-d", database, "-qf", folder / f"{flag}.sql")
    print("opened")
    print(json.dumps({"url": f"postgresql://postgres@/{database}?host={folder}&port=7001", "id": "side"}))
    if "fails-late" in flags:
        sys.exit("the last request timed out")
elif word == "drop":
    if (folder / "side").exists():
        run(bin / "pg_ctl", "-D", folder / "side", "-m", "immediate", "stop")
        run("rm", "-rf", folder / "side")
    if "drop-fails" in flags:
        sys.exit("it cannot be dropped")
elif word == "restore":
    if "lies" in flags:
        sys.exit()
    if "fails-at-once" in flags:
        print("the storage is away", file=sys.stderr)
        sys.exit(7)
    subprocess.run(["/bin/sh", folder / "stop"], stdout=sys.stderr)
    if "slow" in flags:
        (folder / "stopped").touch()
        time.sleep(600)
    run("rm", "-rf", folder / "data")
    known = sorted(each.name for each in folder.glob("book-*"))
    chosen = next(each for each in known if each != point) if "restores-another" in flags else point
    run("cp", "-a", folder / chosen, folder / "data")
    subprocess.run(["/bin/sh", folder / "start"], check=True, stdout=sys.stderr)
elif word == "delete":
    run("rm", "-rf", folder / point)
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A server, and the programs of whoever operates it."""

    folder: Path
    server: Server

    @property
    def account(self) -> list[str]:
        """The words before a command of the server's account."""
        return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def flag(self, *flags: str, **scripts: str) -> None:
        """Let its programs misbehave; a script is run in the copy that they make."""
        (self.folder / "flags").write_text("\n".join((*flags, *scripts)), encoding="utf-8")
        for name, text in scripts.items():
            (self.folder / f"{name}.sql").write_text(text, encoding="utf-8")

    @property
    def calls(self) -> list[str]:
        """Which of its programs were called, with what they were told."""
        file = self.folder / "calls"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def program(self, word: str) -> str:
        """Write one of its programs as a runbook does."""
        return f"[{sys.executable}, {self.folder}/snapshot.py, {self.folder}, {word}]"

    @property
    def programs(self) -> str:
        """All of them, as a runbook's `command:`."""
        words = ("take", "prove", "drop", "restore", "delete")
        return "{" + ", ".join(f"{word}: {self.program(word)}" for word in words) + "}"


@contextmanager
def cluster(folder: Path, *settings: str) -> Iterator[Cluster]:
    """Run a server of its own in a folder, with settings beside the usual ones."""
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(folder, "postgres")

    def run(*words: str) -> None:
        subprocess.run([*account, *words], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=180)

    before = " ".join(account)
    options = " ".join((f"-k {folder} -h ''", *(f"-c {each}" for each in settings)))
    control = f"{before} {DEBIAN_15}/pg_ctl -D {folder}/data -w"
    (folder / "start").write_text(f'cd / && {control} -l {folder}/log -o "{options}" start\n', encoding="utf-8")
    (folder / "stop").write_text(f"cd / && {control} -m fast stop\n", encoding="utf-8")
    (folder / "snapshot.py").write_text(SNAPSHOT, encoding="utf-8")
    run(f"{DEBIAN_15}/initdb", "-D", f"{folder}/data", "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    subprocess.run(["/bin/sh", folder / "start"], check=True, stdout=subprocess.DEVNULL, timeout=180)
    try:
        yield Cluster(folder=folder, server=Server(f"postgresql://postgres@/postgres?host={folder}"))
    finally:
        for data in (folder / "data", folder / "side"):
            if (data / "postmaster.pid").exists():
                subprocess.run([*account, f"{DEBIAN_15}/pg_ctl", "-D", data, "-m", "immediate", "stop"], cwd="/", check=False)


@contextmanager
def stanza(folder: Path) -> Iterator[tuple[Cluster, str]]:
    """Run a server whose WAL goes to pgBackRest, with a stanza `main`; yield it, and pgBackRest's configuration."""
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    config = folder / "pgbackrest.conf"
    command = f"pgbackrest --config={config} --stanza=main"
    with cluster(folder, "archive_mode=on", f"'archive_command={command} archive-push %p'", "max_wal_senders=5") as made:
        config.write_text(
            f"[global]\nrepo1-path={folder}/repo\nlog-level-console=warn\nlog-level-file=off\nlock-path={folder}/lock\n"
            f"spool-path={folder}/spool\nstart-fast=y\n[main]\npg1-path={folder}/data\npg1-socket-path={folder}\n"
            "pg1-user=postgres\n",
            encoding="utf-8",
        )
        subprocess.run([*account, *command.split(), "stanza-create"], check=True, cwd="/", timeout=60)
        yield made, str(config)
