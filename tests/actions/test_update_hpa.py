"""A step of an autoscaler's bounds, in an order that the API takes, or a reason why not."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.details import Details, Scaler
from shared.model.facts import Facts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("update_hpa")
SCOPE = Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")
SCALER = Scaler(
    name="web-hpa", uid="h-1", minimum=4, minimum_said=True, maximum=8, current=8, desired=8, metrics=True, able=True,
    limited="TooManyReplicas",
)  # fmt: skip


def facts(changes=None, /, **more):
    details = Details(scaler=SCALER.model_copy(update=changes or {}))
    return Facts(taken_at=1, **{"scope": SCOPE, "replicas": Replicas(desired=8, ready=8), "details": details} | more)


def plan(changes=None, /, *, maximum=None, minimum=None, **more):
    return ACTION.plan(facts(changes, **more), ACTION.Params(maximum=maximum, minimum=minimum))


def moves(made):
    assert not isinstance(made, Refusal), made
    return [(write.path.removeprefix("/spec/"), write.before, write.after) for write in made.writes]


class TestBounds:
    @pytest.mark.parametrize(("maximum", "after"), [(8, 10), (1, 2), (3, 4), (999, 1000), (40, 50)])
    def test_by_itself_the_maximum_goes_up_by_a_quarter_and_at_least_one(self, maximum, after):
        there = {"minimum": 1, "maximum": maximum, "current": maximum, "desired": maximum}
        assert moves(plan(there)) == [("maxReplicas", maximum, after)]

    def test_and_no_further_than_the_owner_allows(self):
        assert moves(plan(spec={"maximum_replicas": 9})) == [("maxReplicas", 8, 9)]

    @pytest.mark.parametrize(
        ("current", "asked", "written"),
        [
            (8, {"maximum": 16}, [("maxReplicas", 8, 16)]),
            (6, {"maximum": 6}, [("maxReplicas", 8, 6)]),
            (8, {"minimum": 8}, [("minReplicas", 4, 8)]),
            (8, {"minimum": 8, "maximum": 12}, [("maxReplicas", 8, 12), ("minReplicas", 4, 8)]),
            (2, {"minimum": 1, "maximum": 3}, [("minReplicas", 4, 1), ("maxReplicas", 8, 3)]),
        ],
    )
    def test_that_are_asked_for_are_written_so_that_they_never_cross(self, current, asked, written):
        made = plan({"current": current, "desired": current}, **asked)
        assert moves(made) == written
        up, down = [b for _, a, b in written if b > a], [b for _, a, b in written if b < a]
        assert (made.replicas.get("up"), made.replicas.get("down")) == (max(up, default=None), min(down, default=None))

    def test_a_minimum_that_nobody_has_said_is_added_and_taken_away_again(self):
        made = plan({"minimum": 1, "minimum_said": False}, minimum=2)
        assert moves(made) == [("minReplicas", None, 2)]
        assert made.replicas == {"up": 2}
        (back,) = made.inverse().writes
        assert (back.before, back.after) == (2, None)

    def test_are_the_autoscalers_and_disturb_no_pod(self):
        made = plan()
        assert made.writes[0].target.model_dump() == {
            "kind": "HorizontalPodAutoscaler", "namespace": "shop", "name": "web-hpa", "uid": "h-1",
        }  # fmt: skip
        assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", 0, 8)


class TestRefuses:
    @pytest.mark.parametrize(
        ("given", "reason", "word"),
        [
            (plan(maximum=17), "bounds", "double"),
            (plan(maximum=7), "bounds", "end replicas that run"),
            (plan(minimum=9), "bounds", "more than"),
            (plan({"current": 2, "desired": 2}, minimum=3, maximum=2), "bounds", "minimum"),
            (plan({"minimum": 1, "current": 1, "desired": 1}, minimum=3), "bounds", "double"),
            (plan(spec={"maximum_replicas": 8}), "bounds", "owner"),
            (plan(maximum=10, spec={"maximum_replicas": 9}), "bounds", "owner"),
            (plan(maximum=8), "nothing-to-do", "between 4 and 8"),
            (plan({"current": 7, "desired": 7}), "nothing-to-do", "7 replicas"),
            (plan({"minimum": 1, "maximum": 1000, "current": 1000, "desired": 1000}), "nothing-to-do", "1000"),
            (plan({"metrics": False}), "metrics", "no metrics"),
            (plan({"able": False}), "metrics", "cannot scale"),
            (plan({"gitops_owner": "flux"}), "gitops", "Git"),
            (plan({"name": "", "uid": ""}), "undeclared", "no autoscaler"),
            (plan({"uid": ""}), "undeclared", "no autoscaler"),
            (plan(details=Details()), "not-found", "web"),
            (plan(replicas=None), "not-found", "web"),
            (plan(scope=SCOPE.model_copy(update={"kind": "DaemonSet"})), "unsupported", "DaemonSet"),
        ],
    )
    def test_and_names_the_reason(self, given, reason, word):
        assert isinstance(given, Refusal), given
        assert given.reason == reason
        assert word in given.text

    @pytest.mark.parametrize("value", [0, -1, 1001, 0.5, float("nan"), "1Gi", "1e3", [1]])
    @pytest.mark.parametrize("field", ["minimum", "maximum"])
    def test_what_is_no_number_of_replicas(self, field, value):
        with pytest.raises(ValidationError):
            ACTION.Params.model_validate({field: value})


class TestIsHealthy:
    FREE = {"limited": "", "maximum": 10}  # noqa: RUF012

    def test_when_it_is_no_longer_held_back(self):
        assert ACTION.healthy(facts(self.FREE))

    @pytest.mark.parametrize(
        ("changes", "more"),
        [
            ({}, {}),
            ({"limited": "", "metrics": False}, {}),
            (FREE, {"replicas": Replicas(desired=9, ready=8)}),
            (FREE, {"replicas": Replicas(desired=8, ready=8, observed=False)}),
            (FREE, {"replicas": None}),
            (FREE, {"details": Details()}),
        ],
    )
    def test_not_while(self, changes, more):
        assert not ACTION.healthy(facts(changes, **more))
