"""The role that loads rows into a copy. What the owners of tables wrote runs with its rights, and it may only write rows.

A CHECK constraint, a generated column or a domain calls functions for every row. Loaded by a superuser, a row would let whoever
owns its table do everything on that server. What runs later does so as the owner of the table: indexes, materialized views
(PostgreSQL's manual, "CREATE INDEX", "REFRESH MATERIALIZED VIEW"). A foreign key is validated by whoever makes it, and calls the
functions of casts between its columns' types: where the owner of a table may have made such casts, the loader makes it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from gonogo import private_files
from gonogo.postgres.brief_login import CannotLogIn, brief_login
from gonogo.postgres.connection import connect_plainly
from gonogo.postgres.stand_in import REACHES_MORE
from gonogo.recovery.manifest import BackupFailed

_PREFIX = "gonogo_loader_"
#: an entry of a dump's table of contents, as `pg_restore --list` writes it: what it is, and whose
_ROWS = re.compile(r"\d+; \d+ \d+ TABLE DATA ")
_CHECK = re.compile(r"\d+; \d+ \d+ CHECK CONSTRAINT ")
_KEY = re.compile(r"\d+; \d+ \d+ FK CONSTRAINT ")
_ABOUT_KEY = re.compile(r"\d+; \d+ \d+ COMMENT \S+ CONSTRAINT ")
#: casts that a foreign key may call, by functions that no superuser wrote
_CASTS = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
  JOIN pg_catalog.pg_roles r ON r.oid = p.proowner WHERE c.castcontext = 'i' AND NOT r.rolsuper)
"""
_MORE = f"""
SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (%s) AND {REACHES_MORE} ORDER BY 1 LIMIT 1
"""
_ROLES = "SELECT rolname::text, rolsuper FROM pg_catalog.pg_roles"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Lists of a dump's entries, in the order in which they are restored.

    What a superuser owns belongs to the rest: what it calls, a superuser chose. What the loader restores is told apart by its
    owner, whose rights the loader has meanwhile, and nobody else's: what one owner wrote must not act as another.
    """

    #: by the loader: rows, and constraints that look at rows that are there
    rows: Mapping[str, Path]
    checks: Mapping[str, Path]
    rest: Path
    #: by the loader, where they may call what the owners of tables wrote; and what is said of them
    keys: Mapping[str, Path]
    comments: Path | None


def parts_of(listed: Path, superusers: Mapping[str, bool], *, casts: bool = False) -> Parts:
    """Write the lists of what is restored as whom, beside the list of everything.

    Args:
        listed: the list.
        superusers: of each role, whether it is one.
        casts: whether a foreign key may call what the owner of its table wrote.
    """
    lists: dict[tuple[str, str], list[str]] = {}
    # a name may hold what else ends a line elsewhere, such as a form feed
    for line in filter(None, listed.read_text(encoding="utf-8").split("\n")):
        # an entry ends with its owner, whose name may hold blanks
        owner = max((role for role in superusers if line.endswith(f" {role}")), key=len, default="")
        name = _part_of(line, guarded=bool(owner) and not superusers[owner], casts=casts)
        lists.setdefault((name, owner if name in ("rows", "checks", "keys") else ""), []).append(line)
    files: dict[str, dict[str, Path]] = {}
    for number, ((name, owner), lines) in enumerate(lists.items()):
        files.setdefault(name, {})[owner] = file = listed.with_name(f"{name}-{number}")
        private_files.write(file, "".join(f"{line}\n" for line in lines))
    return Parts(
        rows=files.get("rows", {}),
        checks=files.get("checks", {}),
        rest=files.get("rest", {"": listed})[""],
        keys=files.get("keys", {}),
        comments=files.get("comments", {}).get(""),
    )


def _part_of(line: str, *, guarded: bool, casts: bool) -> str:
    if casts and _ABOUT_KEY.match(line):
        return "comments"
    if not guarded:
        return "rest"
    if _ROWS.match(line):
        return "rows"
    if _CHECK.match(line):
        return "checks"
    return "keys" if casts and _KEY.match(line) else "rest"


@contextmanager
def loader(url: str) -> Iterator[str]:
    """Make a role that may write rows, for a while; yield the URL by which it logs in.

    Nothing is made, and nothing yielded, where this role is no superuser: then rows are loaded with its own rights.

    Args:
        url: the database that is being filled.

    Raises:
        BackupFailed: that role may not log in there.
    """
    with connect_plainly(url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
        if row is None or not row[0]:
            yield ""
            return
        try:
            with brief_login(connection, url, _PREFIX, sql.SQL("IN ROLE pg_write_all_data")) as its_url:
                yield its_url
        except CannotLogIn as error:
            raise BackupFailed(
                f"rows are loaded into a copy by a role of its own, {_PREFIX}..., so that nothing which the owners of tables"
                f" wrote runs as {connection.info.user}; it cannot log in: {error}. Let it in (pg_hba.conf), or name another"
                " server: rehearse_on"
            ) from None


def refuse_powerful(url: str, owners: Sequence[str]) -> None:
    """Refuse a server where somebody may more to whom something belongs: what they wrote would run with it.

    Args:
        url: the database that is filled.
        owners: who reaches nothing beyond the data of the target's server.

    Raises:
        BackupFailed: one of them does, there.
    """
    with connect_plainly(url) as connection:
        row = connection.execute(_MORE.encode(), [list(owners)]).fetchone()
    if row:
        raise BackupFailed(
            f"something belongs to {row[0]}, who on the server for copies is a superuser or reaches its programs and files, and"
            " on the target does not. Make copies on a server where that role has no such rights: rehearse_on"
        )


def calls_casts(url: str) -> bool:
    """Say whether a foreign key in a database may call the function of a cast that no superuser wrote."""
    with connect_plainly(url) as connection:
        row = connection.execute(_CASTS.encode()).fetchone()
        return bool(row and row[0])


def superusers(url: str) -> dict[str, bool]:
    """Return of each role of a server whether it is a superuser."""
    with connect_plainly(url) as connection:
        return {str(name): bool(is_one) for name, is_one in connection.execute(_ROLES).fetchall()}


@contextmanager
def owning(url: str, its_url: str, owner: str) -> Iterator[None]:
    """Let the loader have the rights of an owner for a while: what they wrote may need them."""
    name, role = sql.Identifier(str(conninfo_to_dict(its_url)["user"])), sql.Identifier(owner)
    with connect_plainly(url) as connection:
        connection.execute(sql.SQL("GRANT {} TO {}").format(role, name))
        try:
            yield
        finally:
            connection.execute(sql.SQL("REVOKE {} FROM {}").format(role, name))
