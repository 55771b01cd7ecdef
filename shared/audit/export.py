"""The append-only file to which audit lines go before Redis may forget them.

One JSON object per line: tenant, cluster, incident, item. Lines are added, never rewritten; adding the same items
again adds nothing, because the process may die between the append and the trim. The caller trims only what
`verified` has read back.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.errors import UnavailableError


def _prefix(tenant: str, cluster: str, incident: str) -> str:
    head = json.dumps({"tenant": tenant, "cluster": cluster, "incident": incident}, separators=(",", ":"))
    return head.removesuffix("}") + ',"item":'


def _line(prefix: str, item: str) -> bytes:
    return (prefix + json.dumps(item) + "}\n").encode()


def _lines(descriptor: int, prefix: str) -> Iterator[bytes]:
    start = prefix.encode()
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        for line in file:
            # a torn last line has no newline and counts as absent
            if line.startswith(start) and line.endswith(b"\n"):
                yield line


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _ends_whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def append(path: Path, tenant: str, cluster: str, incident: str, items: Sequence[str]) -> int:
    """Add the items that are not there yet, in order, wait until the disk has them, and return how many were added.

    Safe with several writers on one machine. Raises UnavailableError (reason `audit-export`).
    """
    prefix = _prefix(tenant, cluster, incident)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnavailableError(f"audit export to {path}: no plain file", reason="audit-export")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            present = set(_lines(descriptor, prefix))
            new = [line for line in (_line(prefix, item) for item in items) if line not in present]
            if new:
                # what a crash tore stays where it is, closed off, so that it cannot swallow the next line
                torn = b"" if _ends_whole(descriptor) else b"\n"
                _write(descriptor, torn + b"".join(new))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the name of a new file is on the disk only with its folder
        finally:
            os.close(folder)
    except OSError as error:
        raise UnavailableError(f"audit export to {path}: {error.strerror}", reason="audit-export") from error
    return len(new)


def items(path: Path, tenant: str, cluster: str, incident: str) -> tuple[str, ...]:
    """Read what was exported of one incident, oldest first; lines that are no JSON are left out.

    A file that is not there holds nothing. Raises UnavailableError (reason `audit-export`).
    """
    found: list[str] = []
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UnavailableError(f"audit export in {path}: {error.strerror}", reason="audit-export") from error
    try:
        for line in _lines(descriptor, _prefix(tenant, cluster, incident)):
            try:
                found.append(str(json.loads(line)["item"]))
            except ValueError:
                continue
    except OSError as error:
        raise UnavailableError(f"audit export in {path}: {error.strerror}", reason="audit-export") from error
    finally:
        os.close(descriptor)
    return tuple(found)


def verified(path: Path, tenant: str, cluster: str, incident: str, wanted: Sequence[str]) -> bool:
    """Whether the file, read anew, holds all of `wanted` for that incident, unchanged and in this order.

    Raises UnavailableError (reason `audit-export`) when it cannot be read; nothing may be trimmed then, either.
    """
    exported = iter(items(path, tenant, cluster, incident))
    return all(item in exported for item in wanted)
