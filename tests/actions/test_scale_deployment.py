"""One absolute write of the replicas, or a refusal that tells a person what to do instead."""

import pytest

from shared.action.catalogue import Catalogue
from shared.model.facts import Facts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("scale_deployment")
SCOPE = Scope(kind="Deployment", namespace="shop", name="checkout", uid="d-1")


def facts(desired=2, ready=2, **changes):
    return Facts(taken_at=1, **{"scope": SCOPE, "replicas": Replicas(desired=desired, ready=ready)} | changes)


def plan(wanted, /, **changes):
    return ACTION.plan(facts(**changes), ACTION.Params(replicas=wanted))


@pytest.mark.parametrize(("wanted", "count"), [(5, 0), (1, 1), (100, 0)])
def test_writes_the_wanted_number_over_the_present_one(wanted, count):
    made = plan(wanted)
    (write,) = made.writes
    assert (write.verb, write.path, write.before, write.after) == ("patch", "/spec/replicas", 2, wanted)
    assert write.target.model_dump() == {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
    assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", count, 2)


def test_the_undo_writes_the_old_number():
    (write,) = plan(5).inverse().writes
    assert (write.before, write.after) == (5, 2)


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"scope": SCOPE.model_copy(update={"kind": "StatefulSet"})}, "unsupported", "StatefulSet"),
        ({"scope": SCOPE.model_copy(update={"uid": ""})}, "not-found", "checkout"),
        ({"replicas": None}, "not-found", "checkout"),
        ({"autoscaler": "checkout-hpa"}, "autoscaler", "checkout-hpa"),
        ({"gitops_owner": "argocd"}, "gitops", "argocd"),
        ({"desired": 5}, "nothing-to-do", "5"),
    ],
)
def test_refuses_and_names_the_reason(changes, reason, word):
    refused = plan(5, **changes)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert word in refused.text


def test_a_pause_concerns_the_rollout_and_not_the_number():
    assert plan(5, paused=True).writes


@pytest.mark.parametrize(
    ("replicas", "healthy"),
    [
        (Replicas(desired=3, ready=3), True),
        (Replicas(desired=3, ready=4), True),
        (Replicas(desired=3, ready=2), False),
        (Replicas(desired=3, ready=3, observed=False), False),
        (None, False),
    ],
)
def test_healthy_when_the_controller_has_seen_it_and_all_are_ready(replicas, healthy):
    assert ACTION.healthy(facts(replicas=replicas)) is healthy
