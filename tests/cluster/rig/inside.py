"""The first process inside: makes networks, starts the cluster's programs, and starts and stops them as it is told.

`python -m tests.cluster.rig.inside FOLDER CGROUP`, with namespaces of its own already around it. It serves the socket
FOLDER/control: one JSON line `{"do": "stop" | "start" | "signal", "part": NAME, "number": SIGNAL}`, one line back,
empty for done. When it ends, for whatever reason, the kernel ends everything else.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.cluster.rig import images, node, plane
from tests.cluster.rig.plane import Part

_PATIENCE_S = 120.0


class Inside:
    def __init__(self, folder: Path, cgroup: str) -> None:
        self.folder, self.cgroup = folder, cgroup
        self._kube, self._etcd = folder / "bin/kube", folder / "bin/etcd"
        self._parts: dict[str, Part] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._holder = 0  # keeps node n2's network

    def up(self) -> None:
        (self.folder / "logs").mkdir()
        for place in node.COVERED:
            _run("mount", "-t", "tmpfs", "tmpfs", place)
        self._networks()
        plane.identities(self.folder)
        for part in plane.parts(self.folder, self._kube, self._etcd):
            self._start(part)
            if part.name == "etcd":
                self._until("etcd", lambda: _listens(2379))
            if part.name == "apiserver":
                self._until("apiserver", lambda: self._kubectl("get", "--raw", "/readyz"))
        box = images.busybox()
        pause = images.pack(box, node.PAUSE, self.folder / "pause.tar", "/bin/sleep", "infinity")
        busybox = images.pack(box, images.BUSYBOX, self.folder / "busybox.tar")
        for one in node.NODES:
            self._node(one, (pause, busybox))
        for one in node.NODES:
            self._until(f"node {one.name}", partial(self._is_ready, one.name))

    def _node(self, one: node.Node, packed: tuple[Path, ...]) -> None:
        for part in node.parts(one, self.folder, self._kube, f"{self.cgroup}/{one.name}"):
            self._start(part)
            if part.name.startswith("containerd"):
                self._until(part.name, partial(self._ctr, one.name, "version"))
                for image in packed:
                    _run(*node.ctr(self.folder, one.name, "images", "import", str(image)))

    def _is_ready(self, name: str) -> bool:
        query = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        return self._kubectl("get", "node", name, "-o", query) == "True"

    def serve(self) -> None:
        threading.Thread(target=self._bury, daemon=True).start()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.folder / "control"))
            server.listen()
            (self.folder / "ready").touch()
            while True:
                connection, _ = server.accept()
                with connection, connection.makefile("rw") as line:
                    try:
                        self._do(json.loads(line.readline()))
                        line.write("\n")
                    except (KeyError, ValueError, OSError, RuntimeError) as error:
                        line.write(f"{type(error).__name__}: {error}\n")

    def _bury(self) -> None:
        """Wait for orphans: a first process inherits every shim whose containerd has ended."""
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                dead = None
            if dead is not None and dead.si_pid not in {one.pid for one in self._running.values()}:
                os.waitpid(dead.si_pid, 0)
            else:
                time.sleep(0.2)

    def _do(self, order: dict[str, object]) -> None:
        name = str(order["part"])
        if order["do"] == "start":
            self._start(self._parts[name])
        elif order["do"] == "signal":
            self._running[name].send_signal(int(str(order["number"])))
        else:
            self._running[name].kill()
            self._running[name].wait()

    def _networks(self) -> None:
        # There may be no dummy device: a pair with both ends here carries the node's address and the default route.
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node0p")
        _run("ip", "addr", "add", f"{plane.ADDRESS}/24", "dev", "node0")
        for end in ("node0p", "node0"):
            _run("ip", "link", "set", end, "up")
        _run("ip", "route", "add", "default", "dev", "node0")
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._holder = holder.pid
        own = Path("/proc/self/ns/net").readlink()
        self._until("the network of n2", lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own)
        second = node.NODES[1]
        _run("ip", "link", "add", "n2", "type", "veth", "peer", "name", "n1", "netns", str(holder.pid))
        _run("ip", "addr", "add", "10.201.0.1/24", "dev", "n2")
        _run("ip", "link", "set", "n2", "up")
        _run("ip", "route", "add", second.pods, "via", second.address)
        there = self._in("n2")
        _run(*there, "ip", "link", "set", "lo", "up")
        _run(*there, "ip", "addr", "add", f"{second.address}/24", "dev", "n1")
        _run(*there, "ip", "link", "set", "n1", "up")
        _run(*there, "ip", "route", "add", "default", "via", "10.201.0.1")
        for where in ([], there):
            _run(*where, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def _in(self, net: str) -> list[str]:
        # Not `ip netns exec`: it mounts another /sys, and the cgroups are gone.
        return [] if net == "n1" else ["nsenter", f"--net=/proc/{self._holder}/ns/net", "--"]

    def _start(self, part: Part) -> None:
        with (self.folder / "logs" / f"{part.name}.log").open("ab") as log:
            process = subprocess.Popen([*self._in(part.net), *part.command], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
        self._parts[part.name], self._running[part.name] = part, process

    def _kubectl(self, *arguments: str) -> str | None:
        command = [str(self._kube), "kubectl", "--kubeconfig", str(self.folder / "admin.yaml"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout or " ") if done.returncode == 0 else None

    def _ctr(self, name: str, *arguments: str) -> bool:
        return subprocess.run(node.ctr(self.folder, name, *arguments), capture_output=True, check=False).returncode == 0

    def _until(self, what: str, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not true():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} has ended: {self._last_words(name)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} is not ready after {_PATIENCE_S:g} s: {self._last_words(what)}")
            time.sleep(0.1)

    def _last_words(self, name: str) -> str:
        log = self.folder / "logs" / f"{name}.log"
        return " ".join(log.read_text(errors="replace")[-300:].split()) if log.exists() else "nothing is known"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    folder, cgroup = Path(sys.argv[1]), sys.argv[2]
    inside = Inside(folder, cgroup)
    try:
        inside.up()
    except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", b"") or b""
        (folder / "failed").write_text(f"{error} {said.decode(errors='replace')}"[:500])
        raise
    inside.serve()


if __name__ == "__main__":
    main()
