"""Images without a registry: what the nodes may run is packed here and imported."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BUSYBOX: Final = "docker.io/library/busybox:1.36"  # the name that every other cluster can pull
_MEDIA: Final = "application/vnd.oci.image"


def busybox(out: Path, name: str, *, command: list[str]) -> Path:
    """Pack Debian's static busybox as an image of that name, which runs `command` by default."""
    with tarfile.open(out.with_suffix(".layer"), "w") as layer:
        for folder in ("bin", "tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            layer.addfile(entry)
        binary = str(Path(shutil.which("busybox") or "busybox").resolve())
        layer.add(binary, "bin/busybox")
        listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in sorted({*listed} - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(entry)
    return _image(out, name, out.with_suffix(".layer"), command)


def _image(out: Path, name: str, layer: Path, command: list[str]) -> Path:
    """An OCI layout in a tar, with one layer, which is used up."""
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    described = {"mediaType": f"{_MEDIA}.layer.v1.tar", "digest": f"sha256:{digest}", "size": layer.stat().st_size}
    blobs: dict[str, bytes] = {}

    def blob(kind: str, value: object) -> dict[str, object]:
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        blobs[name] = data
        return {"mediaType": f"{_MEDIA}.{kind}", "digest": f"sha256:{name}", "size": len(data)}

    manifest = {"schemaVersion": 2, "mediaType": f"{_MEDIA}.manifest.v1+json",
                "config": blob("config.v1+json", config), "layers": [described]}  # fmt: skip
    entry = blob("manifest.v1+json", manifest)
    notes = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [entry | {"annotations": notes}]}
    with tarfile.open(out, "w") as image:
        for path, data in _files(blobs, index):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            image.addfile(info, io.BytesIO(data))
        image.add(layer, f"blobs/sha256/{digest}")
    layer.unlink()
    return out


def _files(blobs: dict[str, bytes], index: object) -> Iterator[tuple[str, bytes]]:
    yield "oci-layout", b'{"imageLayoutVersion":"1.0.0"}'
    yield "index.json", json.dumps(index).encode()
    for name, data in blobs.items():
        yield f"blobs/sha256/{name}", data
