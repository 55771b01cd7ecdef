"""What the fields of the emulated kinds are, so that unknown ones, wrong types and keyed lists are treated as for real.

The data in `cluster_schema.json` is distilled from a real server by `tests/cluster/schema.py`. A field's sign is one of
`s i n b t` (string, integer, number, boolean, time), `q` (integer or string), `*` (anything), the name of a type, `{X`
(a map to X) and `[X;A;P`: a list of X whose items are told apart by the fields A in server-side apply and by the field
P in a strategic merge patch; `=` is the item itself, nothing means that the list is a whole. `!` marks what server-side
apply takes as a whole.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

ANYTHING: Final = "*"
_SCALARS: Final = {"s": (str,), "t": (str,), "b": (bool,), "i": (int,), "n": (int, float), "q": (int, str)}
_UNSAID: Final = frozenset({"paused", "unschedulable"})  # Go leaves a false one out; the schema does not say so
_FILE: Final = Path(__file__).with_name("cluster_schema.json")


class Mismatch(ValueError):  # noqa: N818 - what was found
    """A value that is not of the type its field has."""


class Twice(dict[str, Any]):
    """A JSON object in which names stood more than once; the last one counts, as in Go."""

    twice: tuple[str, ...] = ()


class Decoded(NamedTuple):
    value: Any
    odd: tuple[str, ...]  # what strict validation would refuse: `unknown field "spec.x"`


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_FILE.read_text())
    return data


def root(kind: str) -> str:
    """The sign of a kind. One that was added without distilling the schema anew is not known: anything."""
    return str(_data()["kinds"].get(kind, ANYTHING))


def fields(sign: str) -> dict[str, str] | None:
    """The fields of a type; None for what is no such type."""
    found: dict[str, str] | None = _data()["types"].get(sign.lstrip("!"))
    return found


def has_status(kind: str) -> bool:
    return "status" in (fields(root(kind)) or {})


def is_list(sign: str) -> bool:
    return sign.startswith("[")


def is_map(sign: str) -> bool:
    return sign.startswith("{")


def element(sign: str) -> str:
    """The sign of a map's or a list's items."""
    return sign[1:].partition(";")[0] if is_list(sign) else sign[1:].removeprefix("!")


def whole(sign: str) -> bool:
    """Whether server-side apply takes it as one value: scalars, atomic maps and lists."""
    if is_list(sign):
        return not sign.split(";")[1]
    return "!" in sign[:2] or not (is_map(sign) or fields(sign) is not None)


def apply_keys(sign: str) -> dict[str, str]:
    """The fields that tell a list's items apart in server-side apply, with their defaults; `=`: the item itself."""
    return {key.partition("=")[0] or "=": key.partition("=")[2] for key in sign.split(";")[1].split(",")}


def patch_key(sign: str) -> str:
    """The field that tells the items of a list apart in a strategic merge patch; `=`: the item itself, empty: none."""
    return sign.split(";")[2] if is_list(sign) else ""


def read(data: bytes | str) -> Any:
    """JSON that remembers names which stood twice. Raises ValueError."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        value = Twice(found)
        names = [name for name, _ in found]
        value.twice = (
            tuple(sorted({name for name in names if names.count(name) > 1})) if len(value) < len(found) else ()
        )
        return value

    return json.loads(data, object_pairs_hook=pairs)


def decode(kind: str, value: Any) -> Decoded:
    """Read an object as its kind: without unknown fields, nulls, empty maps and empty lists. Raises Mismatch."""
    odd: list[str] = []
    return Decoded(_decode(root(kind), value, "", odd), tuple(odd))


def _decode(sign: str, value: Any, path: str, odd: list[str]) -> Any:
    if isinstance(value, Twice):
        odd += [f'duplicate field "{_join(path, name)}"' for name in value.twice]
    if value is None:
        return "" if sign == "s" else None
    if sign == ANYTHING:
        return value
    known = fields(sign)
    if known is not None:
        if not isinstance(value, dict):
            raise Mismatch(f"cannot unmarshal into {path or 'the object'}")
        odd += [f'unknown field "{_join(path, name)}"' for name in value if name not in known]
        parts = {k: _decode(known[k], v, _join(path, k), odd) for k, v in value.items() if k in known and v is not None}
        kept = {k: part for k, part in parts.items() if not _empty(known[k], part) and (part or k not in _UNSAID)}
        # That a writer emptied it is not the same as that he said nothing of it.
        return kept | ({"managedFields": []} if path == "metadata" and parts.get("managedFields") == [] else {})
    if is_map(sign):
        if not isinstance(value, dict):
            raise Mismatch(f"cannot unmarshal into {path} of type map")
        return {name: _decode(element(sign), part, _join(path, name), odd) for name, part in value.items()}
    if is_list(sign):
        if not isinstance(value, list):
            raise Mismatch(f"cannot unmarshal into {path} of type list")
        return [_decode(element(sign), part, f"{path}[{at}]", odd) for at, part in enumerate(value)]
    if not isinstance(value, _SCALARS[sign]) or (isinstance(value, bool) and sign != "b"):
        raise Mismatch(f"cannot unmarshal {type(value).__name__} into {path}")
    return value


def _empty(sign: str, value: Any) -> bool:
    """What Go leaves out when it writes."""
    return value is None or (value in ({}, []) and (is_map(sign) or is_list(sign)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
