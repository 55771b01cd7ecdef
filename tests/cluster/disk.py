"""A small disk of its own for a claim: a file system that is full when its last block is, and files that are old.

When an inode has last changed nobody can say who writes by way of a kernel, so files get their age while no kernel has
the file system. The kubelet mounts it itself, as any local volume; what is on it is a pod's from then on.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from shared.dev.rules import real_ms
from tests.cluster.api import Api, Object

USER: Final = 10_001  # whose all of it is
_DAY_S: Final = 86_400


class File(NamedTuple):
    """One that was written so many days ago; with `moved` it has come to its place only now."""

    size: int
    days: int = 0
    moved: bool = False


@contextmanager
def disk(content: Mapping[str, File | str], *, mebibytes: int, inodes: int = 128) -> Iterator[str]:
    """Path of a device with that content: a file, or, as text, where a link leads. Its kernel lets go of it in time."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        _made(image, Path(folder) / "tree", content, mebibytes, inodes)
        device = _run("losetup", "--find", "--show", str(image)).strip()
    try:
        yield device
    finally:  # with its last mount
        _run("losetup", "--detach", device)


def volume(api: Api, name: str, source: Object, node: str, size: str) -> Object:
    """A volume of that source on that node, for whichever claim asks for its class."""
    here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]
    spec = {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": name,
        "persistentVolumeReclaimPolicy": "Retain", **source,
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
    }  # fmt: skip
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    return api.ok("POST", "/api/v1/persistentvolumes", body)


def _made(image: Path, tree: Path, content: Mapping[str, File | str], mebibytes: int, inodes: int) -> None:
    now, orders = real_ms() // 1000, []
    tree.mkdir()
    for name, what in content.items():
        place = tree / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, str):
            place.symlink_to(what)
            continue
        place.write_bytes(os.urandom(what.size))  # nulls would take no room
        written = now - what.days * _DAY_S
        os.utime(place, (written, written))
        if not what.moved:
            orders.append(f"set_inode_field /{name} ctime @{written}")
    for place in (tree, *tree.rglob("*")):
        os.chown(place, USER, USER, follow_symlinks=False)
    _run(
        "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-b", "1024", "-m", "0", "-N", str(inodes),
        "-E", f"root_owner={USER}:{USER}", "-d", str(tree), str(image), f"{mebibytes}M",
    )  # fmt: skip
    script = image.with_name("orders")
    script.write_text("".join(f"{order}\n" for order in orders))
    _run("debugfs", "-w", "-f", str(script), str(image))


def _run(*command: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
    return done.stdout
