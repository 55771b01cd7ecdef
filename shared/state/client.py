"""With its connections the only importer of redis: calls a script in one round trip, translates what goes wrong.

A call is never retried here: one whose reply came late has happened, and only the broker's redelivery, which the
scripts recognise, may repeat it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import redis

from shared import clock
from shared.errors import EpochError, UnavailableError
from shared.secrets import Secrets
from shared.settings import Settings
from shared.state.connection import Way, bounded

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
    """One way to the master. Raises UnavailableError when Redis does not answer in time, EpochError when it was lost.

    A server that does not know our epoch may be no master any more (a replica never has it, so none comes as far as
    READONLY): connections to it are dropped, and the next call looks again. No process needs a restart for that.
    """

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._seconds = settings.redis.timeout_ms / 1000
        self._way = Way(settings.redis, secrets)
        self._redis = self._way.redis

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run one script. The request's None values are left out; simulated time is added where it is on."""
        simulated = clock.simulated_ms()
        body = {key: value for key, value in request.items() if value is not None}
        if simulated is not None:
            body["now"] = simulated
        text, sha = script(name)
        argument = json.dumps(body, separators=(",", ":"))
        with self._asking(f" in {name}"):
            try:
                answer = self._redis.evalsha(sha, 1, PREFIX, argument)
            except redis.exceptions.NoScriptError:
                answer = self._redis.eval(text, 1, PREFIX, argument)
        result: dict[str, Any] = json.loads(cast("str", answer))
        if result.get("refused") == "epoch":
            self._way.anew()
            raise EpochError(f"{name}: Redis has no epoch of this server; waiting for re-hydration")
        return result

    def read(self, command: str, *arguments: str | int) -> Any:
        """One read-only command, keys relative to the product's prefix being the caller's affair."""
        with self._asking():
            return self._redis.execute_command(command, *arguments)  # type: ignore[no-untyped-call]

    def hash(self, key: str) -> Mapping[str, str]:
        """All fields of a hash; empty when there is none."""
        with self._asking():
            return cast("Mapping[str, str]", self._redis.hgetall(key))

    @contextmanager
    def _asking(self, where: str = "") -> Iterator[None]:
        """One bound for all of it, and one word for all that goes wrong."""
        try:
            with bounded(self._seconds):
                yield
        except redis.RedisError as error:
            raise UnavailableError(f"redis: {type(error).__name__}{where}: {error}"[:300], reason="redis") from error

    def durable(self) -> str:
        """Empty when `noeviction` and AOF are on, else what is missing: losing keys silently would fail open.

        By INFO, which the scripts need as well, because managed servers keep CONFIG to themselves.
        """
        with self._asking():
            memory, disk = self._redis.info("memory"), self._redis.info("persistence")
        missing = []
        if cast("dict[str, str]", memory).get("maxmemory_policy") != "noeviction":
            missing.append("maxmemory-policy noeviction")
        if cast("dict[str, int]", disk).get("aof_enabled") != 1:
            missing.append("appendonly yes")
        return ", ".join(missing)
