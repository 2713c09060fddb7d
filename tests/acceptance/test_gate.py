"""Nobody says go who may not, and what they approved is what runs: on the command line, against a real ledger."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from support.command import gonogo, start, status
from support.gate_desk import BOOK, FILES, Desk, launched

from gonogo import clock
from gonogo.core.engine.events import Kind
from gonogo.keys import Keys, NotProved
from gonogo.run import runs, votes

Make = Callable[..., Path]


@pytest.fixture
def desk(make_project: Make, old_url: str) -> Desk:
    return Desk(make_project(BOOK, **FILES), old_url, "open")


@pytest.fixture
def guarded(make_project: Make, old_url: str) -> Desk:
    """A protected target whose gate waits, launched by the lead."""
    return launched(make_project, old_url)


def test_a_gate_asks_people_and_goes_when_enough_of_them_said_so(desk: Desk) -> None:
    done = desk.launch()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "0 of 2 said go; waits for technical_lead and project_owner" in done.stdout
    assert not desk.made()
    assert "1 of 2 said go; waits for project_owner" in desk.go("lead", "--comment", "fine").stdout
    assert "no process works on the run" in desk.go("owner").stdout

    assert desk.resume().returncode == 0

    assert desk.made()
    assert [vote.get("proved", False) for vote in desk.bodies(Kind.VOTE)] == [False, False]


@pytest.mark.attack("people")
@pytest.mark.parametrize(
    ("person", "why"),
    [
        ("dev", "holds none of the roles"),
        ("mallory", "is not one of the runbook's people"),
        ("lead", "has voted already"),
    ],
)
def test_who_may_not_vote_is_refused_with_the_reason_and_the_reason_is_recorded(desk: Desk, person: str, why: str) -> None:
    desk.launch()
    desk.go("lead")

    done = desk.go(person)

    assert done.returncode == 3
    assert why in done.stderr
    assert any(why in str(body["why"]) for body in desk.bodies(Kind.VOTE_REFUSED))


def test_one_no_go_ends_it_also_from_somebody_who_said_go_and_nothing_is_changed(desk: Desk) -> None:
    desk.launch()
    desk.go("lead")
    assert desk.go("lead", "--comment", "wait", decision="no-go").returncode == 0

    assert desk.resume().returncode == 10

    assert not desk.made()
    assert desk.bodies(Kind.NO_GO)[0]["why"] == "lead says no-go: wait"
    assert "no-go: lead says no-go: wait" in desk("status", "book").stdout
    assert status("book", desk.project, desk.env)["cause"] == "lead says no-go: wait"
    late = desk.go("owner")
    assert late.returncode == 3
    assert "the gate of one is decided" in late.stderr


@pytest.mark.attack("people")
def test_on_a_protected_target_a_name_alone_a_wrong_code_and_a_used_code_are_refused(guarded: Desk) -> None:
    assert "must prove who they are" in guarded.go("owner").stderr
    assert "that is not owner's current code" in guarded.go("owner", "--code", "000000").stderr
    code = guarded.code("owner")
    assert guarded.go("owner", "--code", code).returncode == 0
    assert "was used already" in guarded.go("owner", "--code", code, decision="no-go").stderr
    assert "not owner's current code" in guarded.go("owner", "--code", guarded.code("lead"), decision="no-go").stderr
    assert len(guarded.bodies(Kind.VOTE)) == 1
    assert len(guarded.bodies(Kind.VOTE_REFUSED)) == 4


@pytest.mark.attack("people")
def test_wrong_codes_are_slowed_down(guarded: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, tries = Keys(file=guarded.project / ".gonogo/keys.json"), 12
    began = datetime.now(UTC) - timedelta(hours=tries)
    for number in range(tries):
        # the longest wait is over each time, and after the last one it has just begun
        moment = began + timedelta(hours=number + 1)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        with pytest.raises(NotProved, match="not owner's current code"):
            keys.prove("owner", "000000")
    assert "too many wrong codes for owner" in guarded.go("owner", "--code", "000000").stderr
    assert "too many wrong codes" in guarded.go("owner", "--code", guarded.code("owner")).stderr


@pytest.mark.attack("people")
def test_a_protected_target_is_launched_only_by_somebody_who_proves_who_they_are(make_project: Make, old_url: str) -> None:
    desk = Desk(make_project(BOOK, **FILES), old_url, "guarded")
    desk.enroll("lead")
    for more in ([], ["--as", "mallory"], ["--as", "lead"], ["--as", "lead", "--code", "123456"]):
        done = desk.launch(*more)
        assert done.returncode == 3, done.stdout
    with psycopg.connect(old_url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regnamespace('gonogo')").fetchone() == (None,), "nothing was touched"


@pytest.mark.attack("people")
def test_the_launcher_does_not_approve_their_own_launch_where_the_gate_says_so(make_project: Make, old_url: str) -> None:
    book = BOOK.replace("quorum: 2, within: 30m}", "quorum: 1, within: 30m, not_launcher: true}")
    desk = Desk(make_project(book, **FILES), old_url, "guarded")
    desk.enroll("lead", "owner")
    assert desk.launch("--as", "lead", "--code", desk.code("lead")).returncode == 4

    assert "lead launched this" in desk.go("lead", "--code", desk.code("lead")).stderr
    assert desk.go("owner", "--code", desk.code("owner")).returncode == 0
    assert desk.resume().returncode == 0


@pytest.mark.attack("people")
def test_votes_that_somebody_wrote_into_the_ledger_do_not_count(guarded: Desk) -> None:
    asked = guarded.bodies(Kind.ASKED)[0]
    with psycopg.connect(guarded.url, autocommit=True) as connection:
        row = connection.execute("SELECT seq FROM gonogo.event WHERE kind = 'people asked'").fetchone()
    assert row
    for person in ("lead", "owner"):
        body = {
            "on": "one",
            "decision": "go",
            "person": person,
            "proved": True,
            "seal": asked["seal"],
            "asked": row[0],
            "launch": 2,
        }
        guarded.forge(Kind.VOTE, person, **body, signature="0" * 64, said_at="2026-11-21T12:00:00+00:00")

    assert guarded.resume("--no-wait").returncode == 4

    assert len(guarded.bodies(Kind.VOTE_REFUSED)) == 2
    assert all("not signed" in str(body["why"]) for body in guarded.bodies(Kind.VOTE_REFUSED))
    assert not guarded.made()


@pytest.mark.attack("people")
def test_status_counts_no_vote_that_the_run_will_not_count(guarded: Desk) -> None:
    assert guarded.go("lead", "--code", guarded.code("lead")).returncode == 0
    (mine,) = guarded.bodies(Kind.VOTE)
    guarded.forge(Kind.VOTE, "owner", **{**mine, "person": "owner"})
    shown = json.loads(guarded("status", "book", "-t", "guarded", "--json").stdout)
    assert "1 of 2 said go; waits for project_owner; not counted: event" in shown["waits"]
    assert "is recorded as owner's but is not signed with their key" in shown["waits"]


@pytest.mark.attack("people")
def test_a_go_that_somebody_wrote_into_the_ledger_starts_nothing(guarded: Desk) -> None:
    assert guarded.go("owner", "--code", guarded.code("owner")).returncode == 0
    guarded.forge(Kind.GO, "lead", judged=[], votes=[], seal="")

    done = guarded.resume()
    assert done.returncode == 4
    assert "the go (event 6) is not signed with this project's key" in done.stdout
    again = guarded.resume()

    assert again.returncode == 4, "resuming it does not help"
    assert not guarded.made()


@pytest.mark.attack("people")
def test_a_vote_copied_from_an_earlier_question_does_not_count(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    vote = guarded.bodies(Kind.VOTE)[0]
    assert guarded.go("lead", "--code", guarded.code("lead"), decision="no-go").returncode == 0
    assert guarded.resume().returncode == 10
    assert guarded.launch("--as", "lead", "--code", guarded.code("lead")).returncode == 4
    guarded.forge(Kind.VOTE, "owner", **vote)
    guarded.forge(Kind.VOTE, "lead", **{**vote, "person": "lead"})

    assert guarded.resume("--no-wait").returncode == 4

    assert len([body for body in guarded.bodies(Kind.VOTE_REFUSED) if "not signed" in str(body["why"])]) == 2
    assert "0 of 2 said go" in guarded("status", "book", "-t", "guarded").stdout
    assert not guarded.made()


def test_a_schema_that_changed_voids_every_vote_and_says_what_changed(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    with psycopg.connect(guarded.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE old ADD COLUMN sneaked int")
    guarded.go("lead", "--code", guarded.code("lead"))
    done = guarded.resume("--no-wait")

    assert done.returncode == 4
    assert "column public.old.sneaked is new; every vote is void. 0 of 2 said go" in done.stdout
    assert not guarded.made()


def test_a_template_or_a_rule_edited_after_the_approval_changes_nothing_and_the_difference_is_shown(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    guarded.go("lead", "--code", guarded.code("lead"))
    template = guarded.project / "sql_templates/book/a.sql"
    template.write_text("CREATE TABLE made (id int); DROP TABLE old;\n")
    book = guarded.project / "runbooks/book.yaml"
    book.write_text(BOOK.replace('expect: "= 0"', 'expect: ">= 0"'))

    again = guarded.launch("--as", "lead", "--code", guarded.code("lead"))
    assert again.returncode == 3
    assert "checks.quiet.expect was ['= 0'] and is ['>= 0']" in again.stderr
    assert "+CREATE TABLE made (id int); DROP TABLE old;" in again.stderr
    assert guarded.resume().returncode == 0

    assert guarded.made()
    with psycopg.connect(guarded.url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM old").fetchone() == (1000,), "what was approved is what ran"


def test_a_comment_or_the_layout_of_a_script_needs_no_new_decision(desk: Desk) -> None:
    desk.launch()
    desk.go("lead", decision="no-go")
    assert desk.resume().returncode == 10
    seal = desk.bodies(Kind.ASKED)[0]["seal"]
    (desk.project / "sql_templates/book/a.sql").write_text("-- the table\nCREATE  TABLE made\n  (id int);\n")

    desk.launch()

    with psycopg.connect(desk.url, autocommit=True) as connection:
        row = connection.execute("SELECT body->>'seal' FROM gonogo.event WHERE kind = 'people asked' ORDER BY at DESC").fetchone()
    assert row == (seal,)


@pytest.mark.attack("people")
def test_a_ledger_row_edited_by_hand_is_no_go_on_a_protected_target(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    guarded.go("lead", "--code", guarded.code("lead"))
    with psycopg.connect(guarded.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER append_only")
        connection.execute("UPDATE gonogo.event SET actor = 'owner' WHERE kind = 'phase started'")
        connection.execute("ALTER TABLE gonogo.event ENABLE TRIGGER append_only")

    done = guarded.resume()

    assert done.returncode == 10, done.stdout
    assert "was changed after it was recorded" in done.stdout
    assert guarded("ledger", "verify", "book", "-t", "guarded").returncode == 3
    assert not guarded.made()


def test_a_gate_that_meets_a_lock_names_who_holds_it_and_goes_on_when_they_are_gone(desk: Desk) -> None:
    with psycopg.connect(desk.url, application_name="nightly-job") as connection:
        connection.execute("LOCK TABLE old IN ACCESS EXCLUSIVE MODE")
        told = desk.launch().stdout
        assert "55P03 canceling statement due to lock timeout; in the way: backend " in told
        assert "nightly-job), idle in transaction for 00:00:0" in told
        assert "LOCK TABLE old IN ACCESS EXCLUSIVE MODE, holds old for itself" in told
    assert desk.resume("--no-wait").returncode == 4, "now people are asked"
    for person in ("lead", "owner"):
        desk.go(person)
    assert desk.resume().returncode == 0


def test_rights_that_a_phase_lacks_are_no_go_before_anything_changes(make_project: Make, old_url: str) -> None:
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS weak_two")
        connection.execute("CREATE ROLE weak_two")
        connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO weak_two")
        connection.execute("GRANT CREATE ON SCHEMA public TO weak_two; GRANT SELECT ON old TO weak_two")
    book = BOOK.replace("open: {database: $TEST_URL}", "open: {database: $TEST_URL, role: weak_two}")
    files = {**FILES, "a__sql": "CREATE TABLE made (id int); ALTER TABLE old ADD late int; DELETE FROM old;\n"}
    desk = Desk(
        make_project(book.replace("backup: {waived", "sql: {ask_rights: true}\nbackup: {waived"), **files), old_url, "open"
    )
    done = desk.launch()
    assert done.returncode == 10, done.stdout + done.stderr
    assert (
        'privileges: weak_two may not alter old, which belongs to postgres (ALTER TABLE public.old OWNER TO "weak_two");'
        ' privileges: weak_two may not delete from old (GRANT DELETE ON public.old TO "weak_two")'
    ) in done.stdout
    assert not desk.made()
    file = desk.project / "runbooks/book.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("ask_rights: true", "ask_rights: false"), encoding="utf-8")
    assert desk.launch("--again").returncode == 4, "whoever knows better says so"


def test_the_deadline_ends_a_gate_and_a_killed_wait_goes_on_with_the_same_one(make_project: Make, old_url: str) -> None:
    desk = Desk(make_project(BOOK.replace("within: 30m", "within: 12s"), **FILES), old_url, "open")
    process = start("run", "book", "--without-prefect", cwd=desk.project, env=desk.env)
    deadline = time.monotonic() + 30
    while not _asked(old_url):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    desk.go("lead")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    asked = desk.bodies(Kind.ASKED)

    done = desk.resume()

    assert done.returncode == 10, done.stdout
    assert "no decision within 12s: 1 of 2 said go; waits for project_owner" in done.stdout
    assert desk.bodies(Kind.ASKED) == asked, "nobody was asked twice"


def _asked(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('gonogo.event')").fetchone() == (None,):
            return False
        return connection.execute("SELECT 1 FROM gonogo.event WHERE kind = 'people asked'").fetchone() is not None


def test_nobody_rolls_back_alone_what_both_must_agree_to_and_a_trip_needs_nobody(desk: Desk) -> None:
    desk.launch()
    desk.go("lead")
    desk.go("owner")
    assert desk.resume().returncode == 0
    assert desk("rollback", "book", "--without-prefect").returncode == 3
    assert desk("rollback", "book", "--without-prefect", "--as", "lead", "--reason", "wrong").returncode == 4
    twice = desk("rollback", "book", "--without-prefect", "--as", "lead")
    assert "lead has voted already" in twice.stderr
    desk.forge(Kind.ROLL_BACK, "mallory", why="because")
    assert desk.made()

    done = desk("rollback", "book", "--without-prefect", "--as", "owner")

    assert done.returncode == 11, done.stdout
    assert not desk.made()


def test_the_way_back_leads_to_just_before_the_change_not_to_when_people_were_asked(desk: Desk) -> None:
    desk.launch()
    desk.go("lead")
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("COMMENT ON TABLE old IS 'changed by somebody, rightly, while people decided'")
    desk.go("owner")
    assert desk.resume("--no-wait").returncode == 4
    desk.go("lead")
    desk.go("owner")
    assert desk.resume().returncode == 0
    desk("rollback", "book", "--without-prefect", "--as", "lead")

    assert desk("rollback", "book", "--without-prefect", "--as", "owner").returncode == 11


def test_a_checklist_holds_a_run_before_during_and_after_until_the_right_people_confirm(make_project: Make, old_url: str) -> None:
    listed = BOOK.replace(
        "      approve: {roles: [technical_lead, project_owner], quorum: 2, within: 30m}\n",
        "      confirm: [{item: backups, title: Backups are there, owner: lead, evidence: true}]\n",
    ).replace(
        "        steps: [{sql: a.sql, undo: a.undo.sql}]\n",
        "        steps:\n          - {sql: a.sql, undo: a.undo.sql}\n          - {confirm: [{item: looks_good}]}\n"
        "    confirm: [{item: users_told, owner: project_owner}]\n",
    )
    desk = Desk(make_project(listed, **FILES), old_url, "open")
    process = start("run", "book", "--without-prefect", cwd=desk.project, env=desk.env)

    def confirm(item: str, person: str, *more: str) -> CompletedProcess[str]:
        deadline = time.monotonic() + 30
        while item not in str(status("book", desk.project, desk.env).get("waits", "")):
            assert time.monotonic() < deadline
        return desk("confirm", "book", item, "--as", person, *more)

    deadline = time.monotonic() + 30
    while not _asked(old_url):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "can be confirmed only by lead" in confirm("backups", "owner").stderr
    assert "needs evidence" in confirm("backups", "lead").stderr
    assert confirm("backups", "lead", "--evidence", "restored at noon").returncode == 0
    assert confirm("looks_good", "dev").returncode == 0
    assert confirm("users_told", "owner").returncode == 0

    process.communicate(timeout=180)
    assert process.returncode == 0
    assert [body["item"] for body in desk.bodies(Kind.CONFIRMED)] == ["backups", "looks_good", "users_told"]
    assert "backups: restored at noon" in desk("report", "book", "--format", "md").stdout


def test_no_phase_starts_outside_its_window_but_by_a_role_that_may_with_a_reason_that_stands_out(
    make_project: Make, old_url: str
) -> None:
    shut = BOOK.replace(
        "people:", "schedule: {freezes: [{begins: 2020-01-01, ends: 2099-01-01, why: the year ends}], override: lead}\npeople:"
    )
    desk = Desk(make_project(shut, **FILES), old_url, "open")
    assert "a freeze holds from 2020-01-01 to 2099-01-01: the year ends" in desk.launch().stderr
    assert "may not override" in desk.launch("--as", "owner", "--override", "must be").stderr

    assert desk.launch("--as", "lead", "--override", "the bank asks for it").returncode == 4

    desk.go("lead")
    desk.go("owner")
    assert desk.resume().returncode == 0
    assert "OVERRIDE: the bank asks for it" in desk("report", "book", "--format", "md").stdout


def test_environment_variables_that_are_needed_are_named_before_anything_runs_and_their_values_never_shown(
    make_project: Make, old_url: str
) -> None:
    needs = BOOK.replace("people:", "environment: [BOOK_TOKEN, BOOK_REGION]\npeople:")
    desk = Desk(make_project(needs, **FILES), old_url, "open")
    done = desk.launch()
    assert done.returncode == 2
    assert "BOOK_TOKEN is not set" in done.stderr
    assert "BOOK_REGION is not set" in done.stderr

    desk.env |= {"BOOK_TOKEN": "s3cr3t-canary", "BOOK_REGION": "eu"}
    done = desk.launch()

    assert done.returncode == 4
    assert "s3cr3t-canary" not in done.stdout + done.stderr + desk("ledger", "export", "book").stdout


@pytest.mark.attack("people")
def test_the_keys_of_people_occur_in_no_ledger_and_no_output(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    guarded.go("lead", "--code", guarded.code("lead"))
    done = guarded.resume()
    shown = done.stdout + done.stderr + guarded("ledger", "export", "book", "-t", "guarded").stdout
    for made in guarded.codes.values():
        assert made.secret not in shown
    assert (guarded.project / ".gonogo/keys.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.attack("people")
def test_a_second_phase_does_not_go_on_what_was_said_of_the_first(make_project: Make, old_url: str) -> None:
    second = BOOK.replace(
        "checks:\n",
        "  - phase: two\n    gate: {approve: {roles: [technical_lead, project_owner], quorum: 2}}\n"
        "    tasks: [{task: more, steps: [{sql: b.sql, undo: b.undo.sql}]}]\nchecks:\n",
    )
    more = {"b__sql": "CREATE TABLE made_too (id int);\n", "b__undo__sql": "DROP TABLE made_too;\n"}
    desk = Desk(make_project(second, **FILES, **more), old_url, "guarded")
    desk.enroll("lead", "owner")
    assert desk.launch("--phase", "one", "--as", "lead", "--code", desk.code("lead")).returncode == 4
    for person in ("lead", "owner"):
        assert desk.go(person, "--code", desk.code(person)).returncode == 0
    assert desk.resume().returncode == 0
    votes = desk.bodies(Kind.VOTE)
    desk.forge(Kind.PHASE_STARTED, "lead", phase="two", through=1, at_once=True, person="lead", proved=True)
    for vote in votes:
        desk.forge(Kind.VOTE, str(vote["person"]), **vote)
    desk.forge(Kind.GO, "lead", judged=[], votes=[], seal="")

    done = desk.resume()

    assert done.returncode == 4, done.stdout
    assert "the launch (event" in done.stdout
    assert "is not signed with this project's key" in done.stdout
    with psycopg.connect(old_url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('made_too')").fetchone() == (None,)


def test_a_new_key_does_not_strand_a_run_that_rests_on_what_the_old_one_signed(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    guarded.go("lead", "--code", guarded.code("lead"))
    assert guarded("people", "enroll", "lead", "--again").returncode == 0

    assert guarded.resume().returncode == 0

    assert guarded.made()


@pytest.mark.attack("people")
def test_a_process_without_the_keys_takes_no_vote_away(guarded: Desk) -> None:
    guarded.go("owner", "--code", guarded.code("owner"))
    guarded.go("lead", "--code", guarded.code("lead"))
    env = {**guarded.env, "GONOGO_KEYS": str(guarded.project / "none.json")}
    done = gonogo("resume", "book", "-t", "guarded", "--without-prefect", "--no-wait", cwd=guarded.project, env=env)
    assert done.returncode == 3
    assert "this machine does not have the project's key" in done.stderr

    assert guarded.resume().returncode == 0

    assert guarded.made()


@pytest.mark.attack("people")
def test_a_protected_database_is_not_changed_under_the_name_of_an_unprotected_target(guarded: Desk) -> None:
    guarded.go("lead", "--code", guarded.code("lead"), decision="no-go")
    assert guarded.resume().returncode == 10
    guarded.target = "open"

    done = guarded.launch()

    assert done.returncode == 3
    assert "this database is protected" in done.stderr


def test_what_people_write_is_kept_as_text_that_every_report_can_hold(desk: Desk) -> None:
    desk.launch()
    odd = "see \\u0000 and \udcff and \x1b[31m " + "x" * 5000
    env = desk.env
    done = gonogo("go", "book", "-t", "open", "--as", "lead", "--comment", odd, cwd=desk.project, env=env)
    assert done.returncode == 0, done.stderr

    kept = str(desk.bodies(Kind.VOTE)[0]["comment"])

    assert kept.startswith("see \\u0000 and ? and")
    assert len(kept) == 2000
    report = desk("report", "book", "--format", "md")
    assert report.returncode == 0
    assert "\x1b" not in report.stdout


LEAD_BACK = (
    BOOK.replace("backup: {waived: the table is empty}", "backup: {recover_within: 5m}")
    .replace("rehearsal: {waived: it makes one table}", "rehearsal: {fresh_for: 1h}")
    .replace("rollback:\n", "rollback:\n  levels: [undo, restore]\n")
)


def test_a_protected_run_begins_with_a_rehearsal_and_a_proved_backup(make_project: Make, old_url: str) -> None:
    desk = Desk(make_project(LEAD_BACK, **FILES), old_url, "guarded")
    desk.enroll("lead", "owner")
    done = desk.launch("--as", "owner", "--code", desk.code("owner"))
    assert done.returncode == 10
    assert "rehearsal: there is none" in done.stdout
    assert not desk.bodies(Kind.BACKED_UP), "what takes long comes after what can be known at once"

    assert desk("rehearse", "book", "-t", "guarded").returncode == 0
    done = desk.launch("--as", "lead", "--code", desk.code("lead"))

    assert done.returncode == 4, done.stdout
    judged = desk.bodies(Kind.ASKED)[-1]["judged"]
    assert [row["check"] for row in judged] == ["backup_proved", "rehearsal_fresh", "quiet"]  # type: ignore[attr-defined]


def test_both_agree_to_the_same_way_back_and_somebody_accepts_what_is_lost(make_project: Make, old_url: str) -> None:
    desk = Desk(make_project(LEAD_BACK, **FILES), old_url, "open")
    assert desk("rehearse", "book").returncode == 0
    desk.launch()
    desk.go("lead")
    desk.go("owner")
    assert desk.resume().returncode == 0
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("INSERT INTO made VALUES (1)")

    def back(*more: str) -> CompletedProcess[str]:
        return desk("rollback", "book", "--without-prefect", *more)

    assert back("--level", "restore", "--as", "lead").returncode == 4
    assert back("--as", "owner").returncode == 4
    assert desk.made(), "one agreed to restore, the other to undo: they did not agree"
    assert not desk.bodies(Kind.ROLL_BACK)
    done = back("--level", "restore", "--as", "owner")
    assert done.returncode == 4, done.stdout
    assert "restoring the backup would destroy rows that were written since: 1 of public.made" in done.stdout
    assert back("--continue", "--accept-loss").returncode == 11
    assert not desk.made()
    assert desk("ledger", "verify", "book").returncode == 0


def test_a_rehearsal_whose_record_was_edited_does_not_let_a_protected_run_begin(make_project: Make, old_url: str) -> None:
    desk = Desk(make_project(LEAD_BACK, **{**FILES, "a__undo__sql": "SELECT 1;\n"}), old_url, "guarded")
    desk.enroll("lead", "owner")
    assert desk("rehearse", "book", "-t", "guarded").returncode == 10
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER append_only")
        better = "replace(body::text, 'does not restore', 'restores exactly')::json"
        connection.execute(f"UPDATE gonogo.event SET body = {better} WHERE kind = 'rehearsed'".encode())

    done = desk.launch("--as", "lead", "--code", desk.code("lead"))

    assert done.returncode == 10
    assert "its record is not signed with this project's key: somebody else wrote it" in done.stdout, done.stdout


@pytest.mark.attack("people")
def test_whoever_lets_rows_go_proves_it_also_where_others_agreed_to_roll_back(guarded: Desk) -> None:
    assert guarded.go("owner", "--code", guarded.code("owner")).returncode == 0
    assert guarded.go("lead", "--code", guarded.code("lead")).returncode == 0
    done = guarded.resume()
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(guarded.url, autocommit=True) as connection:
        connection.execute("INSERT INTO made SELECT generate_series(1, 7)")
        back = ("rollback", "book", "-t", "guarded", "--without-prefect", "--reason", "wrong")
        assert guarded(*back, "--as", "lead", "--code", guarded.code("lead")).returncode == 4
        # the second one agrees, and the process that would act on it never comes
        found = runs.find(connection, runbook="book")
        keys = Keys(file=guarded.project / ".gonogo/keys.json")
        caller = votes.Caller(person="owner", code=guarded.code("owner"))
        assert votes.agree(connection, found, keys, caller, "wrong") == ("", True)

        for more in (["--as", "mallory"], ["--as", "lead"], ["--as", "lead", "--code", "000000"], []):
            done = guarded(*back, "--accept-loss", "--take-over", *more)
            assert done.returncode == 3, done.stdout + done.stderr
        assert connection.execute("SELECT count(*) FROM made").fetchone() == (7,)
        assert guarded.bodies(Kind.ROLL_BACK) == []

        done = guarded(*back, "--accept-loss", "--as", "lead", "--code", guarded.code("lead"))
        assert done.returncode == 11, done.stdout + done.stderr
    assert not guarded.made()


@pytest.mark.attack("people")
def test_a_name_that_was_not_proved_says_so_and_doubt_is_settled_by_somebody_who_proves_it(guarded: Desk) -> None:
    done = guarded("resume", "book", "-t", "guarded", "--without-prefect", "--no-wait", "--settle", "done", "--as", "dev")
    assert done.returncode == 3
    assert "must prove who they are" in done.stderr
    done = guarded("resume", "book", "-t", "guarded", "--without-prefect", "--no-wait", "--settle", "done", "--as", "mallory")
    assert "so one of its people (lead, owner, dev) must settle what is in doubt" in done.stderr
    assert guarded("hold", "book", "-t", "guarded", "--as", "lead", "--reason", "wait").returncode in (0, 3)
    done = guarded("resume", "book", "-t", "guarded", "--without-prefect", "--no-wait", "--as", "owner")
    assert "owner (not proved)" in done.stdout, done.stdout + done.stderr
    assert guarded("resume", "book", "-t", "guarded", "--as", "owner", "--code", "000000", "--no-wait").returncode == 3
