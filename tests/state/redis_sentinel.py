"""A replicated Redis as in production: a master, a replica and three Sentinels, each a real process of its own."""

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis

from shared.dev import redis as embedded
from shared.dev.child import die_with_parent
from shared.dev.port import HeldPort
from shared.dev.redis import RedisServer

SERVICE = "akeso"
DOWN_AFTER_MS, FAILOVER_MS = 400, 2000
PATIENT_S = 180.0


def until(what: Callable[[], Any], why: str) -> Any:
    ends = time.monotonic() + PATIENT_S
    while time.monotonic() < ends:
        try:
            if found := what():
                return found
        except redis.RedisError:
            pass
        time.sleep(0.02)
    raise AssertionError(why)


class Sentineled:
    """`url` names the Sentinels. All of them agree on the topology when it has started."""

    def __init__(self, folder: Path, binary: str | None = None) -> None:
        self._folder, self._binary = folder, embedded.find(binary)
        self._stack = ExitStack()
        self.servers: list[RedisServer] = []
        self.ports: list[int] = []
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return self.url_of(*self.ports)

    def url_of(self, *ports: int) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/{SERVICE}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name in ("first", "second"):
                self.servers.append(embedded.start(self._folder / name, binary=self._binary))
                stack.callback(self.servers[-1].stop)
            self.follow(self.servers[1], self.servers[0])
            for number in range(3):
                self._sentinel(number, stack)
            until(self.at_rest, "the Sentinels do not find each other")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _sentinel(self, number: int, stack: ExitStack) -> None:
        port = stack.enter_context(HeldPort()).number
        folder = self._folder / f"sentinel-{number}"
        folder.mkdir(parents=True)
        file = folder / "sentinel.conf"
        file.write_text("\n".join([
            "bind 127.0.0.1", f"port {port}", f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_MS}",
        ]) + "\n")  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [self._binary, str(file), "--sentinel"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  as with the servers
            )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.kill)
        self.ports.append(port)
        self._sentinels.append(process)

    # What it is at the moment ----------------------------------------------------------------------------------------

    def ask(self, server: RedisServer | int, *command: str) -> Any:
        port = server if isinstance(server, int) else server.port
        with redis.Redis(port=port, decode_responses=True, socket_timeout=5) as connection:
            return connection.execute_command(*command)

    def master(self) -> RedisServer:
        """As most Sentinels have it."""
        named = [int(self.ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]) for port in self.living()]
        port = max(set(named), key=named.count)
        return next(server for server in self.servers if server.port == port)

    def replica(self) -> RedisServer:
        master = self.master()
        return next(server for server in self.servers if server is not master)

    def living(self) -> list[int]:
        return [port for port, one in zip(self.ports, self._sentinels, strict=True) if one.poll() is None]

    def at_rest(self) -> bool:
        """Everybody knows everybody, and the replica has all that the master has."""
        for port in self.living():
            known = self.ask(port, "SENTINEL", "MASTER", SERVICE)
            if known["flags"] != "master" or (known["num-other-sentinels"], known["num-slaves"]) != ("2", "1"):
                return False
        master, replica = self.master(), self.replica()
        there, here = self.ask(master, "INFO", "replication"), self.ask(replica, "INFO", "replication")
        return bool(
            here["role"] == "slave" and here["master_port"] == master.port and here["master_link_status"] == "up"
            and here["slave_repl_offset"] >= there["master_repl_offset"]
        )  # fmt: skip

    # What can be done to it ------------------------------------------------------------------------------------------

    def follow(self, server: RedisServer, master: RedisServer) -> None:
        self.ask(server, "REPLICAOF", "127.0.0.1", str(master.port))

    def fail_over(self) -> RedisServer:
        """As an operator would, with both alive; the new master, when all Sentinels know it."""
        old = self.master()
        until(lambda: self.ask(self.living()[0], "SENTINEL", "FAILOVER", SERVICE), "no failover is possible")
        return self.succeeded(old)

    def succeeded(self, old: RedisServer) -> RedisServer:
        """Wait until another one is the master and says so itself; which."""

        def another() -> RedisServer | None:
            new = self.master()
            return new if new is not old and self.ask(new, "ROLE")[0] == "master" else None

        found: RedisServer = until(another, "nobody took over")
        return found

    def kill_sentinel(self, number: int) -> None:
        self._sentinels[number].kill()
        self._sentinels[number].wait()
