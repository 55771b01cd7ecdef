"""The binaries of the cluster, built from Go modules once and kept in the user's cache by what they were built from."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from shared.errors import UnavailableError

KUBERNETES: Final = "v1.36.3"
KWOK: Final = "v0.8.0"
_HERE: Final = Path(__file__).parent
_PACKAGE: Final = "k8s.io/component-base/version"
_FLAGS: Final = {
    # As a release says it: clients and kubelets compare versions.
    "kube": f"-s -w -X {_PACKAGE}.gitVersion={KUBERNETES} -X {_PACKAGE}.gitMajor=1 -X {_PACKAGE}.gitMinor=36",
    "etcd": "-s -w",
}


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "akeso" / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def binary(name: str) -> Path:
    """Path of `kube` or `etcd`; the first time takes minutes. Raises UnavailableError with the compiler's words."""
    source, flags = _HERE / name, _FLAGS[name]
    made_of = b"".join((source / file).read_bytes() for file in ("main.go", "go.mod", "go.sum")) + flags.encode()
    wanted = cache() / f"{name}-{hashlib.sha256(made_of).hexdigest()[:12]}"
    if not wanted.exists():
        print(f"building {name} (once, several minutes)", flush=True)
        scratch = wanted.with_name(f"{wanted.name}.{os.getpid()}")
        _go(["build", "-C", str(source), "-trimpath", "-ldflags", flags, "-o", str(scratch), "."])
        scratch.replace(wanted)
    return wanted


def kwok() -> tuple[Path, Path]:
    """The maker of simulated nodes, and the folder of its stages; the first time takes minutes. Raises as `binary`."""
    wanted = cache() / f"kwok-{KWOK}"
    if not (wanted / "stage").exists():
        print("building kwok (once, several minutes)", flush=True)
        scratch = wanted.with_name(f"{wanted.name}.{os.getpid()}")
        _go(["install", "-mod=mod", f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}"], GOBIN=str(scratch))
        modules = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
        # Its module brings the stages along, and a cache of modules may be cleaned.
        shutil.copytree(Path(modules) / f"sigs.k8s.io/kwok@{KWOK}" / "kustomize" / "stage", scratch / "stage")
        shutil.rmtree(wanted, ignore_errors=True)  # an unfinished one
        scratch.replace(wanted)
    return wanted / "kwok", wanted / "stage"


def _go(arguments: list[str], **env: str) -> None:
    done = subprocess.run(
        ["nice", "go", *arguments], env={**os.environ, "CGO_ENABLED": "0", **env}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stderr.split())[-400:]
        raise UnavailableError(f"go {arguments[0]} failed: {said}", reason="cluster-build")
