"""The fingerprint of a database: every object with all that the server records of it, to be compared later."""

from __future__ import annotations

from gonogo.core.plan.fingerprint import FORM, Fingerprint
from gonogo.postgres import catalogs
from gonogo.postgres.connection import Connection
from gonogo.postgres.first_form import read_first_form
from gonogo.postgres.sequences import behind_their_columns, of_hidden_rows


def fingerprint(connection: Connection, form: int = FORM, *, sequences: bool = False) -> Fingerprint:
    """Return the fingerprint of a database.

    Args:
        connection: where; the schema `gonogo` and temporary tables are left out.
        form: the form to write it in: that of what it is to be compared with.
        sequences: name the sequences that are behind their columns, too. That looks at the last row of each such table.

    Raises:
        StepError: somebody changes the schema all the time.
    """
    if form != FORM:
        return Fingerprint(form=form, objects=read_first_form(connection))
    read = catalogs.read(connection)
    # a value that one of them hands out next would meet a row that is there
    found = behind_their_columns(connection) if sequences else ()
    behind = tuple(f"sequence {name} is behind its column {column}" for name, column, _, _ in found)
    hidden = tuple(f"how far {name} is behind its column" for name in of_hidden_rows(connection)) if sequences else ()
    return Fingerprint(objects=read.objects, shared=read.shared, behind=behind, unseen=(*read.unseen, *hidden))
