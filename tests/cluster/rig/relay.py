"""A way to where one cannot come oneself: from this machine's loopback into the cluster, from a pod to a test.

Bytes are handed over within this process: the namespaces still have no link outward. It must listen only on a loopback
address or on one inside the cluster.
"""

import asyncio
import ctypes
import os
import socket
import threading
from contextlib import suppress
from typing import Final, Self

_CLONE_NEWNET: Final = 0x40000000


class Relay:
    """What comes to (`host`, `port`) here goes to `address` in the network of process `pid`, 0 for this one's own.

    A context manager.
    """

    def __init__(self, address: tuple[str, int], *, host: str = "127.0.0.1", pid: int = 0) -> None:
        self._pid, self._address, self.host = pid, address, host
        self._socket = socket.create_server((host, 0))  # it stays in this network, wherever its thread goes
        self.port = int(self._socket.getsockname()[1])
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="relay", daemon=True).start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        if self._pid:
            _enter(self._pid)
        async with await asyncio.start_server(self._carry, sock=self._socket):
            self._ready.set()
            await self._ended.wait()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._address)
        except OSError:
            writer.close()
            return
        with suppress(asyncio.CancelledError):  # the relay ends
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


def _enter(pid: int) -> None:
    """Bring this thread, and no other, into that process' network."""
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(network, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(network)
