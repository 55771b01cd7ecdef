"""What a function answers the broker: one table, because a wrong status makes a broker run an action again.

Never a 3xx (brokers follow it), never text in a 2xx (it becomes a retried 502), error bodies of at most 512 bytes (one
over 768 ends the channel broker's dispatcher), never a stack trace.
"""

import json
from typing import Final

from shared import errors

MAX_ERROR_BYTES: Final = 512

# Retried by brokers: no answer, >= 500, 404, 408, 409, 429. Everything else goes to the dead letters at once.
STATUS: Final[dict[type[Exception], int]] = {
    errors.MalformedError: 400,
    errors.ForbiddenError: 403,
    errors.BusyError: 409,
    errors.TooLargeError: 413,
    errors.UnavailableError: 503,
    errors.AkesoError: 503,  # whatever else a dependency answered: nothing has been changed yet
}
DONE: Final = 204
NEXT_EVENT: Final = 200


def refusal(error: Exception) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and a short machine-readable body; an unforeseen error is a 500 that says nothing more."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return _short(status, str(getattr(error, "reason", "error")))
    return _short(500, "internal")


def _short(status: int, reason: str) -> tuple[int, dict[str, str], bytes]:
    # At most 64 characters that JSON escapes to six bytes each: always whole, always below MAX_ERROR_BYTES.
    body = json.dumps({"error": reason[:64].encode("ascii", "replace").decode()}).encode()
    return status, {"content-type": "application/json"}, body
