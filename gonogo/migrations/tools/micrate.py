"""micrate: `micrate_db_version`, a row for each version (https://github.com/amberframework/micrate)."""

from gonogo.migrations.tools.record import number, row_each

#: what was taken back has a row of its own, too: the newest one says how it is
_DONE = """
SELECT version_id::text FROM (
  SELECT DISTINCT ON (version_id) version_id, is_applied FROM TABLE ORDER BY version_id, id DESC
) AS newest WHERE is_applied
""".replace("TABLE", "micrate_db_version")
RECORD = row_each("micrate", "micrate_db_version", "version_id", number, lambda _: {"is_applied": "true"}, done=_DONE)
