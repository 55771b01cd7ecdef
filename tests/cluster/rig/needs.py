"""What a machine must have before a cluster can be brought up on it, and the one line that says what is missing."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from shared.errors import UnavailableError
from tests.cluster.rig import image

CGROUPS: Final = Path("/sys/fs/cgroup")
CNI: Final = Path("/usr/lib/cni")
PACKAGES: Final = {  # of Debian, by what they bring
    "containerd": "containerd", "runc": "runc", "nft": "nftables", "ip": "iproute2", "nsenter": "util-linux",
    "unshare": "util-linux", "mount": "mount", "busybox": "busybox-static",
}  # fmt: skip
_GO: Final = (1, 26)


def check() -> None:
    """Raise UnavailableError (reason `cluster-needs`) that names in one line all that is missing."""
    missing = []
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("Linux and root")
    packages = PACKAGES | image.PACKAGES
    missing += [f"Debian's {packages[name]}" for name in packages if not shutil.which(name, path=_path())]
    if not (CNI / "bridge").exists():
        missing.append("Debian's containernetworking-plugins")
    if not shutil.which("go"):
        missing.append("Go {}.{} or newer".format(*_GO))
    if not all(os.access(CGROUPS / name, os.W_OK) for name in ("cpu", "memory", "pids")):
        missing.append("writable cgroups (version 1)")
    if missing:
        what = f"no cluster can be made here: it needs {', '.join(missing)}; or give one with KUBECONFIG=FILE"
        raise UnavailableError(what, reason="cluster-needs")


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
