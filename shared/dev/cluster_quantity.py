"""Amounts as the API writes them (`500m`, `1.5Gi`, `1e3`), to compare them.

The emulator's own: it must not share the product's reading of them, whose mistakes it is there to find.
"""

import re
from decimal import Decimal
from typing import Any, Final

from shared.dev.cluster_errors import Object, unreadable_patch

_FORM: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?")
_SCALE: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    **{name: Decimal(1000) ** power for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", 1)},
}  # fmt: skip


def amount(value: Any) -> Decimal:
    """Raises ApiError 422, as a patch that brings in something else is answered."""
    match = _FORM.fullmatch(str(value))
    if match is None:
        raise unreadable_patch("quantities must match the regular expression")
    number, suffix, exponent = match.groups()
    return Decimal(number) * (_SCALE[suffix] if suffix else Decimal(10) ** int(exponent or 0))


def amounts(value: Any) -> Object:
    """The same of a whole list of resources, by name."""
    return {name: amount(part) for name, part in (value or {}).items()}
