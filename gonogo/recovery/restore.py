"""Put a backup in the place of what is there: a new database beside the old one and a swap of names, or in place.

Side by side, the new database is built and compared while the old one still serves. Then nobody is let into the old one,
the ledger is carried over with the event that says so, and both names change in one transaction. Whatever dies in between,
the target is the one or the other, never half of either; the failed database is kept for the post-mortem.

A role that may not make databases restores in place: everything that is there is dropped and restored in one
transaction, together with that same event.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo import private_files
from gonogo.core.engine.events import BackupRestored, write_body
from gonogo.errors import Refused, RowsWritten
from gonogo.ledger import store
from gonogo.ledger.encoding import encode
from gonogo.postgres import only_one
from gonogo.postgres.connection import Connection, Database, connect_plainly, transaction
from gonogo.postgres.programs import ProgramFailed
from gonogo.postgres.tools import Say, finish, running
from gonogo.recovery import carried_ledger, data_loss
from gonogo.recovery.dump import require_held
from gonogo.recovery.manifest import BackupFailed, BackupFolder
from gonogo.recovery.pg_restore import restore, write_script

#: what the comment of the new database says: that it is being built, or that only the names are left to swap
_BUILDING, _READY = "builds the restore", "swaps in the restore"
_OWNED = """
SELECT (r.rolcreatedb OR r.rolsuper) AND pg_catalog.pg_has_role(session_user, d.datdba, 'USAGE')
FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
WHERE r.rolname = session_user AND d.datname = pg_catalog.current_database()
"""
_SHAPE = """
SELECT pg_catalog.pg_get_userbyid(datdba), pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider,
  coalesce(pg_catalog.to_jsonb(d)->>'datlocale', pg_catalog.to_jsonb(d)->>'daticulocale'), datconnlimit,
  datacl IS NOT NULL, pg_catalog.shobj_description(oid, 'pg_database')
FROM pg_catalog.pg_database d WHERE datname = pg_catalog.current_database()
"""
_GRANTS = """
SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.is_grantable
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE d.datname = pg_catalog.current_database()
"""
_SETTINGS = """
SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(s.setrole) END, c
FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""
#: settings that are lists of names, whose stored text is quoted already (as pg_dump treats them)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^,"]+)')
_LISTS = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})
#: what in a dump belongs to others than the owner of its tables, and is still there when restoring in place
_NOT_IN_PLACE = (
    *("EXTENSION - ", "COMMENT - EXTENSION ", "EVENT TRIGGER - ", "PUBLICATION - ", "SCHEMA - public "),
    # a dump's script restores large objects in transactions of their own, which would end ours
    *("BLOB", "ACL - LARGE OBJECT", "COMMENT - LARGE OBJECT", "SECURITY LABEL - LARGE OBJECT"),
)
#: a line of pg_restore's list: the kind of entry, the schema or -, and the name follow its numbers
_ENTRY = re.compile(r"\d+; \d+ \d+ (.*)")
_SCHEMAS_OF_EXTENSIONS = (
    "SELECT nspname FROM pg_catalog.pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'public'"
    " AND EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extnamespace = n.oid)"
)
#: seconds that a restore in place waits for those who use the tables
_LOCK_WAIT = 10


@dataclass(frozen=True, kw_only=True)
class Restorer:
    """Who restores: the run, under its epoch, on its own connection to the target."""

    database: Database
    connection: Connection
    run: str
    epoch: int
    actor: str
    #: the name of the target's database
    name: str
    #: restore in place even where databases may be made
    in_place: bool = False
    #: the backup's own snapshot, where nothing may be destroyed that was written since; nothing where somebody accepted it
    since: str = ""


def put_back(backup: BackupFolder, restorer: Restorer, body: BackupRestored, say: Say) -> None:
    """Restore a backup in the place of what is there, and record it with the very same change.

    The runner's connection is of no use afterwards.

    Args:
        backup: what to restore; its files were seen to be whole.
        restorer: who restores.
        body: the body of the event that will say so.
        say: where its progress is told.

    Raises:
        BackupFailed: it cannot be restored; what was there is still there.
        Refused: the role may neither make databases nor drop what is there.
    """
    if may_swap(restorer.connection) and not restorer.in_place:
        _swap(backup, restorer, body, say)
    else:
        say("the role may not make databases: restoring in place")
        _in_place(backup, restorer, body, say)


# side by side


def may_swap(connection: Connection) -> bool:
    """Say whether the role of a connection may build a database beside this one, and swap their names."""
    row = connection.execute(_OWNED).fetchone()
    return bool(row and row[0])


def _names(outside: psycopg.Connection[Any], name: str, run: str) -> tuple[str, str]:
    """Return what the new database is called until the swap, and the failed one after it: PostgreSQL's names have 63 bytes.

    A run that is restored a second time, as by phase, keeps the first failed database too.
    """
    suffix, base = run.rsplit("-", 1)[-1], name.encode()[:40].decode(errors="ignore")
    rows = outside.execute(
        "SELECT datname FROM pg_catalog.pg_database WHERE starts_with(datname, %s)", [f"{base}_failed_{suffix}"]
    )
    kept = len(rows.fetchall())
    return f"{base}_restored_{suffix}", f"{base}_failed_{suffix}" + (f"_{kept + 1}" if kept else "")


def _mark(word: str, target: str, run: str) -> str:
    return f"gonogo {word} of {target!r} for the run {run}"


def _swap(backup: BackupFolder, restorer: Restorer, body: BackupRestored, say: Say) -> None:
    with _maintenance(restorer.database) as outside:
        side, failed = _names(outside, restorer.name, restorer.run)
        # while this connection lives, nobody else settles what it does
        if not _alone(outside, restorer.name):
            raise BackupFailed("another restore of this database is under way")
        _drop(outside, side, restorer)
        try:
            _make_alike(outside, restorer.connection, side, _mark(_BUILDING, restorer.name, restorer.run))
            url = make_conninfo(restorer.database.url, dbname=side)
            seconds = restore(backup, url, say)
            with Database(url=url).connect("gonogo/restore") as built:
                require_held(backup, built)
            say("restored and verified; blocking new connections while the databases are renamed")
            _bar(outside, restorer)
            require_as_counted(restorer)
            with Database(url=url, role=restorer.database.role).connect("gonogo/restore") as built:
                _carry_ledger(restorer, built, body.replace(restored_in=seconds, kept=failed, how="side by side"), say)
            _comment(outside, side, _mark(_READY, restorer.name, restorer.run))
            restorer.connection.close()
            _finish_swap(outside, restorer.name, side, failed)
        except BaseException:
            # what was there is still there, and open again
            _allow(outside, restorer.name)
            _drop(outside, side, restorer)
            raise


def _alone(outside: psycopg.Connection[Any], name: str) -> bool:
    return only_one.is_this(outside, f"gonogo restores {name}", name)


def require_as_counted(restorer: Restorer) -> None:
    """See, now that nobody writes any more, that nothing was written that nobody knows of.

    Raises:
        RowsWritten: something was.
    """
    if restorer.since:
        tables = data_loss.every_table(restorer.connection)
        if any(data_loss.written_since(restorer.connection, restorer.run, tables, restorer.since).values()):
            raise RowsWritten("rows were written since they were counted")


def settle(database: Database) -> str:
    """Finish, or take back, a swap of names whose process died; say what was done.

    Raises:
        Refused: nobody is let into the target for another reason, or a restore is under way.
    """
    name = str(conninfo_to_dict(database.url).get("dbname") or "")
    with _maintenance(database) as outside:
        if not _alone(outside, name):
            raise Refused(f"a restore of {name} is under way: no connections are allowed until it is done; try again in a moment")
        rows = outside.execute(
            # anybody may write such a comment on a database of their own
            "SELECT datname, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
            " WHERE datdba = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = %s)",
            [name],
        ).fetchall()
        for side, comment in rows:
            for word in (_READY, _BUILDING):
                start = _mark(word, name, "")
                if not str(comment or "").startswith(start):
                    continue
                run = str(comment).removeprefix(start)
                if word == _READY:
                    _finish_swap(outside, name, str(side), _names(outside, name, run)[1])
                    return f"the restore that was interrupted is finished: {name} is what the backup held"
                _allow(outside, name)
                return f"the restore that was interrupted had not come to the swap: {name} is what it was, and open again"
    raise Refused(f"database {name} does not accept connections (ALLOW_CONNECTIONS false), and no gonogo restore is in progress")


def _maintenance(database: Database) -> psycopg.Connection[Any]:
    """Connect to the server, but to another database than the target."""
    for other in ("postgres", "template1"):
        if other != conninfo_to_dict(database.url).get("dbname"):
            with suppress(psycopg.OperationalError):
                return connect_plainly(make_conninfo(database.url, dbname=other), application_name="gonogo/swap")
    raise Refused("no other database of the server lets gonogo in, so the names cannot be swapped")


def _make_alike(outside: psycopg.Connection[Any], there: Connection, name: str, comment: str) -> None:
    """Make an empty database with the owner, encoding, locale, settings and privileges of another."""
    owner, encoding, collate, ctype, provider, locale, limit, has_acl, _ = there.execute(_SHAPE).fetchone() or ()
    parts = [
        sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)),
        sql.SQL("OWNER {} ENCODING {}").format(sql.Identifier(owner), sql.Literal(encoding)),
        sql.SQL("LC_COLLATE {} LC_CTYPE {}").format(sql.Literal(collate), sql.Literal(ctype)),
        sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(limit)),
    ]
    if provider == "i":
        parts.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(locale)))
    elif provider == "b":
        parts.append(sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(sql.Literal(locale)))
    outside.execute(sql.SQL(" ").join(parts))
    _comment(outside, name, comment)
    database = sql.Identifier(name)
    if has_acl:
        outside.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for privilege, grantee, grantable in there.execute(_GRANTS).fetchall():
        who = sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee)
        more = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        outside.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), database, who) + more)
    for role, setting in there.execute(_SETTINGS).fetchall():
        key, value = setting.split("=", 1)
        whose = sql.SQL("ROLE {} IN ").format(sql.Identifier(role)) if role else sql.SQL("")
        to = sql.SQL(", ").join(map(sql.Literal, names_in(value))) if key in _LISTS else sql.Literal(value)
        named = sql.SQL(".").join(map(sql.Identifier, key.split(".")))
        outside.execute(sql.SQL("ALTER {}DATABASE {} SET {} TO {}").format(whose, database, named, to))


def names_in(value: str) -> list[str]:
    """Return the names in the stored value of a setting that is a list; whoever set it may have written anything into it."""
    found = (quoted.replace('""', '"') if quoted else bare.strip() for quoted, bare in _NAME.findall(value))
    return [name for name in found if name] or [""]


def _bar(outside: psycopg.Connection[Any], restorer: Restorer) -> None:
    """Let nobody into the old database any more, and end who is there; what they had not committed is undone."""
    outside.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(restorer.name)))
    others = "FROM pg_catalog.pg_stat_activity WHERE datname = %s AND pid <> pg_catalog.pg_backend_pid()"
    try:
        # what kind of session it is may be hidden from this role: each is asked to end, and then it is seen who is left
        restorer.connection.execute(f"SELECT pg_catalog.pg_terminate_backend(pid, 5000) {others}".encode(), [restorer.name])
    except psycopg.errors.InsufficientPrivilege as error:
        raise BackupFailed(
            f"the sessions of others cannot be ended ({error.diag.message_primary}); the role needs pg_signal_backend"
        ) from None
    row = restorer.connection.execute(f"SELECT pg_catalog.count(*) {others}".encode(), [restorer.name]).fetchone()
    prepared = restorer.connection.execute(
        "SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE database = %s", [restorer.name]
    ).fetchone()
    if row and row[0]:
        raise BackupFailed(f"{row[0]} sessions of others do not end")
    if prepared:
        raise BackupFailed("a prepared transaction is open in the database; commit it or roll it back first")


def _carry_ledger(restorer: Restorer, built: Connection, body: BackupRestored, say: Say) -> None:
    """Copy the ledger as it stands now, and add the event of the restore, in one transaction."""
    with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
        carried_ledger.save(restorer.connection, Path(folder))
        with transaction(built):
            carried_ledger.load(built, Path(folder), say)
            built.execute("SELECT gonogo.enter(%s, %s)", [restorer.run, restorer.epoch])
            store.append(built, restorer.run, body, restorer.actor)


def _finish_swap(outside: psycopg.Connection[Any], name: str, side: str, failed: str) -> None:
    """Change both names at once, and close the failed database to writes."""
    old, new, kept = sql.Identifier(name), sql.Identifier(side), sql.Identifier(failed)
    row = outside.execute(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s", [name]
    ).fetchone()
    comment = row[0] if row else None
    with transaction(outside):
        outside.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, kept))
        outside.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, old))
        outside.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(old, sql.Literal(comment)))
        outside.execute(sql.SQL("COMMENT ON DATABASE {} IS 'what a migration left; kept for the post-mortem'").format(kept))
        outside.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(kept))
    _allow(outside, failed)


def _allow(outside: psycopg.Connection[Any], name: str) -> None:
    outside.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))


def _comment(outside: psycopg.Connection[Any], name: str, text: str) -> None:
    outside.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text)))


def _drop(outside: psycopg.Connection[Any], name: str, restorer: Restorer) -> None:
    """Drop what an attempt left, and nothing else that happens to be called so."""
    found = outside.execute(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s", [name]
    ).fetchone()
    ours = [_mark(word, restorer.name, restorer.run) for word in (_BUILDING, _READY)]
    if found is None or name == restorer.name:
        return
    # one that was killed before it could mark what it made has no mark; the run's own number is in its name
    if found[0] not in (None, *ours):
        raise BackupFailed(f"there is a database {name} already, and not of this run's; rename it or drop it")
    outside.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


# in place

_CLEAR = Path(__file__).with_name("clear.sql")


def _in_place(backup: BackupFolder, restorer: Restorer, body: BackupRestored, say: Say) -> None:
    if backup.manifest.without_rows:
        raise BackupFailed("the backup leaves out the rows of some tables, so it cannot replace the whole database")
    with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
        before, after = Path(folder) / "before.sql", Path(folder) / "after.sql"
        try:
            script = _in_place_script(backup, restorer, Path(folder), say)
            private_files.write(before, _as_role(restorer) + _guarded(restorer) + _CLEAR.read_text(encoding="utf-8"))
            private_files.write(after, _recorded(restorer, body.replace(how="in place")))
            command = [
                "psql",
                "--no-psqlrc",
                "--quiet",
                "--single-transaction",
                "--set=ON_ERROR_STOP=1",
                "--set=VERBOSITY=verbose",
                "--output=/dev/null",
            ]
            command += [f"--file={file}" for file in (before, script, after)]
            restorer.connection.close()
            with running(command, restorer.database.url) as process:
                finish(process, say, "restoring in place")
        except ProgramFailed as error:
            if data_loss.GREW in str(error):
                raise RowsWritten(str(error)) from None
            raise BackupFailed(f"{error}; what was there is still there") from None


def _guarded(restorer: Restorer) -> str:
    """Return SQL that keeps everybody out of every table, without waiting for long, and sees what was written since."""
    tables = data_loss.every_table(restorer.connection)
    limit = f"SET lock_timeout = '{_LOCK_WAIT}s'; "
    lock = f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE;\n" if tables else ""
    return limit + (data_loss.guard(restorer.connection, restorer.run, tables, restorer.since) + "\n" if restorer.since else lock)


def _as_role(restorer: Restorer) -> str:
    role = restorer.database.role
    return f"SET ROLE {sql.Identifier(role).as_string()};\n" if role else ""


def _in_place_script(backup: BackupFolder, restorer: Restorer, folder: Path, say: Say) -> Path:
    listed = folder / "list"
    with running(
        ["pg_restore", "--list", f"--file={listed}", str(backup.dump)], restorer.database.url, connects=False
    ) as process:
        finish(process, say, "reading the dump")
    held = [str(row[0]) for row in restorer.connection.execute(_SCHEMAS_OF_EXTENSIONS).fetchall()]
    skipped = (*_NOT_IN_PLACE, *(f"SCHEMA - {name} " for name in held))
    lines = listed.read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines if not (found := _ENTRY.match(line)) or not f"{found.group(1)} ".startswith(skipped)]
    private_files.write(listed, "\n".join(kept) + "\n")
    return write_script(backup, folder, [f"--use-list={listed}"], restorer.database.url, say)


def _recorded(restorer: Restorer, body: BackupRestored) -> str:
    quoted = ", ".join(
        sql.Literal(text).as_string() for text in (restorer.run, str(body.kind), restorer.actor, encode(write_body(body)))
    )
    run = sql.Literal(restorer.run).as_string()
    return f"SELECT gonogo.enter({run}, {restorer.epoch});\nSELECT gonogo.append({quoted}::json, true);\n"
