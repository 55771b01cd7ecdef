"""What a machine must have before a cluster can be brought up on it, and the one line that says what is missing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from shared.errors import UnavailableError
from tests.cluster.rig import image

CGROUPS: Final = Path("/sys/fs/cgroup")
CNI: Final = Path("/usr/lib/cni")
PACKAGES: Final = {  # of Debian, by what they bring
    "containerd": "containerd", "runc": "runc", "nft": "nftables", "ip": "iproute2", "nsenter": "util-linux",
    "unshare": "util-linux", "mount": "mount", "busybox": "busybox-static",
    "losetup": "mount", "mke2fs": "e2fsprogs",
}  # fmt: skip
_GO: Final = (1, 26)
_ROOM: Final = 2 * 2**30


def check() -> None:
    """Raise UnavailableError (reason `cluster-needs`) that names in one line all that is missing."""
    missing = []
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("Linux and root")
    packages = PACKAGES | image.PACKAGES
    missing += [f"Debian's {packages[name]}" for name in packages if not shutil.which(name, path=_path())]
    if not (CNI / "bridge").exists():
        missing.append("Debian's containernetworking-plugins")
    if not Path("/dev/loop-control").exists():
        missing.append("loop devices")
    if _go_version() < _GO:
        missing.append("Go {}.{} or newer".format(*_GO))
    if shutil.disk_usage(tempfile.gettempdir()).free < _ROOM:
        missing.append(f"2 GiB free in {tempfile.gettempdir()}")
    if not all(os.access(CGROUPS / name, os.W_OK) for name in ("cpu", "memory", "pids")):
        missing.append("writable cgroups (version 1)")
    if missing:
        what = f"no cluster can be made here: it needs {', '.join(missing)}; or give one with KUBECONFIG=FILE"
        raise UnavailableError(what, reason="cluster-needs")


def _go_version() -> tuple[int, ...]:
    """(0,) where there is none that answers."""
    if not shutil.which("go"):
        return (0,)
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
