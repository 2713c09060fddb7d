"""On a copy the plan runs as the role that it runs as on the target, with that role's rights and no others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from support.command import environment
from support.desk import BOOK, Desk
from support.servers import Server

from gonogo.errors import Refused
from gonogo.postgres.stand_in import Login, Role, standing_in

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


def test_who_is_a_superuser_only_where_copies_are_made_is_refused(server: Server) -> None:
    role = f"above_{os.getpid()}"
    login = Login(
        name=role,
        superuser=False,
        makes_databases=False,
        acts_as=role,
        roles=(Role(name=role, inherits=True, makes_roles=False, passes_row_security=False, member_of=()),),
    )
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} SUPERUSER".encode())
        try:
            with pytest.raises(Refused, match=f"{role} is no superuser on the target"), standing_in(server.url, login, ours=True):
                pass
        finally:
            connection.execute(f"DROP ROLE {role}".encode())


@pytest.mark.parametrize("ours", [True, False])
def test_a_role_that_another_server_has_already_stays_as_it_is_there(server: Server, ours: bool) -> None:
    role = f"known_{os.getpid()}"
    roles = (
        Role(name=role, inherits=True, makes_roles=False, passes_row_security=True, member_of=(f"{role}_of", "pg_monitor")),
        Role(name=f"{role}_of", inherits=False, makes_roles=True, passes_row_security=False, member_of=("pg_not_known_there",)),
    )
    login = Login(name=role, superuser=False, makes_databases=True, acts_as=role, roles=roles)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} NOBYPASSRLS".encode())
        try:
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
        finally:
            connection.execute(f"DROP ROLE {role}; DROP ROLE IF EXISTS {role}_of".encode())


@pytest.mark.attack("copies")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("more", [(), ("--each-step", "--drill")], ids=["as a whole", "each step and drill"])
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
