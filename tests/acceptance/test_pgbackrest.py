"""Restore points by pgBackRest itself: taken, proved in a cluster beside the target's, and put back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.clusters import Cluster, stanza
from support.desk import BOOK, Desk, lay
from support.servers import DEBIAN_15, open_folder

Make = Callable[..., Path]
pytestmark = [
    pytest.mark.xdist_group("pgbackrest"),
    pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)"),
    pytest.mark.skipif(not shutil.which("pgbackrest"), reason="pgBackRest is not installed (Debian: apt-get install pgbackrest)"),
]


@pytest.fixture(scope="module")
def archive() -> Iterator[tuple[Cluster, str]]:
    with open_folder() as folder, stanza(folder) as made:
        yield made


@pytest.fixture
def desk(make_project: Make, archive: tuple[Cluster, str]) -> Desk:
    return lay(make_project, archive[0].server, book(*archive))


def book(cluster: Cluster, config: str, more: str = "") -> str:
    folder = cluster.folder
    run_as = json.dumps(cluster.account)
    rule = (
        f"stanza: main, run_as: {run_as}, options: ['--config={config}'], side: {folder}/beside, data: {folder}/data,"
        f" stop: [/bin/sh, {folder}/stop], start: [/bin/sh, {folder}/start]{more}"
    )
    return BOOK.replace("phases:", f"backup: {{pgbackrest: {{{rule}}}}}\nrollback: {{levels: [undo, restore]}}\nphases:", 1)


def one(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def beside(cluster: Cluster) -> list[str]:
    folder = cluster.folder / "beside"
    return [each.name for each in folder.iterdir()] if folder.exists() else []


def test_a_backup_of_pgbackrest_is_proved_up_to_a_named_point_and_put_back(desk: Desk, archive: tuple[Cluster, str]) -> None:
    cluster, _ = archive
    other = cluster.server.database()
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 20) FROM generate_series(1, 30000) g")
        connection.execute("ALTER TABLE big ADD PRIMARY KEY (id)")

    done = desk("run", "book", "--without-prefect")

    assert done.returncode == 0, done.stdout + done.stderr
    body = one(desk.url, "SELECT body FROM gonogo.event WHERE kind = 'backup proved'")
    assert isinstance(body, dict)
    label, name = str(body["point"]).split()
    assert name.startswith("book-")
    assert "the whole server" in str(body["takes_along"])
    assert other.split("/")[3].split("?")[0] in str(body["takes_along"])
    assert body["tables"] == 3
    assert "sampled" not in body
    # nothing of the cluster beside is left, nor does it run
    assert beside(cluster) == []
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("DELETE FROM sale; DROP TABLE big")

    back = desk("rollback", "book", "--level", "restore", "--reason", "r", "--accept-loss", "--without-prefect")

    assert back.returncode == 11, back.stdout + back.stderr
    assert one(desk.url, "SELECT count(*) FROM sale") == 500
    assert one(desk.url, "SELECT count(*) FROM big") == 30000
    assert one(desk.url, "SELECT count(*) FROM gonogo.event WHERE kind = 'backup restored'") == 1
    assert desk("ledger", "verify", "book").returncode == 0
    # it archives on, so the next one can be taken, and needs less
    again = desk("run", "book", "--without-prefect")
    assert again.returncode == 0, again.stdout + again.stderr
    info = subprocess.run(
        [*cluster.account, "pgbackrest", f"--config={archive[1]}", "info", "--output=json"],
        capture_output=True,
        check=True,
        cwd="/",
    )
    kinds = [each["type"] for each in json.loads(info.stdout)[0]["backup"]]
    assert kinds[0] == "full"
    assert set(kinds[1:]) == {"incr"}
    (page, *_) = desk("report", "book").stdout.splitlines()
    assert "--target-action=promote restore`" in Path(page).read_text(encoding="utf-8")
    assert label


def test_who_may_not_name_a_point_restores_to_the_end_of_the_backup(desk: Desk, archive: tuple[Cluster, str]) -> None:
    cluster, config = archive
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN")
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} OWNER TO plain; ALTER SCHEMA public OWNER TO plain")
        connection.execute("ALTER TABLE item OWNER TO plain; ALTER TABLE sale OWNER TO plain")
    desk.env["TEST_URL"] = desk.url.replace("postgres@", "plain@")
    taken = desk("backup", "take", "book", "--json")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    proof = json.loads(taken.stdout)
    assert len(proof["point"].split()) == 1
    again = desk("backup", "prove", "book", proof["folder"])
    assert again.returncode == 0, again.stdout + again.stderr
    assert config
    assert beside(cluster) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("stanza: main", "stanza: other"), "pgbackrest ended with"),
        (("side: ", "side: /x"), "mkdir ended with"),
        (("--config=", "--config=/nowhere"), "pgbackrest ended with"),
    ],
    ids=["stanza", "side", "config"],
)
def test_what_pgbackrest_refuses_is_a_no_go_in_its_own_words(
    desk: Desk, archive: tuple[Cluster, str], change: tuple[str, str], says: str
) -> None:
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace(*change, 1))
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 10, done.stdout + done.stderr
    assert says in done.stdout
    assert beside(archive[0]) == []


def test_a_cluster_that_a_killed_process_left_is_removed_before_the_next(desk: Desk, archive: tuple[Cluster, str]) -> None:
    cluster, _ = archive
    left = cluster.folder / "beside" / "gonogo-999999999-abcd"
    subprocess.run([*cluster.account, "mkdir", "-p", str(left / "data")], check=True, cwd="/")
    taken = desk("backup", "take", "book")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert not left.exists()


def test_restoring_needs_to_know_how_the_server_is_stopped_and_started(desk: Desk) -> None:
    file = desk.project / "runbooks" / "book.yaml"
    text = file.read_text()
    file.write_text(text[: text.index(", start:")] + "}}" + text[text.index("\nrollback:") :])
    said = desk("validate", "book")
    assert said.returncode == 2
    assert "restoring needs all three: `data`, `stop` and `start`" in said.stderr
