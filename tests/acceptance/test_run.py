"""Runs end to end through the command line, on real servers: forward, no-go, back, and what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from support.book import BOOK, FILES
from support.command import environment, gonogo, start, status
from support.servers import OLD, Server, visit
from support.waiting import until

from gonogo.ledger import store
from gonogo.postgres.connection import Database
from gonogo.postgres.fingerprint import fingerprint

SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND wait_event = 'PgSleep'"
Make = Callable[..., Path]


@pytest.fixture
def any_url(any_server: Server) -> str:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OLD)
    return url


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def schema_of(url: str) -> dict[str, str]:
    with visit(Database(url=url)) as connection:
        return dict(fingerprint(connection).objects)


def run(project: Path, url: str, *more: str, **environ: str) -> tuple[int, str]:
    done = gonogo("run", "book", "--without-prefect", *more, cwd=project, env=environment(TEST_URL=url, **environ))
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_run_goes_forward_and_is_rolled_back_afterwards_with_schema_and_rows_as_before(
    make_project: Make, any_url: str
) -> None:
    project, before = make_project(BOOK, **FILES), schema_of(any_url)
    env = environment(TEST_URL=any_url)

    code, output = run(project, any_url)

    assert code == 0, output
    assert ask(any_url, "SELECT count(*) FROM new") == 3
    assert ask(any_url, "SELECT note FROM new WHERE id = 1") == "é %s :x"
    assert ask(any_url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'new_note'::regclass") is True
    back = gonogo("rollback", "book", "--without-prefect", "--reason", "because", cwd=project, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
    assert schema_of(any_url) == before
    assert ask(any_url, "SELECT count(*) FROM old") == 1000
    assert "as before" in back.stdout
    verified = gonogo("ledger", "verify", "book", cwd=project, env=env)
    assert verified.returncode == 0
    report = json.loads(gonogo("report", "book", "--format", "json", cwd=project, env=env).stdout)
    assert report["outcome"] == "rolled back"
    assert report["cause"] == "because"


def test_a_criterion_that_is_not_met_is_no_go_and_nothing_is_changed(make_project: Make, any_url: str) -> None:
    project, before = make_project(BOOK, **FILES), schema_of(any_url)
    with psycopg.connect(any_url, autocommit=True) as connection:
        connection.execute("UPDATE old SET note = 'not ready' WHERE id < 8")

    code, output = run(project, any_url)

    assert code == 10
    assert "ready: 7 is not = 0" in output
    assert schema_of(any_url) == before


def test_a_run_with_a_backup_begins_with_one_that_was_restored_and_compared(make_project: Make, any_url: str) -> None:
    project = make_project(BOOK.replace("baseline:", "backup: {recover_within: 5m}\nbaseline:"), **FILES)

    code, output = run(project, any_url)

    assert code == 0, output
    assert "backup proved: 1 table and" in output
    [folder] = (project / ".gonogo/backups").iterdir()
    assert (folder / "manifest.json").stat().st_mode & 0o777 == 0o600
    assert ask(any_url, "SELECT body->>'tables' FROM gonogo.event WHERE kind = 'backup proved'") == "1"


@pytest.mark.parametrize("planted", ["slow", "no room to write"])
def test_a_backup_that_proves_nothing_is_no_go_and_nothing_is_changed(make_project: Make, old_url: str, planted: str) -> None:
    within = "1ms" if planted == "slow" else "5m"
    project = make_project(BOOK.replace("baseline:", f"backup: {{recover_within: {within}}}\nbaseline:"), **FILES)
    if planted != "slow":
        (project / ".gonogo").mkdir()
        (project / ".gonogo/backups").write_text("a file where the folder should be")
    before = schema_of(old_url)

    code, output = run(project, old_url)

    assert code == 10, output
    assert "NO-GO: backup: " in output
    assert schema_of(old_url) == before


def test_a_script_that_fails_shows_its_line_and_rolls_the_run_back_by_itself(make_project: Make, any_url: str) -> None:
    broken = {**FILES, "020__sql": "ALTER TABLE old ADD COLUMN added int;\n\nSELECT addded\n  FROM old;\n"}
    project, before = make_project(BOOK, **broken), schema_of(any_url)

    code, output = run(project, any_url)

    assert code == 11, output
    assert "020.sql, rendered line 3: 42703" in output
    assert re.search(r"SELECT addded\n +\^", output)
    assert "Perhaps you meant to reference the column" in output
    assert schema_of(any_url) == before


def test_a_lock_that_is_not_granted_is_tried_again_names_who_blocks_and_rolls_back(make_project: Make, old_url: str) -> None:
    project, before = make_project(BOOK, **{**FILES, "020__sql": "ALTER TABLE old ADD COLUMN added int;\n"}), schema_of(old_url)
    with psycopg.connect(old_url, application_name="nightly report") as bystander:
        bystander.execute("SELECT count(*) FROM old")

        code, output = run(project, old_url)

        assert code == 11, output
        assert "55P03" in output
        assert "nightly report" in output
        assert "tried again" in output
    assert schema_of(old_url) == before


def test_an_undo_that_fails_is_rollback_failed_and_fixing_it_lets_resume_end_it(make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **{**FILES, "010__undo__sql": "DROP TABLE new;\n", "made__sql": "SELECT 4\n"})
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app; CREATE TABLE app.fixed ()")
        connection.execute(
            "CREATE FUNCTION app.hook() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_name = 'new')"
            " AND NOT EXISTS (SELECT FROM app.fixed) THEN RAISE 'it is in use'; END IF; END $$"
        )
        connection.execute("CREATE EVENT TRIGGER hook ON sql_drop EXECUTE FUNCTION app.hook()")

    code, output = run(project, old_url)

    assert code == 12, output
    assert "rollback failed" in output
    assert "it is in use" in output
    assert "gonogo resume" in output
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("INSERT INTO app.fixed DEFAULT VALUES")
    env = environment(TEST_URL=old_url)
    resumed = gonogo("resume", "book", "--without-prefect", cwd=project, env=env)
    assert resumed.returncode == 11, resumed.stdout + resumed.stderr


def test_a_rollback_that_leaves_something_behind_is_not_called_rolled_back(make_project: Make, old_url: str) -> None:
    forgetful = {**FILES, "020__undo__sql": "DROP INDEX CONCURRENTLY IF EXISTS new_note;\n", "made__sql": "SELECT 4\n"}

    code, output = run(make_project(BOOK, **forgetful), old_url)

    assert code == 12, output
    assert "column public.old.added is new" in output


def test_a_run_that_was_done_finds_nothing_left_to_do_and_again_runs_it_again(make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **FILES)
    assert run(project, old_url)[0] == 0

    code, output = run(project, old_url)

    assert code == 0
    assert "nothing to do: " in output
    code, output = run(project, old_url, "--again")
    assert code == 11  # the table is there already, so the first step fails and nothing of the first run is undone
    assert ask(old_url, "SELECT count(*) FROM new") == 3


def test_a_runbook_that_changed_since_it_was_done_is_refused_without_again(make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **FILES)
    assert run(project, old_url)[0] == 0
    make_project(BOOK, **{**FILES, "made__sql": "SELECT 3\n"})

    code, output = run(project, old_url)

    assert code == 3
    assert "has changed since" in output


@pytest.mark.attack("forged runs and facts")
def test_the_ledger_shows_what_was_changed_by_hand(make_project: Make, old_url: str) -> None:
    project, env = make_project(BOOK, **FILES), environment(TEST_URL=old_url)
    assert run(project, old_url)[0] == 0
    with psycopg.connect(old_url, autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("UPDATE gonogo.event SET actor = 'somebody else' WHERE seq = 4")
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER append_only")
        connection.execute("UPDATE gonogo.event SET actor = 'somebody else' WHERE seq = 4")

    found = gonogo("ledger", "verify", "book", cwd=project, env=env)

    assert found.returncode == 3
    assert "event 4 (go, by somebody else) was changed" in found.stderr
    exported = gonogo("ledger", "export", "book", cwd=project, env=env).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in exported] == list(range(1, len(exported) + 1))


def test_a_watch_that_trips_cancels_a_step_of_minutes_and_the_undo_begins_within_a_second(
    make_project: Make, old_url: str
) -> None:
    book = BOOK.replace("verify: [made]", "verify: [made]\n    watch: [trouble]\n    every: 100ms").replace(
        "checks:\n", 'checks:\n  trouble: {sql: trouble.sql, roll_back_if: "> 10% in 2 of 3"}\n'
    )
    slow = {**FILES, "020__sql": "ALTER TABLE old ADD COLUMN added int;\nSELECT pg_sleep(300);\n"}
    slow["trouble__sql"] = "SELECT count(*) / 1000.0 FROM trouble\n"
    project, env = make_project(book, **slow), environment(TEST_URL=old_url)
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE trouble (id int)")
        connection.execute("INSERT INTO trouble SELECT generate_series(1, 100)")
        process = start("run", "book", "--without-prefect", cwd=project, env=env)
        try:
            for _ in range(200):
                connection.execute("SELECT pg_sleep(0.1)")
                if connection.execute(SLEEPING).fetchone():
                    break
            connection.execute("SELECT pg_sleep(1)")
            assert process.poll() is None  # exactly 10 % is not more than 10 %
            connection.execute("INSERT INTO trouble VALUES (101)")
            output, _ = process.communicate(timeout=180)
        finally:
            process.kill()
    assert process.returncode == 11, output
    with visit(Database(url=old_url)) as connection:
        events = store.read(connection, store.runs(connection)[0].id)
    sample = [e for e in events if e.kind == "sample"][-1]
    undo = next(e for e in events if e.kind == "undo done")
    assert (undo.began - sample.at).total_seconds() < 30, "the statement that would have slept for 300 s was cancelled"
    assert "trouble: 0.101 is > 0.1, 2 of 3 samples" in output


#: a first script that ends when somebody has said hold
UNTIL_HELD = {
    **FILES,
    "010__sql": f"""{FILES["010__sql"]}DO $$ BEGIN
  FOR n IN 1..1800 LOOP
    EXIT WHEN EXISTS (SELECT FROM gonogo.event WHERE kind = 'hold');
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
""",
}


def began(url: str) -> bool:
    """Say whether the first script runs."""
    return bool(
        ask(
            url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(0.1)%'"
            " AND wait_event = 'PgSleep'",
        )
    )


def test_hold_stops_a_running_run_before_its_next_step_and_abort_rolls_it_back(make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **UNTIL_HELD)
    before, env = schema_of(old_url), environment(TEST_URL=old_url)
    process = start("run", "book", "--without-prefect", cwd=project, env=env)
    until(lambda: began(old_url))
    held = gonogo("hold", "book", "--reason", "wait for me", "--as", "the lead", cwd=project, env=env)
    output, _ = process.communicate(timeout=180)

    assert held.returncode == 0, held.stderr
    assert process.returncode == 4, output
    shown = status("book", project, env)
    assert shown["held"] == "the lead says hold: wait for me"
    assert ask(old_url, "SELECT count(*) FROM new") == 3
    assert schema_of(old_url) != before
    aborted = gonogo("abort", "book", "--reason", "enough", "--without-prefect", cwd=project, env=env)
    assert aborted.returncode == 11, aborted.stdout + aborted.stderr
    assert schema_of(old_url) == before


def test_a_template_edited_while_a_run_is_held_does_not_change_what_the_run_does(make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **UNTIL_HELD)
    env = environment(TEST_URL=old_url)
    process = start("run", "book", "--without-prefect", cwd=project, env=env)
    until(lambda: began(old_url))
    assert gonogo("hold", "book", cwd=project, env=env).returncode == 0
    process.communicate(timeout=180)
    make_project(BOOK, **{**FILES, "020__sql": "DROP TABLE old;\n"})

    resumed = gonogo("resume", "book", "--without-prefect", cwd=project, env=env)

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert ask(old_url, "SELECT count(*) FROM old WHERE added = 1") == 1000


def test_a_password_shows_nowhere(make_project: Make, server: Server, tmp_path: Path) -> None:
    url = server.database()
    secret = "S3cr3t-canary"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OLD)
    named = url.replace("postgres:@", f"postgres:{secret}@")
    assert secret in named
    project = make_project(BOOK, **FILES)
    env = environment(TEST_URL=named)
    outputs = [gonogo(*words, cwd=project, env=env) for words in (
        ("run", "book", "--without-prefect"), ("status", "book"), ("report", "book"), ("ledger", "export", "book"),
    )]  # fmt: skip
    assert [done.returncode for done in outputs] == [0, 0, 0, 0]
    wrong = gonogo("run", "book", cwd=project, env=environment(TEST_URL=named.replace("/test_", "/no_test_")))
    assert wrong.returncode == 3
    texts = [done.stdout + done.stderr for done in (*outputs, wrong)]
    texts += [file.read_text() for file in tmp_path.rglob("*") if file.is_file() and file.suffix in (".md", ".html", ".json")]
    assert not [text for text in texts if secret in text]


def test_a_standby_like_read_only_target_is_refused_before_anything_happens(make_project: Make, old_url: str) -> None:
    with psycopg.connect(old_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())

    code, output = run(make_project(BOOK, **FILES), old_url)

    assert code == 3
    assert "read-only" in output
    assert ask(old_url, "SELECT to_regnamespace('gonogo')") is None


def test_a_target_that_is_not_there_is_one_clear_line_and_exit_3(make_project: Make) -> None:
    code, output = run(make_project(BOOK, **FILES), "postgresql://nobody@127.0.0.1:1/nothing")

    assert code == 3
    assert output.startswith("gonogo: cannot reach nothing on 127.0.0.1")
    assert len(output.splitlines()) <= 3


def test_status_shows_planned_and_expected_times_and_what_to_type_next(make_project: Make, old_url: str) -> None:
    project, env = make_project(BOOK, **FILES), environment(TEST_URL=old_url)
    assert run(project, old_url)[0] == 0

    shown = status("book", project, env)

    assert shown["status"] == "done"
    assert [row["task"] for row in shown["schedule"]] == ["tables", "indexes"]
    assert all(row["state"] == "done" for row in shown["schedule"])
    planned = [
        datetime.fromisoformat(row["planned_end"]) - datetime.fromisoformat(row["planned_start"]) for row in shown["schedule"]
    ]
    assert [p.total_seconds() for p in planned] == [600, 600]
    assert shown["next"].startswith("gonogo report book")


def test_phases_are_launched_one_by_one_and_rolled_back_together(make_project: Make, old_url: str) -> None:
    two = BOOK.replace("    verify: [made]\n", "") + ""
    two = two.replace("      - task: indexes\n", "  - phase: two\n    tasks:\n      - task: indexes\n")
    project, before, env = make_project(two, **FILES), schema_of(old_url), environment(TEST_URL=old_url)

    first = run(project, old_url, "--phase", "one")

    assert first[0] == 0, first[1]
    assert status("book", project, env)["status"] == "ready"
    assert run(project, old_url, "--phase", "one")[0] == 3
    assert run(project, old_url)[0] == 0
    assert ask(old_url, "SELECT count(*) FROM gonogo.run") == 1
    back = gonogo("rollback", "book", "--without-prefect", cwd=project, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
    assert schema_of(old_url) == before


def test_an_index_whose_name_is_taken_is_a_failure_and_the_strangers_index_stays(make_project: Make, old_url: str) -> None:
    taken = {**FILES, "020__sql": "CREATE UNIQUE INDEX CONCURRENTLY taken ON old (id);\n", "020__undo__sql": "SELECT 1;\n"}
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("CREATE INDEX taken ON old (note)")
    before = schema_of(old_url)

    code, output = run(make_project(BOOK, **taken), old_url)

    assert code == 11, output
    assert 'the index "taken" is there already, and this run did not make it' in output
    assert schema_of(old_url) == before


def test_if_not_exists_does_not_wave_an_index_through_that_the_run_did_not_make(make_project: Make, old_url: str) -> None:
    taken = {**FILES, "020__sql": "CREATE INDEX CONCURRENTLY IF NOT EXISTS taken ON old (id);\n"}
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("CREATE INDEX taken ON old (note)")
    before = schema_of(old_url)

    code, output = run(make_project(BOOK, **{**taken, "020__undo__sql": "DROP INDEX CONCURRENTLY taken;\n"}), old_url)

    assert code == 11, output
    assert schema_of(old_url) == before


def test_an_invalid_index_that_an_attempt_of_long_ago_left_is_built_again(make_project: Make, old_url: str) -> None:
    built = {**FILES, "020__sql": "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS left_over ON old (id);\n"}
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("INSERT INTO old VALUES (2001, 'n1')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY left_over ON old (note)")
    project = make_project(BOOK, **{**built, "020__undo__sql": "DROP INDEX CONCURRENTLY left_over;\n"})

    code, output = run(project, old_url)

    assert code == 0, output
    assert "is INVALID; dropping it" in output
    assert ask(old_url, "SELECT indisvalid AND indisunique FROM pg_index WHERE indexrelid = 'left_over'::regclass") is True


def test_a_backfill_that_moves_its_own_key_holds_instead_of_going_on_for_ever(make_project: Make, old_url: str) -> None:
    moving = BOOK.replace("{sql: 010.sql,", "{backfill: {table: old, sql: move.sql.j2, batch: 10},")
    project = make_project(moving, **FILES, move__sql__j2="UPDATE old SET id = id + 100000 WHERE {{ batch }};\n")

    code, output = run(project, old_url)

    assert code == 4, output
    assert "A batch that changes the key it works by never ends" in output


def test_a_backfill_works_by_a_key_whose_type_has_a_strange_name(make_project: Make, old_url: str) -> None:
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute('CREATE DOMAIN "a {b} %s" AS int; ALTER TABLE old ALTER id TYPE "a {b} %s"')
    strange = BOOK.replace("{sql: 010.sql,", "{backfill: {table: old, sql: mark.sql.j2, batch: 100},").replace(
        "[rows_kept]", "[]"
    )
    project = make_project(strange, **FILES, mark__sql__j2="UPDATE old SET note = 'done' WHERE {{ batch }};\n")

    run(project, old_url)

    assert ask(old_url, "SELECT count(*) FROM old WHERE note = 'done'") == 1000


@pytest.mark.attack("markup")
def test_a_long_line_that_fails_is_shown_around_its_mistake_and_no_message_forges_a_line(
    make_project: Make, old_url: str
) -> None:
    long = "SELECT 'x'" + " || 'y'" * 40 + ", nothing_here, " + ", ".join(map(str, range(50_000))) + ";\n"
    forged = "DO $$ BEGIN RAISE EXCEPTION E'no\\n12:00:00  DONE'; END $$;\n"

    _, output = run(make_project(BOOK, **{**FILES, "010__sql": long}), old_url)
    assert len(output) < 5000
    assert "nothing_here" in output
    _, output = run(make_project(BOOK, **{**FILES, "010__sql": forged}), old_url)
    assert not re.search(r"^12:00:00", output, re.MULTILINE)


def test_what_a_script_sets_inside_a_block_does_not_reach_the_next_one(make_project: Make, old_url: str) -> None:
    sets = "DO $$ BEGIN PERFORM set_config('search_path', 'elsewhere', false); END $$;\n"
    project = make_project(BOOK, **{**FILES, "010__sql": FILES["010__sql"] + sets})
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.new (id int, note text); CREATE TABLE elsewhere.old ()"
        )

    code, output = run(project, old_url)

    assert code == 0, output
    assert ask(old_url, "SELECT count(*) FROM pg_indexes WHERE indexname = 'new_note' AND schemaname = 'public'") == 1


def test_psql_reaches_the_target_that_is_meant_without_its_password_in_sight(make_project: Make, old_url: str) -> None:
    project = make_project(BOOK, **FILES)
    env = environment(TEST_URL=old_url.replace("postgres:@", "postgres:S3cr3t-canary@"))
    done = gonogo("psql", "book", "--", "-tAc", "SELECT count(*) FROM old", cwd=project, env=env)
    assert (done.returncode, done.stdout.strip()) == (0, "1000"), done.stderr
    wrong = gonogo("psql", "book", "--", "-c", "SELEC", cwd=project, env=env)
    assert wrong.returncode == 1
    assert "syntax error" in wrong.stderr
    none = gonogo("psql", "book", cwd=project, env={**env, "PATH": str(project)})
    assert none.returncode == 3
    assert "there is no psql on the PATH; install" in none.stderr
