"""Break the protocol, one line at a time, and see whether the project's own tests notice.

`uv run python tests/support/mutants.py [NAME ...]` makes each mutant in a copy of the project, runs the tests that should
kill it, and prints a table; it ends with 1 where one survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_PROTOCOL, _UNIT = "tests/integration/test_protocol.py", "tests/unit"


class Mutant(NamedTuple):
    """A line that is changed, and the tests that must notice."""

    file: str
    old: str
    new: str
    #: arguments of pytest
    tests: tuple[str, ...]


def _protocol(words: str) -> tuple[str, ...]:
    return (_PROTOCOL, "-k", words)


MUTANTS = {
    "the fence is not looked at": Mutant(
        "gonogo/ledger/ledger.sql",
        "AND epoch = p_epoch FOR SHARE;\n  IF NOT FOUND THEN",
        "AND epoch = p_epoch FOR SHARE;\n  IF FALSE THEN",
        _protocol("fenced or taken"),
    ),
    "the epoch is not raised by a take-over": Mutant(
        "gonogo/ledger/fence.py",
        "_sign(connection, run, epochs=1)\n    return int(epoch) + 1",
        "_sign(connection, run, epochs=0)\n    return int(epoch)",
        _protocol("taken"),
    ),
    "it is tried again without asking the ledger": Mutant(
        "gonogo/run/kept_connection.py",
        "if e.kind is body.kind and e.actor == self.actor]",
        "if False]",
        _protocol("cut"),
    ),
    "the old backend is not ended": Mutant(
        "gonogo/run/kept_connection.py",
        "        fence.end_holder(self.connection, epoch=self.epoch)\n",
        "",
        _protocol("ended_and_not_waited"),
    ),
    "every error is tried again": Mutant(
        "gonogo/run/session.py",
        'return isinstance(error, psycopg.Error) and (error.sqlstate or "") in TRANSIENT',
        "return isinstance(error, psycopg.Error)",
        _protocol("another_try"),
    ),
    "a script may end its own transaction": Mutant(
        "gonogo/ledger/ledger.sql",
        "IF p_entered AND current_setting",
        "IF FALSE AND current_setting",
        _protocol("ends_its_own"),
    ),
    "what a proved backup holds is not compared": Mutant(
        "gonogo/recovery/dump.py",
        "        if found[name] != held\n",
        "        if False\n",
        _protocol("does_not_hold"),
    ),
    "a run that this project did not sign is carried out": Mutant(
        "gonogo/run/signatures.py",
        "or is_ours(connection, run, keys):\n        return\n",
        "or True:\n        return\n",
        ("tests/acceptance/test_forged.py", "-k", "not_carried_out and beside"),
    ),
    "a launch that somebody wrote counts": Mutant(
        "gonogo/run/signatures.py",
        "    if not launches or launches[-1].seq <= answered:\n",
        "    if True:\n",
        ("tests/acceptance/test_forged.py", "-k", "launch_that"),
    ),
    "the lock of anybody is in the way": Mutant(
        "gonogo/postgres/only_one.py",
        "AND (who.rolsuper OR",
        "AND (TRUE OR",
        ("tests/acceptance/test_ways_back.py", "-k", "only_connect"),
    ),
    "the doctor examines as a superuser": Mutant(
        "gonogo/importers/clinic.py",
        'role="" if superuser else _ROLE',
        'role=""',
        ("tests/acceptance/test_doctor.py", "-k", "no_power"),
    ),
    "what a block of a template yields is written": Mutant(
        "gonogo/planning/rendering.py",
        "    code_generator_class = _Generator\n",
        "",
        ("tests/unit/test_template.py", "-k", "nobody_quotes"),
    ),
    "a hold that is long over goes on": Mutant(
        "gonogo/core/engine/evolve.py",
        "held_at=state.held_at if state.held else event.at)",
        "held_at=state.held_at or event.at)",
        ("tests/unit/test_engine.py", "-k", "later_soak_longer"),
    ),
    "a backfill's rows do not count": Mutant(
        "gonogo/core/engine/forecast.py",
        " + state.work.script + state.work.filled\n",
        " + state.work.script\n",
        ("tests/unit/test_durations_and_schedule.py", "-k", "rows_that_a_backfill"),
    ),
    "the run's own message keeps an end that has passed": Mutant(
        "gonogo/notify/sender.py",
        "                        self._refresh(connection)\n",
        "",
        ("tests/integration/test_slack.py", "-k", "overdue"),
    ),
    "a vote on what is not asked any more counts": Mutant(
        "gonogo/page/decisions.py",
        "if said.action in (GO, NO_GO) and said.asked != asked_now(found):",
        "if False:",
        ("tests/acceptance/test_page.py", "-k", "not_asked_any_more"),
    ),
    "a form of another site is heard": Mutant(
        "gonogo/page/app.py",
        "    if not same or not hmac.compare_digest(",
        "    if False and not hmac.compare_digest(",
        ("tests/acceptance/test_page.py", "-k", "another_site"),
    ),
    "a page needs no password": Mutant(
        "gonogo/page/app.py",
        'if not _OPEN.fullmatch(scope["path"]) and not self._knows(Request(scope)):',
        "if False:",
        ("tests/acceptance/test_page.py", "-k", "without_the_password"),
    ),
    "a link never ends": Mutant(
        "gonogo/page/links.py",
        "    if clock.now() >= ends:\n",
        "    if False:\n",
        ("tests/acceptance/test_page.py", "-k", "a_link_shows"),
    ),
    "what is of others goes with the ledger": Mutant(
        "gonogo/run/uninstall.py",
        "        if gone := sorted(before - _of_others(connection)):\n",
        "        if gone := []:\n",
        ("tests/acceptance/test_uninstall.py", "-k", "of_others"),
    ),
    "anybody in Slack may press": Mutant(
        "gonogo/page/slack_buttons.py",
        "if person.slack and person.slack == user]",
        "if person.slack]",
        ("tests/acceptance/test_slack_buttons.py", "-k", "may_not_decide"),
    ),
    "on a protected target a press is enough": Mutant(
        "gonogo/page/slack_buttons.py",
        "            if protected or act.startswith(CONFIRM):\n",
        "            if act.startswith(CONFIRM):\n",
        ("tests/acceptance/test_slack_buttons.py", "-k", "form_asks_for_the_code"),
    ),
    "an address that may be torn is taken": Mutant(
        "gonogo/postgres/address.py",
        "if clear and not _is_torn(url) else",
        "if clear else",
        ("tests/unit/test_addresses.py", "-k", "torn"),
    ),
    "nothing is struck out": Mutant(
        "gonogo/redaction.py",
        'text = text.replace(form, "***")',
        "pass",
        ("tests/acceptance/test_canary.py",),
    ),
    "rows are loaded into a copy by a superuser": Mutant(
        "gonogo/recovery/loader.py",
        "if row is None or not row[0]:",
        "if True:",
        ("tests/integration/test_backup.py", "-k", "tables_owner"),
    ),
    "what is written over is not noted": Mutant(
        "gonogo/run/session.py",
        "done = done.replace(over=all_written_over(self.connection, over))",
        "pass",
        ("tests/integration/test_written_over.py", "-k", "15 and type"),
    ),
    "a backfill does not rest, however slow the calls beside it": Mutant(
        "gonogo/core/engine/pace.py",
        "(_SLOWER if look.read > allowed else _FASTER)",
        "_FASTER",
        ("tests/unit/test_pace.py",),
    ),
    "a backfill stops for nothing": Mutant(
        "gonogo/run/steps/backfill.py",
        "            if not why:\n                return",
        "            return",
        ("tests/acceptance/test_backfill.py", "-k", "stops_while_a_check"),
    ),
    "an undo in batches takes back what somebody changed since": Mutant(
        "gonogo/run/backfill.py",
        "({column} OPERATOR(pg_catalog.=) {own}::pg_catalog.xid OR ",
        "(true OR ",
        ("tests/acceptance/test_backfill.py", "-k", "every_row and 18"),
    ),
    "an undo in batches begins again after a crash": Mutant(
        "gonogo/core/engine/evolve.py",
        "return changed(state, rollback=changed(state.rollback, undo_batch=body.batch))",
        "return state",
        ("tests/acceptance/test_backfill.py", "-k", "was_killed"),
    ),
    "a watch misses what a later step is to make": Mutant(
        "gonogo/run/watch.py",
        "return measured.sqlstate in NOT_THERE and measured.check not in self._answered and self.at_work()",
        "return False",
        ("tests/acceptance/test_watch.py", "-k", "still_to_make"),
    ),
    "a check that never answered is no matter": Mutant(
        "gonogo/run/watch.py",
        """_newest(self._breaches[name]) or (check.no_data != "ignore" and _newest(self._blanks[name]))""",
        "_newest(self._breaches[name])",
        ("tests/acceptance/test_watch.py", "-k", "never_answered"),
    ),
    "a restore point lacks a row": Mutant(
        "gonogo/recovery/same_rows.py",
        "        if missing:",
        "        if missing > 1:",
        ("tests/acceptance/test_restore_points.py", "-k", "busy_table_had"),
    ),
    "a quiet table of a restore point may differ": Mutant(
        "gonogo/recovery/same_rows.py",
        "        if now == then:",
        "        if False:",
        ("tests/acceptance/test_restore_points.py", "-k", "more and proves_nothing"),
    ),
    "whatever was restored is the restore point": Mutant(
        "gonogo/recovery/put_back.py",
        "if not why and underway.holds is not None and not heads.has(connection, underway.holds):",
        "if False:",
        ("tests/acceptance/test_restore_points.py", "-k", "another_restore_point"),
    ),
    "what a dead process started is left alone": Mutant(
        "gonogo/recovery/put_back.py",
        "            self._end_what_is_left()",
        "            pass",
        ("tests/acceptance/test_restore_points.py", "-k", "dead_process_started"),
    ),
    "an old restore point is as good as a new one": Mutant(
        "gonogo/recovery/restore_point.py",
        "lacks = before.newest is not None and not heads.has(copy, before.newest)",
        "lacks = False",
        ("tests/acceptance/test_restore_points.py", "-k", "older"),
    ),
    "a program that says it restored is believed": Mutant(
        "gonogo/recovery/put_back.py",
        "if heads.has(connection, underway.head):",
        "if why:",
        ("tests/acceptance/test_restore_points.py", "-k", "only_says"),
    ),
    "a program's copy is dropped though it is the target": Mutant(
        "gonogo/external/answer.py",
        'return "what it made is the target itself" if is_same_database(one, other) else ""',
        'return ""',
        ("tests/acceptance/test_copies.py", "-k", "unless_it_is_the_target"),
    ),
    "what a failing program made is forgotten": Mutant(
        "gonogo/external/answer.py",
        "raise FailedAfterAnswer(why, said) if needs else StepError(why)",
        "raise StepError(why)",
        ("tests/acceptance/test_copies.py", "-k", "unless_it_is_the_target"),
    ),
    "a database in use is taken for a copy": Mutant(
        "gonogo/rehearsal/copies.py",
        "if newest is not None and not heads.has(target, newest):",
        "if False:",
        ("tests/acceptance/test_copies.py", "-k", "no_copy"),
    ),
    "what was done elsewhere needs no signature": Mutant(
        "gonogo/run/done_elsewhere.py",
        "if not is_ours(connection, run, keys):",
        "if False:",
        ("tests/acceptance/test_done_on.py", "-k", "key_is_told"),
    ),
    "another change was done elsewhere": Mutant(
        "gonogo/run/done_elsewhere.py",
        "if known.what != plan.what:",
        "if False:",
        ("tests/acceptance/test_done_on.py", "-k", "another_change"),
    ),
    "whoever is paused is not heard": Mutant(
        "gonogo/core/engine/pace.py",
        "        if work.paused:",
        "        if False:",
        ("tests/unit/test_pace.py",),
    ),
    "a script rests no longer than it waited": Mutant(
        "gonogo/run/lock_patience.py",
        "_REST, _LEAST, _MOST = 20.0, 0.2, 30.0",
        "_REST, _LEAST, _MOST = 1.0, 0.0, 30.0",
        ("tests/unit/test_waiting_for_locks.py",),
    ),
    "nobody is heard while a script rests": Mutant(
        "gonogo/run/session.py",
        "raise Overtaken\n",
        "pass\n",
        ("tests/acceptance/test_lock_patience.py", "-k", "whoever_holds"),
    ),
    "who is busy is ended, too": Mutant(
        "gonogo/postgres/blockers.py",
        "WHEN a.state LIKE 'idle in transaction%%' THEN",
        "WHEN a.state IS NOT NULL THEN",
        ("tests/acceptance/test_lock_patience.py", "-k", "18-busy"),
    ),
    "what others waited is no downtime": Mutant(
        "gonogo/core/engine/budgets.py",
        "if waited and state.downtime.since is None:",
        "if False:",
        ("tests/unit/test_budget.py",),
    ),
    "what is written over is not asked for": Mutant(
        "gonogo/recovery/rows_at_stake.py",
        "_lost_again(connection, stake, now, since, step, last=last) if stake.again else 0",
        "0",
        ("tests/integration/test_written_over.py", "-k", "15 and type"),
    ),
    "what batches of a step noted counts for the first one alone": Mutant(
        "gonogo/recovery/rows_at_stake.py",
        "[noted.over for noted in stake.noted if noted.step == by]",
        "[noted.over for noted in stake.noted if noted.step == by][:1]",
        ("tests/integration/test_written_over.py",),
    ),
    "what a script did is not looked at": Mutant(
        "gonogo/recovery/measured_loss.py",
        "touched=s.oid in changed",
        "touched=False",
        ("tests/integration/test_measured_loss.py", "-k", "several_undos"),
    ),
    "a warning of a script is nobody's matter": Mutant(
        "gonogo/run/kept_connection.py",
        'if said.severity_nonlocalized == "WARNING" and',
        "if False and",
        ("tests/acceptance/test_warnings.py",),
    ),
    "an import counts as the first template's time": Mutant(
        "gonogo/planning/render_process.py",
        "            rendering = _rendering(request.roots)\n            with _limited():\n",
        "            with _limited():\n                rendering = _rendering(request.roots)\n",
        ("tests/unit/test_template.py", "-k", "imported_for_the_first"),
    ),
    "an undo is not guarded": Mutant(
        "gonogo/run/losses.py",
        'guard = "" if state.rollback.loss.accepted else self._guard(number, script)',
        'guard = ""',
        _protocol("journal"),
    ),
    "what a REINDEX left stays": Mutant(
        "gonogo/run/non_transactional.py",
        "            _drop_index(session, name)\n    if row.probe",
        "            pass\n    if row.probe",
        _protocol("reindex"),
    ),
    "another database is as good": Mutant(
        "gonogo/postgres/connection.py",
        "    if expected and (found.system_identifier",
        "    if False and (found.system_identifier",
        _protocol("another_server"),
    ),
    "a measured loss that nobody accepted is let through": Mutant(
        "gonogo/run/session.py",
        "                if not allows(lost):",
        "                if False:",
        ("tests/acceptance/test_ways_back.py", "-k", "more_as_it_runs"),
    ),
    "a loss is not counted beforehand": Mutant(
        "gonogo/core/engine/decide.py",
        "    if not state.rollback.loss.covers(step) and any(",
        "    if False and any(",
        ("tests/unit/test_way_back.py",),
    ),
    "whoever accepted one table accepted all": Mutant(
        "gonogo/core/engine/loss.py",
        "(self.accepted_of is None or found <= self.accepted_of)",
        "True",
        ("tests/unit/test_way_back.py",),
    ),
    "rows that gonogo's own run wrote are lost, too": Mutant(
        "gonogo/recovery/rows_at_stake.py",
        'f"NOT {OF_THE_RUN}"',
        '"true"',
        ("tests/integration/test_measured_loss.py", "-k", "run_wrote"),
    ),
    "deferred triggers are not waited for": Mutant(
        "gonogo/recovery/measured_loss.py",
        ";SET CONSTRAINTS ALL IMMEDIATE;",
        ";",
        ("tests/integration/test_measured_loss.py", "-k", "counts_by_hand"),
    ),
    "rows are noted while others write": Mutant(
        "gonogo/recovery/measured_loss.py",
        "        take(connection, wanted, patience)\n",
        "",
        ("tests/integration/test_measured_loss.py", "-k", "readers_go_on"),
    ),
    "the session is not cleared": Mutant(
        "gonogo/run/kept_connection.py",
        'f"{_CLEAR};{again};{named}"',
        'f"{named}"',
        ("tests/acceptance/test_leftovers.py",),
    ),
    "a rehearsal's program may be told of the target": Mutant(
        "gonogo/external/process.py",
        "    if copy_of:\n",
        "    if False:\n",
        ("tests/acceptance/test_programs.py", "-k", "told_of_the_target"),
    ),
    "a ledger that went back is not noticed": Mutant(
        "gonogo/ledger/ledger.sql",
        "* 1000000)::bigint = p_at_us;\n  IF NOT FOUND THEN",
        "* 1000000)::bigint = p_at_us;\n  IF FALSE THEN",
        ("tests/acceptance/test_failover.py", "-k", "lost_commits"),
    ),
    "a cast that somebody else wrote is called": Mutant(
        "gonogo/postgres/own_types.py",
        "    if row is None:\n",
        "    if True:\n",
        ("tests/integration/test_own_casts.py",),
    ),
    "a view that took the place of a table is read": Mutant(
        "gonogo/postgres/own_types.py",
        "AND c.relkind = 'v' AND",
        "AND c.relkind = 'x' AND",
        ("tests/integration/test_own_casts.py", "-k", "took_the_place"),
    ),
    "a wrong is planted where somebody else's code runs": Mutant(
        "gonogo/rehearsal/wrongs.py",
        "if not why_not_written(connection, table)}",
        "if True}",
        ("tests/integration/test_own_casts.py", "-k", "domain"),
    ),
    "a foreign key of a copy is validated as gonogo": Mutant(
        "gonogo/recovery/pg_restore.py",
        "casts=calls_casts(url)",
        "casts=False",
        ("tests/integration/test_backup.py", "-k", "tables_owner_wrote"),
    ),
    "no check notices a wrong, and that is no blind spot": Mutant(
        "gonogo/rehearsal/blind_spots.py",
        "            if not by:\n",
        "            if False:\n",
        ("tests/acceptance/test_blind_spots.py", "-k", "no_check_looks_at"),
    ),
    "a backup that somebody wrote passes the gate": Mutant(
        "gonogo/run/gate.py",
        "    if forged := why_evidence_invalid(",
        "    if False and why_evidence_invalid(",
        ("tests/unit/test_signatures.py",),
    ),
    "a backup that somebody wrote is restored": Mutant(
        "gonogo/run/runner.py",
        'if state.rollback.level == "restore":',
        "if False:",
        ("tests/unit/test_signatures.py",),
    ),
    "a copied rehearsal counts": Mutant(
        "gonogo/run/signatures.py",
        'return "" if since <= body.follows < event.seq else',
        'return "" if True else',
        ("tests/unit/test_signatures.py",),
    ),
    "a slow check is waited for": Mutant(
        "gonogo/run/askers.py",
        "_SLOW = 0.5",
        "_SLOW = 500.0",
        ("tests/acceptance/test_watch.py", "-k", "slow_answer"),
    ),
    "who wrote a row of the server's own is not looked at": Mutant(
        "gonogo/postgres/catalog_query.py",
        "ROW(r.tableoid, r.ctid, r.xmin)",
        "ROW(r.tableoid, 0, 0)",
        ("tests/integration/test_fingerprint.py", "-k", "servers_own_rows"),
    ),
    "a process that Prefect started waits for Prefect": Mutant(
        "flows/entrypoints.py",
        "return alone and this_run.parent_flow_run_id is None",
        "return False",
        ("tests/acceptance/test_prefect.py", "-k", "hangs and launched"),
    ),
    "an embedded server has ten seconds to start": Mutant(
        "gonogo/postgres/embedded.py",
        "except (subprocess.SubprocessError, AssertionError, FileNotFoundError) as error:",
        "except ZeroDivisionError as error:",
        ("tests/integration/test_libraries.py", "-k", "slowly"),
    ),
    "a program without TLS reaches a server that wants it": Mutant(
        "gonogo/postgres/programs.py",
        "if reached.tls and not program.tls:",
        "if False:",
        ("tests/integration/test_reached_by_tls.py",),
    ),
    "a pooled session keeps no settings": Mutant(
        "gonogo/postgres/pooled.py",
        "given = pooled.settings if pooled else {}\n    return",
        "given: dict[str, str] = {}\n    return",
        ("tests/acceptance/test_pooler.py",),
    ),
    "a pooler that shares connections is taken for one that does not": Mutant(
        "gonogo/postgres/pooled.py",
        "if theirs == backend or ours != backend:",
        "if False:",
        ("tests/acceptance/test_pooler.py", "-k", "transaction"),
    ),
    "a password of the environment reaches no program": Mutant(
        "gonogo/postgres/tools.py",
        '{"password": os.environ.get("PGPASSWORD", "")}',
        "{}",
        ("tests/integration/test_reached_by_tls.py", "-k", "PGPASSWORD"),
    ),
    "an extension is missed only after the dump": Mutant(
        "gonogo/postgres/scratch.py",
        "if missing := [name for name in wanted if name not in there]:",
        "if missing := []:",
        ("tests/integration/test_rights_by_level.py", "-k", "lack_is_said"),
    ),
    "a schema that others may write to takes the ledger": Mutant(
        "gonogo/ledger/store.py",
        "AND a.grantee <> n.nspowner",
        "AND a.grantee <> a.grantee",
        ("tests/integration/test_rights_by_level.py", "-k", "ours_alone"),
    ),
    "an undo comes late to what it only locks": Mutant(
        "gonogo/recovery/measured_loss.py",
        "strongest(locks for each in by_script for locks in each)",
        "strongest(each.changed for each in by_script)",
        ("tests/integration/test_measured_loss.py", "-k", "only_locks"),
    ),
    "a view is locked after what it reads": Mutant(
        "gonogo/recovery/undo_locks.py",
        "c.relkind IN ('v', 'p', 'r')",
        "c.relkind IN ('p', 'r')",
        ("tests/integration/test_measured_loss.py", "-k", "view_is_locked"),
    ),
    "a lock is waited for behind others for as long as the step may": Mutant(
        "gonogo/recovery/undo_locks.py",
        "each = max(min(first, int(int(row[0]) * _OTHERS) // max(len(statements) - 1, 1)), 1)",
        "each = 5000",
        ("tests/integration/test_measured_loss.py", "-k", "before_it_looks_for"),
    ),
    "a call that raises has not failed": Mutant(
        "checks/calls.py",
        'return f"{error.sqlstate} {str(error).splitlines()[0]}"',
        'return ""',
        ("tests/integration/test_check_kinds.py", "-k", "calls"),
    ),
    "a name adds a line to what an administrator runs": Mutant(
        "gonogo/cli/rights.py",
        "{one_line(lack.what)}",
        "{lack.what}",
        ("tests/integration/test_rights_by_level.py", "-k", "no_name"),
    ),
    "a session that is shared is set up before that is seen": Mutant(
        "gonogo/postgres/pooled.py",
        "if why := _why_no_session(connection, backend):",
        'if why := "":',
        ("tests/acceptance/test_pooler.py", "-k", "shared"),
    ),
    "what a pooler keeps of the settings stands for all": Mutant(
        "gonogo/postgres/pooled.py",
        "if took and backend == connection.info.backend_pid:",
        "if took:",
        ("tests/acceptance/test_pooler.py", "-k", "keeps"),
    ),
    "a role that can become a superuser is to be granted": Mutant(
        "gonogo/postgres/rights.py",
        "AND r.oid = c.relowner AND NOT {REACHES_MORE} AND {_OWNED}",
        "AND r.oid = c.relowner AND NOT r.rolsuper AND {_OWNED}",
        ("tests/integration/test_rights_by_level.py", "-k", "could_do_everything"),
    ),
    "a schema of a role that one is a member of takes the ledger": Mutant(
        "gonogo/ledger/store.py",
        "AND n.nspowner = (SELECT me.oid FROM pg_catalog.pg_roles me WHERE me.rolname = CURRENT_USER)",
        "",
        ("tests/integration/test_rights_by_level.py", "-k", "member_of"),
    ),
    "a file that is left out is not named": Mutant(
        "gonogo/migrations/folders.py",
        "            _name_what_is_left_out(folder, found)\n",
        "",
        ("tests/acceptance/test_doctor.py", "-k", "callbacks"),
    ),
    "a call may commit what is to be taken back": Mutant(
        "gonogo/planning/scripts.py",
        "    elif is_call and draft.attempt(path, split, text, label) == []:\n",
        "    elif is_call and not text:\n",
        ("tests/unit/test_bad_input.py", "-k", "a_call_ends"),
    ),
    "a terminal that is closed is not heard": Mutant(
        "gonogo/signals.py",
        "_ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)\n",
        "_ASKS = (signal.SIGINT, signal.SIGTERM)\n",
        ("tests/acceptance/test_kill.py", "-k", "terminal_that"),
    ),
    "what is written to a terminal that is gone ends the run": Mutant(
        "gonogo/signals.py",
        "            _leave_the_terminal()\n",
        "            pass\n",
        ("tests/acceptance/test_kill.py", "-k", "terminal_that"),
    ),
    "people are called who have voted for the rollback": Mutant(
        "gonogo/core/engine/evolve.py",
        "_ENDS_ALARM |= {Kind.VOTE}\n",
        "",
        ("tests/unit/test_escalation.py",),
    ),
    "a lost connection is not made again": Mutant(
        "gonogo/run/kept_connection.py",
        "if clock.monotonic() > deadline:",
        "if True:",
        ("tests/acceptance/test_network.py",),
    ),
    "copies are worked on as whoever made them": Mutant(
        "gonogo/rehearsal/sandbox.py",
        "url=who.at(url) if who else url,",
        "url=url,",
        ("tests/integration/test_rehearsed_as.py", "-k", "no_more_rights"),
    ),
    "a superuser who acts as a role restores in place": Mutant(
        "gonogo/recovery/restore.py",
        "pg_catalog.pg_has_role(session_user, d.datdba, 'USAGE')",
        "pg_catalog.pg_has_role(d.datdba, 'USAGE')",
        ("tests/acceptance/test_ways_back.py", "-k", "lends_no_owner"),
    ),
    "a record in a definition is not looked into": Mutant(
        "gonogo/recovery/run_when_made.py",
        "SELECT a.atttypid, c.reltype, true FROM",
        "SELECT a.atttypid, c.reltype, false FROM",
        ("tests/integration/test_run_when_made.py",),
    ),
    "a server whose user was killed stays": Mutant(
        "gonogo/postgres/embedded.py",
        'kill -INT "$server"\n',
        "true\n",
        ("tests/integration/test_embedded.py", "-k", "last_user"),
    ),
    "a server ends though another process uses it": Mutant(
        "gonogo/postgres/embedded.py",
        '[ "$user" = "$2" ] || ! kill -0 "$user" 2>/dev/null || exit 0',
        "true",
        ("tests/integration/test_embedded.py", "-k", "last_user"),
    ),
    "a run ends where nobody reads its output": Mutant(
        "gonogo/cli/outlet.py",
        "if error.errno not in _GONE:",
        "if True:",
        ("tests/acceptance/test_kill.py", "-k", "nobody_reads"),
    ),
    "a lock counts for a moment though what runs after it takes long": Mutant(
        "gonogo/sql/blocking.py",
        "(each for each in statements[number + 1 :] if each.lasts)",
        "(each for each in () if each.lasts)",
        ("tests/integration/test_lasting.py", "-k", "as_long_as"),
    ),
    "a change of another tool is done and not recorded": Mutant(
        "gonogo/planning/migrations.py",
        'add = record.add(change, before) if record else ""',
        'add = ""',
        ("tests/acceptance/test_other_tools.py", "-k", "dbmate"),
    ),
    "nobody asks the tool whether it is done already": Mutant(
        "gonogo/planning/migrations.py",
        "of_phase.setdefault(phase, []).append(name)",
        "pass",
        ("tests/acceptance/test_other_tools.py", "-k", "dbmate"),
    ),
}


def applied(mutant: Mutant, root: Path) -> None:
    """Change the line in a copy of the project."""
    file = root / mutant.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file}: {mutant.old!r} is there {text.count(mutant.old)} times"
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def killed(mutant: Mutant) -> str:
    """Return the first test that notices a mutant, or nothing where it survives."""
    with tempfile.TemporaryDirectory(prefix="gonogo-mutant-") as folder:
        root = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".gonogo", ".*_cache", "node_modules")
        shutil.copytree(ROOT, root, ignore=ignored)
        applied(mutant, root)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *mutant.tests]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(root)}
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    found = [line.removeprefix("FAILED ").split(" - ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    return found[0] if found else ""


def main() -> int:
    """Make the mutants, and print what noticed each."""
    wanted = sys.argv[1:] or list(MUTANTS)
    survivors = 0
    print("| mutant | killed by |\n| --- | --- |")
    for name in wanted:
        by = killed(MUTANTS[name])
        survivors += not by
        print(f"| {name} | {by or '**survives**'} |", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
