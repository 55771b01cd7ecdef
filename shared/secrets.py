"""Secrets as mounted files, re-read when they change, never copied into a setting, a log or an event.

File names in `secrets_dir` (made by `akeso keys`): `event-hmac` and `event-hmac-previous` (raw bytes, >= 32),
`grant.key` (guard only, PEM), `grant.pub` and `grant-previous.pub` (PEM), `audit.key`/`audit.pub` (sweeper),
`webhook-token`, `api-token`, `redis-password`, `redis-sentinel-password`, `ticket-token`.
"""

from pathlib import Path

from shared.errors import UnavailableError


class Secrets:
    """A folder of secrets. Values are cached until the file is another one (kubelet swaps a symlink on change)."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._seen: dict[str, tuple[tuple[int, int, int], bytes]] = {}

    def optional(self, name: str) -> bytes | None:
        """The secret's bytes without a trailing newline, or None when no such file is mounted.

        Raises UnavailableError when there is one that cannot be read: a broken mount is not "none".
        """
        path = self._folder / name
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)  # a copy may keep the time of the original
            known = self._seen.get(name)
            if known is None or known[0] != stamp:
                known = (stamp, path.read_bytes().removesuffix(b"\n"))
                self._seen[name] = known
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(
                f"secret {name} cannot be read: {error.strerror}", reason="secret-unreadable"
            ) from error
        return known[1]

    def required(self, name: str) -> bytes:
        """Like `optional`. Raises UnavailableError, which names the file but nothing of it."""
        value = self.optional(name)
        if not value:
            raise UnavailableError(f"secret {name} is not mounted", reason="secret-missing")
        return value
