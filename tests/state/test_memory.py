"""What each target and each budget leaves in Redis has a ceiling, whatever happens to it: `noeviction` ends in a stop.

Bytes are those of MEMORY USAGE, which differ a little between the versions; the ceilings leave room for that alone.
"""

import json

from tests.state.world import DAY, HOUR, MINUTE, World

LONGEST = "Deployment/" + "n" * 63 + "/" + "w" * 253  # namespace and name as long as Kubernetes allows
NAMESPACE = "n" * 63


def size(world: World, *parts: str) -> int:
    return int(world.redis.memory_usage(world.key(*parts), samples=0) or 0)


def heal(world: World, times: int) -> None:
    """The longest-named target is healed again and again, and verified each time."""
    for number in range(times):
        incident = world.opened(f"f{number}", scope=LONGEST, namespace=NAMESPACE)
        grant = world.soaking(incident, admit={"scope": LONGEST, "namespace": NAMESPACE, "turn": "up"})
        world.advance(2 * MINUTE)
        world.verdict(grant)
        world.resolve(f"f{number}")
        world.advance(DAY + HOUR)


class TestATarget:
    def test_never_takes_more_than_three_kilobytes(self, world: World) -> None:
        heal(world, 20)
        (key,) = [name for name in world.redis.scan_iter(count=10_000) if name.startswith(world.key("scope", ""))]
        assert len(json.loads(world.redis.hget(key, "history") or "")) == 16
        assert size(world, "scope", key.rpartition(":")[2]) < 3072


class TestABudget:
    def test_takes_less_than_three_hundred_bytes_for_a_grant(self, world: World) -> None:
        world.policy(
            rate_per_minute=100, rate_per_namespace_hour=1000, rate_per_action_hour=1000, storm_new_incidents=100
        )
        for number in range(50):
            scope = f"{LONGEST[:-4]}{number:04}"
            incident = world.opened(f"f{number}", scope=scope, namespace=NAMESPACE)
            world.granted(incident, scope=scope, namespace=NAMESPACE)
        assert world.redis.zcard(world.key("rate")) == 50
        assert size(world, "rate") / 50 < 300
        assert size(world, "live") / 50 < 600

    def test_forgets_what_was_granted_an_hour_ago(self, world: World) -> None:
        for number in range(3):
            scope = f"Deployment/shop/web-{number}"
            world.granted(world.opened(f"f{number}", scope=scope), scope=scope)
            world.advance(HOUR)
        assert world.redis.zcard(world.key("rate")) == 1
        assert world.redis.hlen(world.key("live")) == 1


class TestTheDecisionsOnRecord:
    def test_are_the_last_thousand_of_less_than_a_kilobyte(self, world: World) -> None:
        incident = world.opened()
        for _ in range(1010):
            assert world.admit(incident, autonomy="suggest")["decision"] == "denied"
        assert world.redis.llen(world.key("decisions")) == 1000
        assert size(world, "decisions") / 1000 < 1024
