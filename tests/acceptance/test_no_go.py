"""Each no-go criterion of each plan, planted once: the phase does not begin, the reason names it, and nothing was changed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from support.command import environment, gonogo
from support.prepared import prepare
from support.round_trips import PLANS, Plan, lay, stock
from support.servers import Server

from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.core.plan.plan import Plan as Planned
from gonogo.core.plan.plan import PlannedPhase
from gonogo.planning.load import load_runbook
from gonogo.project import ROOT, Project

#: what a planted row does to a constraint that would not let it in
UNSEEN = "SET session_replication_role = replica;"
FIRST = "WHERE ctid = (SELECT min(ctid) FROM {})"


@dataclass(frozen=True)
class Planted:
    """What violates a criterion: something in the database, or something that goes on around the launch."""

    sql: str = ""
    #: what takes it back where that is not of the database
    afterwards: str = ""
    environment: Callable[[str], AbstractContextManager[None]] | None = None


@contextmanager
def old_transaction(url: str) -> Iterator[None]:
    """Somebody has been in a transaction, and in its statement, for longer than allowed: a second, in these tests."""
    with psycopg.connect(url) as connection, psycopg.connect(url, autocommit=True) as other, ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(connection.execute, "SELECT pg_sleep(100)")
        time.sleep(2)
        try:
            yield
        finally:
            other.execute("SELECT pg_cancel_backend(%s)", [connection.info.backend_pid])
            assert isinstance(waiting.exception(), psycopg.errors.QueryCanceled)


@contextmanager
def crowd(url: str) -> Iterator[None]:
    """So many others are connected that few more may."""
    with ExitStack() as stack:
        (most,) = stack.enter_context(psycopg.connect(url)).execute(
            "SELECT current_setting('max_connections')::int"
        ).fetchone() or (0,)
        for _ in range(int(most * 0.82)):
            stack.enter_context(psycopg.connect(url))
        yield


def unsound(table: str) -> Planted:
    return Planted(f"ALTER TABLE {table} ADD CONSTRAINT planted CHECK (true) NOT VALID")


def without(table: str) -> Planted:
    return Planted(f"DROP TABLE {table} CASCADE")


#: the name that the function goes by, and what answers in its place
CALLED = (
    "ALTER FUNCTION consume_credits_rpc(uuid, text) RENAME TO consume_before; CREATE FUNCTION consume_credits_rpc(uuid, text)"
)
PLANTED: Mapping[str, Mapping[str, Planted]] = {
    "guardian-multi-credit": {
        "consumption_logged": Planted(f"UPDATE credit_consumption_log SET credits = 0 {FIRST.format('credit_consumption_log')}"),
        "refusals": Planted(
            f"{CALLED} RETURNS jsonb LANGUAGE plpgsql AS $$ DECLARE had int; BEGIN"
            " SELECT credits_remaining INTO had FROM organization_credits WHERE organization_id = $1;"
            " IF had = 0 THEN RETURN jsonb_build_object('success', true); END IF; RETURN consume_before($1, $2); END $$"
        ),
        "function_failures": Planted(f"{CALLED} RETURNS jsonb LANGUAGE sql AS $$SELECT '{{\"success\": false}}'::jsonb$$"),
        "consume_latency_now": Planted(
            f"{CALLED} RETURNS jsonb LANGUAGE sql AS $$SELECT consume_before($1, $2) FROM pg_sleep(0.21)$$"
        ),
        "constraints_valid": unsound("organizations"),
    },
    "goodbuy-hq": {
        "users_have_ids": Planted(
            "ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE; ALTER TABLE users ALTER id DROP NOT NULL;"
            f"UPDATE users SET id = NULL {FIRST.format('users')}"
        ),
        "businesses_have_owners": Planted(f"{UNSEEN} UPDATE businesses SET owner_id = 'nobody' {FIRST.format('businesses')}"),
        "metrics_have_businesses": Planted(
            f"{UNSEEN} UPDATE health_metrics SET business_id = 'nothing' {FIRST.format('health_metrics')}"
        ),
        "plans_offered": Planted("UPDATE subscription_plans SET is_active = false"),
        "subscriptions_have_users": Planted(
            f"{UNSEEN} UPDATE user_subscriptions SET user_id = 'nobody' {FIRST.format('user_subscriptions')}"
        ),
        "users_have_subscriptions": Planted(f"{UNSEEN} DELETE FROM user_subscriptions {FIRST.format('user_subscriptions')}"),
    },
    "saas-subscriptions": {"old_queries": Planted("ALTER TABLE prices RENAME unit_amount TO amount")},
    "audiotricks": {
        "old_queries": Planted("ALTER TABLE sessions RENAME token TO secret"),
        "long_transactions": Planted(environment=old_transaction),
        "connections": Planted(environment=crowd),
        "constraints_valid": unsound("workspaces"),
        "core_missing": without("audio_chunks"),
        "business_missing": without("storage_quotas"),
        "advanced_missing": without("export_history"),
        "storage_size": Planted(
            "CREATE TABLE filler AS SELECT gen_random_uuid() AS a, repeat(md5(g::text), 9) AS b FROM generate_series(1, 90000) g"
        ),
        "would_be_refused": Planted(f"UPDATE user_settings SET default_max_tokens = -1 {FIRST.format('user_settings')}"),
    },
    "event-management": {
        "long_queries": Planted(environment=old_transaction),
        "connections": Planted(environment=crowd),
        "connections_left": Planted(environment=crowd),
        "application_role": Planted("ALTER ROLE event_app BYPASSRLS", "ALTER ROLE event_app NOBYPASSRLS"),
        "own_organization": Planted(f"{UNSEEN} DELETE FROM organizations WHERE id = '00000000-0000-4000-8000-00000000c0de'"),
        "old_queries": Planted("ALTER TABLE tasks RENAME due_date TO until"),
        "nothing_in_the_way": Planted("CREATE TABLE profiles ()"),
        "would_be_refused": Planted(f"UPDATE sponsor_deals SET amount = -1 {FIRST.format('sponsor_deals')}"),
        "constraints_valid": unsound("venues"),
        "tables_missing": without("price_changes"),
        "unprotected": Planted("ALTER TABLE events DISABLE ROW LEVEL SECURITY"),
        "automation_missing": Planted("ALTER TABLE events DISABLE TRIGGER events_dates"),
    },
}
#: what the tests wait a second for instead of minutes, and count dozens of instead of hundreds
SMALLER = {"older_than: 5m": "older_than: 1s", '"<= 500"': '"<= 60"'}


class Desk:
    """A plan's project and its database, which can be put back to how it was before something was planted."""

    def __init__(self, plan: Plan, server: Server, root: Path) -> None:
        self.plan, self.server, self.root = plan, server, root
        self.url, self.env = lay(replace(plan, inputs=dict.fromkeys(plan.inputs, 3000)), server, root)
        self.name = str(conninfo_to_dict(self.url)["dbname"])
        self.book = root / "runbooks" / f"{plan.name}.yaml"
        checks = root / "sql_templates" / plan.name / "checks"
        checks.mkdir(parents=True)
        for file in (ROOT / "sql_templates" / plan.name / "checks").iterdir():
            text = file.read_text(encoding="utf-8").replace("interval '5 minutes'", "interval '1 second'")
            (checks / file.name).write_text(text, encoding="utf-8")

    def edit(self, *edits: tuple[str, str]) -> None:
        """Change the runbook."""
        text = self.book.read_text(encoding="utf-8")
        for pattern, new in edits:
            text = re.sub(pattern, new, text)
        self.book.write_text(text, encoding="utf-8")

    def __call__(self, word: str, *more: str) -> CompletedProcess[str]:
        done = gonogo(word, self.plan.name, *more, cwd=self.root, env={**environment(), **self.env}, timeout=120)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def run(self, *more: str) -> CompletedProcess[str]:
        return self("run", "--without-prefect", "--at-once", "--no-wait", *more)

    def copy(self, like: str, name: str) -> None:
        """Make a database like another one, in the place of what has its name."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            old, new = sql.Identifier(name), sql.Identifier(like)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(old))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(old, new))

    def execute(self, statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statements.encode())


def held(url: str) -> tuple[object, ...]:
    """Return all that a database holds; a check that writes and is rolled back moves sequences on, as any transaction does."""
    found = stock(url)
    return found.schema, found.rows, found.columns


def planned(name: str) -> Planned:
    file = ROOT / "runbooks" / f"{name}.yaml"
    return prepare(load_runbook(file), file, Project(root=ROOT)).plan


def no_go(done: CompletedProcess[str]) -> str:
    """Return why a launch was no-go; it was."""
    assert done.returncode == 10, done.stdout + done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if "NO-GO: " in line)


#: all of them were planted on both versions; those that take longest are there for those who ask
CASES = [
    pytest.param(plan, version, id=f"{plan.name}-{version}", marks=[] if quick and version == "18" else [pytest.mark.long])
    for plan in PLANS
    for quick in (plan.name not in ("goodbuy-hq", "event-management"),)
    for version in ("18", "15")
]


@pytest.mark.parametrize(("plan", "version"), CASES)
def test_each_criterion_stops_its_phase_and_nothing_is_changed(
    plan: Plan, version: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    desk = Desk(plan, request.getfixturevalue("server" if version == "18" else "server_15"), tmp_path)
    desk.edit(*SMALLER.items(), (r"(?m)^(backup|rehearsal):.*(\n  .*)*$", ""), (r", restore\]", "]"))
    asked: set[str] = set()
    for phase in planned(plan.name).phases:
        fresh = [name for name in phase.go_if if name not in asked]
        asked |= set(fresh)
        desk.copy(desk.name, f"{desk.name}_kept")
        for criterion in fresh:
            _plant(desk, phase, criterion, PLANTED[plan.name][criterion])
            desk.copy(f"{desk.name}_kept", desk.name)
        done = desk.run("--phase", phase.name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert asked == set(PLANTED[plan.name]), "each is planted once, and none is forgotten"


def _plant(desk: Desk, phase: PlannedPhase, criterion: str, planted: Planted) -> None:
    if planted.sql:
        desk.execute(planted.sql)
    before = held(desk.url)
    try:
        with planted.environment(desk.url) if planted.environment else nullcontext():
            why = no_go(desk.run("--phase", phase.name))
    finally:
        if planted.afterwards:
            desk.execute(planted.afterwards)
    assert f"{criterion}: " in why, why
    schema, *rest = held(desk.url)
    was, *others = before
    assert isinstance(schema, Fingerprint)
    assert isinstance(was, Fingerprint)
    assert differences(was.objects, schema.objects) == []
    assert rest == others


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_people_boxes_backup_and_rehearsal_stop_the_first_phase_and_nothing_is_changed(
    plan: Plan, server: Server, tmp_path: Path
) -> None:
    desk = Desk(plan, server, tmp_path)
    # everybody is asked as on a protected target, but for the codes that prove them
    desk.edit((r", targets: protected", ""), (r"targets: protected, ", ""), (r"\n  targets: protected", ""))
    before = held(desk.url)
    assert "rehearsal: there is none; rehearse it" in no_go(desk.run())

    desk.edit((r"(?m)^rehearsal:.*(\n  .*)*$", ""), (r"recover_within: \w+", "recover_within: 1ms"))
    assert "backup: restoring it took" in no_go(desk.run("--again"))

    desk.edit((r"(?m)^backup: .*$", ""), (r", restore\]", "]"))
    first = load_runbook(desk.book).phases[0]
    boxes, approve = {item.item: item.owner for item in first.gate.confirm}, first.gate.approve
    assert approve is not None
    people = {role: who for who, person in load_runbook(desk.book).people.items() for role in person.roles}
    deciders = [people[role] for role in approve.roles]
    assert desk.run("--again").returncode == 4
    waits = json.loads(desk("status", "--json").stdout)["waits"]
    assert all(f"{box} is not confirmed" in waits for box in boxes), "each box alone would hold it up"
    assert "waits for" in waits
    for box, owner in list(boxes.items())[1:]:
        assert desk("confirm", box, "--as", people[owner], "--evidence", "seen").returncode == 0
    for person in deciders[:-1] if not boxes else deciders:
        assert desk("go", first.phase, "--as", person).returncode == 0
    done = desk("resume", "--without-prefect", "--no-wait")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "GO:" not in done.stdout
    assert held(desk.url) == before
    if not boxes:
        desk("no-go", first.phase, "--as", deciders[-1], "--comment", "planted")
        assert f"{deciders[-1]} says no-go: planted" in no_go(desk("resume", "--without-prefect", "--no-wait"))
    assert held(desk.url) == before
