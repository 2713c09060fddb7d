"""The five plans as whole migrations: what is there, what users do meanwhile, and what must come of it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from gonogo.planning.templates import Templates
from gonogo.postgres.connection import Database
from gonogo.postgres.inventory import Snapshot, take_snapshot
from gonogo.project import ROOT
from support.command import environment
from support.servers import Server, visit

ROWS = 10_000
#: checks that compare latencies: what two busy cores do to them is not what is tested here
NOISY = ("consume_latency", "businesses_of_owner", "latest_health", "subscriptions_of_user", "history_of_user")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan, what its users do meanwhile, and what comes of that when it is rolled back."""

    name: str
    inputs: dict[str, int]
    #: the table that the traffic adds one row to, each time
    adds_to: str
    #: others that it changes
    changes: tuple[str, ...] = ()
    #: what is written after the change, and how it is accounted for before it would be lost
    writes: tuple[str, ...] = ()
    accounted: tuple[str, ...] = ()
    #: questions whose answers must hold when all is back
    afterwards: dict[str, Any] = field(default_factory=dict)


PLANS = (
    Plan(
        name="guardian-multi-credit",
        inputs={"organizations": ROWS},
        adds_to="public.credit_consumption_log",
        changes=("public.organization_credits",),
    ),
    Plan(
        name="goodbuy-hq",
        inputs={"users": ROWS},
        adds_to="public.sessions",
        writes=(
            "INSERT INTO usage_metrics (user_id, subscription_id, metric_type) VALUES ('user-1', 'migrated-user-1', 'ai')",
            "INSERT INTO usage_metrics (user_id, metric_type) VALUES ('user-1', 'ai'), ('user-2', 'ai')",
            "UPDATE user_subscriptions SET plan_id = 'plan-professional' WHERE user_id IN ('user-1', 'user-2')",
            "INSERT INTO portfolios (user_id, name) VALUES ('user-1', 'mine')",
        ),
        accounted=(
            "1 of public.portfolios by undoing analysis.tables (measured)",
            # each row once, with the first undo that takes it; one by cascade
            "2 of public.user_subscriptions, 1 of public.usage_metrics by undoing assign.free plan (measured)",
            "2 of public.usage_metrics by undoing subscriptions.tables (measured)",
        ),
    ),
    Plan(
        name="saas-subscriptions",
        inputs={"users": ROWS},
        adds_to="public.subscription_changes",
        changes=("public.customers", "public.products"),
        writes=(
            "UPDATE customers SET stripe_customer_id = 'cus_changed' WHERE stripe_customer_id = 'cus_7'",
            "INSERT INTO products (id, active, name) VALUES ('prod_late', true, 'Late')",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM stripe_customers WHERE stripe_customer_id = 'cus_changed') = 1; END $$",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM stripe_products WHERE stripe_product_id = 'prod_late') = 1; END $$",
        ),
        afterwards={
            "SELECT count(*) FROM customers WHERE stripe_customer_id = 'cus_changed'": 1,
            "SELECT name FROM products WHERE id = 'prod_late'": "Late",
            "SELECT count(*) FROM payment_methods": ROWS,
        },
    ),
    Plan(
        name="audiotricks",
        inputs={"users": ROWS},
        adds_to="public.sessions",
        # the late ones are there afterwards, and so is the one row of settings that a user changed
        changes=("public.users", "public.workspaces", "public.user_settings"),
        writes=(
            "INSERT INTO users (id, email) VALUES (md5('late')::uuid, 'late@example.com')",
            "INSERT INTO workspaces (id, name, slug, owner_id) VALUES (md5('late')::uuid, 'Late', 'late', md5('late')::uuid)",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM user_settings WHERE user_id = md5('late')::uuid) = 1; END $$",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM storage_quotas WHERE workspace_id = md5('late')::uuid) = 1; END $$",
            # a user whose settings the backfill made
            "UPDATE user_settings SET theme = 'dark' WHERE user_id = md5('user-3')::uuid",
            "UPDATE user_quotas SET current_api_calls = 5 WHERE user_id = md5('user-3')::uuid",
            "UPDATE users SET first_name = 'Ana' WHERE id = md5('user-1')::uuid",
            "UPDATE sessions SET user_agent = 'phone' WHERE id = md5('session-1')::uuid",
            """INSERT INTO audio_uploads (id, user_id, original_filename, file_size, file_type, mime_type, storage_path)
            VALUES (md5('late')::uuid, md5('user-1')::uuid, 'a.mp3', 7, 'mp3', 'audio/mpeg', '/a')""",
            "UPDATE audio_history SET upload_id = md5('late')::uuid, updated_at = now() WHERE id = md5('history-1')::uuid",
            """INSERT INTO api_key_management (user_id, provider, key_name, encrypted_key, key_hash)
            VALUES (md5('user-1')::uuid, 'openai', 'mine', 'v1:c2VjcmV0', '5ebe2294')""",
            """INSERT INTO workspace_subscriptions (workspace_id, plan_id, current_period_start, current_period_end)
            SELECT md5('late')::uuid, id, now(), now() + interval '1 month' FROM subscription_plans WHERE name = 'Free'""",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM audit_logs) = 2; END $$",
        ),
        accounted=(
            "1 of users by undoing people.users (by the step's journal)",
            "1 of sessions by undoing people.sessions (by the step's journal)",
            "1 of public.audio_uploads by undoing audio.tables (measured)",
            "1 of audio_history by undoing history.columns (by the step's journal)",
            "1 of public.user_quotas by undoing usage.tables (measured)",
            "1 of public.api_key_management by undoing api-keys.table (measured)",
            "1 of public.workspace_subscriptions by undoing billing.tables (measured)",
            "2 of public.audit_logs by undoing audit.tables (measured)",
        ),
        afterwards={
            "SELECT count(*) FROM users": ROWS + 1,
            "SELECT email FROM users WHERE created_at > '2025-01-01'": "late@example.com",
            "SELECT name FROM workspaces WHERE slug = 'late'": "Late",
            "SELECT count(*) FROM user_settings": ROWS - ROWS // 3 + 1,
            "SELECT user_id = md5('user-3')::uuid AND theme = 'dark' FROM user_settings WHERE updated_at > '2025-01-01'": True,
        },
    ),
    Plan(
        name="event-management",
        inputs={"orders": ROWS},
        adds_to="public.orders",
        # what was audited, issued and assigned meanwhile stays: it happened
        changes=("public.audit_log", "public.events", "public.tasks", "public.tickets"),
        writes=(
            "SET app.org_id = '00000000-0000-4000-8000-00000000c0de'",
            "SET ROLE event_app",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM organizations) = 1; END $$",
            "INSERT INTO workflows (organization_id, on_status, task_title) SELECT id, 'confirmed', 'Late' FROM organizations",
            "UPDATE events SET status = 'confirmed' WHERE id = (SELECT id FROM events WHERE status = 'draft' LIMIT 1)",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM tasks WHERE title = 'Late') = 1; END $$",
            "INSERT INTO ai_agents (organization_id, name, model) SELECT id, 'mine', 'small' FROM organizations",
            # an order that is there, paid late: its tickets are issued, and its revenue is reported
            """UPDATE orders SET order_status = 'confirmed'
            WHERE id = (SELECT id FROM orders WHERE order_status = 'refunded' LIMIT 1)
            RETURNING set_config('test.order', id::text, false)""",
            """DO $$ BEGIN ASSERT (SELECT count(*) = max(o.quantity) FROM tickets AS t JOIN orders AS o ON o.id = t.order_id
            WHERE o.id = current_setting('test.order')::uuid); END $$""",
            "UPDATE orders SET order_status = 'refunded' WHERE id = current_setting('test.order')::uuid",
            "RESET ROLE",
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM audit_log WHERE row_id = current_setting('test.order')::uuid) = 2; END $$",
        ),
        accounted=(
            "1 of public.workflows",
            "1 of public.workflow_runs",
            "1 of public.ai_agents",
        ),
        afterwards={
            "SELECT count(*) FROM tasks WHERE title = 'Late'": 1,
            # one is off as it was, one is on
            """SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger
            WHERE tgrelid IN ('events'::regclass, 'orders'::regclass) AND NOT tgisinternal""": "events_touchO orders_notifyD",
        },
    ),
)


def _quiet(names: str) -> list[str]:
    return [name for name in re.split(r",\s*", names) if name not in NOISY]


def lay(plan: Plan, server: Server, project: Path) -> tuple[str, dict[str, str]]:
    """Make the database that the plan says is there, and a project with its runbook; return its URL and the environment."""
    url = server.database()
    templates = Templates([ROOT / "sql_templates"])
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("before.sql", "data.sql.j2"):
            connection.execute(templates.render(f"{plan.name}/demo/{name}", plan.inputs).encode())
        connection.execute("VACUUM ANALYZE")
    text = (ROOT / "runbooks" / f"{plan.name}.yaml").read_text(encoding="utf-8")
    text = re.sub(r"soak: \w+", "soak: 1s", text.replace("{database: embedded}", "{database: $TEST_URL}"))
    text = re.sub(r"watch: \[(.*)\]", lambda found: f"watch: [{', '.join(_quiet(found.group(1)))}]", text)
    (project / "runbooks").mkdir()
    (project / "runbooks" / f"{plan.name}.yaml").write_text(text, encoding="utf-8")
    if (programs := ROOT / "runbooks" / plan.name).is_dir():
        shutil.copytree(programs, project / "runbooks" / plan.name)
    return url, environment(TEST_URL=url)


def stock(url: str) -> Snapshot:
    with visit(Database(url=url)) as connection:
        return take_snapshot(connection)
