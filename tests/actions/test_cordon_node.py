"""One field of one node for a limited time, and never of the last that takes pods."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.details import Details, Node, Nodes
from shared.model.facts import Facts, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("cordon_node")
SCOPE = Scope(kind="Node", name="n1", uid="n-1")
THREE = Nodes(all=3, ready=3, schedulable=3)


def facts(scope=SCOPE, **changes):
    node = Node(**{"ready": True, "in_cluster": THREE, "in_pool": THREE} | changes)
    return Facts(taken_at=1, scope=scope, details=Details(node=node))


def plan(given=None, **params):
    return ACTION.plan(given or facts(), ACTION.Params(**params))


class TestThePlan:
    def test_changes_one_field_from_absent_to_true_on_exactly_that_node(self):
        (write,) = plan().writes

        assert (write.verb, write.path, write.before, write.after) == ("patch", "/spec/unschedulable", None, True)
        assert write.target.model_dump() == {"kind": "Node", "namespace": "", "name": "n1", "uid": "n-1"}

    def test_is_taken_back_by_the_same_field(self):
        (back,) = plan().inverse().writes

        assert (back.before, back.after) == (True, None)

    @pytest.mark.parametrize("minutes", [10, 60, 1440])
    def test_ends_after_so_many_minutes(self, minutes):
        assert plan(minutes=minutes).until_s == minutes * 60

    def test_is_the_same_however_the_node_is_looked_at(self):
        assert plan(facts(taints=("a",), kubelet="v1")).hash == plan().hash

    def test_takes_one_node_of_all_and_of_its_pool(self):
        blue = Nodes(all=2, ready=2, schedulable=2)
        touched = plan(facts(pool="blue", in_pool=blue)).touches

        assert (touched.unit, touched.count, touched.population) == ("node", 1, 3)
        assert (touched.pool, touched.pool_population) == ("blue", 2)

    def test_of_nodes_in_no_pool_none_is_counted(self):
        assert plan().touches.pool_population == 0


class TestTheParameters:
    @pytest.mark.parametrize(
        "minutes", [9, 1441, -60, 0, "60", "1h", 60.0, 10.5, float("nan"), float("inf"), True, None, [], 10**40]
    )
    def test_take_whole_minutes_within_a_day_and_nothing_else(self, minutes):
        with pytest.raises(ValidationError):
            ACTION.Params(minutes=minutes)

    def test_take_nothing_that_they_do_not_know(self):
        with pytest.raises(ValidationError):
            ACTION.Params(node="n2")


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (facts(unschedulable=True), "nothing-to-do"),
            (facts(control_plane=True), "protected"),
            (facts(in_cluster=Nodes(all=3, ready=3, schedulable=1)), "last-node"),
            (facts(in_cluster=Nodes(all=1, ready=1, schedulable=1)), "last-node"),
            (facts(ready=False, in_cluster=Nodes(all=2, ready=1, schedulable=0)), "last-node"),
            (facts(pool="blue", in_pool=Nodes(all=2, ready=2, schedulable=1)), "last-node"),
            (facts(scope=SCOPE.model_copy(update={"uid": ""})), "not-found"),
            (Facts(taken_at=1, scope=SCOPE), "not-found"),
            (facts(scope=Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")), "unsupported"),
            (facts(scope=Scope(kind="unknown", name="alert/aa")), "unsupported"),
        ],
    )
    def test_name_their_reason(self, given, reason):
        refused = plan(given)

        assert isinstance(refused, Refusal)
        assert refused.reason == reason

    def test_count_the_node_itself_only_where_it_takes_pods(self):
        lost = facts(ready=False, in_cluster=Nodes(all=2, ready=1, schedulable=1))

        assert not isinstance(plan(lost), Refusal)

    def test_let_the_only_node_of_a_pool_go_because_nobody_shares_its_load(self):
        assert not isinstance(plan(facts(pool="gpu", in_pool=Nodes(all=1, ready=1, schedulable=1))), Refusal)

    def test_are_overruled_by_a_parameter_for_a_control_plane(self):
        assert not isinstance(plan(facts(control_plane=True), allow_control_plane=True), Refusal)

    def test_hold_for_a_name_at_the_length_limit(self):
        long = SCOPE.model_copy(update={"name": "n" * 253})

        assert len(plan(facts(scope=long, unschedulable=True)).text) < 300


class TestHealth:
    def test_is_a_node_that_is_ready(self):
        assert ACTION.healthy(facts(unschedulable=True))
        assert not ACTION.healthy(facts(ready=False))
        assert not ACTION.healthy(Facts(taken_at=1, scope=SCOPE))
