"""After a run the team's own migration tool agrees that it is done, after the rollback that it is not: the tools themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from support.command import environment, gonogo, status
from support.other_tools import for_go, for_node, have_npm, install, say, without
from support.servers import Server

pytestmark = pytest.mark.xdist_group("other tools")
with_npm = pytest.mark.skipif(not have_npm(), reason="npm is not installed, so the tools of others cannot be had")
BOOK = """\
runbook: shop
targets: {db: {database: $TEST_URL}}
phases:
  - phase: migrate
    tasks:
      - task: schema
        steps: [{migrations: {folder: db/migrations, since: "SINCE"}}]
baseline: [kept]
checks:
  kept: {checksum: [orders], expect: unchanged}
"""
ORDERS = "CREATE TABLE orders (id int PRIMARY KEY, total int);\nINSERT INTO orders SELECT g, g FROM generate_series(1, 100) g;\n"
NOTE = "ALTER TABLE orders ADD COLUMN note text DEFAULT 'it''s';\n"
INDEX = "CREATE INDEX CONCURRENTLY by_total ON orders (total);\n"
DBMATE = {
    "20260101000000_orders.sql": f"-- migrate:up\n{ORDERS}-- migrate:down\nDROP TABLE orders;\n",
    "20260201000000_note.sql": f"-- migrate:up\n{NOTE}-- migrate:down\nALTER TABLE orders DROP COLUMN note;\n",
    "20260301000000_index.sql": f"-- migrate:up transaction:false\n{INDEX}-- migrate:down\nDROP INDEX by_total;\n",
}
NODE = {
    "1767225600000_orders.sql": f"-- Up Migration\n{ORDERS}-- Down Migration\nDROP TABLE orders;\n",
    "1769904000000_note.sql": f"-- Up Migration\n{NOTE}-- Down Migration\nALTER TABLE orders DROP COLUMN note;\n",
    "1772323200000_index.sql": (
        "-- Up Migration\nCREATE INDEX by_total ON orders (total);\n-- Down Migration\nDROP INDEX by_total;\n"
    ),
}


class Tool(NamedTuple):
    """A tool with what it keeps, and how it is asked."""

    files: dict[str, str]
    up: Callable[[Path, Path, str], str]
    #: the changes that it holds for pending
    pending: Callable[[Path, Path, str], list[str]]
    table: str


def dbmate(programs: Path, project: Path, url: str, *words: str) -> str:
    return say(programs / "dbmate", "--no-dump-schema", "-d", "db/migrations", *words, cwd=project, DATABASE_URL=for_go(url))


def node(programs: Path, project: Path, url: str, *words: str) -> str:
    return say(programs / "node-pg-migrate", *words, "-m", "db/migrations", cwd=project, DATABASE_URL=for_node(url))


TOOLS = {
    "dbmate": Tool(
        DBMATE,
        lambda programs, project, url: dbmate(programs, project, url, "up"),
        lambda programs, project, url: re.findall(r"\[ \] (\S+)\.sql", dbmate(programs, project, url, "status")),
        "schema_migrations",
    ),
    "node-pg-migrate": Tool(
        NODE,
        lambda programs, project, url: node(programs, project, url, "up"),
        lambda programs, project, url: re.findall(
            r"^> - (\S+)$", node(programs, project, url, "up", "--dry-run").split("Migrating files:")[-1], re.MULTILINE
        ),
        "pgmigrations",
    ),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("npm"))


def rows_of(url: str, table: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


@with_npm
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_agrees_with_what_a_run_did_and_with_what_it_took_back(
    server: Server, tmp_path: Path, programs: Path, name: str
) -> None:
    tool, url, project = TOOLS[name], server.database(), tmp_path
    folder = project / "db" / "migrations"
    folder.mkdir(parents=True)
    for file, text in tool.files.items():
        (folder / file).write_text(text)
    first, *others = [file.removesuffix(".sql") for file in tool.files]
    (project / "runbooks").mkdir()
    (project / "sql_templates").mkdir()
    (project / "runbooks" / "shop.yaml").write_text(BOOK.replace("SINCE", first))
    with without(folder, 1):
        tool.up(programs, project, url)
    before = rows_of(url, tool.table)
    assert tool.pending(programs, project, url) == others
    env = environment(TEST_URL=url)

    tried = gonogo("rehearse", "shop", "--each-step", cwd=project, env=env)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert rows_of(url, tool.table) == before
    done = gonogo("run", "shop", "--without-prefect", cwd=project, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tool.pending(programs, project, url) == []
    tool.up(programs, project, url)
    assert len(rows_of(url, tool.table)) == len(tool.files), "it found nothing to do"

    back = gonogo("rollback", "shop", "--reason", "x", "--without-prefect", cwd=project, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
    assert status("shop", project, env)["status"] == "rolled back"
    assert tool.pending(programs, project, url) == others
    assert rows_of(url, tool.table) == before
    tool.up(programs, project, url)
    assert tool.pending(programs, project, url) == [], "it can go on from there by itself"

    again = gonogo("run", "shop", "--without-prefect", cwd=project, env=env)
    assert again.returncode == 10, again.stdout + again.stderr
    assert "schema_pending: fail, 2 is not = 0" in again.stdout, "what is done already is not done again"


ENV = """
import os
import psycopg
from alembic import context
from sqlalchemy import create_engine
if context.is_offline_mode():
    context.configure(url="postgresql+psycopg://", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(os.environ["TEST_URL"])).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISION = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = {name!r}, {after!r}
def upgrade():
{up}
def downgrade():
{down}
"""
REVISIONS = {
    "aaa111": ("op.create_table('orders', sa.Column('id', sa.Integer, primary_key=True))", "op.drop_table('orders')"),
    "bbb222": (
        "op.add_column('orders', sa.Column('note', sa.Text, server_default=\"it's\"))",
        "op.drop_column('orders', 'note')",
    ),
    "ccc333": (
        """with op.get_context().autocommit_block():
        op.create_index('by_note', 'orders', ['note'], postgresql_concurrently=True)""",
        "op.drop_index('by_note', 'orders')",
    ),
}


def alembic_project(folder: Path, **more: tuple[str, str]) -> None:
    versions = folder / "alembic" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    (folder / "alembic" / "env.py").write_text(ENV)
    after = None
    for name, (up, down) in {**REVISIONS, **more}.items():
        text = REVISION.format(name=name, after=after, up=f"    {up}", down=f"    {down}")
        (versions / f"{name}_change.py").write_text(text)
        after = name


def book_of_alembic(project: Path) -> None:
    (project / "runbooks").mkdir()
    (project / "sql_templates").mkdir()
    python = f'["{sys.executable}", -m, alembic]'
    step = "migrations: {folder: app, since: aaa, command: COMMAND}".replace("COMMAND", python)
    text = BOOK.replace('{migrations: {folder: db/migrations, since: "SINCE"}}', f"{{{step}}}")
    (project / "runbooks" / "shop.yaml").write_text(text)


def test_alembic_agrees_with_what_a_run_did_and_with_what_it_took_back(server: Server, tmp_path: Path) -> None:
    url, app = server.database(), tmp_path / "app"
    alembic_project(app)
    book_of_alembic(tmp_path)
    env = environment(TEST_URL=url)

    def alembic(*words: str) -> str:
        return say(Path(sys.executable), "-m", "alembic", *words, cwd=app, TEST_URL=url)

    alembic("upgrade", "aaa111")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO orders SELECT generate_series(1, 100)")
    done = gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ccc333 (head)" in alembic("current")
    alembic("upgrade", "head")

    back = gonogo("rollback", "shop", "--reason", "x", "--without-prefect", cwd=tmp_path, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
    assert "aaa111" in alembic("current")
    assert rows_of(url, "alembic_version") == [("aaa111",)]
    alembic("upgrade", "head")
    again = gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env)
    assert again.returncode == 10, again.stdout + again.stderr


def test_what_alembic_cannot_write_as_sql_is_said_before_anything_begins(server: Server, tmp_path: Path) -> None:
    alembic_project(tmp_path / "app", ddd444=("print(op.get_bind().execute(sa.text('SELECT 1')).scalar())", "pass"))
    book_of_alembic(tmp_path)
    told = gonogo("validate", "shop", cwd=tmp_path, env=environment(TEST_URL=server.database()))
    assert told.returncode == 2, told.stdout
    assert "phases[0].tasks[0].steps[0].migrations: " in told.stderr
    assert "a revision that reads the database is code, and not SQL" in told.stderr
    (tmp_path / "app" / "alembic.ini").unlink()
    told = gonogo("validate", "shop", cwd=tmp_path, env=environment())
    assert "app holds no migrations that are recognised" in told.stderr


def golang_project(project: Path, url: str, **files: str) -> dict[str, str]:
    """Make a project whose migrations golang-migrate keeps, and a database in which none is done."""
    (project / "db").mkdir()
    for name, text in files.items():
        (project / "db" / f"{name.replace('__', '.')}.sql").write_text(text)
    (project / "runbooks").mkdir()
    (project / "sql_templates").mkdir()
    text = BOOK.split("baseline:", maxsplit=1)[0].replace('db/migrations, since: "SINCE"', "db")
    (project / "runbooks" / "shop.yaml").write_text(text)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
        connection.execute("CREATE SCHEMA billing")
        connection.execute("CREATE TABLE billing.schema_migrations (LIKE schema_migrations)")
        connection.execute("INSERT INTO billing.schema_migrations VALUES (42, false)")
    return environment(TEST_URL=url)


def test_a_change_that_sets_its_own_search_path_is_recorded_in_the_tables_own_place(server: Server, tmp_path: Path) -> None:
    url = server.database()
    env = golang_project(
        tmp_path,
        url,
        **{
            "1_a__up": "SET search_path TO billing, public;\nCREATE TABLE invoices (id int);",
            "1_a__down": "DROP TABLE billing.invoices;",
            "2_b__up": "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE billing.notes (id int);",
            "2_b__down": "SELECT pg_catalog.set_config('search_path', '', false);\nDROP TABLE billing.notes;",
        },
    )
    done = gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (rows_of(url, "schema_migrations"), rows_of(url, "billing.schema_migrations")) == ([(2, False)], [(42, False)])
    back = gonogo("rollback", "shop", "--reason", "x", "--without-prefect", cwd=tmp_path, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
    assert (rows_of(url, "schema_migrations"), rows_of(url, "billing.schema_migrations")) == ([], [(42, False)])


def test_what_fails_is_told_with_its_line_in_the_file_and_a_gate_with_what_to_do(server: Server, tmp_path: Path) -> None:
    url = server.database()
    env = golang_project(
        tmp_path, url, **{"1_a__up": "CREATE TABLE a (id int);\nCREATE TABLE b (id nothing);", "1_a__down": "DROP TABLE a;"}
    )
    failed = gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env)
    assert failed.returncode == 11, failed.stdout + failed.stderr
    assert 'db/1_a.up.sql, rendered line 2: 42704 type "nothing" does not exist' in failed.stdout
    assert rows_of(url, "schema_migrations") == []
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (1, true)")
    no_go = gonogo("run", "shop", "--without-prefect", cwd=tmp_path, env=env)
    assert no_go.returncode == 10, no_go.stdout
    assert "none of these changes may be done: see what golang-migrate says, and name the newest that is done in `since:`" in (
        no_go.stdout
    )
