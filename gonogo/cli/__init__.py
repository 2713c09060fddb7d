"""The command line."""

from __future__ import annotations

import gc
import sys

from gonogo.cli.outlet import outlive_readers
from gonogo.project import prepend_import_root


def main() -> None:
    """Run a command and answer its exit code; a user's mistake is told, never traced."""
    # imports make many objects that live for ever: looking at them again and again costs a tenth of a short command
    gc.set_threshold(50_000, 20, 20)
    outlive_readers()
    prepend_import_root()
    from gonogo.cli.app import app  # noqa: PLC0415 - the house must be on the path first
    from gonogo.cli.output import complain  # noqa: PLC0415
    from gonogo.errors import GonogoError  # noqa: PLC0415

    try:
        app()
    except GonogoError as error:
        complain(error)
        sys.exit(int(error.exit))
    except Exception as error:
        import psycopg  # noqa: PLC0415 - most commands have it by now

        if not isinstance(error, psycopg.Error):
            raise
        why = " ".join(str(error).split())[:500]
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            complain(GonogoError(f"the role may not do that: {why}. What it lacks: gonogo grants RUNBOOK --target TARGET"))
            sys.exit(int(GonogoError.exit))
        what = (
            "the target's connection failed" if isinstance(error, psycopg.OperationalError) else "the target refused a statement"
        )
        complain(GonogoError(f"{what}: {why}. What is recorded is done; go on with `gonogo resume`"))
        sys.exit(int(GonogoError.exit))
