"""The signature that makes an event ours: HMAC-SHA256 over every attribute that Akeso sets and a hash of the data.

Not over `traceparent` (every hop rewrites it), not over what brokers add (ttl, arrival time, error extensions), and
over the data as canonical JSON, so that binary and structured mode carry the same signature.
"""

import hashlib
import hmac
from collections.abc import Sequence

from shared import clock
from shared.errors import ForbiddenError
from shared.event.codec import Event
from shared.event.types import EXTENSIONS
from shared.model.base import canonical

_UNSIGNED = frozenset({"traceparent", "sig"})
SIGNED_EXTENSIONS = tuple(name for name in EXTENSIONS if name not in _UNSIGNED)


def _time(text: str) -> str:
    # Brokers reformat times; the moment is what was signed.
    try:
        return str(clock.parse_ms(text)) if text else ""
    except ValueError:
        return text


def _digest(event: Event, key: bytes) -> str:
    signed = {
        "type": event.type,
        "source": event.source,
        "id": event.id,
        "time": _time(event.time),
        "subject": event.subject,
        **{f"x-{name}": event.get(name) for name in SIGNED_EXTENSIONS if event.get(name)},
        "data": hashlib.sha256(canonical(event.data)).hexdigest(),
    }
    return hmac.new(key, canonical(signed), hashlib.sha256).hexdigest()


def sign(event: Event, key: bytes) -> Event:
    """The same event with its `sig`."""
    bare = event.with_extensions(sig="")
    return bare.with_extensions(sig=_digest(bare, key))


def verify(event: Event, keys: Sequence[bytes]) -> None:
    """Raises ForbiddenError when `sig` is missing or made by none of the keys (the current and the previous one)."""
    given = event.get("sig")
    if not given:
        raise ForbiddenError("unsigned event", reason="unsigned")
    if not any(hmac.compare_digest(given.encode(), _digest(event, key).encode()) for key in keys):
        raise ForbiddenError("signature does not hold", reason="signature")
