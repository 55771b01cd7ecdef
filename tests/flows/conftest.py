import pytest

from tests.flows.harness import Scene, a_world


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory):
    with a_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def scene(shared_world):
    """A story in the world that all stories share. What earlier ones did is no storm and no rate any more."""
    shared_world.advance(301)
    story = Scene(shared_world)
    yield story
    story.end()


@pytest.fixture
def own_world(tmp_path):
    """A world for a story that breaks it."""
    with a_world(tmp_path / "world") as world:
        yield world
