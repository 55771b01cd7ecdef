"""Posts events to the broker. Only intake, sweeper and api have one: everybody else answers.

A post is never given up by a short time-out of ours: a sender that hangs up cancels retries and dead letters on an
in-memory broker.
"""

import httpx

from shared.errors import UnavailableError
from shared.event.codec import Event, encode
from shared.event.sign import sign

_PATIENCE_S = 600.0  # longer than the longest chain with all its back-offs
_CONNECTIONS = 32


class Sink:
    """Thread-safe. `key` signs what is posted."""

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._key = key
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._http = httpx.Client(
            timeout=httpx.Timeout(_PATIENCE_S, connect=5.0), limits=limits, follow_redirects=False, trust_env=False
        )

    def post(self, event: Event) -> None:
        """Sign and send one event. Raises UnavailableError unless the broker took it."""
        headers, body = encode(sign(event, self._key))
        try:
            response = self._http.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(f"broker: {type(error).__name__}", reason="broker") from error
        if not response.is_success:
            raise UnavailableError(f"broker answered {response.status_code}", reason="broker")
