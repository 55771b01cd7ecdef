"""One absolute write of the replicas, or a refusal that tells a person what to do instead."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.facts import Facts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("scale_deployment")
SCOPE = Scope(kind="Deployment", namespace="shop", name="checkout", uid="d-1")


def facts(desired=2, ready=2, **changes):
    return Facts(taken_at=1, **{"scope": SCOPE, "replicas": Replicas(desired=desired, ready=ready)} | changes)


def plan(wanted=None, /, delta=None, for_minutes=None, **changes):
    params = ACTION.Params(replicas=wanted, delta=delta, for_minutes=for_minutes)
    return ACTION.plan(facts(**changes), params)


@pytest.mark.parametrize(("wanted", "count"), [(5, 0), (1, 1), (100, 0)])
def test_writes_the_wanted_number_over_the_present_one(wanted, count):
    made = plan(wanted)
    (write,) = made.writes
    assert (write.verb, write.path, write.before, write.after) == ("patch", "/spec/replicas", 2, wanted)
    assert write.target.model_dump() == {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
    assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", count, 2)
    assert made.replicas == ({"up": wanted} if wanted > 2 else {"down": wanted})


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


class TestByHowMany:
    @pytest.mark.parametrize(("delta", "wanted"), [(1, 3), (-1, 1), (98, 100)])
    def test_is_counted_from_what_is_there_and_written_absolutely(self, delta, wanted):
        (write,) = plan(delta=delta).writes
        assert (write.before, write.after) == (2, wanted)

    @pytest.mark.parametrize("delta", [-2, -100, 99, 100])
    def test_never_leads_to_none_or_to_more_than_a_machine_may_ask_for(self, delta):
        assert plan(delta=delta).reason == "bounds"

    def test_of_nothing_is_nothing_to_do(self):
        assert plan(delta=0).reason == "nothing-to-do"

    @pytest.mark.parametrize(
        "params",
        [
            {}, {"replicas": None}, {"replicas": 3, "delta": 1}, {"delta": 101}, {"delta": -101}, {"delta": 0.5},
            {"replicas": 0}, {"replicas": 101}, {"replicas": -1}, {"replicas": float("nan")}, {"delta": "1Gi"},
            {"replicas": 3, "for_minutes": 0}, {"replicas": 3, "for_minutes": 10_081}, {"delta": 1, "more": 1},
        ],
    )  # fmt: skip
    def test_or_how_many_is_said_and_not_both(self, params):
        with pytest.raises(ValidationError):
            ACTION.Params.model_validate(params)


class TestTheOwnersBounds:
    @pytest.mark.parametrize(
        ("wanted", "spec", "reason"),
        [
            (3, {"minimum_replicas": 4}, "bounds"),
            (4, {"minimum_replicas": 4}, ""),
            (9, {"maximum_replicas": 8}, "bounds"),
            (8, {"maximum_replicas": 8}, ""),
            (6, {"minimum_replicas": 7}, ""),  # up, if not as far as it should be
            (4, {"maximum_replicas": 3}, ""),  # and down
            (4, {"minimum_replicas": True, "maximum_replicas": "3"}, ""),
        ],
    )
    def test_hold_for_whoever_goes_further_away_from_them(self, wanted, spec, reason):
        made = plan(wanted, desired=5, spec=spec)
        assert (made.reason if isinstance(made, Refusal) else "") == reason


class TestForAWhile:
    def test_says_until_when_and_is_the_same_write(self):
        made = plan(5, for_minutes=30)
        assert made.until_s == 1800
        assert made.hash == plan(5).hash
        assert plan(5).until_s == 0
