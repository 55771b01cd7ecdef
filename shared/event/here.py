"""What a function may lean on, each part made at its first use.

functions-framework imports a function in gunicorn's master and serves it in a fork: a socket made at import would be
shared. Each part is also imported only when it is used, because imports are the cold start.
"""

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shared import settings as bootstrap
from shared.errors import UnavailableError
from shared.secrets import Secrets
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.event.sink import Sink
    from shared.kube.client import Kube
    from shared.state.transitions import State

KEY_BYTES: Final = 32


class Here:
    """One per process and function."""

    def __init__(self, function: str) -> None:
        self.function = function

    @cached_property
    def settings(self) -> Settings:
        return bootstrap.load()

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self.settings.secrets_dir)

    @cached_property
    def state(self) -> "State":
        from shared.state.client import Store
        from shared.state.transitions import State

        return State(Store(self.settings, self.secrets))

    @cached_property
    def kube(self) -> "Kube":
        from shared.kube.client import connect

        name = f"{self.function}-{self.settings.action}" if self.settings.action else self.function
        return connect(self.settings, f"akeso-{name}")

    @cached_property
    def sink(self) -> "Sink":
        from shared.event.sink import Sink

        if not self.settings.broker:
            raise UnavailableError("K_SINK is not set", reason="no-broker")
        return Sink(self.settings.broker, self.event_keys()[0])

    def event_keys(self) -> list[bytes]:
        """The key that signs events and, during a rotation, the one before it. Raises UnavailableError."""
        previous = self.secrets.optional("event-hmac-previous")
        keys = [self.secrets.required("event-hmac"), *([previous] if previous else [])]
        if any(len(key) < KEY_BYTES for key in keys):  # a file cut short must not become a key that can be guessed
            raise UnavailableError(f"a key for events has fewer than {KEY_BYTES} bytes", reason="secret-short")
        return keys

    @contextlib.contextmanager
    def redis_may_be_gone(self) -> "Iterator[None]":
        """For the few steps that are best effort: escalate and deadletter work without Redis."""
        with contextlib.suppress(UnavailableError):
            yield
