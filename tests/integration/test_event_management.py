"""What the event management plan's scripts promise, and whether its checks would see where they do not keep it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.servers import Server

from gonogo.planning.templates import Templates
from gonogo.project import ROOT

PLAN = "event-management"
OWN, UNKNOWN = "00000000-0000-4000-8000-00000000c0de", "00000000-0000-4000-8000-0000deadbeef"
SECURED = (
    *("organizations", "organization_members", "venues", "events", "ticket_categories", "orders", "tickets", "tasks"),
    *("sponsor_deals", "audit_log", "integration_logs"),
)
CORE: tuple[str, ...] = (
    "011_extensions_functions",
    "012_payments",
    "013_ai",
    "014_automation",
    "015_analytics",
    "rls/new_tables.sql.j2",
)
CORE += (*(f"rls/{table}" for table in SECURED), "020_audit", *(f"audit/{table}" for table in ("events", "orders")))
BUSINESS = ("030_metrics", "032_workflows", "033_tickets", "034_validate_events", "035_validate_orders")
TRIGGERS = """
SELECT tgname, tgenabled::text FROM pg_trigger
WHERE tgrelid IN ('events'::regclass, 'orders'::regclass, 'tasks'::regclass) AND NOT tgisinternal ORDER BY 1
"""


class Plan:
    """A database with the plan's schema and some rows, and its scripts and checks by name."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.templates = Templates([ROOT / "sql_templates"])
        self.run("demo/before", "demo/data.sql.j2")

    def run(self, *names: str) -> None:
        for name in names:
            file = name if name.endswith(".j2") else f"{name}.sql"
            self.connection.execute(self.templates.render(f"{PLAN}/{file}", {"orders": 500}).encode())

    def ask(self, query: str) -> Any:
        row = self.connection.execute(query.encode()).fetchone()
        return row[0] if row and len(row) == 1 else row

    def check(self, name: str, role: str = "", organization: str = "") -> Any:
        with self.connection.transaction(force_rollback=True):
            if organization:
                self.connection.execute(f"SET LOCAL app.org_id = '{organization}'".encode())
            if role:
                self.connection.execute(f"SET LOCAL ROLE {role}".encode())
            return self.ask(self.templates.render(f"{PLAN}/checks/{name}.sql", {}))

    def refuses(self, statement: str) -> str:
        with pytest.raises(psycopg.errors.CheckViolation) as caught, self.connection.transaction():
            self.connection.execute(statement.encode())
        return str(caught.value).splitlines()[0]


@pytest.fixture
def plan(any_server: Server) -> Iterator[Plan]:
    with psycopg.connect(any_server.database(), autocommit=True) as connection:
        yield Plan(connection)


def test_after_an_emergency_each_trigger_is_as_it_was(plan: Plan) -> None:
    plan.connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_touch")
    replica = "CREATE TRIGGER tasks_told AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION notify_order()"
    ordinary = "CREATE TRIGGER orders_told AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION notify_order()"
    plan.connection.execute(f"{replica}; {ordinary}; ALTER TABLE tasks ENABLE REPLICA TRIGGER tasks_told".encode())
    was = plan.connection.execute(TRIGGERS).fetchall()
    assert was == [("events_touch", "A"), ("orders_notify", "D"), ("orders_told", "O"), ("tasks_told", "R")]
    plan.run("010_emergency", "emergency_off")
    assert plan.check("triggers_on") == 0
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        plan.connection.execute("INSERT INTO tasks (organization_id, title) VALUES (gen_random_uuid(), 'of nobody')")
    # a second emergency does not take the first one's work for how they were
    plan.run("emergency_off", "triggers_back")
    assert plan.connection.execute(TRIGGERS).fetchall() == was
    plan.run("emergency_off", "010_emergency.undo")
    assert plan.connection.execute(TRIGGERS).fetchall() == was


def test_isolation_holds_and_its_checks_see_where_it_does_not(plan: Plan) -> None:
    plan.run(*CORE)
    assert plan.check("unprotected") == 0
    wrong, rests_on = plan.check("tenant_sees", "event_app", OWN)
    assert (wrong, rests_on > 10) == (0, True)
    assert plan.check("anybody_sees", "event_app", UNKNOWN) == 0
    assert plan.check("anybody_sees", "event_app") == 0
    assert plan.check("tenant_writes", "event_app", OWN) == 0
    plan.connection.execute("ALTER TABLE tasks DISABLE ROW LEVEL SECURITY")
    assert plan.check("unprotected") == 1
    assert plan.check("tenant_sees", "event_app", OWN)[0] > 0
    assert plan.check("anybody_sees", "event_app", UNKNOWN) > 0
    assert plan.check("tenant_writes", "event_app", OWN) > 0
    plan.connection.execute("ALTER TABLE tasks ENABLE ROW LEVEL SECURITY; DROP POLICY own_organization ON orders")
    assert plan.check("tenant_sees", "event_app", OWN)[0] > 0, "too few are as wrong as too many"


def test_a_change_is_audited_exactly_once_and_names_no_customer(plan: Plan) -> None:
    plan.run(*CORE, *BUSINESS)
    assert plan.check("audit_rows") == 1
    assert plan.check("audit_missing") == 5, "those tables whose trigger this test left out"
    plan.connection.execute("UPDATE orders SET customer_email = 'x@example.com'")
    assert plan.check("audit_personal") == 0
    plan.connection.execute("CREATE TRIGGER twice AFTER UPDATE ON events FOR EACH ROW EXECUTE FUNCTION audit_change()")
    assert plan.check("audit_rows") == 2
    plan.connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    assert plan.check("audit_rows") == 0


def test_a_purchase_gives_its_tickets_and_its_revenue_once(plan: Plan) -> None:
    plan.run(*CORE, *BUSINESS)
    plan.connection.execute("SELECT refresh_event_metrics(id) FROM events")
    assert plan.check("revenue") == 0
    assert plan.check("purchase") == 3
    category = "(SELECT id FROM ticket_categories ORDER BY id LIMIT 1)"
    plan.connection.execute(f"SELECT purchase_tickets({category}, 2, 'a@example.com', 'pi_a')".encode())
    # the webhook comes twice
    assert [plan.ask("SELECT confirm_payment('pi_a')") for _ in range(2)] == [2, 2]
    assert plan.ask("SELECT confirm_payment('pi_of_nobody')") == 0
    assert plan.ask("SELECT count(*) FROM payments") == 1
    assert plan.check("revenue") == 0
    plan.connection.execute("DELETE FROM payments; UPDATE orders SET quantity = 7 WHERE payment_id = 'pi_a'")
    assert plan.check("revenue") == 0
    plan.connection.execute("UPDATE event_metrics SET revenue = revenue + 1")
    assert plan.check("revenue") > 0
    # an application that issues them itself, in the same transaction, is not doubled
    with plan.connection.transaction():
        plan.connection.execute(f"SELECT purchase_tickets({category}, 2, 'b@example.com', 'pi_b')".encode())
        plan.connection.execute("UPDATE orders SET order_status = 'confirmed' WHERE payment_id = 'pi_b'")
        own = "INSERT INTO tickets (order_id, code) SELECT id, 'own-' || k FROM orders, generate_series(1, 2) AS k"
        plan.connection.execute(f"{own} WHERE payment_id = 'pi_b'".encode())
    assert plan.ask("SELECT count(*) FROM tickets JOIN orders AS o ON o.id = order_id WHERE payment_id = 'pi_b'") == 2


def test_what_is_written_is_looked_at_and_what_was_wrong_before_can_still_be_changed(plan: Plan) -> None:
    plan.run(*CORE, *BUSINESS)
    event = "(SELECT id FROM events WHERE venue_id IS NOT NULL ORDER BY id LIMIT 1)"
    assert plan.refuses(f"UPDATE events SET end_date = start_date - interval '1 day' WHERE id = {event}") == (
        "an event ends before it begins"
    )
    others = "(SELECT v.id FROM venues AS v WHERE v.organization_id <> events.organization_id LIMIT 1)"
    assert plan.refuses(f"UPDATE events SET venue_id = {others} WHERE id = {event}") == "the venue is not of this organization"
    assert plan.refuses(f"UPDATE orders SET organization_id = md5('organization-2')::uuid WHERE organization_id = '{OWN}'") == (
        "the event is not of this organization"
    )
    assert plan.refuses("UPDATE orders SET customer_email = 'nobody'") == "the customer has no e-mail address"
    assert plan.ask("SELECT count(*) FROM events WHERE end_date < start_date") > 0
    plan.connection.execute("UPDATE events SET name = name || '!', status = 'done'; UPDATE orders SET order_status = 'refunded'")


def test_an_edge_function_goes_back_to_what_was_served_before(tmp_path: Path) -> None:
    def tell(*arguments: str) -> int:
        command = ["sh", str(ROOT / "runbooks" / PLAN / "edge-function.sh"), arguments[0], str(tmp_path / "f"), *arguments[1:]]
        return subprocess.run(command, check=False, capture_output=True).returncode

    served = tmp_path / "f" / "pay" / "version"
    assert tell("served", "v1", "pay") == 1
    assert tell("back", "pay", "v1") == 0, "what was never deployed needs no way back"
    assert tell("deploy", "pay", "v1") == 0
    assert tell("deploy", "pay", "v2") == 0
    assert tell("deploy", "pay", "v2") == 0, "a second time, as after a crash"
    assert tell("served", "v2", "pay") == 0
    assert tell("served", "v2", "pay", "other") == 1
    assert tell("back", "pay", "v2") == 0
    assert served.read_text(encoding="utf-8") == "v1\n"
    assert tell("back", "pay", "v1") == 0
    assert not served.parent.exists()
    assert tell("lose", "pay", "v1") == 2
