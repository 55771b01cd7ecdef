"""The guard through the whole chain: what it refuses for now comes back by itself, what a person must say waits."""

import re

import pytest

from shared.event.types import full


def _checks(scene, incident):
    return [line["check"] for line in scene.lines(incident, "denied")]


class TestARefusalThatHasATime:
    def test_cooldown_of_the_same_patient_ends_and_the_remedy_comes(self, scene):
        namespace, alert = scene.patient()
        scene.verified(namespace, alert)
        assert scene.replicas(namespace) == 3

        scene.fire(scene.alert(namespace, alertname="HighCpuLoad"))  # another trouble of the same Deployment
        incident = scene.until(lambda: _other(scene, namespace, "cpu"))
        scene.until(lambda: "denied" in scene.words(incident))
        assert _checks(scene, incident) == ["cooldown"]
        assert len(scene.writes(namespace)) == 1
        scene.pass_(301)

        scene.until(lambda: "succeeded" in scene.words(incident))
        assert scene.replicas(namespace) == 4
        assert _checks(scene, incident) == ["cooldown"]

    def test_rate_lets_the_rest_pass_in_the_next_minute(self, scene):
        scene.policy(rate_per_minute=1)
        patients = [scene.patient() for _ in range(2)]

        scene.fire(*(alert for _, alert in patients))
        done = scene.until(lambda: [n for n, _ in patients if "succeeded" in scene.words(scene.incident(n))])
        scene.settle()
        (late,) = [namespace for namespace, _ in patients if namespace not in done]
        assert _checks(scene, scene.incident(late)) == ["rate-minute"]
        assert scene.writes(late) == []
        scene.pass_(121)

        scene.until_word("succeeded", late)
        assert scene.replicas(late) == 3

    def test_lease_keeps_a_second_trouble_of_one_patient_waiting(self, scene):
        namespace, alert = scene.patient(replicas=2)
        scene.world.broker.drop(lambda event: event.type == full("remediation.approved") and namespace in _text(event))
        scene.fire(alert)
        first = scene.until_word("approved", namespace)  # and nobody begins it

        scene.fire(scene.alert(namespace, alertname="HighCpuLoad"))
        incident = scene.until(lambda: _other(scene, namespace, "cpu"))
        scene.until(lambda: "denied" in scene.words(incident))

        assert _checks(scene, incident) == ["lease"]
        assert scene.writes(namespace) == []
        scene.pass_(900, step=180)
        assert "stuck at begin" in scene.reasons(first)
        assert "succeeded" in scene.words(incident)
        assert len(scene.writes(namespace)) == 1

    def test_cooldown_of_the_machines_remedy_keeps_a_persons_other_one_waiting(self, scene):
        namespace, alert = scene.patient(replicas=2)
        scene.heal(namespace, alert)
        pod = scene.cluster.all("Pod", namespace)[0]["metadata"]["name"]
        known = scene.new()

        scene.asked("v1/run", _restart(namespace, pod))
        (incident,) = scene.until(lambda: scene.new() - known)
        scene.until(lambda: "denied" in scene.words(incident))
        assert _checks(scene, incident) == ["cooldown"]
        assert len(scene.writes(namespace)) == 1
        scene.resolve(alert)
        scene.pass_(361)

        scene.until(lambda: "succeeded" in scene.words(incident))
        assert "begun" in scene.words(incident)
        scene.until(lambda: pod not in {one["metadata"]["name"] for one in scene.cluster.all("Pod", namespace)})


def _restart(namespace, pod):
    target = {"kind": "Deployment", "namespace": namespace, "name": "web"}
    return {"action": "restart_pod", "target": target, "params": {"pod": pod}, "dry_run": False}


class TestTwoPeopleAtOnce:
    def test_with_different_remedies_for_one_patient_get_one_and_a_word_about_the_other(self, scene):
        namespace, _ = scene.patient(replicas=2)
        pod = scene.cluster.all("Pod", namespace)[0]["metadata"]["name"]
        known = scene.new()

        ask = _restart(namespace, pod)
        runs = [scene.asked("v1/run", {**ask, **more})["run"]
                for more in ({"action": "scale_deployment", "params": {"replicas": 3}}, {})]  # fmt: skip
        (incident,) = scene.until(lambda: scene.new() - known)
        scene.until(lambda: "succeeded" in scene.words(incident))
        scene.settle()

        assert len(scene.attempts(incident)) == 1
        (told,) = [run for run in runs if "not-run" in scene.words(run)]
        assert "another run on" in scene.lines(told, "not-run")[0]["text"]
        scene.until_told(told)
        done = {line["action"] for line in scene.lines(incident, "succeeded")}
        assert done <= {"scale_deployment", "restart_pod"}
        assert (scene.replicas(namespace) == 3) is (done == {"scale_deployment"})


def _text(event):
    return event.data.decode()


def _other(scene, namespace, family):
    scope = f"Deployment/{namespace}/web"
    return next((i for i in scene.new() if _is(scene.record(i), scope, family)), "")


def _is(record, scope, family):
    return (record.get("scope"), record.get("family")) == (scope, family)


class TestAttempts:
    def test_used_up_go_to_a_person_though_the_incident_is_new(self, scene):
        scene.policy(attempts_per_day=1)
        namespace, alert = scene.patient()
        first, _ = scene.verified(namespace, alert)
        scene.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 1}})
        scene.until(lambda: scene.ready(namespace) == 1)
        scene.world.advance(2 * 3600)
        scene.heartbeat()

        scene.fire(scene.alert(namespace))
        second = scene.until(lambda: scene.incident(namespace) != first and scene.incident(namespace))
        scene.until(lambda: "denied" in scene.words(second))

        assert _checks(scene, second) == ["attempts"]
        assert "refused by attempts" in str(scene.until_told(second)["content"])
        assert scene.replicas(namespace) == 1


class TestABoundOfReplicas:
    def test_is_told_to_a_person_and_nothing_is_written(self, scene):
        scene.policy(rules=[{"name": "at most two", "actions": ["scale_deployment"], "most_replicas": 2}])
        namespace, alert = scene.patient()  # one of three

        scene.fire(alert)
        incident = scene.until(lambda: scene.incident(namespace))
        scene.until(lambda: "denied" in scene.words(incident))

        assert _checks(scene, incident) == ["bounds"]
        ticket = str(scene.until_told(incident)["content"])
        assert "refused by bounds (at most two)" in ticket
        assert scene.writes(namespace) == []


class TestAHold:
    @pytest.fixture
    def held(self, scene):
        """Held by policy, though its namespace says auto: namespace, alert, incident."""
        scene.policy(hold=["scale_deployment"])
        namespace, alert = scene.patient()
        scene.fire(alert)
        return namespace, alert, scene.until_word("held", namespace)

    def test_is_a_ticket_with_the_commands_and_runs_after_a_yes(self, scene, held):
        namespace, alert, incident = held
        ticket = scene.until_told(incident)
        assert f"akeso approve {incident} --reason ..." in ticket["content"]["commands"]
        assert f"akeso deny {incident} --reason ..." in ticket["content"]["commands"]
        assert scene.writes(namespace) == []

        scene.asked(f"v1/holds/{incident}/approve", {"reason": "go"})
        scene.until_word("succeeded", namespace)
        scene.until(lambda: scene.ready(namespace) == 3)

        assert scene.replicas(namespace) == 3
        (yes,) = scene.lines(incident, "approve")
        assert yes["who"].endswith("ada")
        assert scene.lines(incident, "approved")[0]["approvers"] == [yes["who"]]
        assert scene.words(incident).count("held") == 1
        scene.resolve(alert)
        scene.until_word("resolved", namespace)
        scene.pass_(61)
        scene.until_word("verified", namespace)
        scene.tick()
        assert [ticket["status"] for ticket in scene.tickets(incident)] == ["closed"]

    def test_is_answered_once(self, scene, held):
        namespace, _, incident = held
        scene.asked(f"v1/holds/{incident}/approve", {"reason": "go"})
        scene.until_word("succeeded", namespace)

        for word in ("approve", "deny"):
            again = scene.api("POST", f"v1/holds/{incident}/{word}", {"reason": "me too"}, person="bo")
            assert again.status_code == 409
        assert len(scene.writes(namespace)) == 1

    def test_that_is_denied_does_nothing_and_says_so(self, scene, held):
        namespace, _, incident = held

        scene.asked(f"v1/holds/{incident}/deny", {"reason": "no"})
        scene.pass_(61)

        assert re.search(r"denied by \S*ada", scene.reasons(incident))
        assert scene.writes(namespace) == []
        answer = scene.api("POST", f"v1/holds/{incident}/approve", {"reason": "yes"}, person="bo")
        assert answer.status_code == 409

    def test_that_nobody_answers_ends_in_time_and_says_so(self, scene, held):
        namespace, _, incident = held

        scene.pass_(3601, step=600)

        assert "expired" in scene.words(incident)
        assert "not answered in time" in scene.reasons(incident)
        assert scene.writes(namespace) == []
