"""A real pooler in front of a server: Debian's PgBouncer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from support.servers import open_folder
from support.waiting import until

PGBOUNCER = Path("/usr/sbin/pgbouncer")


@contextmanager
def pooling(url: str, mode: str, *, drops_options: bool = True) -> Iterator[str]:
    """Run PgBouncer in front of a server, and yield the URL of the same database through it.

    Args:
        url: the database.
        mode: `session` or `transaction`.
        drops_options: whether it takes connections that bring settings, and drops these; else it refuses them.
    """
    parts = conninfo_to_dict(url)
    with open_folder() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        # it does not run as root; who owns the server's socket reaches it
        user = Path(str(parts["host"])).owner() if os.geteuid() == 0 else None
        (folder / "users").write_text('"postgres" ""\n', encoding="utf-8")
        upstream = f"host={parts['host']} port={parts.get('port') or 5432} user={parts['user']}"
        ignored = "ignore_startup_parameters = extra_float_digits,options" if drops_options else ""
        (folder / "ini").write_text(
            f"[databases]\n* = {upstream}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\nauth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = 20\nlogfile = {folder}/log\n"
            f"pidfile = {folder}/pid\n{ignored}\n",
            encoding="utf-8",
        )
        if user:
            shutil.chown(folder, user)
        through = f"postgresql://postgres@127.0.0.1:{port}/{parts['dbname']}"
        process = subprocess.Popen([PGBOUNCER, "-q", folder / "ini"], user=user, stderr=subprocess.DEVNULL)
        try:
            until(lambda: _answers(through), 30)
            yield through
        finally:
            process.terminate()
            process.wait(timeout=20)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error:
        return False
    return True
