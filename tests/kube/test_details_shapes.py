"""Whatever an API answers, a look at details ends with details, and they are small."""

import pytest

from shared.action.catalogue import Catalogue
from shared.errors import MalformedError
from shared.event import codec, make, sign
from shared.event.app import Emit
from shared.event.types import TriagedData
from shared.kube import details
from shared.kube.facts import take
from shared.kube.kinds import KINDS
from shared.model.details import Details
from shared.model.facts import Scope
from shared.model.plan import Plan
from tests.kube import seen

JUNK = [None, True, -1, 10**300, 1.5, "", "x", "\ud800", "9" * 5000, [], [None, 3, "x", []], {}, {"x": {"y": []}}]
LIMIT = 64 * 1024


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:12])
class TestJunk:
    def test_in_the_place_of_any_part_of_what_is_listed_is_left_out(self, junk):
        good = seen.everything()
        tried = 0
        for kind, listed in good.items():
            for odd in seen.broken(listed[0], junk):
                table = seen.Table({**good, kind: [odd, *listed[1:]]})
                for scope, found in seen.scopes():
                    details.take(table, scope, found, None).model_dump_json()
                tried += 1
        assert tried > 150

    def test_in_the_place_of_any_part_of_the_scope_itself_is_left_out(self, junk):
        table = seen.Table(seen.everything())
        for scope, found in seen.scopes():
            for odd in seen.broken(found, junk):
                if isinstance(odd, dict):
                    details.take(table, scope, odd, None).model_dump_json()


class TestTheTable:
    def test_good_objects_fill_every_detail(self):
        table, filled = seen.Table(seen.everything()), set()
        for scope, found in seen.scopes():
            taken = details.take(table, scope, found, None)
            filled |= {name for name in details.NAMES if getattr(taken, name) is not None}
        assert filled == set(Details.model_fields)

    def test_a_detail_that_does_not_fit_the_kind_is_not_taken(self):
        assert details.take(seen.Table({}), seen.N1, seen.node(), ["revisions", "room"]) == Details()

    def test_no_more_is_taken_than_was_asked_for(self):
        taken = details.take(seen.Table(seen.everything()), seen.WEB, seen.deployment(), ["scaler"])

        assert (taken.scaler.name, taken.room, taken.containers) == ("web", None, None)

    def test_one_that_does_not_exist_is_refused(self):
        with pytest.raises(MalformedError):
            details.take(seen.Table({}), seen.WEB, {}, ["secrets"])
        with pytest.raises(MalformedError):
            details.rights(["secrets"], ["Pod"])

    def test_rights_are_those_of_the_details_that_fit(self):
        assert details.rights(["node", "tasks"], ["Deployment"]) == [("batch", "cronjobs", "list")]

    @pytest.mark.parametrize("name", details.NAMES)
    def test_each_says_of_known_kinds_what_it_must_read(self, name):
        one = details.detail(name)
        plurals = {(kind.group, kind.plural) for kind in KINDS.values()}

        assert set(one.KINDS) <= set(KINDS)
        assert one.RIGHTS
        assert {(group, resource) for group, resource, _ in one.RIGHTS} <= plurals
        assert {verb for _, _, verb in one.RIGHTS} <= {"get", "list"}


LONG = "n" * 240


def crowd(cluster):
    """As much of everything as a page holds, under names as long as may be."""
    labels = {f"{'l' * 250}.{at}/{'k' * 60}": "v" * 63 for at in range(40)}
    cluster.namespace("shop", labels)
    containers = [{"name": f"{'c' * 60}{at}", "image": "a", "resources": seen.resources("1000001n", "1000000Ki")}
                  for at in range(10)]  # fmt: skip
    states = [{"name": one["name"], "restartCount": 9**9, "state": {"waiting": {"reason": "W" * 64}},
               "resources": seen.resources("2000001n", "2000000Ki"),
               "lastState": {"terminated": {"reason": "T" * 64, "exitCode": 137}}} for one in containers]  # fmt: skip
    for at in range(520):
        one = seen.pod(f"{LONG}-{at:03}", LONG, containers=containers, volumes=[
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "emptyDir": {}}])  # fmt: skip
        one["status"] = {"phase": "Running", "reason": "R" * 64, "containerStatuses": states}
        one["metadata"]["uid"] = f"{at:036}"
        cluster.put("Pod", "shop", one)
    for at in range(30):
        cluster.put("CronJob", "shop", seen.cronjob(f"{LONG}-{at}"))
        cluster.put("CronJob", "shop", seen.cronjob(f"{LONG}-c{at}", of="PersistentVolumeClaim/data"))
    web = cluster.put("Deployment", "shop", {**seen.deployment(), "metadata": {"name": "web"}})
    for at in range(60):
        one = seen.replicaset(at, "a", owner=web["metadata"]["uid"])
        cluster.put("ReplicaSet", "shop", {**one, "metadata": {**one["metadata"], "name": f"{LONG}-{at}"}})
    cluster.put("PersistentVolumeClaim", "shop", seen.claim(**{f"{'k' * 50}{at}": "v" * 9000 for at in range(20)}))
    cluster.put("StorageClass", "", seen.storage_class())
    cluster.put("Node", "", seen.node(LONG))
    return [seen.WEB, seen.DATA, Scope(kind="Node", name=LONG)]


class TestSize:
    def test_what_triage_says_of_the_largest_scope_stays_under_64_kib(self, cluster, kube):
        for scope in crowd(cluster):
            facts = take(kube, scope, None, stop_namespace="akeso-system", count=True, details=None)

            said = TriagedData(incident="i" * 32, scope=facts.scope, family="f" * 64, facts=facts)
            made = make.first(
                "triage", Emit("incident.triaged", said, incident="i" * 32), id="i", tenant="t", cluster="c"
            )
            _, body = codec.encode(sign.sign(made, b"k" * 32))
            assert 8_000 < len(body) < LIMIT, scope.kind

    def test_no_action_plans_more_for_it_than_an_event_carries(self, cluster, kube):
        planned = 0
        for scope in crowd(cluster):
            facts = take(kube, scope, None, stop_namespace="akeso-system", count=True, details=None)
            names = {"pod": facts.pods[0].name if facts.pods else "p", "container": f"{'c' * 60}0"}
            for action in Catalogue.home().all():
                for asked in (example.params for example in action.examples):
                    params = action.asked(asked | {key: name for key, name in names.items() if key in asked})
                    result = action.plan(facts, params)
                    assert len(result.model_dump_json()) < LIMIT // 4, f"{action.name} {scope.kind}"
                    planned += isinstance(result, Plan)
        assert planned
