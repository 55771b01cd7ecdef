"""The history of a Deployment, and what can be known of it."""

import pytest

from shared.kube.details import revisions
from shared.kube.details.revisions import fingerprint
from tests.kube import seen


def look(*sets, found=None):
    return revisions.look(seen.Table({"ReplicaSet": list(sets)}), seen.WEB, found or seen.deployment("b"))


def rollout(reason, *, image="b", observed=2, **status):
    found = seen.deployment(image)
    conditions = [{"type": "Progressing", "reason": reason}]
    found["status"] |= {"observedGeneration": observed, "conditions": conditions, **status}
    return found


class TestHistory:
    def test_is_newest_first_and_says_which_is_the_current_one(self):
        found = look(seen.replicaset(9, "a"), seen.replicaset(10, "b", replicas=2, ready=2))

        assert [(one.number, one.name, one.current) for one in found.revisions] == [
            (10, "web-10", True), (9, "web-9", False)]  # fmt: skip

    def test_is_only_of_what_this_very_deployment_controls(self):
        loose = seen.replicaset(3, "c")
        del loose["metadata"]["ownerReferences"][0]["controller"]

        assert look(seen.replicaset(1, "a", owner="of-the-one-before"), loose).revisions == ()

    def test_after_a_change_that_no_controller_has_seen_none_is_current(self):
        found = look(seen.replicaset(1, "a", replicas=2, ready=2), found=rollout("NewReplicaSetAvailable", observed=1))

        assert [one.current for one in found.revisions] == [False]
        assert found.rollout == "progressing"

    def test_holds_at_most_twenty_the_newest(self):
        found = look(*(seen.replicaset(at, f"i{at}") for at in range(1, 400)))

        assert [one.number for one in found.revisions] == [*range(399, 379, -1)]

    def test_shows_nothing_of_a_template_but_its_print(self):
        found = look(seen.replicaset(1, "registry.example/secret-name")).model_dump_json()

        assert "secret-name" not in found


class TestTheRollout:
    @pytest.mark.parametrize(
        ("reason", "state"),
        [("ProgressDeadlineExceeded", "stuck"), ("NewReplicaSetAvailable", "complete"),
         ("ReplicaSetUpdated", "progressing"), ("", "unknown")],
    )  # fmt: skip
    def test_is_what_the_condition_says(self, reason, state):
        assert look(found=rollout(reason)).rollout == state

    @pytest.mark.parametrize("status", [{"replicas": 3, "updatedReplicas": 1}, {"replicas": 3}, {"updatedReplicas": 1}])
    def test_is_not_over_where_the_condition_is_about_the_version_before(self, status):
        assert look(found=rollout("NewReplicaSetAvailable", **status)).rollout == "progressing"


class TestHealth:
    def test_one_whose_pods_are_ready_while_the_rollout_is_stuck_is_good_now(self):
        old, new = seen.replicaset(1, "a", replicas=2, ready=2), seen.replicaset(2, "b", replicas=1)
        found = look(old, new, found=rollout("ProgressDeadlineExceeded"))

        assert [(one.number, one.health) for one in found.revisions] == [(2, "unknown"), (1, "now")]

    def test_the_current_one_is_good_when_its_rollout_is_over_and_all_its_pods_are_ready(self):
        full, part = seen.replicaset(2, "b", replicas=2, ready=2), seen.replicaset(2, "b", replicas=2, ready=1)

        assert look(full).revisions[0].health == "now"
        assert look(part).revisions[0].health == "unknown"
        assert look(full, found=rollout("ReplicaSetUpdated")).revisions[0].health == "unknown"

    def test_one_that_stood_for_longer_than_a_rollout_may_take_stood(self):
        sets = [seen.replicaset(1, "a", made="2026-01-01T00:00:00Z"),
                seen.replicaset(2, "c", made="2026-01-02T00:00:00Z"),
                seen.replicaset(3, "b", made="2026-01-02T00:09:00Z", replicas=2)]  # fmt: skip

        assert [(one.number, one.stood_s, one.health) for one in look(*sets).revisions] == [
            (3, None, "unknown"), (2, 540, "unknown"), (1, 86400, "stood")]  # fmt: skip

    def test_one_that_came_back_by_a_rollback_tells_no_time_and_nor_does_the_one_before(self):
        sets = [seen.replicaset(2, "c", made="2026-01-02T00:00:00Z"),
                seen.replicaset(3, "a", made="2026-01-01T00:00:00Z", before="1"),
                seen.replicaset(4, "b", made="2026-01-09T00:00:00Z", replicas=2)]  # fmt: skip

        assert [one.stood_s for one in look(*sets).revisions] == [None, None, None]
        assert {one.health for one in look(*sets).revisions} == {"unknown"}


class TestFingerprint:
    def test_is_without_the_label_that_the_controller_adds(self):
        assert fingerprint(seen.template("a")) == fingerprint(seen.replicaset(7, "a")["spec"]["template"])

    def test_is_another_one_for_another_template(self):
        assert fingerprint(seen.template("a")) != fingerprint(seen.template("b"))


class TestOnACluster:
    def test_the_template_of_the_deployment_is_found_again_in_its_history(self, cluster, kube):
        cluster.deployment("shop", "web", 2, ready_after=0)
        cluster.tick()
        cluster.tick()
        container = {"name": "app", "image": "registry.example/web:2"}
        cluster.edit("Deployment", "shop", "web", {"spec": {"template": {"spec": {"containers": [container]}}}})
        cluster.tick()
        cluster.tick()
        found = cluster.get("Deployment", "shop", "web")

        history = revisions.look(kube, seen.WEB, found).revisions

        assert [(one.number, one.current) for one in history] == [(2, True), (1, False)]
        assert history[0].template == fingerprint(found["spec"]["template"]) != history[1].template
