"""The tools whose record is known: a row here, and a module."""

from __future__ import annotations

from collections.abc import Mapping

from gonogo.migrations.tools import (
    alembic,
    dbmate,
    diesel,
    flyway,
    golang_migrate,
    goose,
    micrate,
    mybatis,
    node_pg_migrate,
    prisma,
    rambler,
    shmig,
    sql_migrate,
    sqlx,
    tern,
)
from gonogo.migrations.tools.record import Record

RECORDS: Mapping[str, Record] = {
    each.RECORD.tool: each.RECORD
    for each in (
        alembic,
        dbmate,
        diesel,
        flyway,
        golang_migrate,
        goose,
        micrate,
        mybatis,
        node_pg_migrate,
        prisma,
        rambler,
        shmig,
        sql_migrate,
        sqlx,
        tern,
    )
}
#: what people write for them
BY_NAME: Mapping[str, Record] = {name.lower(): record for name, record in RECORDS.items()}
