"""Back to what is known to have been good, by names of ReplicaSets alone, or a reason why not."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.details import Details, Revision, Revisions
from shared.model.facts import ContainerState, Facts, PodFacts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("rollback_deployment")
SCOPE = Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")


def rev(number, health="unknown", *, current=False, template=None, ready=0, replicas=2):
    return Revision(
        name=f"web-{number}", uid=f"r-{number}", number=number, current=current, health=health, ready=ready,
        replicas=replicas, template=template or f"t{number}",
    )  # fmt: skip


BAD = rev(3, current=True)


def facts(*revisions, rollout="stuck", **changes):
    details = Details(revisions=Revisions(revisions=revisions, rollout=rollout))
    base = {"scope": SCOPE, "replicas": Replicas(desired=2, ready=2, updated=1), "pod_count": 3, "details": details}
    return Facts(**{"taken_at": 1} | base | changes)


def plan(*revisions, revision=0, **changes):
    return ACTION.plan(facts(*revisions, **changes), ACTION.Params(revision=revision))


def back_to(made):
    assert not isinstance(made, Refusal), made
    return made.writes[0].after["name"]


class TestGoesBackTo:
    @pytest.mark.parametrize(
        ("former", "name"),
        [
            ([rev(2, "stood"), rev(1, "stood")], "web-2"),
            ([rev(2), rev(1, "stood")], "web-1"),
            ([rev(2, "stood"), rev(1, "now")], "web-1"),  # what serves now is proven
            ([rev(2, "stood", template="t3"), rev(1, "stood")], "web-1"),  # the same by another name is no way back
            ([rev(4, "now"), rev(1, "stood")], "web-1"),  # never forward
        ],
    )
    def test_the_last_that_was_good(self, former, name):
        assert back_to(plan(BAD, *former)) == name

    def test_the_one_that_a_person_names_good_or_not(self):
        assert back_to(plan(BAD, rev(2, "now"), rev(1), revision=1)) == "web-1"

    def test_by_names_and_no_template(self):
        made = plan(BAD, rev(2, "now", ready=2))
        copy, watch = made.writes
        assert copy.target.model_dump() == {"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d-1"}
        assert copy.before == {"kind": "ReplicaSet", "name": "web-3", "uid": "r-3", "path": "/spec/template"}
        assert copy.after == {"kind": "ReplicaSet", "name": "web-2", "uid": "r-2", "path": "/spec/template"}
        assert (copy.verb, copy.path, watch.verb) == ("copy", "/spec/template", "watch")
        assert 0 < watch.patience_s < ACTION.run_s

    def test_and_the_way_back_again_is_the_same_reversed(self):
        (write,) = plan(BAD, rev(2, "now")).inverse().writes
        assert (write.before["name"], write.after["name"]) == ("web-2", "web-3")

    @pytest.mark.parametrize(("ready", "before", "back"), [(0, 0, False), (1, 2, False), (2, 0, True), (2, 1, True)])
    def test_is_left_half_way_unless_more_served_before(self, ready, before, back):
        made = plan(rev(3, current=True, ready=ready), rev(2, "stood", ready=before))
        assert made.takes_back is back
        assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", ready, 3)


class TestThePresentOne:
    """One that has stood is good, whatever its pods suffer from now."""

    @staticmethod
    def plan(minutes, *, revision=0, rollout="complete"):
        now = BAD.model_copy(update={"created_at": 1_000})
        given = facts(now, rev(2, "stood"), rollout=rollout, taken_at=1_000 + minutes * 60_000)
        return ACTION.plan(given, ACTION.Params(revision=revision))

    def test_that_has_stood_for_half_an_hour_is_not_left(self):
        assert self.plan(31).reason == "nothing-to-do"
        assert "has stood for 31 min" in self.plan(31).text

    def test_that_is_new_or_stuck_or_unwanted_is_left(self):
        assert back_to(self.plan(29)) == back_to(self.plan(31, rollout="stuck")) == "web-2"
        assert back_to(self.plan(31, revision=2)) == "web-2"

    def test_that_serves_for_a_moment_between_two_crashes_is_left(self):
        falls = ContainerState(name="app", ready=True, restarts=3, crashed=True, fell=True)
        stood = falls.model_copy(update={"fell": False})
        pods = [PodFacts(name=f"web-{n}", uid=f"p-{n}", ready=True, containers=(falls,)) for n in range(2)]
        given = (rev(3, "now", current=True, ready=2), rev(2, "stood"))
        made = plan(*given, pods=tuple(pods))
        assert (back_to(made), made.touches.count, made.takes_back) == ("web-2", 0, False)
        one = plan(*given, pods=(pods[0], pods[1].model_copy(update={"containers": (stood,)})))
        assert (back_to(one), one.touches.count, one.takes_back) == ("web-2", 1, True)
        assert plan(*given).reason == "nothing-to-do"

    def test_without_any_replicas_fails_in_nothing(self):
        assert plan(BAD, rev(2, "stood"), replicas=Replicas(desired=0, ready=0)).reason == "nothing-to-do"


class TestRefuses:
    @pytest.mark.parametrize(
        ("given", "reason", "word"),
        [
            (plan(BAD, rev(2)), "not-found", "none of the 1"),
            (plan(BAD, rev(4, "now")), "not-found", "none of the 0"),
            (plan(BAD, rev(2, "now", template="t3")), "not-found", "none of the 0"),
            (plan(BAD), "unsupported", "only one"),
            (plan(), "not-found", "no ReplicaSet"),
            (plan(rev(2), rev(1)), "not-found", "no ReplicaSet"),
            (plan(rev(3, "now", current=True), rev(2, "now")), "nothing-to-do", "all its pods are ready"),
            (plan(BAD, rev(2, "now"), revision=9), "not-found", "3, 2"),
            (plan(BAD, rev(2, "now"), revision=3), "nothing-to-do", "runs already"),
            (plan(BAD, rev(2, template="t3"), revision=2), "nothing-to-do", "runs already"),
            (plan(BAD, rev(2, "now"), paused=True), "paused", "paused"),
            (plan(BAD, rev(2, "now"), gitops_owner="argocd"), "gitops", "Git"),
            (plan(BAD, rev(2, "now"), replicas=None), "not-found", "web"),
            (plan(BAD, rev(2, "now"), details=Details()), "not-found", "web"),
            (plan(BAD, rev(2, "now"), scope=SCOPE.model_copy(update={"uid": ""})), "not-found", "web"),
            (plan(BAD, rev(2, "now"), scope=SCOPE.model_copy(update={"kind": "DaemonSet"})), "unsupported", "web"),
        ],
    )  # fmt: skip
    def test_and_names_the_reason(self, given, reason, word):
        assert isinstance(given, Refusal)
        assert given.reason == reason
        assert word in given.text

    @pytest.mark.parametrize("revision", [-1, 1_000_000_001, 0.5, float("nan"), "one", "1Gi", None, [1]])
    def test_what_is_no_revision(self, revision):
        with pytest.raises(ValidationError):
            ACTION.Params.model_validate({"revision": revision})

    def test_a_long_history_in_a_short_sentence(self):
        refused = plan(BAD, *(rev(number) for number in range(1_000_000, 1_000_200)), revision=9)
        assert len(refused.text) <= 300


def arrived(**changes):
    return ACTION.arrived(facts(BAD, rev(2, "now"), **changes), ACTION.Params())


class TestHasArrived:
    def test_when_all_are_of_the_former_revision_and_ready(self):
        assert arrived(replicas=Replicas(desired=2, ready=2, updated=2)) == ""

    @pytest.mark.parametrize(
        "changes",
        [
            {"replicas": Replicas(desired=2, ready=2, updated=1)},
            {"replicas": Replicas(desired=2, ready=1, updated=2)},
            {"replicas": Replicas(desired=2, ready=2, updated=2, observed=False)},
            {"replicas": Replicas(desired=2, ready=2, updated=2), "rolling_out": True},
        ],
    )
    def test_not_before_and_the_former_rollouts_end_is_none(self, changes):
        said = arrived(**changes)
        assert isinstance(said, str)
        assert "of 2 pods" in said

    @pytest.mark.parametrize(("changes", "reason"), [({"paused": True}, "paused"), ({"replicas": None}, "not-found")])
    def test_never_where_nothing_more_will_come(self, changes, reason):
        assert arrived(**changes).reason == reason


def pod(*, ready=True, deleting=False, **state):
    return PodFacts(
        name="p", uid="p", ready=ready, deleting=deleting, containers=(ContainerState(name="a", ready=ready, **state),)
    )


class TestIsHealthy:
    FULL = Replicas(desired=2, ready=2, updated=2)

    def test_when_all_is_rolled_out_and_calm(self):
        assert ACTION.healthy(facts(BAD, replicas=self.FULL, pods=(pod(), pod(ready=False, deleting=True))))

    @pytest.mark.parametrize(
        "changes",
        [
            {"replicas": Replicas(desired=2, ready=1, updated=2)},
            {"replicas": Replicas(desired=2, ready=2, updated=1)},
            {"replicas": None},
            {"rolling_out": True},
            {"paused": True},
            {"pods": (pod(ready=False),)},
            {"pods": (pod(waiting="CrashLoopBackOff"),)},
        ],
    )
    def test_not_while(self, changes):
        assert not ACTION.healthy(facts(BAD, **{"replicas": self.FULL} | changes))
