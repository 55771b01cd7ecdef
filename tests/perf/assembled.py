"""What somebody without this guard would put together: limits' moving windows, pybreaker's storage, SET NX for leases.

It asks the same budgets in as few round trips as the libraries allow, on one client, and keeps no record at all: no
audit, no replay of a redelivered event, nothing that is due later. `careful` also tests every window before it hits the
first, as one must who does not want a refusal to spend anything; even so two processes may pass a test side by side.
"""

from typing import Final

import pybreaker
import redis
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from shared import clock

LEASE_MS: Final = 780_000
RUNNING: Final = "assembled:running"


class Assembled:
    """`minute` and the others are the budgets, `most` and `most_of_one` what may run at once."""

    def __init__(self, url: str, budgets: dict[str, int], *, careful: bool) -> None:
        self.client = redis.Redis.from_url(url)
        self.limiter = MovingWindowRateLimiter(RedisStorage(url))
        self.careful = careful
        self.budgets = budgets
        self.minute = RateLimitItemPerMinute(budgets["rate_minute"])
        self.hour = RateLimitItemPerHour(budgets["rate_hour"])
        self.of_action = RateLimitItemPerHour(budgets["rate_action"])
        self.of_namespace = RateLimitItemPerHour(budgets["rate_namespace"])
        self.breakers: dict[str, pybreaker.CircuitBreaker] = {}

    def _breaker(self, name: str) -> pybreaker.CircuitBreaker:
        if name not in self.breakers:
            storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, self.client, namespace=name)
            self.breakers[name] = pybreaker.CircuitBreaker(5, 1800, state_storage=storage)
        return self.breakers[name]

    def decide(self, number: str, scope: str, action: str, namespace: str) -> str:
        """Empty when it may be done, else what refuses it."""
        now = clock.now_ms()
        with self.client.pipeline(transaction=False) as pipe:
            pipe.exists(f"cooldown:{scope}")
            pipe.zremrangebyscore(RUNNING, "-inf", now)
            pipe.zrange(RUNNING, 0, -1)
            cooling, _, running = pipe.execute()
        if cooling:
            return "cooldown"
        if len(running) >= self.budgets["concurrency"]:
            return "concurrency"
        if sum(name.startswith(f"{action}|".encode()) for name in running) >= self.budgets["concurrency_action"]:
            return "concurrency-action"
        if self._breaker(f"{action}:{scope.partition('/')[0]}").current_state != pybreaker.STATE_CLOSED:
            return "breaker"
        if not self.client.set(f"lease:{scope}", number, nx=True, px=LEASE_MS):
            return "lease"
        if refused := self._budgets(action, namespace):
            self.client.delete(f"lease:{scope}")
            return refused
        self.client.zadd(RUNNING, {f"{action}|{number}": now + self.budgets["running_ms"]})
        return ""

    def _budgets(self, action: str, namespace: str) -> str:
        windows = (
            (self.minute, "minute"), (self.hour, "hour"), (self.of_action, action), (self.of_namespace, namespace),
        )  # fmt: skip
        if self.careful:
            for item, name in windows:
                if not self.limiter.test(item, name):
                    return name
        for item, name in windows:
            if not self.limiter.hit(item, name):
                return name
        return ""
