"""A proxy before a PostgreSQL server that cuts a connection around a commit."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

#: before a message is handed on; after the server has answered it; or while the server works on it
Cut = Literal["", "before", "after", "while"]
Choose = Callable[[bytes], Cut]


@contextmanager
def cutting(folder: Path, server: Path, choose: Choose) -> Iterator[Path]:
    """Stand between clients and the socket of a server; yield the folder that clients name as their host.

    Args:
        folder: where the proxy's own socket lies.
        server: the folder of the server's socket.
        choose: how a message of a client is cut, if it is.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / ".s.PGSQL.5432"))
        listener.listen()
        listener.settimeout(0.2)
        over = threading.Event()
        threads = [threading.Thread(target=_accept, args=(listener, server, choose, over), daemon=True)]
        threads[0].start()
        try:
            yield folder
        finally:
            over.set()
            threads[0].join()


def _accept(listener: socket.socket, server: Path, choose: Choose, over: threading.Event) -> None:
    pairs = []
    while not over.is_set():
        with suppress(TimeoutError):
            client, _ = listener.accept()
            pairs.append(threading.Thread(target=_pass_on, args=(client, server, choose, over), daemon=True))
            pairs[-1].start()
    for pair in pairs:
        pair.join()


def _pass_on(client: socket.socket, server: Path, choose: Choose, over: threading.Event) -> None:
    with client, socket.socket(socket.AF_UNIX) as there, selectors.DefaultSelector() as ready, suppress(OSError):
        there.connect(str(server / ".s.PGSQL.5432"))
        ready.register(client, selectors.EVENT_READ, there)
        ready.register(there, selectors.EVENT_READ, client)
        cut: Cut = ""
        while not over.is_set():
            for key, _ in ready.select(0.2):
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                data = source.recv(1 << 20)
                if not data:
                    return
                if source is client:
                    cut = choose(data)
                    if cut == "before":
                        return
                    target.sendall(data)
                    if cut == "while":
                        # the server goes on with what it has, and its answer reaches nobody
                        client.close()
                        with suppress(OSError):
                            there.settimeout(90)
                            there.recv(1 << 20)
                        return
                elif cut == "after":
                    return
                else:
                    target.sendall(data)
