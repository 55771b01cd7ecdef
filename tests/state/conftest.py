from collections.abc import Iterator

import pytest
import redis

from shared.dev.redis import RedisServer
from shared.state.transitions import State
from tests.conftest import SimulatedTime
from tests.state.world import World


@pytest.fixture
def blank(raw_state: State, redis_server: RedisServer, sim: SimulatedTime) -> Iterator[World]:
    """A world over a Redis that nobody has hydrated yet."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as connection:
        yield World(raw_state, sim, connection)


@pytest.fixture
def world(state: State, blank: World) -> Iterator[World]:
    """A hydrated world. After every story the audit holds, every key ends, and no open incident is forgotten."""
    yield blank
    assert blank.broken_chains() == []
    assert blank.immortal() == []
    assert blank.orphans() == []
    assert blank.silent() == []
