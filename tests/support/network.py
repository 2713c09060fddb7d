"""A network of its own for a runner, which can be switched off: packets are lost, and nobody is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

_SWITCH = """
import fcntl, socket, struct, sys
with socket.socket() as any_socket:
    # SIOCSIFFLAGS: whether the interface is up
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", int(sys.argv[1])))
"""
_PROXY = """
import asyncio, sys
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()
async def serve(reader, writer):
    there, back = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(copy(reader, back), copy(there, writer))
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", 5432) as server:
        print("ready", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""


class Network:
    """A network in which there is nothing but this machine, and a way to a server's socket."""

    def __init__(self, holder: int, user: Sequence[str]) -> None:
        self._enter = ["nsenter", "--target", str(holder), "--net", *user]

    def within(self, *command: str) -> list[str]:
        """Return a command that runs in it."""
        return [*self._enter, *command]

    def switch(self, *, on: bool) -> None:
        """Switch it on or off."""
        subprocess.run(self.within(sys.executable, "-c", _SWITCH, "1" if on else "0"), check=True)


@contextmanager
def network(socket: Path) -> Iterator[Network]:
    """Make a network; 127.0.0.1:5432 in it leads to a server's socket, which hears nothing of what becomes of the network.

    Args:
        socket: the server's socket.
    """
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    holder = subprocess.Popen(["unshare", *user, "--net", "sleep", "600"], stderr=subprocess.DEVNULL)
    try:
        mine, deadline = Path("/proc/self/ns/net").readlink(), time.monotonic() + 30
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == mine:
            if holder.poll() is not None:
                pytest.skip("this machine lets nobody make a network")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        made = Network(holder.pid, () if os.geteuid() == 0 else ("--user", "--preserve-credentials"))
        made.switch(on=True)
        proxy = subprocess.Popen(made.within(sys.executable, "-c", _PROXY, str(socket)), stdout=subprocess.PIPE)
        try:
            assert proxy.stdout is not None
            assert proxy.stdout.readline() == b"ready\n"
            yield made
        finally:
            proxy.kill()
            proxy.communicate()
    finally:
        holder.kill()
        holder.wait()
