"""What a write leaves on an object so that it can be known again: whose it was, what made it, until when it is meant.

Here is only what the notes are and how a JSON patch sets them; who may write is not decided here.
"""

from typing import Any, Final, NamedTuple

MARK: Final = "akeso.dev/attempt"  # <grant>/<step> of the newest write
UNDO: Final = "akeso.dev/undo"  # the same, where that write took something back
MADE: Final = "akeso.dev/made-by"  # the grant that has created it
UNTIL: Final = "akeso.dev/until"  # ISO time after which a temporary change is taken back
KEPT: Final = "akeso.dev/temporary-by"  # the grant and the plan of a temporary change, in case Redis forgets them
TEMPORARY: Final = "akeso.dev/temporary"  # label, so that temporary changes can be listed
FENCED: Final = "/fenced"

Object = dict[str, Any]


class Stay(NamedTuple):
    """How a temporary change is known: until when (ISO time), and what made it (for `KEPT`)."""

    until: str
    kept: str


def annotations(found: Object) -> dict[str, str]:
    """Read them, none for none."""
    return _strings(found, "annotations")


def notes(found: Object, values: dict[str, str], labels: dict[str, str] | None = None) -> list[Object]:
    """Operations of a JSON patch that set annotations and labels; an empty value takes away what is there."""
    return [*_set(found, "annotations", values), *_set(found, "labels", labels or {})]


def pointer(*parts: str) -> str:
    """Build a JSON pointer from unescaped parts: `pointer("metadata", "labels", "a/b")` is `/metadata/labels/a~1b`."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _set(found: Object, where: str, values: dict[str, str]) -> list[Object]:
    present = _strings(found, where)
    operations: list[Object] = []
    # An object without any has no map to add to. What an API server answers as `{}` it stores as nothing.
    if not present and any(values.values()):
        operations.append({"op": "add", "path": f"/metadata/{where}", "value": {}})
    for key, value in values.items():
        path = pointer("metadata", where, key)
        if value:
            operations.append({"op": "add", "path": path, "value": value})
        elif key in present:
            operations.append({"op": "remove", "path": path})
    return operations


def _strings(found: Object, where: str) -> dict[str, str]:
    values = found["metadata"].get(where)
    return values if isinstance(values, dict) else {}
