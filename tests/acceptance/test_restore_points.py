"""Restore points that gonogo does not make itself: proved by what is in them, restored by what made them, the ledger kept."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.clusters import Cluster, cluster
from support.command import start, status
from support.desk import BOOK, Desk, lay
from support.servers import DEBIAN_15, open_folder
from support.waiting import until

Make = Callable[..., Path]
pytestmark = [
    pytest.mark.xdist_group("restore points"),
    pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)"),
]


@pytest.fixture(scope="module")
def storage() -> Iterator[Cluster]:
    with open_folder() as folder, cluster(folder) as made:
        yield made


@pytest.fixture
def desk(make_project: Make, storage: Cluster) -> Iterator[Desk]:
    storage.flag()
    (storage.folder / "calls").unlink(missing_ok=True)
    here = lay(make_project, storage.server, book(f"command: {storage.programs}"))
    yield here
    for old in storage.folder.glob("book-*"):
        # what a killed run began may still be written
        shutil.rmtree(old, ignore_errors=True)


def book(backup: str, more: str = "") -> str:
    return BOOK.replace("phases:", f"backup: {{{backup}{more}}}\nrollback: {{levels: [undo, restore]}}\nphases:", 1)


def count(url: str, table: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])


def facts(url: str, kind: str) -> list[dict[str, object]]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT body FROM gonogo.event WHERE kind = %s ORDER BY seq", [kind]).fetchall()
        return [row[0] for row in rows]


def run(desk: Desk, code: int = 0) -> str:
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def restored(desk: Desk, *more: str, code: int = 11) -> str:
    done = desk("rollback", "book", "--level", "restore", "--reason", "r", "--without-prefect", *more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_restore_point_of_ones_own_programs_is_proved_and_restored_and_the_ledger_outlives_it(
    desk: Desk, storage: Cluster
) -> None:
    said = run(desk)
    assert "restore point" in said
    assert [line.split()[0] for line in storage.calls] == ["take", "prove", "drop"]
    (proved,) = facts(desk.url, "backup proved")
    assert proved["provider"] == "command"
    assert proved["tables"] == 2
    assert "sampled" not in proved
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("DELETE FROM sale; INSERT INTO item SELECT 5000, 'late', 1")
    before = len(facts(desk.url, "script done"))

    said = restored(desk, "--accept-loss")

    assert "back" in said
    assert count(desk.url, "sale") == 500
    assert count(desk.url, "item") == 2000
    # it went back with the server, and has all the same what came later
    assert len(facts(desk.url, "script done")) == before
    assert len(facts(desk.url, "backup restored")) == 1
    assert desk("ledger", "verify", "book").returncode == 0
    assert not list((desk.project / ".gonogo" / "restores").glob("*"))
    (page, *_) = desk("report", "book").stdout.splitlines()
    assert f"  By hand: `GONOGO_RESTORE_POINT={proved['point']} " in Path(page).read_text(encoding="utf-8")


def test_rows_written_since_are_not_lost_unasked(desk: Desk, storage: Cluster) -> None:
    run(desk)
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("INSERT INTO item SELECT 5000, 'late', 1")
    assert "1 of public.item" in restored(desk, code=4)
    assert not [line for line in storage.calls if line.startswith("restore")]


@contextmanager
def writing(url: str) -> Iterator[Callable[[], int]]:
    """Write to all that may be written, as an application does."""
    over, wrote = threading.Event(), [0]

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(0.002):
                wrote[0] += 1
                connection.execute("UPDATE item SET price = price + 1 WHERE id = 1 + (random() * 1000)::int")
                if wrote[0] % 20 == 0:
                    connection.execute("DELETE FROM sale WHERE id = (SELECT min(id) FROM sale)")
                connection.execute("INSERT INTO sale (item) VALUES (7)")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: wrote[0]
    finally:
        over.set()
        thread.join()


def test_a_busy_target_does_not_keep_it_from_being_proved(desk: Desk) -> None:
    with writing(desk.url) as wrote:
        run(desk)
        assert wrote() > 50
    (proved,) = facts(desk.url, "backup proved")
    sampled = proved["sampled"]
    assert isinstance(sampled, list)
    assert {each["table"] for each in sampled} == {"public.item", "public.sale"}
    assert all(each["compared"] > 100 for each in sampled)


@pytest.mark.parametrize(
    ("scripts", "says"),
    [
        ({"fewer": "DELETE FROM sale WHERE id = 77"}, "public.sale: it has 499:"),
        ({"other": "UPDATE item SET price = 0.5 WHERE id = 1234"}, "and nobody wrote to it meanwhile"),
        ({"swapped": "UPDATE item SET price = 3 - price WHERE id IN (1, 2)"}, "and nobody wrote to it meanwhile"),
        ({"more": "INSERT INTO item SELECT g, 'x' FROM generate_series(9000, 9999) g"}, "public.item: it has 3000:"),
        ({"no_index": "DROP INDEX item_name"}, "index public.item_name is missing"),
        ({"no_trigger": "ALTER TABLE sale ENABLE TRIGGER stamped"}, "trigger"),
        ({"no_grant": "REVOKE SELECT ON item FROM PUBLIC"}, "public.item"),
        ({"behind": "SELECT setval('sale_id_seq', 400)"}, "the sequence public.sale_id_seq is at 400, before 500"),
        ({"no_table": "DROP TABLE sale"}, "public.sale"),
        ({"no_ledger": "DROP SCHEMA gonogo CASCADE"}, "it lacks the newest event of the target's ledger"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_copy_that_lacks_something_proves_nothing(desk: Desk, storage: Cluster, scripts: dict[str, str], says: str) -> None:
    storage.flag(**scripts)
    said = run(desk, code=10)
    assert says in said
    # what was made of it is dropped all the same
    assert storage.calls[-1].split() == ["drop", storage.calls[-1].split()[1], "side"]
    assert facts(desk.url, "script done") == []


def test_a_row_that_a_busy_table_had_and_its_copy_lacks_is_missed(desk: Desk, storage: Cluster) -> None:
    storage.flag(fewer="DELETE FROM item WHERE id = 1777")
    with writing(desk.url):
        said = run(desk, code=10)
    assert "public.item: 1 of" in said
    assert "rows that it had are not in the copy" in said


def prepare(desk: Desk, sql: str) -> None:
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute(sql.encode())


def test_of_equal_rows_without_a_key_the_copy_must_have_as_many(desk: Desk, storage: Cluster) -> None:
    prepare(desk, "CREATE TABLE log (note text); INSERT INTO log SELECT 'same' FROM generate_series(1, 1000)")
    fewer = "DELETE FROM log WHERE ctid NOT IN (SELECT ctid FROM log LIMIT 1)"
    storage.flag(fewer=fewer)
    assert "public.log: it has 1:" in run(desk, code=10)
    over = threading.Event()

    def append() -> None:
        with psycopg.connect(desk.url, autocommit=True) as connection:
            while not over.wait(0.005):
                connection.execute("INSERT INTO log VALUES ('new')")

    thread = threading.Thread(target=append)
    thread.start()
    try:
        assert re.search(r"public.log: [\d,]+ of [\d,]+ rows that it had", run(desk, code=10))
    finally:
        over.set()
        thread.join()


def test_of_a_table_that_is_only_sampled_the_sample_is_drawn_from_all_of_it(desk: Desk, storage: Cluster) -> None:
    prepare(
        desk, "CREATE TABLE big (id int PRIMARY KEY, t text); INSERT INTO big SELECT g, 'x' FROM generate_series(1, 100000) g"
    )
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace("backup: {", "backup: {sample: {rows: 1000, whole_up_to: 1}, "))
    storage.flag(fewer="DELETE FROM big WHERE id BETWEEN 30000 AND 90000")
    assert "public.big: " in run(desk, code=10)
    storage.flag()
    run(desk)
    (proved,) = facts(desk.url, "backup proved")[-1:]
    assert isinstance(proved["sampled"], list)
    (big,) = proved["sampled"]
    assert big["table"] == "public.big"
    assert big["compared"] >= 1000
    assert 50_000 < big["rows"] < 200_000


def test_keys_of_every_type_and_odd_names_are_looked_up(desk: Desk, storage: Cluster) -> None:
    prepare(
        desk,
        "CREATE TABLE fixed (k char(5) PRIMARY KEY, b bit(3)); INSERT INTO fixed VALUES ('ab', B'101'), ('a b', B'000');"
        'CREATE TABLE "50 % off" ("the % key" text PRIMARY KEY); INSERT INTO "50 % off" VALUES (\'100 %\'), (\'a"b\');'
        "CREATE TABLE pair (a int, b timestamptz, PRIMARY KEY (a, b)); INSERT INTO pair VALUES (1, now()), (2, 'infinity')",
    )
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace("backup: {", "backup: {sample: {whole_up_to: 0}, "))
    run(desk)
    (proved,) = facts(desk.url, "backup proved")
    assert isinstance(proved["sampled"], list)
    assert {each["table"]: each["compared"] for each in proved["sampled"]}["public.fixed"] == 2
    assert storage.calls


def test_what_no_snapshot_holds_or_nobody_compares_is_named(desk: Desk) -> None:
    prepare(
        desk,
        "CREATE UNLOGGED TABLE cache AS SELECT 1 AS a; SELECT lo_from_bytea(0, 'x'); CREATE MATERIALIZED VIEW seen AS SELECT 1",
    )
    run(desk)
    (proved,) = facts(desk.url, "backup proved")
    uncovered = str(proved["uncovered"])
    for what in ("large objects", "unlogged table public.cache", "materialized view public.seen"):
        assert what in uncovered


def test_an_older_restore_point_is_not_taken_for_the_new_one(desk: Desk, storage: Cluster) -> None:
    assert desk("backup", "take", "book").returncode == 0
    storage.flag("another")
    assert "so it is of an earlier moment" in run(desk, code=10)


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("the-target", "is the target itself"),
        ("says-nothing", "the last line of its output is no JSON object"),
        ("fails", "ended with 7: the storage is away"),
    ],
)
def test_what_a_program_says_wrongly_is_a_no_go_with_its_reason(desk: Desk, storage: Cluster, flag: str, says: str) -> None:
    storage.flag(flag)
    assert says in run(desk, code=10)
    assert facts(desk.url, "script done") == []


def test_a_program_that_only_says_that_it_restored_is_not_believed(desk: Desk, storage: Cluster) -> None:
    run(desk)
    storage.flag("lies")
    assert "nothing was restored" in restored(desk, code=12)
    assert count(desk.url, "extra") == 2000
    storage.flag("fails-at-once")
    assert "the storage is away; what was there is still there" in restored(desk, code=12)
    storage.flag()
    restored(desk)
    assert count(desk.url, "sale") == 500


def test_another_restore_point_than_the_proved_one_is_not_called_a_rollback(desk: Desk, storage: Cluster) -> None:
    assert desk("backup", "take", "book").returncode == 0
    prepare(desk, "INSERT INTO item SELECT g, 'late' FROM generate_series(5001, 5100) g")
    run(desk)
    storage.flag("restores-another")
    said = restored(desk, code=12)
    assert "it lacks an event that this holds" in said
    assert len(facts(desk.url, "script done")) == 2
    storage.flag()
    restored(desk)
    assert count(desk.url, "item") == 2100


def test_what_was_granted_and_built_on_the_ledger_since_is_kept_where_it_can_be(desk: Desk, storage: Cluster) -> None:
    prepare(desk, "CREATE SCHEMA IF NOT EXISTS watching")
    assert desk("status", "book").returncode == 3
    run(desk)
    prepare(
        desk,
        "DROP ROLE IF EXISTS auditor_late; CREATE ROLE auditor_late; GRANT SELECT ON ALL TABLES IN SCHEMA gonogo TO auditor_late",
    )
    said = restored(desk)
    assert "auditor_late" in said
    assert "not granted on the ledger any more" in said
    assert len(facts(desk.url, "backup restored")) == 1
    assert storage.calls


def test_a_view_on_the_ledger_outlives_a_restore(desk: Desk) -> None:
    assert desk("backup", "take", "book").returncode == 0
    run(desk)
    back = desk("rollback", "book", "--reason", "r", "--without-prefect")
    assert back.returncode == 11, back.stdout + back.stderr
    prepare(desk, "CREATE VIEW seen_events AS SELECT kind FROM gonogo.event")
    run(desk)
    restored(desk, "--accept-loss")
    assert count(desk.url, "seen_events") > 10


def test_what_a_dead_process_started_does_not_restore_once_more(desk: Desk, storage: Cluster) -> None:
    outer, inner = storage.folder / "outer.sh", storage.folder / "inner.sh"
    outer.write_text(f"/bin/sh {inner} & wait\n", encoding="utf-8")
    program = f"{sys.executable} {storage.folder}/snapshot.py {storage.folder} restore"
    inner.write_text(f"touch {storage.folder}/begun; sleep 4; {program}; touch {storage.folder}/over\n", encoding="utf-8")
    for name in ("begun", "over"):
        (storage.folder / name).unlink(missing_ok=True)
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace(f"restore: {storage.program('restore')}", f"restore: [/bin/sh, {outer}]"))
    run(desk)
    level = ("--level", "restore", "--reason", "r")
    rolling = start("rollback", "book", *level, "--without-prefect", cwd=desk.project, env=desk.env)
    until((storage.folder / "begun").exists)
    rolling.kill()
    rolling.communicate()
    (storage.folder / "begun").unlink()
    done = desk("resume", "book", "--without-prefect", "--take-over")
    assert done.returncode == 11, done.stdout + done.stderr
    assert [line.split()[0] for line in storage.calls].count("restore") == 1
    assert status("book", desk.project, desk.env)["status"] == "rolled back"


def test_no_password_of_a_copy_is_shown_and_nothing_that_a_program_prints_is_a_traceback(desk: Desk, storage: Cluster) -> None:
    # what its program prints, and how it ends
    answers = {
        ('{"url": "postgresql://u:s3cretPW@h/d"}', 1): "ended with 1",
        ('{"url": "postgresql://u:top@s3cret:PW@h/d"}', 1): "ended with 1",
        ('{"url": "postgresql://u:top@s3cret:PW@localhost/d"}', 0): "is not clear",
        ('{"url": "nonsense"}', 0): "cannot be read",
        ("[" * 50000, 0): "is no JSON object",
        (json.dumps({"id": "a\0b", "url": "postgresql://u@h/d"}), 0): "cannot be printed",
        (json.dumps({"id": "a\ud800b", "url": "postgresql://u@h/d"}), 0): "cannot be printed",
        (json.dumps({"id": "a\nb", "url": "postgresql://u@h/d"}), 0): "cannot be printed",
    }
    script = storage.folder / "answers.py"
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace(f"prove: {storage.program('prove')}", f"prove: [{sys.executable}, {script}]"))
    for (text, code), says in answers.items():
        script.write_text(f"import sys\nprint({text!r})\nsys.exit({code})\n", encoding="utf-8")
        said = run(desk, code=10)
        assert says in said, said
        assert "s3cret" not in said
        assert "s3cret" not in str(facts(desk.url, "no-go"))


def test_why_a_comparison_failed_is_said_also_where_the_copy_cannot_be_dropped(desk: Desk, storage: Cluster) -> None:
    storage.flag("drop-fails", fewer="DELETE FROM sale WHERE id = 77")
    assert "public.sale: it has 499:" in run(desk, code=10)
    storage.flag()


@pytest.mark.parametrize("flags", [["fails-late"], ["fails-late", "drop-fails"]])
def test_what_a_program_made_before_it_failed_is_dropped(desk: Desk, storage: Cluster, flags: list[str]) -> None:
    storage.flag(*flags)
    assert "the last request timed out" in run(desk, code=10)
    assert [line.split()[0] for line in storage.calls] == ["take", "prove", "drop"]
    assert not (storage.folder / "side").exists()
    storage.flag()


@pytest.mark.parametrize("code", [0, 7])
def test_nothing_is_dropped_that_may_be_the_target(desk: Desk, storage: Cluster, code: int) -> None:
    script = storage.folder / "answers.py"
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace(f"prove: {storage.program('prove')}", f"prove: [{sys.executable}, {script}]"))
    away = f"postgresql://postgres@/book?host={storage.folder}&port=7002"
    for answer, says in (
        ({"url": desk.url}, "what it made is the target itself"),
        ({"url": desk.url, "id": "mine"}, "what it made is the target itself"),
        ({"url": away}, "whether what it made is the target is not known"),
    ):
        script.write_text(f"import sys\nprint({json.dumps(answer)!r})\nsys.exit({code})\n", encoding="utf-8")
        said = run(desk, code=10)
        assert says in said, said
        assert "is not dropped" in said
    assert "drop" not in [line.split()[0] for line in storage.calls]


def test_who_dies_while_a_program_restores_goes_on_and_calls_it_again(desk: Desk, storage: Cluster) -> None:
    run(desk)
    storage.flag("slow")
    (storage.folder / "stopped").unlink(missing_ok=True)
    level = ("--level", "restore", "--reason", "r")
    rolling = start("rollback", "book", *level, "--without-prefect", cwd=desk.project, env=desk.env)
    until((storage.folder / "stopped").exists)
    rolling.send_signal(signal.SIGKILL)
    rolling.communicate()
    storage.flag()
    # what is there now is nobody's to look at
    refused = desk("status", "book")
    assert refused.returncode == 3
    assert "gonogo resume book --target db" in refused.stderr

    done = desk("resume", "book", "--without-prefect", "--take-over")

    assert done.returncode == 11, done.stdout + done.stderr
    assert "a restore was interrupted: its program is called again" in done.stderr
    assert count(desk.url, "sale") == 500
    assert len(facts(desk.url, "backup restored")) == 1
    assert status("book", desk.project, desk.env)["status"] == "rolled back"


def test_restore_points_are_listed_proved_again_and_deleted_by_what_made_them(desk: Desk, storage: Cluster) -> None:
    for _ in range(2):
        taken = desk("backup", "take", "book", "--json")
        assert taken.returncode == 0, taken.stdout + taken.stderr
    proof = json.loads(taken.stdout)
    listed = json.loads(desk("backup", "list", "book", "--json").stdout)
    assert [row["provider"] for row in listed] == ["command", "command"]
    again = desk("backup", "prove", "book", proof["folder"])
    assert again.returncode == 0, again.stdout + again.stderr
    storage.flag(fewer="DELETE FROM sale WHERE id = 77")
    worse = desk("backup", "prove", "book", proof["folder"])
    assert worse.returncode != 0
    assert "public.sale has 499:" in worse.stderr
    storage.flag()
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace("backup: {", "backup: {keep: 1ms, "))
    pruned = desk("backup", "prune", "book", "--yes")
    assert pruned.returncode == 0, pruned.stderr
    oldest = Path(listed[1]["folder"]).name
    assert [line for line in storage.calls if line.startswith("delete")] == [f"delete {oldest} "]
    assert not (storage.folder / oldest).exists()


def test_the_level_restore_needs_a_program_that_restores(desk: Desk, storage: Cluster) -> None:
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(book(f"command: {{take: {storage.program('take')}, prove: {storage.program('prove')}}}"))
    said = desk("validate", "book")
    assert said.returncode == 2
    assert "the level `restore` needs `restore:` of its programs" in said.stderr
    file.write_text(book(f"tables: [item], command: {storage.programs}"))
    assert "saves the whole database" in desk("validate", "book").stderr


def test_a_rehearsal_calls_none_of_the_programs(desk: Desk, storage: Cluster) -> None:
    shown = desk.rehearse()
    assert storage.calls == []
    assert [(level["level"], level["verdict"]) for level in shown["levels"]] == [
        ("undo", "restores exactly"),
        ("restore", "is not rehearsed: it is proved with the backup"),
    ]


def test_a_program_that_this_project_did_not_sign_makes_no_restore_point(desk: Desk, storage: Cluster) -> None:
    keys = desk.project / ".gonogo" / "keys.json"
    run_ = start("run", "book", "--without-prefect", cwd=desk.project, env=desk.env)
    until(lambda: storage.calls)
    run_.send_signal(signal.SIGKILL)
    run_.communicate()
    keys.unlink()
    before = len(storage.calls)
    done = desk("resume", "book", "--without-prefect", "--take-over")
    assert done.returncode == 10, done.stdout + done.stderr
    assert "not signed with this project's key" in done.stdout + done.stderr
    assert len(storage.calls) == before
