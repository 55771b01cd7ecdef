"""The ladder of autonomy from outside: a remedy that did not help goes a step down, until a person promotes it."""

from tests.flows.harness import waits_in_a_crash_loop


class TestARemedyThatDidNotHelp:
    def test_goes_a_step_down_and_up_again_by_a_person_alone(self, today):
        today.policy(demote_after=1)
        namespace = today.namespace()
        today.deployment(namespace, minimum=0, behaviour="crash", ready_after=0)
        pod = today.until(
            lambda: next((p for p in today.cluster.all("Pod", namespace) if waits_in_a_crash_loop(p)), None)
        )
        today.fire(today.alert(namespace, alertname="KubePodCrashLooping", pod=pod["metadata"]["name"]))
        incident = today.until_word("succeeded", namespace)

        today.pass_(900)

        today.until(
            lambda: "demoted" in today.words(incident), lambda: f"{today.audit(incident)} {today.reasons(incident)}"
        )
        assert today.lines(incident, "demoted")[0]["to"] == "approve"
        today.until(lambda: "demoted" in today.reasons(incident))
        target = {"kind": "Deployment", "namespace": namespace, "name": "web"}
        promotion = {"action": "restart_pod", "target": target, "reason": "it was the image"}
        assert today.asked("v1/promote", promotion)["cap"] == ""
        again = today.api("POST", "v1/promote", promotion)
        assert (again.status_code, "not held down" in again.text) == (409, True)
