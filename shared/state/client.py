"""The only importer of redis: calls a script in one round trip, reads a few keys, and translates what goes wrong.

A call is never retried here: one whose reply came late has happened, and only the broker's redelivery, which the
scripts recognise, may repeat it.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import clock
from shared.errors import EpochError, UnavailableError
from shared.secrets import Secrets
from shared.settings import Settings

PREFIX = "{akeso}"
_LUA = Path(__file__).parent / "lua"
_SHARED = ("lib", "record", "incident")
_OWN = {"admit": ("checks",)}


@cache
def script(name: str) -> tuple[str, str]:
    """Text and SHA-1 of one script with the shared parts before it."""
    text = "".join((_LUA / f"{part}.lua").read_text() for part in (*_SHARED, *_OWN.get(name, ()), name))
    return text, hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Redis names scripts by SHA-1


class Store:
    """One connection pool. Raises UnavailableError when Redis does not answer in time, EpochError when it was lost."""

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        password = secrets.optional("redis-password")
        timeout = settings.redis.timeout_ms / 1000
        self._redis = redis.Redis.from_url(
            settings.redis.url,
            password=password.decode() if password else None,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run one script. The request's None values are left out; simulated time is added where it is on."""
        simulated = clock.simulated_ms()
        body = {key: value for key, value in request.items() if value is not None}
        if simulated is not None:
            body["now"] = simulated
        text, sha = script(name)
        argument = json.dumps(body, separators=(",", ":"))
        try:
            try:
                answer = self._redis.evalsha(sha, 1, PREFIX, argument)
            except redis.exceptions.NoScriptError:
                answer = self._redis.eval(text, 1, PREFIX, argument)
        except redis.RedisError as error:
            raise UnavailableError(f"redis: {type(error).__name__} in {name}: {error}"[:300], reason="redis") from error
        result: dict[str, Any] = json.loads(cast("str", answer))
        if result.get("refused") == "epoch":
            raise EpochError(f"{name}: Redis has no epoch of this server; waiting for re-hydration")
        return result

    def read(self, command: str, *arguments: str | int) -> Any:
        """One read-only command, keys relative to the product's prefix being the caller's affair."""
        try:
            return self._redis.execute_command(command, *arguments)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            raise UnavailableError(f"redis: {type(error).__name__}: {error}"[:300], reason="redis") from error

    def hash(self, key: str) -> Mapping[str, str]:
        """All fields of a hash; empty when there is none."""
        try:
            return cast("Mapping[str, str]", self._redis.hgetall(key))
        except redis.RedisError as error:
            raise UnavailableError(f"redis: {type(error).__name__}: {error}"[:300], reason="redis") from error

    def durable(self) -> str:
        """Empty when `noeviction` and AOF are on, else what is missing: losing keys silently would fail open."""
        try:
            config: dict[str, str] = {}
            for name in ("maxmemory-policy", "appendonly"):  # 6.2 takes one name at a time
                config |= cast("dict[str, str]", self._redis.config_get(name))
        except redis.RedisError as error:
            raise UnavailableError(f"redis: {error}"[:300], reason="redis") from error
        missing = []
        if config.get("maxmemory-policy") != "noeviction":
            missing.append("maxmemory-policy noeviction")
        if config.get("appendonly") != "yes":
            missing.append("appendonly yes")
        return ", ".join(missing)
