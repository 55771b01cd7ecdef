"""A way from this machine's loopback to one address inside, so that an ordinary shell can use the cluster.

Bytes are handed over within this process: the namespaces still have no link outward, and nobody but this machine's own
loopback is listened to.
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
    """`url` leads to `address` in the network of process `pid`. A context manager."""

    def __init__(self, pid: int, address: tuple[str, int]) -> None:
        self._pid, self._address = pid, address
        self._socket = socket.create_server(("127.0.0.1", 0))  # it stays in this network, wherever its thread goes
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="relay", daemon=True).start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        network = os.open(f"/proc/{self._pid}/ns/net", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(network, _CLONE_NEWNET):  # of this thread alone
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(network)
        async with await asyncio.start_server(self._carry, sock=self._socket):
            self._ready.set()
            await self._ended.wait()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._address)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
