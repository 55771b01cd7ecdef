"""The cluster from outside: its namespaces, what it changes on this machine, and putting all of that back.

What lives in namespaces ends with the first process in them. Beside them there are only a folder, cgroups and the
sysctls that every kubelet sets; a cluster whose keeper was killed is cleared away by the next one.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from shared.dev.child import die_with_parent
from shared.errors import UnavailableError
from tests.cluster.rig import build, needs, node

_ROOT: Final = Path(__file__).parents[3]
_PREFIX: Final = "akeso-cluster-"
_SYSCTLS: Final = (  # all that a kubelet sets at its start, for the whole machine
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)  # fmt: skip
_START_S: Final = 240.0
_END_S: Final = 60.0


class Machine:
    """One cluster; a context manager. `folder` holds its kubeconfigs, logs and the API server's `audit.log`."""

    def __init__(self) -> None:
        self.folder = Path()
        self.pid = 0  # of the first process inside, as seen from here
        self._cgroup = ""
        self._stack = ExitStack()

    @property
    def kubeconfig(self) -> Path:
        """As administrator, from inside the network of node n1."""
        return self.folder / "admin.yaml"

    def __enter__(self) -> Self:
        """Bring it up. Raises UnavailableError (reasons `cluster-needs`, `cluster-build`, `cluster-start`)."""
        needs.check()
        kube, etcd = build.binary("kube"), build.binary("etcd")
        clear_away()
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            lock = stack.enter_context((self.folder / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._cgroup = f"/{self.folder.name}"
            stack.callback(_remove_cgroups, self._cgroup)
            _make_cgroups(self._cgroup)
            for place in map(Path, node.COVERED):
                if not place.exists():
                    place.mkdir(parents=True)
                    stack.callback(_uncover, place)
            before = _originals()
            (self.folder / "sysctls.json").write_text(json.dumps(before))
            stack.callback(_restore_sysctls, before)
            (self.folder / "bin").mkdir()
            for name, path in (("kube", kube), ("etcd", etcd)):
                (self.folder / "bin" / name).symlink_to(path)
            self._unshare(stack)
            _restore_sysctls(before)  # the kubelets set them at their start
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        # An impatient second Ctrl-C must not cut off what puts the machine back.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def enter(self) -> list[str]:
        """Prefix of a command that is to run in the network of node n1, and elsewhere on this machine as usual."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def _unshare(self, stack: ExitStack) -> None:
        log = stack.enter_context((self.folder / "inside.log").open("wb"))
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        keeper = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc",
             sys.executable, "-m", "tests.cluster.rig.inside", str(self.folder), self._cgroup],
            cwd=_ROOT, env={"PATH": path, "HOME": str(self.folder), "PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it loads nothing after the fork
        )  # fmt: skip
        stack.callback(self._end, keeper)
        deadline = time.monotonic() + _START_S
        while not (self.folder / "ready").exists():
            failed = self.folder / "failed"
            if keeper.poll() is not None or failed.exists() or time.monotonic() > deadline:
                why = failed.read_text() if failed.exists() else (self.folder / "inside.log").read_text()[-400:]
                said = " ".join(why.split()) or "it said nothing; is there room in the temporary folder?"
                raise UnavailableError(f"the cluster does not come up: {said}", reason="cluster-start")
            time.sleep(0.05)
        self.pid = int(Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()[0])

    def _end(self, keeper: "subprocess.Popen[bytes]") -> None:
        keeper.kill()
        keeper.wait()
        with suppress(ProcessLookupError):
            if self.pid:
                _kill(self.pid)
        _until_empty(self._cgroup)


def _kill(pid: int) -> None:
    """Return when it has ended, which the first process of a namespace does last. Raises ProcessLookupError."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], _END_S)
    finally:
        os.close(process)


def command(folder: Path, do: str, part: str, number: int = 0) -> None:
    """Let a cluster `start`, `stop` (SIGKILL) or `signal` one of its parts: `apiserver`, `kubelet-n2`, ...

    Raises UnavailableError with the first process' own words.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(folder / "control"))
        with connection.makefile("rw") as line:
            line.write(json.dumps({"do": do, "part": part, "number": number}) + "\n")
            line.flush()
            if said := line.readline().strip():
                raise UnavailableError(f"{do} {part}: {said}", reason="cluster-order")


def clear_away() -> None:
    """Remove what clusters have left behind whose keeper was killed."""
    alive = _alive()
    for folder in set(_folders()) - set(alive):
        if not (folder / "lock").exists():
            continue  # it is just being made
        _until_empty(f"/{folder.name}")
        _remove_cgroups(f"/{folder.name}")
        if not alive:
            with suppress(OSError, ValueError):
                _restore_sysctls(json.loads((folder / "sysctls.json").read_text()))
        shutil.rmtree(folder, ignore_errors=True)
    kept = {folder.name for folder in _folders()}
    for name in {group.name for hierarchy in _hierarchies() for group in hierarchy.glob(f"{_PREFIX}*")} - kept:
        _remove_cgroups(f"/{name}")


def _folders() -> list[Path]:
    """Those of all clusters of this machine, the oldest first."""
    found = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")
    return sorted((folder for folder in found if folder.is_dir()), key=lambda folder: folder.stat().st_ctime)


def _alive() -> list[Path]:
    """Those whose keeper lives and holds its lock."""
    found = []
    for folder in _folders():
        with suppress(FileNotFoundError), (folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                found.append(folder)
    return found


def _originals() -> dict[str, str]:
    """The sysctls as they were before any cluster of this machine: what is in force may be another one's kubelets'."""
    for folder in _alive():
        with suppress(OSError, ValueError):
            found: dict[str, str] = json.loads((folder / "sysctls.json").read_text())
            return found
    return {name: _sysctl(name) for name in _SYSCTLS if Path("/proc/sys", name).exists()}


def _uncover(place: Path) -> None:
    """Take away a folder that was made to be covered, unless another cluster covers it, too."""
    if not _alive():
        with suppress(OSError):
            place.rmdir()


def _hierarchies() -> list[Path]:
    return [path for path in needs.CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _make_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        group = hierarchy / name.lstrip("/")
        for below in ("", "n1", "n2"):
            (group / below).mkdir()
            if hierarchy.name == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (group / below / file).write_text((hierarchy / file).read_text())


def _until_empty(name: str) -> None:
    """Wait for the kernel: processes that were killed leave their cgroups a moment later."""
    deadline = time.monotonic() + 20
    groups = [hierarchy / name.lstrip("/") for hierarchy in _hierarchies()]
    while time.monotonic() < deadline and any(file.read_text() for g in groups for file in g.rglob("cgroup.procs")):
        time.sleep(0.05)


def _remove_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        top = hierarchy / name.lstrip("/")
        for group in sorted((path for path in (top, *top.rglob("*")) if path.is_dir()), reverse=True):
            with suppress(FileNotFoundError):
                group.rmdir()


def _sysctl(name: str) -> str:
    return Path("/proc/sys", name).read_text().strip()


def _restore_sysctls(before: dict[str, str]) -> None:
    for name, value in before.items():
        Path("/proc/sys", name).write_text(value)
