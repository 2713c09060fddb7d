"""On a copy the plan runs as the role that it runs as on the target, with that role's rights and no others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from support.command import environment
from support.desk import BOOK, Desk
from support.servers import Server, open_folder

from gonogo.errors import Refused
from gonogo.postgres import embedded
from gonogo.postgres.connection import Database
from gonogo.postgres.scratch import ScratchServer
from gonogo.postgres.stand_in import Login, Membership, Role, login_of, standing_in
from gonogo.recovery import dump
from gonogo.recovery.manifest import BackupFailed

Make = Callable[..., Path]
#: whoever owns the table waits for somebody who may more; whatever is tried, the change itself goes on
TRAP = """
CREATE SCHEMA app AUTHORIZATION {owner};
SET ROLE {owner};
CREATE TABLE app.item (id int PRIMARY KEY, price int NOT NULL CHECK (price > 0));
INSERT INTO app.item SELECT g, g FROM generate_series(1, 50) g;
CREATE FUNCTION app.sprung() RETURNS trigger LANGUAGE plpgsql AS $f$
DECLARE tried text;
BEGIN
  FOREACH tried IN ARRAY ARRAY['COPY (SELECT 1) TO PROGRAM ''cat > {mark}''',
    'RESET ROLE; COPY (SELECT 1) TO PROGRAM ''cat > {mark}''', 'SET ROLE NONE; COPY (SELECT 1) TO ''{mark}''',
    'SET SESSION AUTHORIZATION DEFAULT; COPY (SELECT 1) TO ''{mark}''', 'SET ROLE postgres; COPY (SELECT 1) TO ''{mark}''',
    'RESET ROLE; ALTER ROLE {owner} SUPERUSER', 'RESET ROLE; CREATE ROLE {owner}_more SUPERUSER'] LOOP
    BEGIN EXECUTE tried; EXCEPTION WHEN OTHERS THEN NULL; END;
  END LOOP;
  RETURN NEW;
END $f$;
CREATE TRIGGER sprung BEFORE UPDATE ON app.item FOR EACH ROW EXECUTE FUNCTION app.sprung();
RESET ROLE;
CREATE ROLE {user} LOGIN NOINHERIT;
CREATE ROLE {user}_group;
GRANT {user}_group TO {user};
GRANT USAGE, CREATE ON SCHEMA app TO {user}, {user}_group;
GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA app TO {user}, {user}_group;
GRANT CREATE ON DATABASE {database} TO {user}, {user}_group;
"""
FILES = {
    "a__sql": "UPDATE app.item SET price = price + 1;\n",
    "a__undo__sql": "UPDATE app.item SET price = price - 1;\n",
    "b__sql": "CREATE TABLE app.extra AS SELECT id FROM app.item;\n",
    "b__undo__sql": "DROP TABLE app.extra;\n",
    "quiet__sql": "SELECT 0\n",
}
SHAPES = {"the login": "", "a role of the login": "role: {user}_group, "}


@dataclass(frozen=True)
class Trapped:
    """A database with an owner who waits for others."""

    url: str
    user: str
    mark: Path

    def as_user(self) -> str:
        return self.url.replace("postgres:@", f"{self.user}@").replace("postgres@", f"{self.user}@")


@pytest.fixture
def trapped(any_server: Server, open_path: Path) -> Iterator[Trapped]:
    url, owner, user = any_server.database(), f"owner_{os.getpid()}", f"user_{os.getpid()}"
    open_path.chmod(0o777)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {owner}")
        words = {"owner": owner, "user": user, "mark": open_path / "mark", "database": connection.info.dbname}
        connection.execute(TRAP.format(**words).encode())
        try:
            yield Trapped(url, user, open_path / "mark")
        finally:
            for role in (owner, user, f"{user}_group"):
                connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


MORE = {
    "a superuser": "ALTER ROLE {role} SUPERUSER",
    "a member of one": "CREATE ROLE {role}_boss SUPERUSER; GRANT {role}_boss TO {role}",
    "who runs programs": "GRANT pg_execute_server_program TO {role}",
    "who passes row security": "ALTER ROLE {role} BYPASSRLS",
    "who makes roles": "ALTER ROLE {role} CREATEROLE",
}


@contextmanager
def roles(server: Server, *names: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Drop some roles in the end."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        try:
            yield connection
        finally:
            for name in names:
                connection.execute(f"DROP ROLE IF EXISTS {name}".encode())


@pytest.mark.attack("copies")
@pytest.mark.parametrize("more", MORE)
def test_who_may_more_where_copies_are_made_than_on_the_target_is_refused(server: Server, more: str) -> None:
    role = f"above_{os.getpid()}"
    login = Login(name=role, acts_as=role, roles=(Role(name=role),))
    with roles(server, role, f"{role}_boss") as connection:
        connection.execute(f"CREATE ROLE {role}; {MORE[more].format(role=role)}".encode())
        with (
            pytest.raises(Refused, match=f"{role} may do more on the server for copies"),
            standing_in(server.url, login, ours=False),
        ):
            pass
        if more == "a superuser":
            with pytest.raises(Refused, match="may do more"), standing_in(server.url, login, ours=True):
                pass


@pytest.mark.attack("copies")
@pytest.mark.parametrize("more", [each for each in MORE if each != "a superuser"])
def test_on_gonogos_own_server_a_role_has_what_it_has_on_the_target_and_no_more(server: Server, more: str) -> None:
    role = f"once_{os.getpid()}"
    login = Login(name=role, acts_as=role, roles=(Role(name=role),))
    with roles(server, role, f"{role}_boss") as connection:
        connection.execute(f"CREATE ROLE {role}; {MORE[more].format(role=role)}".encode())
        with standing_in(server.url, login, ours=True):
            query = (
                "SELECT rolbypassrls OR rolcreaterole OR pg_has_role(oid, 'pg_execute_server_program', 'MEMBER')"
                " OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) FROM pg_roles r WHERE rolname = %s"
            )
            assert connection.execute(query, [role]).fetchone() == (False,)


@pytest.mark.parametrize("ours", [True, False])
def test_a_role_that_another_server_has_already_stays_as_it_is_there(server: Server, ours: bool) -> None:
    role = f"known_{os.getpid()}"
    known = (
        Role(name=role, passes_row_security=True, member_of=(Membership(f"{role}_of"), Membership("pg_monitor"))),
        Role(name=f"{role}_of", inherits=False, makes_roles=True, member_of=(Membership("pg_not_known_there"),)),
    )
    login = Login(name=role, makes_databases=True, acts_as=role, roles=known)
    with roles(server, role, f"{role}_of") as connection:
        connection.execute(f"CREATE ROLE {role} NOBYPASSRLS".encode())
        with standing_in(server.url, login, ours=ours) as who:
            assert who is not None
            with psycopg.connect(who.at(server.url)) as there:
                there.execute(f"SET ROLE {role}".encode())
                query = (
                    "SELECT r.rolsuper, r.rolcreatedb, c.rolbypassrls, pg_has_role(c.oid, 'pg_monitor', 'USAGE'),"
                    f" pg_has_role(c.oid, '{role}_of', 'USAGE') FROM pg_roles r, pg_roles c"
                    " WHERE r.rolname = session_user AND c.rolname = current_user"
                )
                assert there.execute(query.encode()).fetchone() == (False, True, ours, ours, ours)
        left = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gonogo_stand_in%'").fetchone()
        assert left == (0,)


def test_memberships_come_with_their_options(any_server: Server, server: Server) -> None:
    role = f"sorts_{os.getpid()}"
    names = (role, *(f"{role}_{n}" for n in ("group", "silent", "admin")))
    with roles(any_server, *names) as target:
        new = target.info.server_version >= 160000
        target.execute("; ".join(f"CREATE ROLE {name} LOGIN" for name in names).encode())
        silent = "WITH INHERIT FALSE, SET FALSE" if new else ""
        target.execute(
            f"GRANT {role}_group TO {role}; GRANT {role}_silent TO {role} {silent};"
            f" GRANT {role}_admin TO {role} WITH ADMIN OPTION; ALTER ROLE {role} CREATEDB".encode()
        )
        with psycopg.connect(any_server.url, autocommit=True, user=role) as as_role:
            found = login_of(as_role)
    with roles(server, *names), standing_in(server.url, found, ours=True) as who:
        assert who is not None
        with psycopg.connect(server.url) as there:
            query = (
                "SELECT string_agg(concat_ws(' ', g.rolname, admin_option, inherit_option, set_option), ', ' ORDER BY g.rolname)"
                " FROM pg_auth_members m JOIN pg_roles g ON g.oid = roleid JOIN pg_roles r ON r.oid = member"
                " WHERE r.rolname = %s AND r.rolcreatedb"
            )
            quiet = "f f" if new else "t t"
            wanted = f"{role}_admin t t t, {role}_group f t t, {role}_silent f {quiet}"
            assert there.execute(query, [role]).fetchone() == (wanted,)


@pytest.mark.attack("copies")
def test_no_copy_is_made_where_the_owner_of_something_may_more_than_on_the_target(any_server: Server, tmp_path: Path) -> None:
    url, owner = any_server.database(), f"plain_{os.getpid()}"
    with roles(any_server, owner) as target, open_folder() as folder, embedded.running(folder / "18") as elsewhere:
        target.execute(f"CREATE ROLE {owner}".encode())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLE theirs (id int); ALTER TABLE theirs OWNER TO {owner}".encode())
            made = dump.take(Database(url=url), tmp_path / "b", lambda _: None)
            connection.execute("DROP TABLE theirs")
        room = ScratchServer(database=Database(url=url), spare=lambda: elsewhere, server=elsewhere)
        dump.prove(made, room, lambda _: None)
        with psycopg.connect(elsewhere, autocommit=True) as there:
            there.execute(f"ALTER ROLE {owner} SUPERUSER".encode())
        with pytest.raises(BackupFailed, match=f"something belongs to {owner}, who on the server for copies is a superuser"):
            dump.prove(made, room, lambda _: None)


def test_a_role_that_is_held_by_what_a_script_did_is_gone_with_the_next_one(server: Server) -> None:
    role = f"held_{os.getpid()}"
    login = Login(name=role, acts_as=role, roles=(Role(name=role, makes_roles=True),))
    with roles(server, f"{role}_more", role) as connection:
        with standing_in(server.url, login, ours=True) as who:
            assert who is not None
            with psycopg.connect(who.at(server.url), autocommit=True) as there:
                me = there.info.user
                there.execute(f"SET ROLE {role}; CREATE ROLE {role}_more; GRANT {role}_more TO {me} WITH ADMIN OPTION".encode())
                there.execute(f"SET ROLE NONE; GRANT {role}_more TO {role}".encode())
        left = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gonogo_stand_in%'").fetchone()
        assert left == (0,)


@pytest.mark.attack("copies")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="as a whole"),
        pytest.param(("--each-step", "--drill"), marks=pytest.mark.long, id="each step and drill"),
    ],
)
def test_what_the_owner_of_a_table_wrote_gets_no_more_rights_on_a_copy_than_on_the_target(
    trapped: Trapped, make_project: Make, shape: str, more: tuple[str, ...]
) -> None:
    book = BOOK.replace("{db: {", f"{{db: {{{SHAPES[shape].format(user=trapped.user)}")
    here = Desk(make_project(book, **FILES), trapped.as_user())
    here.env = environment(TEST_URL=trapped.as_user())

    evidence = here.rehearse(*more)

    assert evidence["on"] == "the embedded PostgreSQL"
    assert [level["verdict"] for level in evidence["levels"]] == ["restores exactly"]
    assert not trapped.mark.exists(), "no program ran, and no file was written"
