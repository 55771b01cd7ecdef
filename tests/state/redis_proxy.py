"""A Redis that can be reached badly: a door before a real one whose answers are held back, dripped, cut off or lost.

It knows no Redis: it passes bytes, as a network and its middleboxes do. What it has already passed is never taken
back, and a change counts for connections that are open as well.
"""

import contextlib
import socket
import threading
import time
from typing import Literal, Self

Manner = Literal["open", "slow", "drip", "mute", "hole", "cut", "shut"]
_LOOK_S = 0.01


class RedisProxy:
    """`manner` says what happens to what passes from now on.

    open: nothing. slow: each answer comes `late` seconds later. drip: it comes byte by byte, `late` seconds apart.
    mute: requests arrive, answers never do. hole: nothing arrives either way, and nobody is told (a cable is pulled).
    cut: a request arrives, and the connection ends in place of its answer. shut: nobody listens.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.manner: Manner = "open"
        self.late = 0.0
        self.arrived = 0  # requests that the server was given, counted in pieces as they came
        self._ended = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def be(self, manner: Manner, late: float = 0.0) -> None:
        self.late, self.manner = late, manner
        if manner == "shut":
            self.drop()

    def lead_to(self, port: int) -> None:
        """Connections that are made from now on end there: a name that was moved."""
        self._to = port

    def drop(self) -> None:
        """End every connection that is open."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(*pair)

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        _end(self._door)
        self.drop()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            if self.manner == "shut":
                _end(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                _end(near)
                continue
            far.settimeout(None)
            self._pairs.append((near, far))
            threading.Thread(target=self._requests, args=(near, far), daemon=True).start()
            threading.Thread(target=self._answers, args=(near, far), daemon=True).start()

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := near.recv(1 << 16):
                while self.manner == "hole" and not self._ended.is_set():
                    time.sleep(_LOOK_S)
                self.arrived += 1
                far.sendall(piece)
        _end(near, far)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := far.recv(1 << 16):
                while self.manner in {"mute", "hole"} and not self._ended.is_set():
                    time.sleep(_LOOK_S)
                if self.manner == "cut":
                    break
                if self.manner == "slow":
                    time.sleep(self.late)
                step = 1 if self.manner == "drip" else len(piece)
                for at in range(0, len(piece), step):
                    near.sendall(piece[at : at + step])
                    if self.manner == "drip":
                        time.sleep(self.late)
        _end(near, far)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
