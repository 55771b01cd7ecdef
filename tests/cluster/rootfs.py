"""An image's root file system on its own: unpacked as a node would, and one function run in it as a pod would be.

No cluster, no container runtime: a read-only mount, a user without a name, no capabilities, nothing to write but /tmp.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shared.dev.port import HeldPort

USER = 65532
PATIENCE_S = 180.0
_WHITEOUT = ".wh."

# As a pod with readOnlyRootFilesystem and an emptyDir on /tmp; `$3` is hidden under an empty folder.
_POD = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
mount --bind "$2" "$1/tmp" && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" || exit 99
for hidden in $3; do mount -t tmpfs -o mode=755 tmpfs "$1$hidden" || exit 99; done
root=$1; shift 3
exec chroot "$root" setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all \
    --inh-caps=-all -- "$@"
"""


class Image(NamedTuple):
    """What an archive holds: its configuration, its layers as files, and the root that they make."""

    config: dict[str, Any]
    layers: tuple[Path, ...]
    root: Path


def unpack(archive: Path, folder: Path) -> Image:
    """Lay the layers of a docker archive over each other below `folder`."""
    parts, root = folder / "parts", folder / "root"
    parts.mkdir(parents=True)
    root.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", parts], check=True)
    (manifest,) = json.loads((parts / "manifest.json").read_text())
    layers = tuple(parts / name for name in manifest["Layers"])
    for layer in layers:
        _remove_what_it_hides(layer, root)
        command = ["tar", "-xpf", layer, "-C", root, "--numeric-owner", f"--exclude={_WHITEOUT}*"]
        subprocess.run(command, check=True)
    return Image(json.loads((parts / manifest["Config"]).read_text()), layers, root)


def _remove_what_it_hides(layer: Path, root: Path) -> None:
    with tarfile.open(layer) as tar:
        hiding = [Path(name) for name in tar.getnames() if Path(name).name.startswith(_WHITEOUT)]
    for path in hiding:
        hidden = root / path.parent / path.name.removeprefix(_WHITEOUT)
        if hidden.is_dir() and not hidden.is_symlink():
            shutil.rmtree(hidden)
        else:
            hidden.unlink(missing_ok=True)


class Running(NamedTuple):
    """A function that answered, the seconds until then, and what it said on its way."""

    url: str
    seconds: float
    log: Path
    tmp: Path
    pid: int  # of the function as this machine sees it

    def status(self, field: str) -> str:
        """One line of what the kernel says of the process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


@contextmanager
def running(
    image: Image, folder: Path, command: list[str], env: dict[str, str], *, hidden: tuple[str, ...] = ()
) -> Iterator[Running]:
    """Run one function until it answers /healthz and for as long as the context lasts."""
    tmp = folder / "tmp"
    tmp.mkdir(parents=True)
    tmp.chmod(0o1777)
    held = HeldPort()
    port = held.number
    given = {"HOME": "/"} | dict(one.split("=", 1) for one in image.config["config"]["Env"])
    inside = ["env", "-i", *(f"{name}={value}" for name, value in {**given, **env, "PORT": str(port)}.items())]
    confine = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _POD, "sh"]
    work = image.config["config"]["WorkingDir"]
    start = ["sh", "-c", f'cd {work} && exec "$@"', "sh"]
    with held, (folder / "log").open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [*confine, image.root, tmp, " ".join(hidden), *inside, *start, *command], stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, port, folder / "log")
            seconds = time.monotonic() - began
            yield Running(url, seconds, folder / "log", tmp, _children(process.pid)[0])
        finally:
            # The namespace ends with its first process. `--kill-child` does not reach it: who changes its user forgets
            # whose death it was to follow.
            for first in _children(process.pid):
                os.kill(first, signal.SIGKILL)
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.02)
        finally:
            connection.close()
    raise AssertionError(f"no answer (exit {process.poll()}): {log.read_text()[-2000:]}")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []


def files(root: Path) -> Iterator[Path]:
    """Every path below a root, links not followed, the root's own devices and kernel views left out."""
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in {"proc", "sys", "dev"}]
        for name in (*folders, *names):
            yield Path(folder) / name
