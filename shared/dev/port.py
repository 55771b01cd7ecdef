"""A port of this machine that is chosen before somebody listens at it: until then nobody else may be given it.

It must never be seen from outside: it is bound to loopback alone, and nothing listens here.
"""

import socket
import sys
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"


class HeldPort:
    """A free port, or the one asked for, kept from all who ask for any until `release`.

    Whoever reuses addresses (redis-server, gunicorn, Go and Python servers do) may listen there all the same. That two
    sockets are bound to one address only Linux allows; elsewhere it is let go at once. Raises OSError when it is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._holder = socket.socket()
        try:
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._holder.bind((HOST, port))
            self.number = int(self._holder.getsockname()[1])
        except OSError:
            self._holder.close()
            raise
        if sys.platform != "linux":
            self._holder.close()

    def release(self) -> None:
        self._holder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.release()
