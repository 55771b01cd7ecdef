"""Takes secrets out of whatever is about to be logged, shown, put into a ticket or handed to a model.

By key name and by shape. It rather takes too much than too little, and its work is bounded, since the text is hostile.
It must never raise, and it is no licence to log secrets.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "[redacted]"
CUT: Final = "[cut]"
MAX_TEXT: Final = 8192  # characters of one string
MAX_ITEMS: Final = 200  # of one list or mapping
MAX_DEPTH: Final = 8
MAX_NODES: Final = 5000  # of one value, all levels together
_MARGIN: Final = 512  # a secret that the cut tore in two is no longer recognised: so much before the cut goes with it

_NAMES: Final = (
    r"passwd|password|passphrase|pwd|secret|token|authorization|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential|cookie"
)
_KEY: Final = re.compile(_NAMES, re.IGNORECASE)

_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----.*?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)", re.DOTALL)
_DOTTED: Final = re.compile(r"(?<![\w-])[\w-]++(?:\.[\w-]*+)++")  # JWTs and our own grants are among these
_JSON: Final = re.compile(r"eyJ[\w-]{9}")  # base64url of '{"', the beginning of every JSON object
_SHAPES: Final = (
    # a password may hold a slash, which no parser of URLs would allow; a port may not
    (re.compile(r"://[^\s/?#@:\"'<>]{0,128}:(?!\d{1,5}[/?#])[^\s@\"'<>]{1,256}@"), f"://{MASK}@"),
    (re.compile(r"://[^\s/?#\"'<>]{0,256}@"), f"://{MASK}@"),
    (
        re.compile(r"(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?)(?:\w{1,20} +)?[^\s\"',;]+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(
            rf"((?:{_NAMES})[\w-]{{0,32}}[\"']?\s{{0,4}}[:=]\s{{0,4}})"
            rf"(?:\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|(?!{re.escape(MASK)})[^\s,;&\"']+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(rf"(--?[\w-]{{0,32}}(?:{_NAMES})[\w-]{{0,32}}\s{{1,4}})[^\s-]\S*", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(?<![A-Z0-9])A(?:KIA|SIA|GPA|IDA|ROA|NPA|NVA|IPA)[A-Z0-9]{16}(?![A-Z0-9])"), MASK),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-)[\w-]{10,}"), MASK),
)  # fmt: skip


def _dotted(match: re.Match[str]) -> str:
    run = match.group()
    return MASK if _JSON.search(run) else run


def _shapes(text: str) -> str:
    text = _DOTTED.sub(_dotted, _PEM.sub(MASK, text))
    for pattern, instead in _SHAPES:
        text = pattern.sub(instead, text)
    return text


def _text(text: str, limit: int = MAX_TEXT) -> str:
    if len(text) <= limit:
        return _shapes(text)
    return _shapes(text[: limit + _MARGIN])[:-_MARGIN][:limit] + CUT


class _Walk:
    """One value's walk; `left` is what remains of `MAX_NODES`."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def value(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth >= MAX_DEPTH or self.left <= 0:
                return CUT
            return self.mapping(value, depth) if isinstance(value, Mapping) else self.items(list(value), depth)
        return _text(str(value))

    def mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        # a container's `env` keeps the telling name in one entry and the secret in its neighbour
        named = value.get("name", "")
        hides = isinstance(named, str) and _KEY.search(named) is not None
        found: dict[str, Any] = {}
        for key, content in value.items():
            if len(found) >= MAX_ITEMS or self.left <= 0:
                found[CUT] = len(value) - len(found)
                break
            word = key if isinstance(key, str) else str(key)
            if (
                content is not None
                and not isinstance(content, bool)
                and (_KEY.search(word[:MAX_TEXT]) or (hides and word == "value"))
            ):
                found[_text(word, 256)] = MASK
            else:
                found[_text(word, 256)] = self.value(content, depth + 1)
        return found

    def items(self, value: list[Any], depth: int) -> list[Any]:
        found: list[Any] = []
        flag = False  # the item before was `--password` and the like
        for content in value:
            if len(found) >= MAX_ITEMS or self.left <= 0:
                found.append(CUT)
                break
            found.append(MASK if flag and isinstance(content, str) else self.value(content, depth + 1))
            flag = (
                isinstance(content, str)
                and content.startswith("-")
                and "=" not in content
                and bool(_KEY.search(content))
            )
        return found


def redact(value: Any) -> Any:
    """Copy plain data, made of str, int, float, bool, None, dict and list, without what looks like a secret.

    Values under a telling key become `[redacted]` whatever they are (None and booleans stay); anything that is not
    plain data becomes its text. What is over the bounds is left out and marked `[cut]`.
    """
    try:
        return _Walk().value(value, 0)
    except Exception:  # noqa: BLE001  somebody's __str__ or mapping must not cost us the log line, nor leak
        return f"[{type(value).__name__} cannot be shown]"
