"""The ladder of autonomy from outside: a remedy that did not help goes a step down, until a person promotes it."""

import pytest

from tests.flows.harness import Scene


@pytest.fixture
def scene(own_world):
    """In a world whose clock nobody has set on: by the others' a real pod that crashes now has crashed hours ago."""
    story = Scene(own_world)
    yield story
    story.end()


class TestARemedyThatDidNotHelp:
    def test_goes_a_step_down_and_up_again_by_a_person_alone(self, scene):
        scene.policy(demote_after=1)
        namespace = scene.namespace()
        scene.deployment(namespace, minimum=0, behaviour="crash", ready_after=0)
        pod = scene.until(lambda: next((p for p in scene.cluster.all("Pod", namespace) if _waits(p)), None))
        scene.fire(scene.alert(namespace, alertname="KubePodCrashLooping", pod=pod["metadata"]["name"]))
        incident = scene.until_word("succeeded", namespace)

        scene.pass_(900)

        scene.until(
            lambda: "demoted" in scene.words(incident), lambda: f"{scene.audit(incident)} {scene.reasons(incident)}"
        )
        assert scene.lines(incident, "demoted")[0]["to"] == "approve"
        scene.until(lambda: "demoted" in scene.reasons(incident))
        target = {"kind": "Deployment", "namespace": namespace, "name": "web"}
        promotion = {"action": "restart_pod", "target": target, "reason": "it was the image"}
        assert scene.asked("v1/promote", promotion)["cap"] == ""
        again = scene.api("POST", "v1/promote", promotion)
        assert (again.status_code, "not held down" in again.text) == (409, True)


def _waits(pod):
    states = pod["status"].get("containerStatuses") or []
    return any("CrashLoopBackOff" in str(state.get("state")) for state in states)
