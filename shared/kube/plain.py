"""Text that others wrote, made fit to be shown: no control characters, no terminal's escapes, no secrets.

What a container prints is hostile: it could hide lines, turn the reading direction or split a word like `password` by
an escape, so that nobody recognises it. So escapes go first, then secrets. It must not raise, whatever it is given.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final

from shared.telemetry.redact import MASK, redact

MAX_LINE: Final = 2000  # characters
_MANY: Final = 8192  # characters of one text that are looked at
# Sequences that a terminal obeys: CSI, OSC and its like up to their end, and the two-character ones.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]{0,16}[0-~]?"
)
_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode's categories
# The end of a key whose beginning lies before what was read.
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]{1,64}-----")
_PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----")
_KEY_BODY: Final = re.compile(r"[A-Za-z0-9+/=]{1,80}")


def plain(text: Any) -> str:
    """Make one printable line of it."""
    return " ".join(_line(str(text)[: 2 * _MANY].replace("\n", " "), []).split())


def lines(text: str, *, most: int, hidden: Iterable[str] = ()) -> list[str]:
    """Make its last lines fit to be shown, as many as go whole into `most` bytes. `hidden` texts are masked wherever.

    Over-long lines are cut. What the text's beginning has torn apart is masked as far as it can be recognised.
    """
    kept: list[str] = []
    left = most
    masks = sorted(hidden, key=len, reverse=True)
    for raw in reversed(text.split("\n")):
        line = _line(raw, masks)
        left -= len(line.encode()) + 1
        if left < 0:
            break
        kept.append(line)
    shown = str(redact("\n".join(reversed(_without_torn_key(kept))))) if kept else ""
    return shown.split("\n") if shown else []


def masked(line: str, hidden: Iterable[str]) -> str:
    for text in hidden:
        line = line.replace(text, MASK)
    return line


def _line(raw: str, masks: list[str]) -> str:
    line = _ESCAPES.sub("", raw[: 2 * _MANY]).rstrip("\r").replace("\t", " ")
    # Left out and not replaced: between the letters of a word they would hide it from whoever looks for it.
    line = "".join(char for char in line if unicodedata.category(char) not in _UNSHOWN)
    if (end := _PEM_END.search(line)) and not _PEM_BEGIN.search(line):
        line = MASK + line[end.start() :]
    line = str(redact(masked(line, masks)))
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def _without_torn_key(newest_first: list[str]) -> list[str]:
    """Mask the body of a key whose first line is not there: `redact` knows a key by how it begins."""
    found: list[str] = []
    inside = False
    for line in newest_first:
        ends = _PEM_END.search(line) and not _PEM_BEGIN.search(line)
        inside = bool(ends) or (inside and _KEY_BODY.fullmatch((line.split() or [""])[-1]) is not None)
        found.append(MASK if inside and not ends else line)
    return found
