import pytest

from shared.dev.cluster import Cluster
from tests.flows.harness import Scene, a_world
from tests.flows.trap import Trap


@pytest.fixture(scope="package")
def trap(tmp_path_factory):
    """The cluster that the person at this machine works with. `KUBECONFIG` leads to it all the time."""
    with Trap(tmp_path_factory.mktemp("home")) as trap, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(trap.kubeconfig))
        yield trap


@pytest.fixture(scope="package")  # it lives in a time of its own, which tests of other packages must not see
def shared_world(tmp_path_factory, trap, kubeconfig):
    with a_world(tmp_path_factory.mktemp("world") / "world", kubeconfig=kubeconfig) as world:
        yield world


@pytest.fixture
def scene(shared_world):
    """A story in the world that all stories share. What earlier ones did is no storm and no rate any more."""
    shared_world.advance(301)
    story = Scene(shared_world)
    yield story
    story.end()


@pytest.fixture
def emulated(scene):
    """What only emulated pods and autoscalers do when they are told."""
    if not isinstance(scene.cluster, Cluster):
        pytest.skip("real pods do not become unready when told, and there are no metrics here")
    return scene


@pytest.fixture
def own_world(tmp_path, kubeconfig):
    """A world for a story that breaks it, or needs a clock that no other has set on."""
    with a_world(tmp_path / "world", kubeconfig=kubeconfig) as world:
        yield world


@pytest.fixture
def today(own_world):
    """A story by a clock that nobody has set on: by the others' a real pod that crashes now has crashed hours ago."""
    story = Scene(own_world)
    yield story
    story.end()
