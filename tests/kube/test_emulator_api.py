"""The emulator answers like an API server where Akeso can tell the difference. Spoken to by plain HTTP."""

import urllib.error
import urllib.request
from itertools import pairwise

import pytest

TOKEN = "a-token"  # as in conftest.py
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
HERE = "emulated"  # a pod that nobody has scheduled is gone at once when it is deleted


def replicas(cluster):
    return cluster.get("Deployment", "shop", "web")["spec"]["replicas"]


class TestReading:
    def test_one_object_is_answered_with_its_identity(self, call):
        status, web = call("GET", WEB)

        assert status == 200
        assert (web["kind"], web["apiVersion"], web["metadata"]["generation"]) == ("Deployment", "apps/v1", 1)
        assert web["metadata"]["uid"]
        assert web["metadata"]["resourceVersion"]

    def test_what_is_not_there_is_a_404_status(self, call):
        status, body = call("GET", WEB + "x")

        assert (status, body["kind"], body["reason"], body["code"]) == (404, "Status", "NotFound", 404)

    def test_a_list_is_of_one_namespace_or_of_all_and_selected_by_labels(self, cluster, call):
        for namespace, name, tier in (("shop", "a", "x"), ("shop", "b", "y"), ("other", "c", "x")):
            cluster.put("Pod", namespace, {"metadata": {"name": name, "labels": {"tier": tier}}})

        def names(path):
            return sorted(item["metadata"]["name"] for item in call("GET", path)[1]["items"])

        assert names("/api/v1/namespaces/shop/pods") == ["a", "b"]
        assert names("/api/v1/pods?labelSelector=tier%3Dx") == ["a", "c"]
        assert names("/api/v1/namespaces/shop/pods?labelSelector=tier+in+%28x%2Cy%29") == ["a", "b"]

    def test_a_selector_that_cannot_be_parsed_is_a_400(self, call):
        assert call("GET", "/api/v1/pods?labelSelector=a%3Db%3Dc")[0] == 400

    def test_a_wrong_bearer_token_is_a_401(self, call):
        assert call("GET", WEB, token="other")[0] == 401


class TestJsonPatch:
    def test_operations_act_in_order_and_move_generation_and_version(self, cluster, call):
        before = cluster.get("Deployment", "shop", "web")["metadata"]
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": before["uid"]},
            {"op": "replace", "path": "/spec/replicas", "value": 5},
            {"op": "add", "path": "/metadata/annotations", "value": {}},
            {"op": "add", "path": "/metadata/annotations/a.b~1c~0d", "value": "x"},
            {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "second", "image": "i:1"}},
            {"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "zeroth", "image": "i:1"}},
            {"op": "remove", "path": "/spec/template/spec/containers/1"},
        ]

        status, after = call("PATCH", WEB, patch, form=JSON_PATCH)

        assert status == 200
        assert after == cluster.get("Deployment", "shop", "web")
        assert after["spec"]["replicas"] == 5
        assert after["metadata"]["annotations"]["a.b/c~d"] == "x"
        assert [c["name"] for c in after["spec"]["template"]["spec"]["containers"]] == ["zeroth", "second"]
        assert after["metadata"]["generation"] == 2
        assert int(after["metadata"]["resourceVersion"]) > int(before["resourceVersion"])

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/spec/replicas", "value": 3},
            {"op": "test", "path": "/spec/replicas", "value": "2"},
            {"op": "test", "path": "/spec/paused", "value": False},
            {"op": "remove", "path": "/spec/paused"},
            {"op": "add", "path": "/spec/nowhere/deep", "value": 1},
            {"op": "remove", "path": "/spec/template/spec/containers/7"},
            {"op": "move", "from": "/spec/paused", "path": "/spec/replicas"},
            {"op": "nonsense", "path": "/spec/replicas", "value": 1},
            {"op": "replace", "value": 1},
        ],
    )
    def test_one_that_does_not_apply_is_a_422_that_says_no_more_and_changes_nothing(self, cluster, call, operation):
        before = cluster.get("Deployment", "shop", "web")
        patch = [{"op": "replace", "path": "/spec/replicas", "value": 9}, operation]
        if operation.get("path") == "/spec/replicas":
            patch.reverse()

        status, body = call("PATCH", WEB, patch, form=JSON_PATCH)

        assert (status, body["reason"], body["details"]) == (422, "Invalid", {})
        assert cluster.get("Deployment", "shop", "web") == before

    def test_a_test_for_null_holds_where_nothing_is(self, call):
        patch = [
            {"op": "test", "path": "/spec/paused", "value": None},
            {"op": "add", "path": "/spec/paused", "value": True},
        ]

        assert call("PATCH", WEB, patch, form=JSON_PATCH)[0] == 200
        assert call("PATCH", WEB, patch, form=JSON_PATCH)[0] == 422

    @pytest.mark.parametrize(
        ("value", "field"), [(-1, "spec.replicas"), ("3", "patch"), (True, "patch"), (1.5, "patch")]
    )
    def test_impossible_replicas_are_a_422_with_a_cause(self, call, value, field):
        patch = [{"op": "replace", "path": "/spec/replicas", "value": value}]

        status, body = call("PATCH", WEB, patch, form=JSON_PATCH)

        assert (status, body["details"]["causes"][0]["field"]) == (422, field)


class TestMergePatch:
    def test_it_merges_and_null_removes(self, call):
        call("PATCH", WEB, {"metadata": {"annotations": {"a": "1", "b": "2"}}}, form=MERGE)

        status, after = call("PATCH", WEB, {"metadata": {"annotations": {"a": None, "c": "3"}}}, form=MERGE)

        assert (status, after["metadata"]["annotations"]) == (200, {"b": "2", "c": "3"})

    @pytest.mark.parametrize(("field", "said"), [("uid", (422, "Invalid")), ("resourceVersion", (409, "Conflict"))])
    def test_a_stale_version_is_a_409_and_another_uid_a_422(self, cluster, call, field, said):
        status, body = call("PATCH", WEB, {"metadata": {field: "0"}, "spec": {"replicas": 9}}, form=MERGE)

        assert (status, body["reason"]) == said
        assert replicas(cluster) == 2

    def test_the_present_version_is_accepted(self, cluster, call):
        version = cluster.get("Deployment", "shop", "web")["metadata"]["resourceVersion"]

        assert (
            call("PATCH", WEB, {"metadata": {"resourceVersion": version}, "spec": {"replicas": 9}}, form=MERGE)[0]
            == 200
        )

    def test_clients_cannot_write_status_or_the_servers_own_fields(self, cluster, call):
        before = cluster.get("Deployment", "shop", "web")

        call("PATCH", WEB, {"status": {"readyReplicas": 7}, "metadata": {"generation": 99}}, form=MERGE)

        assert cluster.get("Deployment", "shop", "web")["status"] == before["status"]
        assert cluster.get("Deployment", "shop", "web")["metadata"]["generation"] == 1

    def test_a_patch_that_changes_nothing_moves_no_version(self, cluster, call):
        call("PATCH", WEB, {"metadata": {"labels": {"a": "b"}}}, form=MERGE)
        before = cluster.store.version

        assert call("PATCH", WEB, {"spec": {"replicas": 2}}, form=MERGE)[0] == 200
        assert cluster.store.version == before

    def test_labels_that_are_no_strings_are_a_422(self, call):
        assert call("PATCH", WEB, {"metadata": {"labels": {"a": 1}}}, form=MERGE)[0] == 422

    @pytest.mark.usefixtures("call")
    def test_a_body_that_is_no_json_is_a_400(self, cluster):
        request = urllib.request.Request(cluster._url + WEB, b"{", method="PATCH")  # noqa: S310
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", MERGE)

        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)  # noqa: S310

        assert caught.value.code == 400


class TestDryRun:
    @pytest.mark.parametrize(
        "request_",
        [
            ("PATCH", WEB, {"spec": {"replicas": 9}}, MERGE),
            ("PATCH", WEB, [{"op": "replace", "path": "/spec/replicas", "value": 9}], JSON_PATCH),
            ("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "c"}}, "application/json"),
            ("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION, "application/json"),
            ("DELETE", WEB, None, "application/json"),
        ],
    )
    def test_it_answers_like_the_real_thing_and_changes_nothing(self, cluster, call, request_):
        method, path, body, form = request_
        cluster.put("Pod", "shop", {"metadata": {"name": "p"}})
        before = cluster.store.version, dict(cluster.store._objects)

        status, _ = call(method, path + "?dryRun=All", body, form=form)

        assert status in {200, 201}
        assert (cluster.store.version, cluster.store._objects) == before
        assert cluster.writes() == []

    def test_it_still_refuses(self, call):
        assert call("PATCH", WEB + "?dryRun=All", {"spec": {"replicas": -1}}, form=MERGE)[0] == 422


class TestCreateAndDelete:
    def test_a_created_object_can_be_read_and_not_created_again(self, call):
        body = {"metadata": {"name": "c"}, "data": {"mode": "stop"}}

        assert call("POST", "/api/v1/namespaces/shop/configmaps", body)[0] == 201
        assert call("POST", "/api/v1/namespaces/shop/configmaps", body)[1]["reason"] == "AlreadyExists"
        assert call("GET", "/api/v1/namespaces/shop/configmaps/c")[1]["data"] == {"mode": "stop"}

    def test_nothing_is_created_in_a_namespace_that_does_not_exist(self, call):
        assert call("POST", "/api/v1/namespaces/void/configmaps", {"metadata": {"name": "c"}})[0] == 404

    @pytest.mark.parametrize(("metadata", "status"), [({}, 422), ({"name": "c", "namespace": "other"}, 400)])
    def test_an_object_without_name_or_of_another_namespace_is_refused(self, call, metadata, status):
        assert call("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": metadata})[0] == status

    def test_a_deployment_without_template_is_refused_before_a_controller_sees_it(self, cluster, call):
        body = {"metadata": {"name": "x"}, "spec": {"replicas": 1}}

        assert call("POST", "/apis/apps/v1/namespaces/shop/deployments", body)[0] == 422
        cluster.tick()

    def test_a_deleted_name_can_be_used_again_by_another_uid(self, cluster, call):
        first = cluster.get("Deployment", "shop", "web")["metadata"]["uid"]

        assert call("DELETE", WEB)[0] == 200
        assert call("GET", WEB)[0] == 404
        cluster.deployment("shop", "web", 2)

        assert cluster.get("Deployment", "shop", "web")["metadata"]["uid"] != first

    def test_a_namespace_takes_along_what_is_in_it(self, cluster, call):
        assert call("DELETE", "/api/v1/namespaces/shop")[1]["status"] == {"phase": "Terminating"}
        assert call("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "c"}})[0] == 403

        cluster.tick()

        assert cluster.all("Deployment") == []
        assert cluster.get("Namespace", "", "shop") is None


@pytest.mark.usefixtures("call", "pod")
class TestEviction:
    @pytest.fixture
    def pod(self, cluster):
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        labels = {"app": "p"}
        body = {"metadata": {"name": "p", "labels": labels}, "spec": {"nodeName": HERE}, "status": ready}
        return cluster.put("Pod", "shop", body | {"status": {"phase": "Running", **ready}})["metadata"]

    @staticmethod
    def body(**preconditions):
        return {**EVICTION, "deleteOptions": {"preconditions": preconditions}}

    def test_the_pod_is_on_its_way_out_and_then_gone(self, cluster, call, pod):
        eviction = self.body(uid=pod["uid"], resourceVersion=pod["resourceVersion"])

        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", eviction)[0] == 201
        assert "deletionTimestamp" in cluster.get("Pod", "shop", "p")["metadata"]
        cluster.tick()
        assert cluster.get("Pod", "shop", "p") is None

    @pytest.mark.parametrize("wrong", ["uid", "resourceVersion"])
    def test_another_uid_or_version_is_a_409(self, cluster, call, pod, wrong):
        right = {"uid": pod["uid"], "resourceVersion": pod["resourceVersion"]}

        status, _ = call("POST", "/api/v1/namespaces/shop/pods/p/eviction", self.body(**{**right, wrong: "0"}))

        assert status == 409
        assert "deletionTimestamp" not in cluster.get("Pod", "shop", "p")["metadata"]

    def test_a_pod_that_is_gone_is_a_404(self, call):
        body = {**EVICTION, "metadata": {"name": "gone"}}

        assert call("POST", "/api/v1/namespaces/shop/pods/gone/eviction", body)[0] == 404

    def test_a_budget_that_has_nothing_to_give_is_a_429(self, cluster, call):
        cluster.pdb("shop", "b", {"app": "p"}, min_available=1)

        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION)[0] == 429
        assert "deletionTimestamp" not in cluster.get("Pod", "shop", "p")["metadata"]

    def test_a_budget_is_used_up_by_what_was_evicted(self, cluster, call):
        cluster.put(
            "Pod", "shop", {**cluster.get("Pod", "shop", "p"), "metadata": {"name": "q", "labels": {"app": "p"}}}
        )
        budget = cluster.pdb("shop", "b", {"app": "p"}, min_available=1)
        assert budget["status"]["disruptionsAllowed"] == 1

        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION)[0] == 201
        again = {**EVICTION, "metadata": {"name": "q"}}
        assert call("POST", "/api/v1/namespaces/shop/pods/q/eviction", again)[0] == 429

    def test_a_sick_pod_may_go_while_the_healthy_ones_are_enough(self, cluster, call):
        sick = {"metadata": {"name": "sick", "labels": {"app": "p"}}, "status": {"phase": "Running"}}
        cluster.put("Pod", "shop", sick)
        cluster.pdb("shop", "b", {"app": "p"}, min_available=1)

        body = {**EVICTION, "metadata": {"name": "sick"}}
        assert call("POST", "/api/v1/namespaces/shop/pods/sick/eviction", body)[0] == 201

    def test_one_that_conflicts_has_used_up_its_place_for_a_while(self, cluster, call, sim):
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        cluster.put("Pod", "shop", {"metadata": {"name": "q", "labels": {"app": "p"}}, "status": ready})
        cluster.pdb("shop", "b", {"app": "p"}, min_available=1)

        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", self.body(uid="0"))[0] == 409
        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION)[0] == 429
        sim.advance(120_000)
        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION)[0] == 201

    def test_a_rehearsal_uses_up_nothing(self, cluster, call):
        cluster.put("Pod", "shop", {"metadata": {"name": "q"}, "status": {"phase": "Running"}})
        budget = cluster.pdb("shop", "b", {"app": "p"}, min_available=0)

        for _ in range(2):
            assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction?dryRun=All", EVICTION)[0] == 201
        assert cluster.get("PodDisruptionBudget", "shop", "b") == budget

    def test_a_budget_that_selects_nothing_forbids_nothing(self, cluster, call):
        cluster.put("PodDisruptionBudget", "shop", {"metadata": {"name": "b"}, "spec": {"minAvailable": 9}})

        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION)[0] == 201

    @pytest.mark.parametrize(
        ("spec", "allowed"),
        [({"maxUnavailable": 1}, 1), ({"maxUnavailable": "30%"}, 2), ({"minAvailable": "50%"}, 2), ({}, 0)],
    )
    def test_shares_are_of_what_the_pods_controllers_should_run_rounded_up(self, cluster, spec, allowed):
        cluster.deployment("shop", "five", 5, ready_after=0)
        cluster.tick()
        selector = {"matchLabels": {"app": "five"}}
        body = {"metadata": {"name": "b"}, "spec": {"selector": selector, **spec}}

        cluster.put("PodDisruptionBudget", "shop", body)
        cluster.tick()

        assert cluster.get("PodDisruptionBudget", "shop", "b")["status"]["disruptionsAllowed"] == allowed

    def test_two_budgets_over_one_pod_are_a_500(self, cluster, call):
        for name in ("a", "b"):
            cluster.pdb("shop", name, {"app": "p"}, min_available=0)

        assert call("POST", "/api/v1/namespaces/shop/pods/p/eviction", EVICTION)[0] == 500


class TestManagedFields:
    def test_each_writer_of_the_spec_is_kept_by_name(self, cluster, call):
        call("PATCH", WEB + "?fieldManager=akeso-x", {"spec": {"replicas": 3}}, form=MERGE)
        call("PATCH", WEB, {"metadata": {"labels": {"a": "b"}}}, form=MERGE)

        entries = {
            e["manager"]: e["fieldsV1"] for e in cluster.get("Deployment", "shop", "web")["metadata"]["managedFields"]
        }

        assert {manager: "f:spec" in fields for manager, fields in entries.items()} == {
            "akeso-seed": True,
            "akeso-x": True,
            "curl": False,
        }


class TestRequestLog:
    def test_it_tells_who_did_what_with_which_end(self, cluster, call):
        call("GET", WEB)
        call("PATCH", WEB + "?fieldManager=m&dryRun=All", {"spec": {"replicas": 3}}, form=MERGE)
        call("PATCH", WEB, {"metadata": {"resourceVersion": "1"}}, form=MERGE)
        call("PATCH", WEB + "?fieldManager=m", {"spec": {"replicas": 3}}, form=MERGE)

        assert [tuple(r)[:1] + tuple(r)[2:] for r in cluster.requests] == [
            ("get", 200, False, "curl/8", ""),
            ("patch", 200, True, "curl/8", "m"),
            ("patch", 409, False, "curl/8", ""),
            ("patch", 200, False, "curl/8", "m"),
        ]
        assert cluster.writes() == cluster.requests[-1:]

    @pytest.mark.usefixtures("call")
    def test_what_the_controllers_do_is_no_request(self, cluster):
        cluster.tick()

        assert cluster.all("Pod")
        assert cluster.requests == []


class TestFaults:
    def test_a_fault_hits_as_often_as_asked_and_only_what_it_names(self, cluster, call):
        cluster.fault(kind="Deployment", verb="get", status=500, times=2)

        statuses = [call("GET", path)[0] for path in ("/api/v1/namespaces/shop", WEB, WEB, WEB)]

        assert statuses == [200, 500, 500, 200]

    def test_a_fault_in_one_namespace_is_none_in_another(self, cluster, call):
        cluster.fault(kind="Deployment", namespace="bank")

        assert call("GET", WEB)[0] == 200
        assert cluster.unmet_faults == 1
        assert call("GET", WEB.replace("/shop/", "/bank/"))[0] == 500

    def test_a_fault_before_the_write_leaves_nothing_behind(self, cluster, call):
        cluster.fault(verb="patch", status=409)

        assert call("PATCH", WEB, {"spec": {"replicas": 9}}, form=MERGE)[0] == 409
        assert replicas(cluster) == 2

    def test_a_fault_after_the_write_hides_that_it_happened(self, cluster, call):
        cluster.fault(verb="patch", status=500, applied=True)

        assert call("PATCH", WEB, {"spec": {"replicas": 9}}, form=MERGE)[0] == 500
        assert replicas(cluster) == 9


def test_resource_versions_only_grow(call):

    def version(patch):
        return int(call("PATCH", WEB, patch, form=MERGE)[1]["metadata"]["resourceVersion"])

    versions = [version({"spec": {"replicas": count}}) for count in (3, 4, 5)]

    assert all(earlier < later for earlier, later in pairwise(versions))
