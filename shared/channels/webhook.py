"""Posts tickets as JSON to one URL, for whatever receives them there.

The body is flat: `action` (open, update, close), `correlation_id` or `reference`, and the ticket's fields, or `text`
when it closes. The receiver must be idempotent by `correlation_id` and answers `{"reference": "..."}` to open.
Redirects are not followed, since they would carry the token and the incident elsewhere.
"""

import json
import re
import time
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from shared.channels import Ticket, line
from shared.errors import MalformedError, UnavailableError
from shared.secrets import Secrets
from shared.settings import Settings

MAX_ANSWER: Final = 64 * 1024  # bytes
_REFERENCE: Final = re.compile(r"[\x21-\x7e]{1,128}")


class Webhook:
    """Safe to use from several threads. The token is read for every call, so that a new one counts at once."""

    def __init__(
        self,
        url: str,
        secrets: Secrets,
        *,
        timeout_ms: int = 5000,
        transport: httpx.BaseTransport | None = None,
        direct: bool = False,
    ) -> None:
        """`direct` ignores the environment's proxies; `transport` is httpx's own."""
        self._url = url
        self._secrets = secrets
        self._seconds = timeout_ms / 1000
        self._client = httpx.Client(
            timeout=self._seconds, follow_redirects=False, trust_env=not direct, transport=transport
        )

    def _post(self, body: dict[str, Any]) -> bytes:
        token = self._secrets.optional("ticket-token")
        headers = {b"content-type": b"application/json", b"accept-encoding": b"identity"}
        if token:
            headers[b"authorization"] = b"Bearer " + token
        ends = time.monotonic() + self._seconds
        answer = b""
        try:
            with self._client.stream("POST", self._url, content=json.dumps(body).encode(), headers=headers) as response:
                status = response.status_code
                for chunk in response.iter_raw():
                    answer += chunk
                    if len(answer) > MAX_ANSWER:
                        raise UnavailableError("ticket receiver: answer over its bound", reason="ticket")
                    # httpx bounds each read, not their sum
                    if time.monotonic() > ends:
                        raise UnavailableError("ticket receiver: answer too slow", reason="ticket")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # neither the text nor the chain: both may quote headers
            raise UnavailableError(f"ticket receiver: {type(error).__name__}", reason="ticket") from None
        if status in (404, 410) and body["action"] != "open":
            raise UnavailableError(f"ticket receiver: no such ticket ({status})", reason="ticket-gone")
        if not httpx.codes.is_success(status):
            raise UnavailableError(f"ticket receiver: status {status}", reason="ticket")
        return answer

    @staticmethod
    def _fields(ticket: Ticket) -> dict[str, Any]:
        return {"correlation_id": ticket.correlation_id, **ticket.model_dump(mode="json")}

    def open(self, ticket: Ticket) -> str:
        """Raise UnavailableError (reason `ticket`) also when the answer holds no reference of 1 to 128 characters."""
        answer = self._post({"action": "open", **self._fields(ticket)})
        try:
            content = json.loads(answer)
        except (ValueError, RecursionError):
            content = None
        reference = content.get("reference") if isinstance(content, dict) else None
        if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
            raise UnavailableError("ticket receiver: no reference in the answer", reason="ticket")
        return reference

    def update(self, reference: str, ticket: Ticket) -> None:
        """Raise UnavailableError, with reason `ticket-gone` when the receiver does not know the reference any more."""
        self._post({"action": "update", "reference": reference, **self._fields(ticket)})

    def close(self, reference: str, text: str) -> None:
        """Raise UnavailableError like `update`."""
        self._post({"action": "close", "reference": reference, "text": line(text)})


def make(settings: Settings, secrets: Secrets) -> Webhook:
    """Make a client for the URL of the settings. Raises MalformedError (reason `settings`) without a usable one."""
    url = settings.tickets.url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise MalformedError("AKESO_TICKETS__URL must be an http or https URL", reason="settings")
    # in dev the receiver is on this machine, where a proxy of the environment cannot reach it
    return Webhook(url, secrets, timeout_ms=settings.tickets.timeout_ms, direct=settings.dev)
