import pytest

from tests.people.installed import redis, world

__all__ = ["redis", "world"]


@pytest.fixture
def incident(world):
    """One that was healed."""
    return world.heal()


@pytest.fixture
def attempt(world, incident):
    return world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["id"]
