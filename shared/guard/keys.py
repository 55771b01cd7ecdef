"""Makes the keys and tokens of an installation: once, on the machine of whoever installs, never in a pod.

One Secret per file, so that each function can mount exactly what it needs. To rotate, keep the old value as
`event-hmac-previous` (Secret `akeso-event-hmac-previous`) or `grant-previous.pub` (Secret `akeso-grant-pub-previous`)
until nothing that it signed is under way any more, then delete it.
"""

import base64
import os
import secrets
import subprocess
from pathlib import Path
from typing import Final

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from shared.errors import MalformedError

NAMESPACE: Final = "akeso-system"


def make(folder: Path | None = None) -> dict[str, bytes]:
    """Make new keys by file name, as `shared.secrets` reads them; with a folder also write them as `write_dir` does."""
    made = {
        "event-hmac": secrets.token_hex(32).encode(),
        **_pair("grant"),
        **_pair("audit"),
        "webhook-token": secrets.token_urlsafe(32).encode(),
        "api-token": secrets.token_urlsafe(32).encode(),
    }
    if folder is not None:
        _write(folder, made)
    return made


def write_dir(folder: Path) -> list[Path]:
    """Write new keys as plain files for one machine: mode 0600 in a folder of mode 0700. Returns their paths.

    Raises MalformedError (reason `keys`) if one of them is there already, the folder is open to others, or git would
    pick them up.
    """
    return _write(folder, make())


def write_manifests(folder: Path, namespace: str = NAMESPACE) -> list[Path]:
    """Write new keys as one Secret manifest per key, to be applied by kubectl. Modes and errors as in `write_dir`."""
    return _write(folder, {f"{_secret(name)}.yaml": _manifest(name, key, namespace) for name, key in make().items()})


def _secret(name: str) -> str:
    return "akeso-" + name.replace(".", "-")


def _pair(name: str) -> dict[str, bytes]:
    key = Ed25519PrivateKey.generate()
    return {
        f"{name}.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        f"{name}.pub": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }


def _manifest(name: str, key: bytes, namespace: str) -> bytes:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": _secret(name),
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "akeso"},
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(key).decode()},
    }
    return yaml.safe_dump(secret, sort_keys=False).encode()


def _write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    paths = [folder.absolute() / name for name in files]
    if there := [path.name for path in paths if path.exists() or path.is_symlink()]:
        raise MalformedError(f"{folder} has {there[0]} already; keys are never overwritten", reason="keys")
    _refuse_committable(folder.absolute(), paths)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise MalformedError(f"{folder} is open to others; name a new folder or chmod 700 it", reason="keys")
        for path, content in zip(paths, files.values(), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
    except OSError as error:
        raise MalformedError(f"{folder} cannot be written: {error.strerror}", reason="keys") from error
    return paths


def _refuse_committable(folder: Path, paths: list[Path]) -> None:
    """Refuse a place from which `git add` would take the keys: a work tree that does not ignore every one of them."""
    where = next(place for place in (folder, *folder.parents) if place.is_dir())
    if not any((place / ".git").exists() for place in (where, *where.parents)):
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        asked = subprocess.run(
            ["git", "-C", where, "check-ignore", "--", *paths],
            capture_output=True,
            check=False,
            text=True,
            env=environment,
        )
    except FileNotFoundError:
        return  # without git nobody commits anything from here
    if len(asked.stdout.splitlines()) != len(paths):
        raise MalformedError(
            f"{folder} is in a git work tree that does not ignore it; keys are never committed", reason="keys"
        )
