"""Quantities as Kubernetes writes them, read exactly and compared as numbers, and written back in one way.

Two texts for one amount are one amount: `1Gi` and `1073741824`, `0.5` and `500m`. It must never round down what a
workload asks for, and must never take a text of somebody else's for a number that is not there.
"""

import re
from decimal import Context, Decimal
from typing import Final

from shared.errors import MalformedError

_TEXT: Final = re.compile(
    r"\+?(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]{1,3})|(?P<suffix>[KMGTPE]i|[numkMGTPE]|))"
)
_LENGTH: Final = 64
_MOST: Final = Decimal(10) ** 21  # no machine has more of anything, and an exponent must not fill the memory
_FACTOR: Final[dict[str, Decimal]] = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18),
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}  # fmt: skip
_EXACT: Final = Context(prec=200)  # 64 digits times the longest factor, and to spare


def parse(text: str) -> Decimal:
    """Read an amount, exactly. Raises MalformedError (reason `quantity`) for what is none, or is negative or absurd."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) and len(text) <= _LENGTH else None
    if found is None:
        raise MalformedError(f"no quantity: {str(text)[:40]!r}", reason="quantity")
    factor = _FACTOR[found["suffix"] or ""] if found["exponent"] is None else _EXACT.power(10, int(found["exponent"]))
    value = _EXACT.multiply(Decimal(found["number"]), factor)
    if value >= _MOST:
        raise MalformedError(f"more than there can be: {text[:40]!r}", reason="quantity")
    return value


def millis(text: str) -> int:
    """Thousandths, as cpu is counted: `0.5` is 500. What is finer is rounded up, as the API server does."""
    return _up(_EXACT.multiply(parse(text), Decimal(1000)))


def whole(text: str) -> int:
    """Units, as bytes and pods are counted; rounded up."""
    return _up(parse(text))


def of_millis(value: int) -> str:
    """Write thousandths: 500 is `500m`, 2000 is `2`."""
    return f"{value}m" if value % 1000 else str(value // 1000)


def of_bytes(value: int) -> str:
    """Write bytes with the largest suffix that loses nothing: 1073741824 is `1Gi`, 1000000000 is `1G`."""
    for base, letters, tail in ((1024, "KMGTPE", "i"), (1000, "kMGTPE", "")):
        power = 0
        while power < len(letters) and value and not value % base ** (power + 1):
            power += 1
        if power:
            return f"{value // base**power}{letters[power - 1]}{tail}"
    return str(value)


def _up(value: Decimal) -> int:
    down = int(value)
    return down + (value > down)
