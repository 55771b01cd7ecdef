"""Connections to the one Redis that may be written: named by itself, or found by asking Sentinels who it is now.

All that one call waits for (asking Sentinels, connecting, logging in, each byte of the answer) shares one span: a
server that drips bytes is as gone as one that is silent. Only the resolving of a name keeps its own time. Nothing here
knows a script, and nothing is tried twice.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.credentials import CredentialProvider
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from shared.secrets import Secrets
from shared.settings import Redis

PASSWORD: Final = "redis-password"  # noqa: S105 - the names of files
SENTINEL_PASSWORD: Final = "redis-sentinel-password"  # noqa: S105


class _Span(threading.local):
    until: float | None = None


_span = _Span()


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Whatever this thread waits for inside ends by then; one inside another can only be shorter."""
    before = _span.until
    until = time.monotonic() + seconds
    _span.until = until if before is None else min(before, until)
    try:
        yield
    finally:
        _span.until = before


def _left(most: float | None) -> float | None:
    """Seconds that may still be waited. Raises TimeoutError when there are none."""
    until = _span.until
    if until is None or most == 0:  # 0: only a look whether anything is there
        return most
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the span of the whole call is over")
    return left if most is None else min(left, most)


class _Socket:
    """A socket whose every single wait ends with the span; a timeout of its own would begin anew with each byte."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self._most = real.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def settimeout(self, seconds: float | None) -> None:
        self._most = seconds

    def gettimeout(self) -> float | None:
        return self._most

    def recv(self, *size: int) -> bytes:
        self._real.settimeout(_left(self._most))
        return self._real.recv(*size)

    def sendall(self, data: bytes) -> None:
        self._real.settimeout(_left(self._most))
        self._real.sendall(data)


class _Bounded(Connection):
    def _connect(self) -> Any:
        self.socket_connect_timeout = _left(self.socket_timeout)
        return _Socket(super()._connect())  # type: ignore[no-untyped-call]


class _Plain(_Bounded): ...


class _Tls(_Bounded, SSLConnection): ...


class _Found(_Bounded, SentinelManagedConnection): ...


class _FoundTls(_Bounded, SentinelManagedSSLConnection): ...


class _Login(CredentialProvider):
    """The password as it is mounted when a connection is made: a changed one needs no restart."""

    def __init__(self, secrets: Secrets, secret: str, user: str = "", password: str = "") -> None:
        self._secrets, self._secret, self._user, self._given = secrets, secret, user, password

    def get_credentials(self) -> Any:
        mounted = self._secrets.optional(self._secret)
        password = mounted.decode() if mounted else self._given
        if not password:
            return ()
        return (self._user, password) if self._user else (password,)


class _Sentinels(Sentinel):
    """Each is asked for its share of the span. Who does not answer is asked last the next time."""

    def __init__(self, clients: "list[redis.Redis]", share: float) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self.sentinels = clients
        self._share = share

    def discover_master(self, service_name: str) -> tuple[str, int]:
        told = []
        for client in list(self.sentinels):
            try:
                with bounded(self._share):
                    masters = cast("dict[str, dict[str, Any]]", client.sentinel_masters())
            except (redis.ConnectionError, redis.TimeoutError) as error:
                told.append(type(error).__name__)
                self.last(client)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                return state["ip"], state["port"]
            told.append("is down" if state else "is not known")
        raise MasterNotFoundError(f"no Sentinel knows a master for {service_name!r} ({', '.join(told)})")

    def last(self, client: "redis.Redis") -> None:
        """Replaces the list as a whole: other threads go through it."""
        self.sentinels = [other for other in self.sentinels if other is not client] + [client]


class Way:
    """To the master, whoever it is now. `redis` is the client; `anew` drops what is connected."""

    def __init__(self, settings: Redis, secrets: Secrets) -> None:
        seconds = settings.timeout_ms / 1000
        common: dict[str, Any] = {
            "socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": Retry(NoBackoff(), 0),
            "decode_responses": True, "driver_info": None,
        }  # fmt: skip
        self._sentinels: _Sentinels | None = None
        found = settings.sentinel()
        if found is None:
            given = parse_url(settings.url)  # type: ignore[no-untyped-call]
            login = _Login(secrets, PASSWORD, given.pop("username", ""), given.pop("password", ""))
            kind = _Tls if given.pop("connection_class", None) is SSLConnection else _Plain
            pool = ConnectionPool(**common, **given, connection_class=kind, credential_provider=login)
        else:
            asked = _Login(secrets, SENTINEL_PASSWORD)
            clients = [
                redis.Redis.from_pool(ConnectionPool(
                    **common, host=host, port=port, connection_class=_Tls if found.tls else _Plain,
                    credential_provider=asked,
                ))
                for host, port in found.hosts
            ]  # fmt: skip
            self._sentinels = _Sentinels(clients, seconds / (len(clients) + 1))
            pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
                found.service, self._sentinels, **common, db=found.db,
                connection_class=_FoundTls if found.tls else _Found,
                credential_provider=_Login(secrets, PASSWORD, found.user),
            )  # fmt: skip
        self.redis = redis.Redis.from_pool(pool)

    def anew(self) -> None:
        """The next call looks again where the master is, and asks another Sentinel first."""
        self.redis.connection_pool.disconnect(inuse_connections=False)
        if self._sentinels is not None:
            self._sentinels.last(self._sentinels.sentinels[0])
