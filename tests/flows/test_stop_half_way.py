"""An action of several steps that is stopped between two of them: ended there, and people know what it has left."""

import shutil
from pathlib import Path

import pytest

from tests.flows.harness import Scene, a_world

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory, kubeconfig):
    """A world with an action of two steps."""
    folder = tmp_path_factory.mktemp("half-way")
    actions = folder / "actions"
    shutil.copytree(ROOT / "functions" / "actions", actions, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests" / "fixtures" / "two_steps.py", actions)
    with a_world(folder / "world", kubeconfig=kubeconfig, actions=actions) as world:
        yield world


@pytest.fixture
def scene(world):
    world.advance(301)
    scene = Scene(world)
    yield scene
    mode(scene, None)
    scene.tick()
    scene.end()


def mode(scene, data):
    """Put the stop so, as an operator would; None: nothing is stopped any more."""
    now = scene.cluster.get("ConfigMap", scene.home, "akeso-stop")["data"]
    held = {key: None for key in now if "." in key}
    scene.cluster.edit("ConfigMap", scene.home, "akeso-stop", {"data": {**held, "mode": "run", **(data or {})}})


@pytest.fixture
def half_way(scene):
    """Begun, its first step done: namespace, incident, attempt. A sweep would do the second."""
    namespace, _ = scene.patient()
    scene.sweeps = False
    scene.asked("v1/run", {
        "action": "two_steps", "target": {"kind": "Deployment", "namespace": namespace, "name": "web"},
        "dry_run": False,
    })  # fmt: skip
    incident = scene.until_word("progressing", namespace)
    scene.settle()
    assert spec(scene, namespace) == (True, 1)
    return namespace, incident, scene.attempts(incident)[-1]


def spec(scene, namespace):
    """Whether its rollout is paused, and its replicas."""
    found = scene.cluster.get("Deployment", namespace, "web")["spec"]
    return bool(found.get("paused")), found["replicas"]


def stops(namespace):
    return {
        "everything": {"mode": "stop"},
        "everything, frozen": {"mode": "freeze"},
        "the tenant": {"tenant.default": "stop"},
        "the cluster": {"cluster.default.dev": "stop: a test"},
        "the namespace": {f"namespace.{namespace}": "stop: a test, by ann"},
        "the action": {"action.two_steps": "stop"},
        "the action, in words that nobody understands": {"action.two_steps": "halt"},
    }


class TestBetweenTwoSteps:
    def test_without_a_stop_the_next_one_follows(self, scene, half_way):
        namespace, _, _ = half_way

        scene.tick()
        scene.until_word("succeeded", namespace)

        assert spec(scene, namespace) == (True, 2)

    @pytest.mark.parametrize("what", stops(""))
    def test_a_stop_of_it_ends_it_there_and_says_what_it_has_left(self, scene, half_way, what):
        namespace, incident, attempt = half_way
        mode(scene, stops(namespace)[what])

        scene.tick()
        scene.until_word("stopped", namespace)

        assert spec(scene, namespace) == (True, 1)
        assert scene.writes(namespace) == [f"patch /apis/apps/v1/namespaces/{namespace}/deployments/web"]
        (ended,) = scene.lines(incident, "stopped")
        assert f"1 of 2 steps are done and stay: Deployment/{namespace}/web /spec/paused is true" in ended["text"]
        assert "is set" in ended["text"]
        scene.until_told(incident)
        told = scene.reasons(incident)
        assert "at step 1" in told
        assert "1 of 2 steps are done and stay" in told
        assert f"akeso undo {attempt}" in told

    def test_is_not_carried_on_after_it_was_lifted(self, scene, half_way):
        namespace, incident, _ = half_way
        mode(scene, {"mode": "stop"})
        scene.tick()
        scene.until_word("stopped", namespace)

        mode(scene, None)
        scene.pass_(600)

        assert spec(scene, namespace) == (True, 1)
        assert scene.words(incident).count("begun") == 1

    def test_that_was_set_and_lifted_again_unseen_by_it_ends_it_too(self, scene, half_way):
        namespace, incident, _ = half_way
        for word in ("stop", "run"):
            scene.asked("v1/stop", {"mode": word, "reason": "a test"})

        scene.tick()
        scene.until_word("stopped", namespace)

        assert spec(scene, namespace) == (True, 1)
        assert "from before a stop" in scene.lines(incident, "stopped")[0]["text"]

    def test_what_it_has_left_can_be_taken_back_while_it_is_stopped(self, scene, half_way):
        namespace, _, attempt = half_way
        mode(scene, {"mode": "stop"})
        scene.tick()
        scene.until_word("stopped", namespace)

        scene.asked("v1/undo", {"attempt": attempt, "reason": "a test"})
        scene.tick()
        scene.until(lambda: spec(scene, namespace) == (False, 1), "it was not taken back")
