"""What is meant for a time is taken back though Redis has forgotten it, and nothing that nobody has signed."""

import json
from types import SimpleNamespace

import pytest

from shared.guard import grant as token
from shared.kube.mark import KEPT, TEMPORARY, UNTIL
from shared.model.facts import ObjectRef, Scope
from shared.model.grant import Grant
from shared.model.plan import Plan, Write
from shared.state.transitions import Cause
from shared.sweep.temporary import remember
from tests.guard.test_grant import OTHER_PRIVATE, PRIVATE, PUBLIC

END = "2026-12-01T00:00:00Z"
CAUSE = Cause("sweeper", "/test", "1", "acme", "prod")


class Remembered:
    def __init__(self):
        self.temporary = []

    def load(self, _, *, temporary, **__):
        self.temporary += temporary


@pytest.fixture
def here(kube):
    keys = {"grant.pub": PUBLIC}
    secrets = SimpleNamespace(optional=keys.get, required=keys.__getitem__)
    return SimpleNamespace(kube=kube, secrets=secrets, settings=SimpleNamespace(dev=True), state=Remembered())


@pytest.fixture
def cordoned(cluster):
    """Makes a node that carries what a temporary cordon leaves; `key` signs, `changed` goes into what it says."""

    def made(*, name="n1", key=PRIVATE, tenant="acme", mode="do", **changed):
        node = cluster.put("Node", "", {"metadata": {"name": name}, "spec": {"unschedulable": True}})
        target = ObjectRef(kind="Node", name=name, uid=node["metadata"]["uid"])
        plan = Plan(writes=(Write(verb="patch", target=target, path="/spec/unschedulable", before=None, after=True),))
        grant = Grant(
            id=f"grant-{name}", incident="inc-1", tenant=tenant, cluster="prod", mode=mode, plan_hash=plan.hash,
            epoch="e", scope=Scope(kind="Node", name=name, uid=target.uid), action="cordon_node", start_by=1,
            finish_by=2,
        )  # fmt: skip
        kept = {"grant": token.sign(grant, key), "plan": plan.model_dump(mode="json", exclude_defaults=True)}
        said = {KEPT: json.dumps(kept), UNTIL: END} | changed
        cluster.edit("Node", "", name, {"metadata": {"annotations": said, "labels": {TEMPORARY: "true"}}})
        return plan

    return made


class TestATemporaryChange:
    def test_is_remembered_with_what_takes_it_back_and_when(self, here, cordoned):
        plan = cordoned()

        assert remember(here, CAUSE) == 1

        (one,) = here.state.temporary
        assert (one["id"], one["scope"], one["action"]) == ("grant-n1", "Node/n1", "cordon_node")
        assert Plan.model_validate_json(one["inverse"]) == plan.inverse("grant-n1")
        assert one["until"] == 1_796_083_200_000

    def test_that_nobody_has_signed_is_left_alone(self, here, cordoned):
        cordoned(key=OTHER_PRIVATE)

        assert remember(here, CAUSE) == 0

    def test_of_another_plan_than_the_signed_one_is_left_alone(self, here, cluster, cordoned):
        cordoned()
        kept = json.loads(cluster.get("Node", "", "n1")["metadata"]["annotations"][KEPT])
        kept["plan"]["writes"][0]["path"] = "/spec/podCIDR"
        cluster.edit("Node", "", "n1", {"metadata": {"annotations": {KEPT: json.dumps(kept)}}})

        assert remember(here, CAUSE) == 0

    @pytest.mark.parametrize("changed", [{KEPT: "{"}, {KEPT: "[]"}, {KEPT: "{}"}, {UNTIL: "soon"}, {KEPT: None}])
    def test_that_cannot_be_read_keeps_no_other_from_being_found(self, here, cluster, cordoned, changed):
        cordoned(**changed)
        cordoned(name="n2")
        cluster.put("Node", "", {"metadata": {"name": "n0", "labels": {TEMPORARY: "true"}}})

        assert remember(here, CAUSE) == 1
        assert [one["id"] for one in here.state.temporary] == ["grant-n2"]

    def test_of_another_installation_is_that_ones(self, here, cordoned):
        cordoned(tenant="other")

        assert remember(here, CAUSE) == 0

    def test_is_no_undo(self, here, cordoned):
        cordoned(mode="undo")

        assert remember(here, CAUSE) == 0
