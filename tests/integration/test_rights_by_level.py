"""What a role lacks is asked of the server, and the SQL that is printed gives exactly that: level by level, on 15 and 18."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.command import environment, gonogo
from support.servers import Server

from gonogo.errors import Refused
from gonogo.ledger import store
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.rights import Level, lacking, up_to
from gonogo.postgres.scratch import ScratchServer, require_extensions
from gonogo.sql.privileges import CREATE_IN, EXTENSION, INSERT, OWN, ROLE, SCHEMA, TRUNCATE, UPDATE, may_make_extension, missing

Make = Callable[..., Path]
_numbers = itertools.count()
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL, rehearse_on: $COPIES}}
backup: {}
rehearsal: {}
phases:
  - phase: one
    tasks: [{task: one, steps: [{sql: one.sql, undo: one.undo.sql}]}]
"""
FILES = {
    "one__sql": 'ALTER TABLE "Odd app"."Orders" ADD COLUMN extra int;\n',
    "one__undo__sql": 'ALTER TABLE "Odd app"."Orders" DROP COLUMN extra;\n',
}


def _prefix(login: str) -> str:
    """What the names of the roles of a test begin with."""
    return str(conninfo_to_dict(login)["user"]).split()[0]


@pytest.fixture
def odd(any_server: Server) -> Iterator[tuple[Connection, str, str]]:
    """A database of names that need quotes, whose tables belong to a role that nobody logs in as; a login; an administrator."""
    number, url = next(_numbers), any_server.database()
    login, owner = f'odd{number} "app"', f"odd{number} Owner"
    with psycopg.connect(url, autocommit=True) as admin:
        for statement in (
            f'CREATE ROLE "odd{number} ""app""" LOGIN',
            f'CREATE ROLE "{owner}" NOLOGIN',
            f'CREATE SCHEMA "Odd app" AUTHORIZATION "{owner}"',
            'CREATE TABLE "Odd app"."Orders" (id serial PRIMARY KEY, note text)',
            "INSERT INTO \"Odd app\".\"Orders\" (note) VALUES ('a'), ('b')",
            f'ALTER TABLE "Odd app"."Orders" OWNER TO "{owner}"',
            "CREATE TABLE public.left_over (id int)",
            f'CREATE TABLE "Odd app".hidden (id int); ALTER TABLE "Odd app".hidden OWNER TO "{owner}"',
            'ALTER TABLE "Odd app".hidden ENABLE ROW LEVEL SECURITY',
            'ALTER TABLE "Odd app".hidden FORCE ROW LEVEL SECURITY',
            "REVOKE TEMPORARY ON DATABASE " + admin.info.dbname + " FROM PUBLIC",
        ):
            admin.execute(statement.encode())
        yield admin, url, make_conninfo(url, user=login)
    any_server.forget(url, f"odd{number} %")


def test_the_sql_that_is_printed_gives_a_level_and_nothing_more_is_asked(odd: tuple[Connection, str, str]) -> None:
    admin, _, login = odd
    for level in Level:
        with Database(url=login).connect("test") as connection:
            lacks = lacking(connection, level)
        assert {lack.level for lack in lacks} <= {level}, "the levels before it were given"
        assert lacks or level is Level.LOOK, level
        for lack in lacks:
            admin.execute(lack.grant.encode())
        with Database(url=login).connect("test") as connection:
            assert lacking(connection, level) == []
    assert up_to(Level.RESTORE) == tuple(Level)


def test_with_what_was_granted_a_run_is_rehearsed_backed_up_and_done_and_a_schema_made_beforehand_takes_the_ledger(
    odd: tuple[Connection, str, str], server: Server, make_project: Make
) -> None:
    admin, _, login = odd
    root, env = make_project(BOOK, **FILES), environment(TEST_URL=login, COPIES=server.url)
    told = gonogo("grants", "book", cwd=root, env=env)
    assert told.returncode == 10, told.stdout + told.stderr
    assert "CREATE SCHEMA gonogo AUTHORIZATION" in told.stdout
    assert "GRANT CREATE ON DATABASE" not in told.stdout, "the least that will do"
    examined = gonogo("doctor", "--target", "db", cwd=root, env=env)
    assert examined.returncode == 10, examined.stdout + examined.stderr
    assert "gonogo grants book --target db" in examined.stdout
    # what is printed is a script: the reasons are comments
    admin.execute(told.stdout.encode())
    assert gonogo("grants", "book", cwd=root, env=env).stdout.startswith("-- nothing is missing on db for backup")
    ready = gonogo("doctor", "--target", "db", cwd=root, env=env)
    assert ready.returncode == 0, ready.stdout + ready.stderr
    for command in (["rehearse", "book"], ["run", "book", "--without-prefect"]):
        ran = gonogo(*command, cwd=root, env=env)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    row = admin.execute(
        "SELECT pg_catalog.obj_description(oid, 'pg_namespace') LIKE 'gonogo ledger%' FROM pg_namespace WHERE nspname = 'gonogo'"
    ).fetchone()
    assert row == (True,)


@pytest.mark.parametrize(
    "made",
    ["CREATE SCHEMA gonogo", "CREATE SCHEMA gonogo AUTHORIZATION {me}; GRANT CREATE ON SCHEMA gonogo TO PUBLIC",
     "CREATE SCHEMA gonogo AUTHORIZATION {me}; CREATE TABLE gonogo.event (id int)"],
    ids=["of somebody else", "open to others", "not empty"],
)  # fmt: skip
def test_a_schema_that_is_not_ours_alone_takes_no_ledger(odd: tuple[Connection, str, str], made: str) -> None:
    admin, _, login = odd
    with Database(url=login).connect("test") as connection:
        me = psycopg.sql.Identifier(connection.info.user).as_string()
        admin.execute(made.format(me=me).encode())
        with pytest.raises(Refused, match=r"gonogo will not touch it|ALTER SCHEMA gonogo OWNER TO"):
            store.create(connection)


def test_where_no_schema_may_be_made_the_sql_that_helps_is_said(odd: tuple[Connection, str, str]) -> None:
    admin, _, login = odd
    with Database(url=login).connect("test") as connection:
        with pytest.raises(Refused, match="CREATE SCHEMA gonogo AUTHORIZATION") as refused:
            store.create(connection)
        advice = str(refused.value).split("for it once: ")[1].split(";")[0]
        admin.execute(advice.encode())
        store.create(connection)
        assert store.exists(connection)


def test_a_role_that_may_not_read_the_ledger_is_told_so_and_how(odd: tuple[Connection, str, str], make_project: Make) -> None:
    _, url, login = odd
    with Database(url=url).connect("test") as connection:
        store.create(connection)
    root = make_project(BOOK, **FILES)
    refused = gonogo("status", "book", cwd=root, env=environment(TEST_URL=login, COPIES=url))
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "the role may not do that: permission denied for schema gonogo" in refused.stderr
    assert "gonogo grants" in refused.stderr
    assert "resume" not in refused.stderr


def test_each_right_that_the_gate_misses_comes_with_its_grant(odd: tuple[Connection, str, str]) -> None:
    admin, _, login = odd
    table = '"Odd app"."Orders"'
    needs = [(what, table) for what in (OWN, INSERT, UPDATE, TRUNCATE)] + [(CREATE_IN, "Odd app"), (SCHEMA, "new"), (ROLE, "")]
    with Database(url=login).connect("test") as connection:
        (shut,) = missing(connection, needs[:1])
        assert "may not use what is in the schema" in shut
        admin.execute(shut[shut.rindex("(") + 1 : -1].encode())
    with Database(url=login).connect("test") as connection:
        notes = missing(connection, needs)
        assert len(notes) == len(needs), notes
        assert all(note.endswith(")") for note in notes), notes
        for note in notes:
            admin.execute(note[note.rindex("(") + 1 : -1].encode())
    with Database(url=login).connect("test") as connection:
        assert missing(connection, needs) == []
        unnamed = missing(connection, [(CREATE_IN, "")])
    assert unnamed == [] or "create in public" in unnamed[0]


def test_whether_an_extension_may_be_made_is_tried_and_not_assumed(odd: tuple[Connection, str, str]) -> None:
    admin, _, login = odd
    with Database(url=login).connect("test") as connection:
        assert "it needs a superuser" in missing(connection, [(EXTENSION, "pageinspect")])[0]
        assert not may_make_extension(connection, "pageinspect")
    # as on a managed server, whose own code lets its master role make some: the same question, another answer
    assert may_make_extension(admin, "pageinspect")
    assert admin.execute("SELECT FROM pg_catalog.pg_extension WHERE extname = 'pageinspect'").fetchone() is None


def test_an_extension_that_copies_would_lack_is_said_before_anything_is_copied(
    server: Server, server_15: Server, make_project: Make
) -> None:
    url, name = server_15.database(), f"plain_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN; CREATE EXTENSION pgcrypto; CREATE TABLE a (id int)".encode())
    room = ScratchServer(database=Database(url=make_conninfo(url, user=name)), spare=lambda: server.url)
    with pytest.raises(Refused, match=r"has no extension pgcrypto, which the target has.*CREATEDB.*rehearse_on: "):
        require_extensions(room)
    root = make_project(BOOK, **FILES)
    env = environment(TEST_URL=url, COPIES=server.url)
    for command in (["rehearse", "book"], ["backup", "take", "book"]):
        refused = gonogo(*command, cwd=root, env=env)
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "has no extension pgcrypto" in refused.stderr
    assert not list((root / ".gonogo" / "backups").glob("*")), "nothing was dumped"
    server_15.forget(url, name)


def test_no_name_adds_a_line_to_the_sql_that_an_administrator_runs(odd: tuple[Connection, str, str], make_project: Make) -> None:
    admin, url, login = odd
    evil = "x\nALTER ROLE evil SUPERUSER;\n--"
    admin.execute(psycopg.sql.SQL("CREATE TABLE public.{} (id int)").format(psycopg.sql.Identifier(evil)))
    admin.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(evil)))
    admin.execute(psycopg.sql.SQL("CREATE TABLE {}.{} (id int)").format(*map(psycopg.sql.Identifier, (evil, evil))))
    root = make_project(BOOK, **FILES)
    told = gonogo("grants", "book", "--level", "restore", cwd=root, env=environment(TEST_URL=login, COPIES=url)).stdout
    # outside of comments and quotes there is nothing of it
    bare = re.sub(r"(?m)^--.*$", "", re.sub(r'"(?:[^"]|"")*"', "name", told))
    assert "evil" not in bare
    assert "ALTER TABLE name.name OWNER TO" in bare
    admin.execute(told.encode())
    with Database(url=login).connect("test") as connection:
        assert lacking(connection, Level.RESTORE) == []


@pytest.mark.parametrize("how", ["a superuser", "a member of one", "who reads the server's files"])
def test_nobody_is_told_to_give_a_role_that_could_do_everything(odd: tuple[Connection, str, str], how: str) -> None:
    admin, _, login = odd
    owner = f"{_prefix(login)} powerful"
    more = {"a superuser": "SUPERUSER", "a member of one": "IN ROLE postgres"}
    more["who reads the server's files"] = "IN ROLE pg_read_server_files"
    admin.execute(psycopg.sql.SQL("CREATE ROLE {} " + more[how]).format(psycopg.sql.Identifier(owner)))
    for statement in ("CREATE TABLE public.theirs (id int)", "CREATE VIEW public.seen AS SELECT 1", "CREATE SCHEMA gonogo"):
        admin.execute(statement.encode())
    for what in ("TABLE public.theirs", "VIEW public.seen", "SCHEMA gonogo"):
        admin.execute(psycopg.sql.SQL(f"ALTER {what} OWNER TO {{}}").format(psycopg.sql.Identifier(owner)))
    with Database(url=login).connect("test") as connection:
        grants = [lack.grant for lack in lacking(connection, Level.RUN)]
        notes = missing(connection, [(OWN, "public.theirs")])
    assert not [grant for grant in [*grants, *notes] if f'GRANT "{owner}"' in grant]
    assert [grant for grant in grants if grant.startswith("ALTER TABLE public.theirs OWNER TO")]
    assert [grant for grant in grants if grant.startswith("ALTER SCHEMA gonogo OWNER TO")]
    # who owns a view lends it their rights
    assert not [grant for grant in grants if "seen" in grant]
    assert "(ALTER TABLE public.theirs OWNER TO" in notes[0]


def test_an_empty_schema_of_a_role_that_one_is_a_member_of_takes_no_ledger(odd: tuple[Connection, str, str]) -> None:
    admin, _, login = odd
    with Database(url=login).connect("test") as connection:
        me, other = psycopg.sql.Identifier(connection.info.user), psycopg.sql.Identifier(f"{_prefix(login)} tenant")
        admin.execute(
            psycopg.sql.SQL("CREATE ROLE {0}; GRANT {0} TO {1}; CREATE SCHEMA gonogo AUTHORIZATION {0}").format(other, me)
        )
        with pytest.raises(Refused, match="gonogo will not touch it"):
            store.create(connection)
