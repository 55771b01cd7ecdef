"""Deletes old files of a volume, on the paths and patterns that its owner has declared and nowhere else.

It runs in a pod that has the volume and nothing more: `python -m shared.tool.cleanup [--dry-run] MOUNT DECLARATION`.
Every step goes by a directory that is open already and follows no link, so that whoever may write on the volume cannot
lead it out of there. It must never delete a directory, a link, a device, a socket, or a file on another file system.
"""

import fnmatch
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from shared import clock

MOUNT: Final = "/volume"
RULES, FILES, SEEN, DEPTH = 8, 10_000, 1_000_000, 32  # declared; deleted by one run; looked at by one; folders deep
_LENGTH: Final = 1024  # of a declaration
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
_AGE: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_LEAST_S: Final = 600  # what is younger may be in use
_MOST_MB: Final = 1 << 20
_KEYS: Final = {"path", "pattern", "older_than", "at_most_mb"}
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TOLD: Final = 20  # files by name in the message, of so many bytes
_MESSAGE: Final = 3_500


class Rule(NamedTuple):
    """Delete files of that pattern below that path of the volume that nobody has written for so long."""

    path: str
    pattern: str
    older_s: int
    most_bytes: int


class Gone(NamedTuple):
    """What was deleted, or would be."""

    path: str
    size: int


def declared(text: str) -> tuple[Rule, ...]:
    """Read a declaration. Raises ValueError with a sentence for whoever wrote it."""
    if len(text) > _LENGTH:
        raise ValueError(f"it is longer than {_LENGTH} characters")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(listed, list) or not 0 < len(listed) <= RULES:
        raise ValueError(f"it is no list of one to {RULES} entries")
    return tuple(_rule(item) for item in listed)


def _rule(item: Any) -> Rule:
    if not isinstance(item, dict) or set(item) != _KEYS:
        raise ValueError(f"an entry has the keys {', '.join(sorted(_KEYS))} and no others")
    path, pattern, age, most = item["path"], item["pattern"], item["older_than"], item["at_most_mb"]
    if not isinstance(path, str) or not path.isprintable() or _outside(path):
        raise ValueError("path is a folder of the volume, such as cache/tmp: not absolute, and without .. or .")
    if not isinstance(pattern, str) or not pattern.isprintable() or "/" in pattern or not pattern.strip("*?"):
        raise ValueError("pattern is for file names, such as *.log: without /, and more than wildcards")
    found = _AGE.fullmatch(age) if isinstance(age, str) else None
    if found is None or int(found[1]) * _UNITS[found[2]] < _LEAST_S:
        raise ValueError("older_than is such as 30m, 12h or 7d, and at least 10m")
    if type(most) is not int or not 0 < most <= _MOST_MB:
        raise ValueError(f"at_most_mb is a number from 1 to {_MOST_MB}")
    return Rule(path, pattern, int(found[1]) * _UNITS[found[2]], most << 20)


def _outside(path: str) -> bool:
    parts = path.split("/")
    return path.startswith("/") or len(parts) > DEPTH or any(part in ("", ".", "..") for part in parts)


class Cleaner:
    """One run over one volume: `left` files may still be deleted and `seen` looked at; `failed` were in the way."""

    def __init__(self, mount: str, *, dry_run: bool, now: float | None = None) -> None:
        self._mount, self._dry_run = mount, dry_run
        self._now = clock.now_ms() / 1000 if now is None else now
        self._device = Path(mount).stat().st_dev
        self.left, self.seen, self.failed = FILES, SEEN, 0

    def clean(self, rule: Rule) -> Iterator[Gone]:
        """Delete what the rule is about. Raises OSError where its path is no folder of the volume."""
        handle = self._enter(rule.path)
        try:
            room = [rule.most_bytes]
            yield from self._folder(handle, rule, rule.path, room, DEPTH)
        finally:
            os.close(handle)

    def _enter(self, path: str) -> int:
        handle = os.open(self._mount, _OPEN)
        for part in path.split("/"):
            try:
                inner = os.open(part, _OPEN, dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
        if os.fstat(handle).st_dev != self._device:
            os.close(handle)
            raise OSError(f"{path} is on another file system")
        return handle

    def _folder(self, handle: int, rule: Rule, path: str, room: list[int], depth: int) -> Iterator[Gone]:
        folders = []
        with os.scandir(handle) as entries:
            for entry in entries:
                self.seen -= 1
                if self.seen < 0 or self.left <= 0 or room[0] <= 0:
                    return
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    if fnmatch.fnmatchcase(entry.name, rule.pattern):
                        size = self._file(handle, entry.name, rule, room)
                        if size is not None:
                            yield Gone(f"{path}/{entry.name}", size)
                except OSError:  # it has changed or gone meanwhile, or is not ours to delete
                    self.failed += 1
        if depth <= 0:
            return
        for name in folders:
            if self.seen < 0 or self.left <= 0 or room[0] <= 0:
                return
            try:
                inner = os.open(name, _OPEN, dir_fd=handle)
            except OSError:  # a link by now, or gone, or closed to us
                self.failed += 1
                continue
            try:
                if os.fstat(inner).st_dev == self._device:
                    yield from self._folder(inner, rule, f"{path}/{name}", room, depth - 1)
            finally:
                os.close(inner)

    def _file(self, handle: int, name: str, rule: Rule, room: list[int]) -> int | None:
        """Size of the file that was deleted, None for one that is to stay: young, large, or no plain file at all."""
        found = os.stat(name, dir_fd=handle, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            return None
        # A file that was moved here or given another owner is new in its place, however old its content says it is.
        if self._now - max(found.st_mtime, found.st_ctime) < rule.older_s:
            return None
        size = found.st_blocks * 512 if found.st_nlink == 1 else 0  # another name keeps the blocks
        if size > room[0]:
            return None
        if not self._dry_run:
            os.unlink(name, dir_fd=handle)  # never follows a link: whatever took the name since is one name of ours
        room[0] -= size
        self.left -= 1
        return size


def run(mount: str, text: str, *, dry_run: bool, now: float | None = None) -> tuple[str, bool]:
    """Clean by the declaration: what is to be told, and whether all went well."""
    cleaner = Cleaner(mount, dry_run=dry_run, now=now)
    wrong: list[str] = []
    gone: list[Gone] = []
    files, size, verb = 0, 0, "would delete" if dry_run else "deleted"
    for rule in declared(text):
        try:
            for one in cleaner.clean(rule):
                files, size = files + 1, size + one.size
                sys.stdout.write(f"{verb} {_plain(one.path)} ({one.size} bytes)\n")
                if len(gone) < _TOLD:
                    gone.append(one)
        except FileNotFoundError:
            wrong.append(f"{rule.path} is not there")
        except OSError as error:
            wrong.append(f"{rule.path}: {error.strerror or error}")
    if cleaner.failed:
        wrong.append(f"{cleaner.failed} entries could not be read or deleted")
    lines = [f"{verb} {files} files, {size} bytes", *wrong, *(f"{_plain(one.path)} {one.size}" for one in gone)]
    # With nothing deleted and something in the way it has failed; a part that was in the way is told.
    return "\n".join(lines).encode()[:_MESSAGE].decode(errors="ignore"), bool(files or not wrong)


def _plain(text: str) -> str:
    """One line, whatever somebody has called his file."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").encode("unicode_escape").decode()


def main(words: list[str], told: str = "/dev/termination-log") -> int:
    dry_run = words[:1] == ["--dry-run"]
    mount, text = words[dry_run:]
    try:
        said, well = run(mount, text, dry_run=dry_run)
    except (ValueError, OSError) as error:
        said, well = f"nothing was deleted: {error}", False
    sys.stdout.write(f"{said.splitlines()[0]}\n")
    if Path(told).exists():
        Path(told).write_text(said)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
