"""Restore points by pgBackRest: a backup, the point just after it, and a cluster beside the target's in which it is proved.

The cluster beside is made by the very restore that a person would do: the backup, then its WAL up to a point that is named in the
target once the backup is there (where the role may name one; else up to the end of the backup).
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo import clock
from gonogo.core.model.check_kinds import Program
from gonogo.core.model.restore_points import PgBackRest
from gonogo.errors import StepError
from gonogo.external.answer import ask
from gonogo.external.process import run_command
from gonogo.postgres import programs
from gonogo.postgres.connection import Connection, connect_plainly
from gonogo.recovery.providers import RESTORING, Place

#: seconds that a named point may take to reach the archive, and that a cluster may take to stop
_ARCHIVED_WITHIN, _STOPS_WITHIN = 300.0, 60.0
#: the longest path of a socket, in bytes, with the name that PostgreSQL gives it
_LONGEST_SOCKET = 107 - len("/.s.PGSQL.5432")
_MAY_NAME = """
SELECT pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE')
  AND pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE')
"""
_ARCHIVED = "SELECT last_archived_wal >= %s FROM pg_catalog.pg_stat_archiver"
_OTHERS = """
SELECT datname FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate AND datname NOT IN ('postgres', pg_catalog.current_database()) ORDER BY 1
"""
#: how the cluster beside runs: for nobody but this account, and archiving nothing
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "archive_mode": "off",
    "hot_standby": "off",
    "primary_conninfo": "",
    "shared_preload_libraries": "",
    "logging_collector": "off",
    "ssl": "off",
    "autovacuum": "off",
    # a subscription in it would go on receiving, in the place of the target's
    "max_logical_replication_workers": "0",
    "max_prepared_transactions": "100",
    "fsync": "off",
}


@dataclass(frozen=True, kw_only=True)
class Stanza:
    """pgBackRest's stanza of the target."""

    rule: PgBackRest
    place: Place

    def take(self, name: str) -> str:
        """Take a backup, verify the repository, and name the point up to which it is restored."""
        say = self.place.say
        say(f"taking a backup ({self.rule.type}) by pgBackRest")
        # what is kept of other backups is for whoever set that up
        self._pgbackrest("backup", f"--type={self.rule.type}", "--start-fast", "--no-expire-auto", f"--annotation=gonogo={name}")
        label = self._label(name)
        say(f"verifying the repository of {self.rule.stanza}")
        found = self._pgbackrest("verify")
        if "error" in found.lower() or "invalid" in found.lower():
            raise StepError(f"pgbackrest verify: {found.strip().splitlines()[-1]}")
        return f"{label} {self._named(name)}".strip()

    def _label(self, name: str) -> str:
        try:
            stanzas = json.loads(self._pgbackrest("info", "--output=json"))
            return next(
                str(each["label"])
                for stanza in stanzas
                for each in reversed(stanza["backup"])
                if (each.get("annotation") or {}).get("gonogo") == name
            )
        except (ValueError, KeyError, TypeError, StopIteration):
            raise StepError("pgbackrest info does not name the backup that was just taken (it needs pgBackRest 2.41)") from None

    def _named(self, name: str) -> str:
        """Name the point in the target that the backup is restored up to; nothing where the role may not."""
        with self.place.database.connect("gonogo/backup") as connection:
            row = connection.execute(_MAY_NAME).fetchone()
            if not (row and row[0]):
                return ""
            point = name[:63]
            connection.execute("SELECT pg_catalog.pg_create_restore_point(%s)", [point])
            found = connection.execute("SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())").fetchone()
            deadline = clock.monotonic() + _ARCHIVED_WITHIN
            while connection.execute(_ARCHIVED, [found[0] if found else ""]).fetchone() != (True,):
                if clock.monotonic() > deadline:
                    raise StepError("the WAL with the restore point does not reach the archive: look at archive_command")
                clock.sleep(0.2)
        return point

    @contextmanager
    def copied(self, point: str) -> Iterator[str]:
        """Restore it into a cluster beside the target's, run that, and remove it afterwards."""
        if not self.rule.side:
            raise StepError("pgbackrest: name the folder in which it is proved: `side: /var/lib/postgresql/side`")
        self._sweep()
        side = f"{self.rule.side.rstrip('/')}/gonogo-{os.getpid()}-{secrets.token_hex(2)}"
        if len(side.encode()) > _LONGEST_SOCKET:
            raise StepError(f"pgbackrest: the path of its `side`, {self.rule.side}, is too long for a socket; name a shorter one")
        control = self._control()
        try:
            self._run("mkdir", "-p", "-m", "711", side)
            self._run("mkdir", "-m", "700", f"{side}/data")
            self.place.say(f"restoring the backup {point} into {side}")
            self._run_all(self.rule.restores(point, f"{side}/data"))
            known = conninfo_to_dict(self.place.database.url)
            login = self._login()
            url = make_conninfo(host=side, port="5432", user=login, dbname=str(known.get("dbname") or ""))
            with self._started(control, side, login):
                self._wait_for(control, side, url)
                yield url
        finally:
            self._run("rm", "-rf", side)

    def _control(self) -> str:
        """Return the pg_ctl of the target's version."""
        with self.place.database.connect("gonogo/backup") as connection:
            wanted = connection.info.server_version // 10000
        for found in programs.of_this_machine("pg_ctl"):
            if found.major == wanted:
                return str(found.path)
        raise StepError(
            f"no pg_ctl of PostgreSQL {wanted} is on this machine, so the backup cannot be proved in a cluster beside the target"
        )

    @contextmanager
    def _started(self, control: str, side: str, login: str) -> Iterator[None]:
        """Run the restored cluster for a while: nobody but this account, as the target's login, is let in."""
        if os.geteuid() == 0 and not self.rule.run_as:
            raise StepError("PostgreSQL does not run as root: name the server's account, `run_as: [sudo, -n, -u, postgres]`")
        with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
            Path(folder).chmod(0o755)
            me, files = pwd.getpwuid(os.geteuid()).pw_name, Path(folder)
            (files / "hba").write_text("local all all peer map=gonogo\n", encoding="utf-8")
            (files / "ident").write_text(f'gonogo "{me}" "{login}"\n', encoding="utf-8")
            own = {"hba_file": f"{folder}/hba", "ident_file": f"{folder}/ident", "unix_socket_directories": side}
            lines = [f"{name} = '{value}'\n" for name, value in (_SETTINGS | own).items()]
            (files / "conf").write_text("".join(lines), encoding="utf-8")
            options = shlex.join(["-c", f"config_file={folder}/conf"])
            limit = str(round(self.rule.within.total_seconds()))
            try:
                self._run(control, "-D", f"{side}/data", "-w", "-t", limit, "-l", f"{side}/log", "-o", options, "start")
            except StepError as error:
                raise StepError(f"{error}{self._log(side)}") from None
            try:
                yield
            finally:
                self._run(control, "-D", f"{side}/data", "-w", "-t", str(round(_STOPS_WITHIN)), "-m", "immediate", "stop")

    def _wait_for(self, control: str, side: str, url: str) -> None:
        """Wait until the restored cluster has come to its point, and is one of its own."""
        deadline = clock.monotonic() + self.rule.within.total_seconds()
        while True:
            with suppress(psycopg.Error), connect_plainly(url) as connection:
                if connection.execute("SELECT NOT pg_catalog.pg_is_in_recovery()").fetchone() == (True,):
                    return
            try:
                self._run(control, "-D", f"{side}/data", "status")
            except StepError:
                raise StepError(f"the restored cluster ended before it came to its point{self._log(side)}") from None
            if clock.monotonic() > deadline:
                raise StepError(f"the restored cluster does not come to its point{self._log(side)}")
            clock.sleep(0.3)

    def _log(self, side: str) -> str:
        """Return what the restored cluster said last."""
        try:
            return f": {self._run('tail', '-n', '3', f'{side}/log').strip()}"
        except StepError:
            return ""

    def _login(self) -> str:
        with self.place.database.connect("gonogo/backup") as connection:
            return str(connection.info.user)

    def _sweep(self) -> None:
        """Remove the clusters of processes that were killed."""
        with suppress(StepError):
            for name in self._run("ls", "-1", self.rule.side).split():
                process = name.removeprefix("gonogo-").partition("-")[0]
                if name.startswith("gonogo-") and process.isdigit() and not Path(f"/proc/{process}").exists():
                    with suppress(StepError):
                        self._run(self._control(), "-D", f"{self.rule.side}/{name}/data", "-m", "immediate", "stop")
                    self._run("rm", "-rf", f"{self.rule.side}/{name}")

    def takes_along(self, connection: Connection) -> str:
        """Name the other databases of the server: a backup of pgBackRest is one of the whole server."""
        others = [str(row[0]) for row in connection.execute(_OTHERS).fetchall()]
        return f"restoring it puts back the whole server, with its databases {', '.join(others)}" if others else ""

    def restore(self, point: str) -> None:
        """Stop the server, put the backup in its place, and start it again."""
        rule = self.rule
        if rule.stop is None or rule.start is None:
            raise StepError("pgbackrest: restoring needs `data`, `stop` and `start`")
        self.place.say("stopping the server")
        # one that was interrupted may have stopped it already
        with suppress(StepError):
            self._call(rule.stop)
        self._require_stopped()
        self.place.say(f"restoring the backup {point} into {rule.data}")
        self._run_all(rule.restores(point, rule.data, "--delta"))
        self.place.say("starting the server")
        self._call(rule.start)

    def _require_stopped(self) -> None:
        with suppress(psycopg.Error), psycopg.connect(self.place.database.url, connect_timeout=5):
            raise StepError("the server still answers after `stop`; nothing of it was changed")

    def delete(self, point: str) -> bool:
        """Leave it to pgBackRest's own retention."""
        del point
        return False

    def _call(self, program: Program) -> None:
        limit, place = self.rule.within.total_seconds(), self.place
        ask(program, place.root, place.database, {RESTORING: "yes"}, limit=limit, started=place.started)

    def _pgbackrest(self, command: str, *options: str) -> str:
        return self._run_all(self.rule.words(command, *options))

    def _run(self, *words: str) -> str:
        """Run a command as the server's account, and return what it said."""
        return self._run_all((*self.rule.run_as, *words))

    def _run_all(self, argv: Sequence[str]) -> str:
        limit = self.rule.within.total_seconds()
        answer = run_command(argv, folder=Path("/"), given={RESTORING: "yes"}, limit=limit, started=self.place.started)
        if answer.code:
            raise StepError(f"{argv[len(self.rule.run_as)]} ended with {answer.code}: {answer.words}")
        return answer.output


def open_provider(rule: PgBackRest, place: Place) -> Stanza:
    """Return what makes such restore points."""
    return Stanza(rule=rule, place=place)
