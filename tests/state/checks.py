"""Every check of the guard in its order, and how to make one of them fail and nothing before it.

The list is written here once more on purpose: a check that moves or vanishes in the scripts must be missed.
"""

import json
from typing import Any

from shared.state.client import PREFIX
from tests.state.world import DAY, FAMILY, HOUR, MINUTE, NAMESPACE, SCOPE, World, sha1

CHECKS = (
    "freeze", "stop", "incident", "scope", "live", "expired", "stale", "storm", "rule", "bounds", "protected",
    "autonomy", "window", "change-freeze", "embargo", "person", "cooldown", "oscillation", "repeats",
    "resource-changes", "lease", "attempts", "concurrency", "concurrency-action", "blast-workload", "blast-namespace",
    "blast-pool", "blast-nodes", "blast-most", "rate-minute", "rate-hour", "rate-action", "rate-namespace", "breaker",
    "backoff", "suggest", "risk", "approval", "observe",
)  # fmt: skip
UNDO_IS_BOUND_BY = {"freeze", "protected", "lease"}
TELLING_IS_BOUND_BY = {"incident", "expired"}

ACTION = "scale_deployment"
AGO = 5 * MINUTE  # inside the blast window, outside the minute

# Limit, used and the wait of each check as `spoil` makes it fail; 0: never by itself, 1: at once.
SAYS: dict[str, tuple[int | None, int | None, int]] = {
    "freeze": (None, None, 0),
    "stop": (None, None, 0),
    "incident": (None, None, 0),
    "scope": (None, None, 0),
    "live": (None, None, 0),
    "expired": (None, None, 1),
    "stale": (2 * MINUTE, 2 * MINUTE + 1, 1),
    "storm": (None, None, 5 * MINUTE),
    "rule": (None, None, 0),
    "bounds": (3, 4, 0),
    "protected": (None, None, 0),
    "autonomy": (None, None, 0),
    "window": (None, None, HOUR),
    "change-freeze": (None, None, HOUR),
    "embargo": (None, None, HOUR),
    "person": (15 * MINUTE, MINUTE, 14 * MINUTE),
    "cooldown": (5 * MINUTE, None, HOUR),
    "oscillation": (None, None, 4 * HOUR),
    "repeats": (3, 3, 3 * HOUR),
    "resource-changes": (4, 4, 30 * MINUTE),
    "lease": (1, 1, HOUR),
    "attempts": (3, 3, 0),
    "concurrency": (3, 3, 10 * MINUTE),
    "concurrency-action": (2, 2, 10 * MINUTE),
    "blast-workload": (5, 5, 5 * MINUTE),
    "blast-namespace": (3, 3, 5 * MINUTE),
    "blast-pool": (2, 2, 5 * MINUTE),
    "blast-nodes": (10, 10, 5 * MINUTE),
    "blast-most": (20, 20, 5 * MINUTE),
    "rate-minute": (10, 10, MINUTE),
    "rate-hour": (100, 100, HOUR - AGO),
    "rate-action": (20, 20, HOUR - AGO),
    "rate-namespace": (30, 30, HOUR - AGO),
    "breaker": (None, None, HOUR),
    "backoff": (None, 2, HOUR),
    "suggest": (None, None, 0),
    "risk": (90, 95, 0),
    "approval": (1, 0, 0),
    "observe": (None, None, 0),
}
WITH_A_TIME = {check for check, (_, _, wait) in SAYS.items() if wait}


def spoil(world: World, incident: str, check: str, asked: dict[str, Any]) -> None:  # noqa: PLR0915 - a table
    """Make that one check fail; of several, those that come later must be spoilt earlier."""
    state, incident_key = world.redis, world.key("incident", incident)
    scope = world.key("scope", sha1(SCOPE))
    match check:
        case "freeze" | "stop":
            state.hset(f"{PREFIX}:stop", "mode", check)
        case "incident":
            state.hset(incident_key, "state", "closed")
        case "scope":
            state.hset(incident_key, "people", "somebody")
        case "live":
            state.hset(incident_key, "attempt", "grant-other")
        case "expired":
            asked["expires"] = world.now - 1
        case "stale":
            asked["taken_at"] = world.now - 2 * MINUTE - 1
        case "storm":
            put(world, world.key("storm"), since=world.now, why="many fail")
        case "rule":
            state.hset(
                f"{PREFIX}:policy", "rules", json.dumps([{"a": ["^scale"], "autonomy": "off", "most": 3, "text": "no"}])
            )
        case "bounds":
            state.hset(f"{PREFIX}:policy", "rules", json.dumps([{"most": 3, "text": "few"}]))
            asked["replicas"] = {"up": 4}
        case "protected":
            asked["protected"] = True
        case "autonomy" | "suggest" | "observe" | "approval":
            asked["autonomy"] = {"autonomy": "off", "approval": "approve"}.get(check, check)
        case "window":
            window(world, "maintenance", HOUR, 2 * HOUR)
        case "change-freeze":
            window(world, "freeze", -HOUR, HOUR)
        case "embargo":
            state.hset(f"{PREFIX}:epoch", "embargo_until", world.now + HOUR)
        case "person":
            asked |= {"changed_by": "kubectl", "changed_at": world.now - MINUTE}
        case "cooldown":
            put(world, scope, cooldown_until=world.now + HOUR)
        case "oscillation":
            asked["turn"] = "up"
            remember(world, {"at": world.now - 2 * HOUR, "a": "x", "t": "up"},
                     {"at": world.now - HOUR, "a": "x", "t": "down"})  # fmt: skip
        case "repeats":
            state.hset(f"{PREFIX}:policy", "repeats", 3)
            remember(world, *({"at": world.now - 3 * HOUR, "a": ACTION, "v": "ineffective"} for _ in range(3)))
        case "resource-changes":
            asked["resources"] = True
            remember(world, *({"at": world.now - 90 * MINUTE, "a": "x", "r": True} for _ in range(4)))
        case "lease":
            put(world, scope, lease="grant-other", lease_until=world.now + HOUR)
        case "attempts":
            add(world, world.key("attempts", sha1(f"{SCOPE}|{FAMILY}")), HOUR, *(f"a{number}" for number in range(3)))
        case "concurrency" | "concurrency-action":
            running(world, check)
        case "blast-workload" | "blast-namespace" | "blast-pool" | "blast-nodes" | "blast-most":
            blast(world, check, asked)
        case "rate-minute":
            add(world, world.key("rate"), 0, *(spent(f"m{number}") for number in range(10)))
        case "rate-hour":
            add(world, world.key("rate"), AGO, *(spent(f"h{number}") for number in range(100)))
        case "rate-action":
            add(world, world.key("rate"), AGO, *(spent(f"a{number}", action=ACTION) for number in range(20)))
        case "rate-namespace":
            add(world, world.key("rate"), AGO, *(spent(f"n{number}", namespace=NAMESPACE) for number in range(30)))
        case "breaker":
            put(world, world.key("breaker", ACTION, "Deployment"), state="open", open_until=world.now + HOUR)
        case "backoff":
            put(world, scope, backoff_until=world.now + HOUR, fails=2)
        case "risk":
            asked["risk"] = {"action": 95}
        case _:
            raise AssertionError(check)


def put(world: World, key: str, **fields: str | int) -> None:
    world.redis.hset(key, mapping={name: str(value) for name, value in fields.items()})
    world.redis.pexpire(key, DAY)


def add(world: World, key: str, ago: int, *members: str) -> None:
    world.redis.zadd(key, dict.fromkeys(members, world.now - ago))
    world.redis.pexpire(key, DAY)


def spent(name: str, action: str = "other", namespace: str = "else", unit: str = "none", n: int = 0,
          pool: str = "") -> str:  # fmt: skip
    """A grant as `rate` remembers it."""
    return f"{name}|{action}|{namespace}|{unit}|{n}|{pool}"


def remember(world: World, *entries: dict[str, Any]) -> None:
    """More of the scope's history, in the order of time."""
    key = world.key("scope", sha1(SCOPE))
    history = json.loads(world.redis.hget(key, "history") or "[]") + list(entries)
    put(world, key, history=json.dumps(sorted(history, key=lambda entry: entry["at"])))


def window(world: World, kind: str, start: int, end: int, **more: Any) -> None:
    """One more window of the policy, from and to so long from now."""
    policy = f"{PREFIX}:policy"
    windows = json.loads(world.redis.hget(policy, "windows") or "[]")
    windows.append({"name": kind, "kind": kind, "at": [[world.now + start, world.now + end]], **more})
    world.redis.hset(policy, mapping={"windows": json.dumps(windows), "windows_until": str(world.now + DAY)})


def running(world: World, check: str) -> None:
    action, limit = (ACTION, 2) if check == "concurrency-action" else ("other", 3)
    world.redis.hset(f"{PREFIX}:policy", check.replace("-", "_"), limit)
    for number in range(limit):
        until = world.now + (10 + number) * MINUTE
        put(world, world.key("live"), **{f"{check}{number}": f"{until}|1|{action}|else|scope||Pod/else/p{number}"})


def blast(world: World, check: str, asked: dict[str, Any]) -> None:
    unit = "node" if check in ("blast-pool", "blast-nodes") else "pod"
    touches = asked.setdefault("touches", {"count": 1, "population": 0, "pool": "", "pool_population": 0})
    touches["unit"] = unit
    match check:
        case "blast-workload":
            touches["population"] = 10
            remember(world, {"at": world.now - AGO, "a": "x", "n": 5})
        case "blast-namespace":
            asked["namespace_pods"] = 10
            add(world, world.key("rate"), AGO, spent("b1", namespace=NAMESPACE, unit="pod", n=3))
        case "blast-pool":
            touches.update(population=100, pool="blue", pool_population=10)
            add(world, world.key("rate"), AGO, spent("b2", unit="node", n=2, pool="blue"))
        case "blast-nodes":
            touches["population"] = 100
            add(world, world.key("rate"), AGO, spent("b3", unit="node", n=10, pool="red"))
        case _:
            add(world, world.key("rate"), AGO, *(spent(f"b4-{n}", unit="pod", n=4) for n in range(5)))
