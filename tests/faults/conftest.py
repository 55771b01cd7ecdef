from collections import deque

import pytest

from tests.faults.play import FAST, Play
from tests.flows.harness import a_world


def _open(folder, **options):
    events = deque(maxlen=20_000)
    world = a_world(folder, speed=FAST, observer=events.append, **options)
    return world, events


@pytest.fixture(scope="session")
def faulty_world(tmp_path_factory):
    opened, events = _open(tmp_path_factory.mktemp("world"))
    with opened as world:
        world.events = events
        world.pace(1)  # the broker's back-off stays fast
        yield world


@pytest.fixture
def play(faulty_world):
    """A story in the world that all fault stories share. Nothing that an earlier one did counts any more."""
    faulty_world.advance(301)
    story = Play(faulty_world)
    yield story
    story.end()


@pytest.fixture
def own_play(tmp_path):
    """A story in a world of its own, for one that breaks it."""
    opened, events = _open(tmp_path / "world")
    with opened as world:
        world.events = events
        world.pace(1)
        story = Play(world)
        yield story
