"""The one pydantic base: frozen, strict about unknown keys, because a key nobody reads is a mistake somewhere."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same bytes for the same data, wherever it was made."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def sha256(*parts: str) -> str:
    """Hex digest of the parts, joined by a byte that cannot occur in them."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
