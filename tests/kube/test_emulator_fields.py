"""What the emulator does with fields by their schema, and the few promises of it that only its users need."""

import pytest

STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
NOTE = "/api/v1/namespaces/shop/configmaps/note"


def pod_spec(**spec):
    return {"spec": {"template": {"spec": spec}}}


def note(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": data}


def owners(body):
    return {
        entry["manager"]: sorted(entry["fieldsV1"].get("f:data", {})) for entry in body["metadata"]["managedFields"]
    }


class TestStrategicMerge:
    def test_containers_are_merged_by_name_and_others_stay(self, call):
        call("PATCH", WEB, pod_spec(containers=[{"name": "side", "image": "s:1"}]), form=STRATEGIC)

        _, web = call("PATCH", WEB, pod_spec(containers=[{"name": "side", "tty": True}]), form=STRATEGIC)

        found = {container["name"]: container for container in web["spec"]["template"]["spec"]["containers"]}
        assert found["side"] == {"name": "side", "image": "s:1", "tty": True}
        assert set(found) == {"app", "side"}

    def test_one_is_taken_away_by_its_name(self, call):
        call("PATCH", WEB, pod_spec(containers=[{"name": "side", "image": "s:1"}]), form=STRATEGIC)

        _, web = call("PATCH", WEB, pod_spec(containers=[{"name": "side", "$patch": "delete"}]), form=STRATEGIC)

        assert [container["name"] for container in web["spec"]["template"]["spec"]["containers"]] == ["app"]

    def test_a_list_without_keys_is_replaced(self, call):
        for key in ("a", "b"):
            _, web = call("PATCH", WEB, pod_spec(tolerations=[{"key": key, "operator": "Exists"}]), form=STRATEGIC)

        assert [one["key"] for one in web["spec"]["template"]["spec"]["tolerations"]] == ["b"]

    def test_an_item_without_its_key_is_refused(self, call):
        assert call("PATCH", WEB, pod_spec(containers=[{"image": "x"}]), form=STRATEGIC)[0] == 500


class TestApply:
    @pytest.fixture
    def apply(self, call):
        def apply(manager, body, *, force=False):
            query = f"?fieldManager={manager}" + ("&force=true" if force else "")
            return call("PATCH", NOTE + query, body, form=APPLY)

        return apply

    def test_it_makes_what_is_not_there_and_keeps_who_applied_what(self, apply):
        status, made = apply("one", note(a="1"))

        assert status == 201
        assert owners(made) == {"one": ["f:a"]}

    def test_another_managers_field_is_a_conflict_that_names_it(self, apply):
        apply("one", note(a="1"))

        status, body = apply("two", note(a="2"))

        assert (status, body["reason"]) == (409, "Conflict")
        assert [(cause["reason"], cause["field"]) for cause in body["details"]["causes"]] == [
            ("FieldManagerConflict", ".data.a")
        ]

    def test_force_takes_it(self, apply):
        apply("one", note(a="1", b="1"))

        status, body = apply("two", note(a="2"), force=True)

        assert (status, body["data"]) == (200, {"a": "2", "b": "1"})
        assert owners(body) == {"one": ["f:b"], "two": ["f:a"]}

    def test_the_same_value_is_shared(self, apply):
        apply("one", note(a="1"))

        status, body = apply("two", note(a="1"))

        assert status == 200
        assert owners(body) == {"one": ["f:a"], "two": ["f:a"]}

    def test_what_is_no_longer_applied_goes_unless_another_owns_it(self, apply):
        apply("one", note(a="1", b="1", c="1"))
        apply("two", note(b="1"))

        _, body = apply("one", note(c="1"))

        assert body["data"] == {"b": "1", "c": "1"}

    def test_applying_again_changes_nothing(self, cluster, apply):
        apply("one", note(a="1"))
        before = cluster.store.version

        apply("one", note(a="1"))

        assert cluster.store.version == before

    def test_it_needs_a_manager(self, call):
        assert call("PATCH", NOTE, note(), form=APPLY)[0] == 422


class TestUnknownFields:
    def test_they_are_refused_when_the_client_is_strict(self, call):
        body = {"metadata": {"name": "c"}, "datum": {}}

        assert call("POST", "/api/v1/namespaces/shop/configmaps?fieldValidation=Strict", body)[0] == 400
        assert call("PATCH", WEB + "?fieldValidation=Strict", {"spec": {"x": 1}}, form=MERGE)[0] == 422

    def test_they_are_dropped_otherwise(self, call):
        status, web = call("PATCH", WEB, {"spec": {"x": 1, "paused": True}}, form=MERGE)

        assert status == 200
        assert web["spec"]["paused"] is True
        assert "x" not in web["spec"]


class TestScale:
    def test_it_is_read_and_patched_for_its_owner(self, cluster, call):
        assert call("GET", WEB + "/scale")[1]["spec"] == {"replicas": 2}

        assert call("PATCH", WEB + "/scale", {"spec": {"replicas": 5}}, form=MERGE)[1]["spec"] == {"replicas": 5}
        assert cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == 5

    def test_it_carries_no_annotation_to_its_owner(self, cluster, call):
        body = {"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 5}}

        assert call("PATCH", WEB + "/scale", body, form=MERGE)[0] == 200
        assert "a" not in cluster.get("Deployment", "shop", "web")["metadata"].get("annotations", {})

    def test_another_uid_is_a_409(self, call):
        assert call("PATCH", WEB + "/scale", {"metadata": {"uid": "0"}, "spec": {"replicas": 5}}, form=MERGE)[0] == 409


class TestGenerations:
    def test_an_annotation_makes_a_new_generation_of_a_deployment_alone(self, cluster, call):
        notes = {"metadata": {"annotations": {"a": "b"}}}
        pod = cluster.put("Pod", "shop", {"metadata": {"name": "p"}})["metadata"]

        web = call("PATCH", WEB, notes, form=MERGE)[1]["metadata"]
        after = call("PATCH", "/api/v1/namespaces/shop/pods/p", notes, form=MERGE)[1]["metadata"]

        assert (web["generation"], after["generation"]) == (2, pod["generation"])

    def test_a_label_makes_none(self, call):
        web = call("PATCH", WEB, {"metadata": {"labels": {"a": "b"}}}, form=MERGE)[1]["metadata"]

        assert web["generation"] == 1


class TestARefusal:
    def test_it_hits_what_it_names_and_nothing_is_changed_until_it_is_taken_back(self, cluster, call):
        cluster.refuse(kind="Deployment", verb="patch", policy="fence", reason="Invalid", message="frozen")
        paused = {"spec": {"paused": True}}

        status, body = call("PATCH", WEB, paused, form=MERGE)

        assert (status, body["reason"]) == (422, "Invalid")
        assert "'fence' with binding 'fence' denied request: frozen" in body["message"]
        assert "paused" not in cluster.get("Deployment", "shop", "web")["spec"]
        assert call("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "c"}})[0] == 201
        cluster.admit()
        assert call("PATCH", WEB, paused, form=MERGE)[0] == 200

    @pytest.mark.usefixtures("call")
    def test_somebody_else_is_not_asked(self, cluster):
        cluster.refuse()

        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 7}})

        assert cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == 7
