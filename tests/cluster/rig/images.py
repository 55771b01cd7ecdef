"""Images without a registry: what the nodes may run is packed here and imported."""

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BUSYBOX: Final = "docker.io/library/busybox:1.36"  # the name that every other cluster can pull


def busybox() -> dict[str, Path | str]:
    """Debian's static busybox and a link for each of its applets, as content for `pack`."""
    binary = Path(shutil.which("busybox") or "busybox").resolve()
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    return {"bin/busybox": binary} | {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}


def pack(content: Mapping[str, Path | str], name: str, archive: Path, *entrypoint: str) -> Path:
    """Make an OCI archive with one layer: path in the image to a file or folder of ours, or, as text, to a link's aim.

    The same content gives the same bytes. All belongs to root.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, source in sorted(content.items()):
            if isinstance(source, Path):
                tar.add(source, path, filter=_plain)
            else:
                link = tarfile.TarInfo(path)
                link.type, link.linkname = tarfile.SYMTYPE, source
                tar.addfile(link)
    blobs: dict[str, bytes] = {}

    def blob(kind: str, data: bytes) -> dict[str, str | int]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    described = blob("layer.v1.tar", layer.getvalue())
    config = {
        "architecture": _architecture(), "os": "linux", "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [described["digest"]]},
    }  # fmt: skip
    configured = blob("config.v1+json", json.dumps(config).encode())
    manifest = {"schemaVersion": 2, "config": configured, "layers": [described]}
    entry = blob("manifest.v1+json", json.dumps(manifest).encode())
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [{**entry, "annotations": names}]}
    blobs |= {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    with tarfile.open(archive, "w") as tar:
        for path, data in blobs.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
