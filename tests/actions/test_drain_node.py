"""What a drain may send away, what it leaves and what it refuses; one plan however its pods come and go."""

import pytest
from pydantic import ValidationError

from shared.action import nodes
from shared.action.catalogue import Catalogue
from shared.model.details import Details, Node, NodePod, Nodes
from shared.model.facts import Facts, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("drain_node")
SCOPE = Scope(kind="Node", name="n1", uid="n-1")
THREE = Nodes(all=3, ready=3, schedulable=3)


def pod(name="web-1", namespace="shop", *traits, owner="ReplicaSet"):
    return NodePod(namespace=namespace, name=name, uid=f"u-{name}", owner=owner, traits=traits)


def facts(*pods, scope=SCOPE, **changes):
    node = Node(**{"ready": True, "in_cluster": THREE, "in_pool": THREE, "pods": pods} | changes)
    return Facts(taken_at=1, scope=scope, details=Details(node=node))


def plan(given=None, **params):
    return ACTION.plan(given or facts(pod()), ACTION.Params(**params))


class TestThePlan:
    def test_cordons_and_then_drains_the_node_with_exactly_that_uid(self):
        cordon, drain = plan().writes

        assert (cordon.verb, cordon.path, cordon.before, cordon.after) == ("patch", "/spec/unschedulable", None, True)
        assert (drain.verb, drain.after) == ("drain", {"local": False, "unmanaged": False})
        assert {cordon.target.uid, drain.target.uid} == {"n-1"}
        assert 0 < drain.patience_s < ACTION.run_s

    def test_is_the_same_when_pods_come_and_go(self):
        assert plan(facts(pod("a"), pod("b"))).hash == plan(facts(pod("c"))).hash == plan(facts()).hash

    def test_is_another_when_more_may_go(self):
        assert len({plan().hash, plan(delete_local_data=True).hash, plan(allow_unmanaged=True).hash}) == 3

    def test_takes_back_the_cordon_and_at_once_when_it_fails(self):
        (back,) = plan().inverse().writes

        assert plan().takes_back
        assert (back.verb, back.before, back.after) == ("patch", True, None)

    def test_leaves_the_cordon_of_somebody_else_to_him(self):
        made = plan(facts(pod(), unschedulable=True))

        assert [write.verb for write in made.writes] == ["drain"]
        assert made.until_s == 0
        assert made.inverse() is None

    def test_takes_one_node_of_its_pool(self):
        touched = plan(facts(pod(), pool="blue")).touches

        assert (touched.unit, touched.count, touched.pool, touched.pool_population) == ("node", 1, "blue", 3)
        assert ACTION.width == "node"


class TestTheParameters:
    @pytest.mark.parametrize(
        "params",
        [
            {"minutes": 9}, {"minutes": 1441}, {"minutes": "240"}, {"minutes": float("nan")}, {"minutes": True},
            {"delete_local_data": 2}, {"allow_unmanaged": "perhaps"}, {"force": True}, {"pods": ["a"]},
        ],
    )  # fmt: skip
    def test_take_nothing_else(self, params):
        with pytest.raises(ValidationError):
            ACTION.Params(**params)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (facts(pod("x", "shop", "unmanaged", owner="")), "bare-pod"),
            (facts(pod("x", "shop", "local")), "unsupported"),
            (facts(pod("x", "akeso-system")), "protected"),
            (facts(pod("x", "shop", "protected")), "protected"),
            (facts(pod("a"), pod("z", "akeso-system")), "protected"),
            (facts(*(pod(f"p-{n}") for n in range(61))), "bounds"),
            (facts(pod(), more=True), "bounds"),
            (facts(unschedulable=True), "nothing-to-do"),
            (facts(pod("a", "shop", "daemonset"), unschedulable=True), "nothing-to-do"),
            (facts(pod(), ready=False), "unsupported"),
            (facts(pod(), control_plane=True), "protected"),
            (facts(pod(), in_cluster=Nodes(all=3, ready=3, schedulable=1)), "last-node"),
            (facts(pod(), pool="blue", in_pool=Nodes(all=2, ready=2, schedulable=1)), "last-node"),
            (Facts(taken_at=1, scope=SCOPE), "not-found"),
            (facts(pod(), scope=SCOPE.model_copy(update={"uid": ""})), "not-found"),
            (facts(pod(), scope=Scope(kind="PersistentVolumeClaim", namespace="a", name="b", uid="c")), "unsupported"),
        ],
    )
    def test_name_their_reason_in_a_sentence(self, given, reason):
        refused = plan(given)

        assert isinstance(refused, Refusal)
        assert refused.reason == reason
        assert 10 <= len(refused.text) <= 300

    def test_of_the_longest_names_stay_short(self):
        assert len(plan(facts(pod("p" * 253, "n" * 63, "local"))).text) <= 300

    @pytest.mark.parametrize(
        ("found", "params"),
        [
            (pod("x", "shop", "unmanaged", owner=""), {"allow_unmanaged": True}),
            (pod("x", "shop", "local"), {"delete_local_data": True}),
            (pod("x", "kube-system", "protected", "critical"), {}),
        ],
    )
    def test_give_way_to_who_may_say_so(self, found, params):
        assert not isinstance(plan(facts(found), **params), Refusal)

    def test_never_give_way_for_akeso_itself(self):
        own = facts(pod("x", "akeso-system", "unmanaged", "local", owner=""))

        assert plan(own, allow_unmanaged=True, delete_local_data=True).reason == "protected"

    def test_take_sixty_pods_and_not_one_more(self):
        assert not isinstance(plan(facts(*(pod(f"p-{n}") for n in range(60)))), Refusal)

    @pytest.mark.parametrize("trait", ["mirror", "daemonset", "over"])
    def test_are_not_about_what_stays(self, trait):
        staying = [pod(f"p-{n}", "akeso-system", trait, "local", "unmanaged") for n in range(61)]

        assert not isinstance(plan(facts(pod(), *staying)), Refusal)


class TestWhoGoes:
    def test_goes_by_namespace_and_name(self):
        some = [pod("b"), pod("a", "zoo"), pod("a"), pod("c", "shop", "leaving"), pod("d", "shop", "daemonset")]

        for pods in (some, some[::-1]):
            sorted_out = nodes.leave(pods, local=False, unmanaged=False)
            assert [(one.namespace, one.name) for one in sorted_out.go] == [("shop", "a"), ("shop", "b"), ("zoo", "a")]
            assert [one.name for one in sorted_out.going] == ["c"]

    def test_is_never_of_the_home_that_the_installation_has(self):
        assert nodes.leave([pod("x", "elsewhere")], local=True, unmanaged=True, own={"elsewhere"}).refusal


class TestHealth:
    @pytest.mark.parametrize(
        ("given", "healthy"),
        [
            (facts(unschedulable=True), True),
            (facts(pod("a", "shop", "daemonset"), unschedulable=True), True),
            (facts(pod(), unschedulable=True), False),
            (facts(pod("a", "shop", "leaving"), unschedulable=True), False),
            (facts(), False),
            (Facts(taken_at=1, scope=SCOPE), False),
        ],
    )
    def test_is_an_empty_node_that_stays_empty(self, given, healthy):
        assert ACTION.healthy(given) is healthy
