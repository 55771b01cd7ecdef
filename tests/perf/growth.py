"""What makes a decision of the guard dearer: how many checks there are, how many targets, how much has happened.

Measured is the time of Redis' own thread per decision, because all callers share it; each row is told against the
smallest of its kind.
"""

from collections.abc import Callable
from typing import Any, Final

from shared.guard.policy import Policy
from shared.state.client import PREFIX
from tests.perf.rig import BARE, BUSY, CLUSTER, TENANT, Rig

Row = Callable[..., None]
ROUNDS: Final = 4
EACH: Final = 50
HISTORY: Final = '[{"at":%d,"a":"scale_deployment","t":"","n":1,"g":"grant-%020d","v":"verified"}]'
# As much as a policy may hold, none of which concerns the proposal.
MOST: Final = Policy.model_validate(
    {
        "rules": [{"name": f"r{n}", "namespaces": [f"tills-{n}-*"], "autonomy": "off"} for n in range(100)],
        "windows": [
            {"name": f"w{n}", "kind": "freeze", "namespaces": [f"stock-{n}-*"], "days": ["sun"], "to": "06:00"}
            for n in range(50)
        ],
        "protected_namespaces": [f"vault-{n}-*" for n in range(200)],
        "protected_objects": [f"Deployment/shop-x/db-{n}" for n in range(200)],
    }
)


def _cpu(world: Rig) -> float:
    """Microseconds that Redis' main thread has worked."""
    used = world.redis.info("cpu")
    return 1e6 * float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"])


def cost(world: Rig, policy: Policy, prepare: Callable[[list[Any]], None] = lambda _: None) -> float:
    """Microseconds of Redis per approval, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        proposals = world.proposals(EACH)
        world.load(policy)
        prepare(proposals)
        before = _cpu(world)
        for proposal in proposals:
            if (word := world.decide(world.state, proposal)) != "approved":
                raise RuntimeError(f"not approved but {word}")
        found.append((_cpu(world) - before) / EACH)
    return min(found)


def scopes(world: Rig, count: int) -> None:
    """Bring the number of targets that Redis remembers to `count`."""
    with world.redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            key = world.key("scope", f"{number:040x}")
            pipe.hset(key, mapping={"name": f"Deployment/shop/web-{number}", "fence": number, "cooldown_until": 1})
            if number % 5000 == 4999:
                pipe.execute()
        pipe.execute()


def spent(world: Rig, count: int) -> None:
    """Put `count` grants into the last hour's log: of others, and before the blast window."""
    ago = world.base - 12 * 60_000
    world.redis.zadd(world.key("rate"), {f"g{n}|restart_pod|other-{n % 50}|pod|1|": ago for n in range(count)})


def _remembered(world: Rig, proposals: list[Any], count: int) -> None:
    """Let each target have `count` verified attempts behind it, before the blast window."""
    for _, proposal in proposals:
        entries = ",".join((HISTORY % (world.base - 20 * 60_000, number))[1:-1] for number in range(count))
        world.redis.hset(world.scope_key(proposal["scope"]), "history", f"[{entries}]")


def measure(row: Row, world: Rig) -> None:
    def told(name: str, value: float, smallest: float | None = None) -> float:
        row(f"Redis' time, {name}", value, "us", smallest and round(smallest, 3))
        return value

    least = told("policy without rules and windows", cost(world, BARE))
    told("3 rules, 3 windows, hours", cost(world, BUSY), least)
    told("100 rules, 50 windows, 400 names", cost(world, MOST), least)
    least = told("history of nothing", cost(world, BUSY))
    told("16 entries of the target", cost(world, BUSY, lambda made: _remembered(world, made, 16)), least)
    for count in (100, 1000):
        told(f"{count} grants in the last hour", cost(world, BUSY, lambda _, count=count: spent(world, count)), least)
    least = told("10 targets", cost(world, BUSY))
    for count in (1000, 100_000):
        scopes(world, count)
        told(f"{count} targets", cost(world, BUSY), least)
    for name, size in memory(world).items():
        row(f"memory per {name}", size, "bytes")


# Memory ---------------------------------------------------------------------------------------------------------------


def memory(world: Rig) -> dict[str, int]:
    """Bytes of what stays behind a target and in each budget, by the one of each kind that is largest."""
    kinds = {
        "target": "scope:*", "target and family (attempts)": "attempts:*", "breaker": "breaker:*",
        "incident": "incident:*", "attempt": "attempt:*",
    }  # fmt: skip
    sizes = {name: _largest(world, match) for name, match in kinds.items()}
    for name, key in {"grant in the hour's log": "rate", "decision on record": "decisions", "lease": "live"}.items():
        sizes[name] = _share(world, world.key(key))
    return {name: size for name, size in sizes.items() if size}


def _largest(world: Rig, match: str) -> int:
    keys = world.redis.scan_iter(f"{PREFIX}:{TENANT}:{CLUSTER}:{match}", count=10_000)
    return max((int(world.redis.memory_usage(key, samples=0) or 0) for key in keys), default=0)


def _share(world: Rig, key: str) -> int:
    count = {"zset": world.redis.zcard, "list": world.redis.llen, "hash": world.redis.hlen}.get(world.redis.type(key))
    return int((world.redis.memory_usage(key, samples=0) or 0) / count(key)) if count else 0
