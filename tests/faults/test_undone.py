"""Taking back: exactly what was written, through the guard, and never over somebody else's work."""

import copy

import pytest

from shared.dev.cluster_pods import BEHAVIOUR

pytestmark = pytest.mark.faults


def _bare(found):
    """The object without what the server and we keep in it."""
    bare = copy.deepcopy(found)
    del bare["status"]
    for field in ("resourceVersion", "generation", "managedFields"):
        del bare["metadata"][field]
    notes = bare["metadata"]["annotations"]
    bare["metadata"]["annotations"] = {key: value for key, value in notes.items() if key.split("/")[1] not in _OURS}
    return bare


_OURS = ("attempt", "undo", "until")


class TestAnUndo:
    def test_restores_the_object_byte_for_byte(self, play):
        namespace, alert = play.ill()
        before = _bare(play.cluster.get("Deployment", namespace, "web"))
        play.fire(alert)
        attempt = play.attempts(play.until_word("succeeded", namespace))[0]

        assert play.undo(attempt).status_code == 200

        found = play.cluster.get("Deployment", namespace, "web")
        assert _bare(found) == before
        assert play.spec_changes(namespace) == 2
        assert found["metadata"]["annotations"]["akeso.dev/undo"].startswith("grant-")

    def test_goes_through_the_guard_and_is_told(self, play):
        namespace, _, attempt = play.healed()

        play.undo(attempt)
        incident = play.incident(namespace)

        approvals = [line["mode"] for line in play.lines(incident, "approved")]
        assert approvals == ["do", "undo"]
        assert play.attempt(attempt)["undone_by"] == play.attempts(incident)[1]
        play.until_told(incident)
        assert f"undo of {attempt}: succeeded" in play.reasons(incident)

    def test_works_while_stopped(self, play):
        namespace, _, attempt = play.healed()
        play.stop("stop")

        play.undo(attempt)

        assert play.replicas(namespace) == 1

    def test_does_not_work_while_frozen_and_says_so(self, play):
        namespace, _, attempt = play.healed()
        play.stop("freeze")

        play.undo(attempt)
        incident = play.incident(namespace)
        play.until_told(incident)

        assert play.replicas(namespace) == 3
        assert "undo refused: freeze" in play.reasons(incident)

    def test_refuses_after_somebody_elses_edit_and_says_so(self, play):
        namespace, _, attempt = play.healed()
        play.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 5}})

        play.undo(attempt)
        incident = play.incident(namespace)
        play.until_told(incident)

        assert play.replicas(namespace) == 5
        assert len(play.writes(namespace)) == 1
        assert f"undo of {attempt}: skipped" in play.reasons(incident)

    def test_leaves_the_object_to_whoever_is_faster(self, play):
        namespace, _, attempt = play.healed()
        play.just_before_its_write(lambda: play.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 5}}))

        play.undo(attempt)

        assert play.replicas(namespace) == 5
        assert len(play.writes(namespace)) == 1

    def test_asked_for_twice_happens_once(self, play):
        namespace, _, attempt = play.healed()

        first, second = play.undo(attempt), play.undo(attempt)
        play.pass_(300)

        assert (first.status_code, second.status_code) == (200, 409)
        assert play.spec_changes(namespace) == 2
        assert len(play.attempts(play.incident(namespace))) == 2

    def test_asked_for_again_while_it_waits_happens_once(self, play):
        namespace, _, attempt = play.healed()
        play.freeze_executor()
        body = {"reason": "x", "attempt": attempt}
        asked = [play.api("POST", "v1/undo", body, person=who) for who in ("ada", "bo")]
        play.thaw()
        play.pass_(300)

        assert asked[0].status_code == 200
        assert play.replicas(namespace) == 1
        assert play.spec_changes(namespace) == 2

    def test_cannot_itself_be_undone(self, play):
        namespace, _, attempt = play.healed()
        play.undo(attempt)
        taken_back_by = play.attempt(attempt)["undone_by"]

        assert play.undo(taken_back_by).status_code == 409
        assert play.replicas(namespace) == 1

    @pytest.mark.parametrize("point", ["before-write", "after-write"])
    def test_whose_executor_dies_has_one_effect(self, play, point):
        namespace, _, attempt = play.healed()
        play.order(point)
        play.api("POST", "v1/undo", {"reason": "x", "attempt": attempt})
        play.until_at(point)
        play.world.pace(20)

        play.until(lambda: play.attempt(attempt).get("undone_by"))

        assert play.replicas(namespace) == 1
        assert play.spec_changes(namespace) == 2

    def test_whose_event_is_lost_is_asked_for_again(self, play):
        namespace, _, attempt = play.healed()
        lost = play.world.broker.drop(lambda event: b'"mode": "undo"' in event.data or b'"mode":"undo"' in event.data)

        play.undo(attempt)
        assert lost.hits == 1

        play.tick_for(240, lambda: play.replicas(namespace) == 1)
        assert play.spec_changes(namespace) == 2


class TestHarm:
    @pytest.fixture
    def harmed(self, play):
        namespace, _, attempt = play.healed()
        play.until(lambda: play.ready(namespace) == 3)
        for pod in play.cluster.all("Pod", namespace):
            name = pod["metadata"]["name"]
            play.cluster.edit("Pod", namespace, name, {"metadata": {"annotations": {BEHAVIOUR: "stuck"}}})
        play.until(lambda: play.ready(namespace) == 0)
        return namespace, attempt

    def test_is_taken_back_by_itself_and_told(self, play, harmed):
        namespace, attempt = harmed
        incident = play.incident(namespace)

        play.tick_for(180, lambda: play.replicas(namespace) == 1)
        play.settle()

        assert "harmful" in play.words(incident)
        assert play.attempt(attempt)["undone_by"]
        assert play.spec_changes(namespace) == 2
        play.until_told(incident)
        assert "made it worse" in play.reasons(incident)
        assert len(play.tickets(incident)) == 1

    def test_is_taken_back_while_stopped(self, play, harmed):
        namespace, attempt = harmed
        play.stop("stop")

        play.tick_for(180, lambda: play.replicas(namespace) == 1)

        assert play.attempt(attempt)["undone_by"]

    def test_is_never_verified_and_never_repeated_by_the_undo(self, play, harmed):
        namespace, _ = harmed
        incident = play.incident(namespace)

        play.pass_(240)

        assert "verified" not in play.words(incident)
        assert [line["mode"] for line in play.lines(incident, "approved")] == ["do", "undo"]
