"""One annotation that says when, as many pods at a time as it allows, and an end at the first that stays away."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.facts import Facts, PodFacts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("restart_daemonset")
SCOPE = Scope(kind="DaemonSet", namespace="shop", name="agent", uid="s-1")
SPEC = {"generation": 7, "strategy": "RollingUpdate", "max_unavailable": "1", "annotated": True, "restarted": ""}
FULL = Replicas(desired=4, ready=4, updated=4)
HALF = Replicas(desired=4, ready=3, updated=2)


def facts(spec=None, /, **changes):
    base = {"scope": SCOPE, "replicas": FULL, "pod_count": 4, "spec": SPEC | (spec or {})}
    return Facts(taken_at=1, **base | changes)


def plan(spec=None, /, **changes):
    return ACTION.plan(facts(spec, **changes), ACTION.Params())


class TestWrites:
    NOTE = "/spec/template/metadata/annotations/akeso.dev~1restarted"

    @pytest.mark.parametrize(
        ("spec", "path", "before", "after"),
        [
            ({}, NOTE, None, "7"),
            ({"restarted": "3"}, NOTE, "3", "7"),
            (
                {"annotated": False},
                "/spec/template/metadata/annotations",
                None,
                {"akeso.dev/restarted": "7"},
            ),
        ],
    )
    def test_at_which_generation_and_waits(self, spec, path, before, after):
        write, watch = plan(spec).writes
        assert (write.verb, write.path, write.before, write.after) == ("patch", path, before, after)
        assert write.target.model_dump() == {"kind": "DaemonSet", "namespace": "shop", "name": "agent", "uid": "s-1"}
        assert watch.verb == "watch"
        assert 0 < watch.patience_s < ACTION.run_s
        assert plan(spec).takes_back

    def test_something_else_once_somebody_has_changed_it(self):
        assert plan({"generation": 8}).hash != plan().hash

    @pytest.mark.parametrize(
        ("said", "count"),
        [("1", 1), ("3", 3), ("9", 4), ("0", 1), ("25%", 1), ("26%", 2), ("100%", 4), ("999%", 4), ("0%", 1), ("?", 4)],
    )
    def test_as_many_as_may_be_away_at_once(self, said, count):
        touches = plan({"max_unavailable": said}).touches
        assert (touches.unit, touches.count, touches.population) == ("pod", count, 4)


class TestRefuses:
    @pytest.mark.parametrize(
        ("given", "reason", "word"),
        [
            (plan({"strategy": "OnDelete"}), "unsupported", "OnDelete"),
            (plan({"strategy": "Odd"}), "unsupported", "Odd"),
            (plan(scope=SCOPE.model_copy(update={"kind": "Deployment"})), "unsupported", "Deployment"),
            (plan(scope=SCOPE.model_copy(update={"uid": ""})), "not-found", "agent"),
            (plan(replicas=None), "not-found", "agent"),
            (plan(replicas=Replicas(desired=0, ready=0)), "nothing-to-do", "no node"),
        ],
    )
    def test_and_names_the_reason(self, given, reason, word):
        assert isinstance(given, Refusal)
        assert given.reason == reason
        assert word in given.text

    @pytest.mark.parametrize("seconds", [0, -1, 29, 901, 60.5, float("nan"), "1m", None])
    def test_what_is_no_time(self, seconds):
        with pytest.raises(ValidationError):
            ACTION.Params.model_validate({"ready_within_s": seconds})


def pod(age_s, *, ready=False, deleting=False, phase="Running", name="agent-x"):
    return PodFacts(name=name, uid="p", ready=ready, deleting=deleting, phase=phase, age_s=age_s)


def arrived(*pods, replicas=HALF, ready_within_s=180):
    return ACTION.arrived(facts(replicas=replicas, pods=pods), ACTION.Params(ready_within_s=ready_within_s))


class TestHasArrived:
    def test_when_all_are_new_and_ready(self):
        assert arrived(pod(200, ready=True), replicas=FULL) == ""

    @pytest.mark.parametrize(
        "replicas",
        [HALF, Replicas(desired=4, ready=4, updated=3), Replicas(desired=4, ready=4, updated=4, observed=False)],
    )
    def test_not_before(self, replicas):
        assert "of 4 pods" in arrived(pod(20), replicas=replicas)

    @pytest.mark.parametrize(("age_s", "within"), [(180, 180), (3599, 180), (30, 30), (900, 900)])
    def test_never_once_one_that_was_replaced_stays_away(self, age_s, within):
        said = arrived(pod(40, ready=True), pod(age_s), ready_within_s=within)
        assert isinstance(said, Refusal)
        assert said.reason == "failed"
        assert "agent-x" in said.text

    @pytest.mark.parametrize(
        "other",
        [
            pod(179),
            pod(3600),  # ill before, and its turn comes
            pod(200, deleting=True),
            pod(200, phase="Failed"),
            pod(200, ready=True),
        ],
    )
    def test_but_nobody_else_ends_it(self, other):
        assert isinstance(arrived(other), str)

    def test_nor_one_that_was_there_before_the_first_was_replaced(self):
        assert isinstance(arrived(pod(300), replicas=Replicas(desired=4, ready=3, updated=0)), str)
        assert isinstance(arrived(pod(300), replicas=Replicas(desired=4, ready=3, updated=4, observed=False)), str)

    def test_a_name_at_the_length_limit_fits_the_sentence(self):
        assert len(arrived(pod(200, name="a" * 253)).text) <= 300

    def test_never_when_it_is_gone(self):
        assert arrived(replicas=None).reason == "not-found"


@pytest.mark.parametrize(("replicas", "healthy"), [(FULL, True), (HALF, False), (None, False)])
def test_healthy_when_all_are_new_and_ready(replicas, healthy):
    assert ACTION.healthy(facts(replicas=replicas)) is healthy
