"""shmig: `shmig_version`, a row for each version (https://github.com/mbucc/shmig)."""

from gonogo.migrations.tools.record import number, row_each

RECORD = row_each("shmig", "shmig_version", "version", number)
