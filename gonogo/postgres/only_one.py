"""One process at a time, where any login may take any advisory lock.

A lock that everybody can name could be held by somebody who only wants to be in the way. So each process takes one that nobody
can guess, and looks who else holds one for the same purpose: those count who could do the same work, and no others.
"""

from __future__ import annotations

import secrets
from typing import Any

import psycopg

_TAKE = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext(%(what)s), %(mine)s)"
_GIVE = "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtext(%(what)s), %(mine)s)"
#: members of a role that owns what is worked on, of this role, and superusers
_OTHERS = """
SELECT pg_catalog.count(*)
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS session ON session.pid = held.pid
JOIN pg_catalog.pg_roles AS who ON who.oid = session.usesysid
WHERE held.locktype = 'advisory' AND held.objsubid = 2 AND held.granted AND held.pid <> pg_catalog.pg_backend_pid()
  AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND held.classid::pg_catalog.int8 = pg_catalog.hashtext(%(what)s)::pg_catalog.int8 & 4294967295
  AND (who.rolsuper OR pg_catalog.pg_has_role(who.oid, current_user, 'MEMBER') OR EXISTS (
    SELECT FROM pg_catalog.pg_database WHERE datname = %(database)s AND pg_catalog.pg_has_role(who.oid, datdba, 'MEMBER')))
"""


def is_this(connection: psycopg.Connection[Any], what: str, database: str) -> bool:
    """Say whether this session is the only one that does some work, from now on until it ends.

    Args:
        connection: the session; its rows are of any form.
        what: the work.
        database: the database that is worked on: whoever owns it may do the work, too.
    """
    given = {"what": what, "mine": secrets.randbelow(2**31), "database": database}
    connection.execute(_TAKE, given)
    row = connection.execute(_OTHERS, given).fetchone()
    if row is not None and row[0] == 0:
        return True
    # two that come at once both see the other, and both give way
    connection.execute(_GIVE, given)
    return False
