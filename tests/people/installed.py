"""The fixtures of whoever tries things on one installation as api sees it: its Redis, and a world of its own."""

import pytest

from shared.dev import redis as embedded
from tests.people.world import world as made


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    with embedded.start(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def world(tmp_path, monkeypatch, redis):
    with made(tmp_path, monkeypatch, redis) as one:
        yield one
