"""One eviction of exactly one pod by its uid, and no cure declared between two crashes."""

import pytest

from shared.action.catalogue import Catalogue
from shared.model.facts import ContainerState, Facts, PodFacts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("restart_pod")
SCOPE = Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")


def pod(name="web-1", *, ready=True, age_s=3600, deleting=False, uid=None, phase="Running", **state):
    return PodFacts(
        name=name,
        uid=f"u-{name}" if uid is None else uid,
        phase=phase,
        ready=ready,
        age_s=age_s,
        deleting=deleting,
        containers=(ContainerState(name="web", ready=ready, **state),),
    )


def facts(*pods, **changes):
    base = {"scope": SCOPE, "replicas": Replicas(desired=2, ready=2), "pods": pods, "pod_count": len(pods)}
    return Facts(taken_at=1, **base | changes)


def plan(*pods, name="web-1", allow_bare=False, **changes):
    return ACTION.plan(facts(*pods, **changes), ACTION.Params(pod=name, allow_bare=allow_bare))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_evicts_the_pod_with_exactly_that_uid(kind):
    made = plan(pod(), pod("web-2"), scope=SCOPE.model_copy(update={"kind": kind}))
    write, wait = made.writes
    assert (wait.verb, wait.target.kind) == ("watch", kind)
    assert (write.verb, write.path, write.before, write.after) == ("evict", "", None, None)
    assert write.target.model_dump() == {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u-web-1"}
    assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", 1, 2)


def test_cannot_be_undone():
    assert plan(pod()).inverse() is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (plan(pod("web-2")), "not-found"),
        (plan(), "not-found"),
        (plan(pod(uid="")), "not-found"),
        (plan(pod(deleting=True)), "nothing-to-do"),
        (plan(pod(), disruption_allowed=0), "disruption-budget"),
        (plan(pod(), scope=SCOPE.model_copy(update={"kind": "Pod", "name": "web-1"})), "bare-pod"),
        (plan(pod(), scope=SCOPE.model_copy(update={"kind": "Job"})), "unsupported"),
        (plan(pod(), scope=Scope(kind="unknown", name="alert/aa")), "unsupported"),
    ],
)
def test_refuses_and_names_the_reason(given, reason):
    assert isinstance(given, Refusal)
    assert given.reason == reason


def test_a_pod_without_owner_goes_only_when_somebody_says_so():
    bare = SCOPE.model_copy(update={"kind": "Pod", "name": "web-1"})
    (write,) = plan(pod(), scope=bare, replicas=None, allow_bare=True).writes
    assert write.verb == "evict"  # and nobody waits for what nobody makes


class TestTheReplacement:
    def waits(self, *pods, **changes):
        return ACTION.arrived(facts(*pods, **changes), ACTION.Params(pod="web-1"))

    def test_is_there_when_it_is_ready(self):
        assert self.waits(pod("web-2"), pod("web-3", age_s=4)) == ""

    @pytest.mark.parametrize("gone", [{"deleting": True}, {"phase": "Failed"}])
    def test_is_waited_for_while_nothing_has_the_place_of_the_old_one(self, gone):
        assert "1 of 2 pods are there" in self.waits(pod("web-1", **gone), pod("web-2"))

    def test_is_waited_for_until_it_is_ready(self):
        slow = pod("web-3", ready=False, age_s=4, waiting="ContainerCreating")

        assert self.waits(pod("web-2"), slow) == "pod web-3 is not ready yet"
        assert self.waits(pod("web-2"), slow.model_copy(update={"reason": "Unschedulable"})).endswith("Unschedulable")

    @pytest.mark.parametrize("state", [{"crashed": True}, {"waiting": "ImagePullBackOff"}])
    def test_that_fails_in_its_turn_is_the_verdicts_affair(self, state):
        assert self.waits(pod("web-2"), pod("web-3", ready=False, age_s=4, **state)) == ""

    def test_is_not_waited_for_because_of_another_pod_that_is_ill(self):
        assert self.waits(pod("web-2", ready=False), pod("web-3", age_s=4)) == ""

    def test_is_one_of_very_many(self):
        shown = [pod(f"web-{at}") for at in range(2, 52)]

        assert "59 of 60 pods" in self.waits(*shown, pod_count=59, replicas=Replicas(desired=60, ready=59))
        assert self.waits(*shown, pod_count=60, replicas=Replicas(desired=60, ready=60)) == ""

    def test_never_comes_where_nothing_has_replicas(self):
        refused = self.waits(pod("web-2"), replicas=None)

        assert isinstance(refused, Refusal)
        assert refused.reason == "not-found"


@pytest.mark.parametrize("allowed", [None, 1])
def test_a_budget_that_allows_it_is_no_hindrance(allowed):
    assert plan(pod(), disruption_allowed=allowed).writes


def test_healthy_when_all_are_ready():
    assert ACTION.healthy(facts(pod(age_s=70), pod("web-2", restarts=40)))
    assert ACTION.healthy(facts(pod(), pod("old", ready=False, deleting=True)))


def test_what_a_node_has_evicted_and_nobody_has_deleted_yet_is_no_ill_pod():
    evicted = pod("old", ready=False, phase="Failed", terminated="ContainerStatusUnknown", restarts=1)
    assert ACTION.healthy(facts(pod(), evicted))
    assert not ACTION.healthy(facts(evicted))


@pytest.mark.parametrize(
    "seen",
    [
        facts(),
        facts(pod(deleting=True)),
        facts(pod(), pod("web-2", ready=False)),
        facts(pod(), pod("web-2", waiting="CrashLoopBackOff")),
        facts(pod(), replicas=Replicas(desired=2, ready=1)),
        facts(pod(), replicas=Replicas(desired=1, ready=1, observed=False)),
    ],
)
def test_not_healthy(seen):
    assert not ACTION.healthy(seen)


def test_a_new_pod_that_crashed_again_is_no_cure_while_it_happens_to_be_ready():
    assert not ACTION.healthy(facts(pod(age_s=120, restarts=1), pod("web-2")))
