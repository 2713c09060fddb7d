"""A public folder of migrations, written out as plain SQL: those of Prefect's own server, as its package brings them.

They are Alembic's, in Python; some look at the database before they decide. So they are really run, all of them up and all of
them down again, and what they said to the server is what the files hold: `000001_<revision>.up.sql` and `.down.sql`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psycopg
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, create_engine, event

#: what only looks
_LOOKS = ("select", "show", "with recursive")


def write_migrations(url: str, folder: Path, most: int | None = None) -> int:
    """Run Prefect's migrations on an empty database, up and down, and write each as two files; return how many there are.

    Args:
        url: an empty database; it is empty again afterwards, but for what a way back forgets.
        folder: where the files are written.
        most: how many of them, from the first one; all without it.
    """
    package = find_spec("prefect")
    assert package is not None
    assert package.origin is not None
    root = Path(package.origin).parent / "server/database/_migrations"
    scripts = ScriptDirectory(str(root), version_locations=[str(root / "versions/postgresql")])
    revisions = list(scripts.walk_revisions())[::-1][:most]
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), execution_options={"no_parameters": True}
    )
    said: list[str] = []
    with engine.connect() as connection:

        @event.listens_for(engine, "do_execute_no_params")
        def _(cursor: psycopg.Cursor, statement: str, _: object) -> bool:
            # some are written for another driver, for which a % is a %
            cursor.execute(statement.replace("%%", "%").encode())
            return True

        @event.listens_for(connection, "before_cursor_execute")
        def _(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
            if not statement.strip().lower().startswith(_LOOKS):
                said.append(_filled(connection, statement, parameters))

        for way, order in (("up", enumerate(revisions, 1)), ("down", reversed(list(enumerate(revisions, 1))))):
            for number, revision in order:
                said.clear()
                _run(connection, revision, way)
                text = ";\n".join(part.strip().rstrip(";") for part in said)
                (folder / f"{number:06}_{revision.revision}.{way}.sql").write_text(f"{text};\n" if text else "-- nothing\n")
    engine.dispose()
    return len(revisions)


def _run(connection: Connection, revision: Script, way: str) -> None:
    move: Callable[[], None] = revision.module.upgrade if way == "up" else revision.module.downgrade
    context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        move()


def _filled(connection: Connection, statement: str, parameters: object) -> str:
    """Return a statement with its parameters in it."""
    if not parameters:
        return statement.replace("%%", "%")
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with psycopg.ClientCursor(driver) as cursor:
        return cursor.mogrify(statement, parameters)  # type: ignore[arg-type]
