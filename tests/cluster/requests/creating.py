"""Making objects, invalid ones among them, and requests that are wrong in themselves."""

from tests.cluster.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.cluster.requests.bodies import PDB, POD, budget, configmap, deployment, pod
from tests.cluster.requests.told import story
from tests.cluster.side import Side


@story
def create(side: Side) -> None:
    path = side.at("configmaps")
    side("POST", path, configmap(), fieldManager="me")
    side("POST", path, configmap())
    side("POST", path, {"metadata": {}})
    side("POST", path, {"metadata": {"name": "Not_A_Name"}})
    side("POST", path, {"metadata": {"name": "d", "namespace": "other"}})
    side("POST", path, {"metadata": {"name": "d", "uid": "mine", "generation": 7, "creationTimestamp": None}})
    side("POST", path, {"metadata": {"name": "e", "resourceVersion": "7"}})
    side("POST", path, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "f"}})
    side("POST", path, {"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "g"}})
    side("POST", path, {"metadata": {"name": "h", "labels": {"a": "not a label!"}}})
    side("POST", path, {"metadata": {"name": "i", "labels": {"a": 1}}})
    side("POST", path, {"metadata": {"name": "j", "annotations": {"a": None}}})
    side("POST", path, {"metadata": {"name": "k"}, "data": {"a": {"b": "c"}}})


@story
def a_made_up_name(side: Side) -> None:
    side("POST", side.at("configmaps"), {"metadata": {"generateName": "c-"}}, drop=("metadata.name",))


@story
def status_is_not_made_by_clients(side: Side) -> None:
    body = {**deployment(), "status": {"readyReplicas": 7, "observedGeneration": 9}}
    side("POST", side.at("deployments"), body, keep=("status", "metadata.generation"))
    side("POST", side.at("pods"), {**pod(), "status": {"phase": "Running"}}, keep=("status.phase",))


@story
def invalid_objects(side: Side) -> None:
    path = side.at("deployments")
    for spec in ({"replicas": -1}, {"template": {}}, {"template": None}, {"selector": None},
                 {"selector": {"matchLabels": {"app": "other"}}}, {"replicas": "3"}, {"replicas": 1.5},
                 {"replicas": True}, {"replicas": None}):  # fmt: skip
        side("POST", path, deployment(**spec), drop=("status",))
    side("POST", side.at("pods"), {"metadata": {"name": "p"}, "spec": {}})
    side("POST", side.at("pods"), {"metadata": {"name": "p"}})
    side("POST", side.at("pods"), {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}})
    side("POST", side.at(PDB), budget(minAvailable=1, maxUnavailable=1), drop=("status",))
    side("POST", side.at(PDB), budget(minAvailable=-1), drop=("status",))
    side("POST", side.at(PDB), budget(minAvailable="x"), drop=("status",))
    side("POST", side.at("horizontalpodautoscalers"), {"metadata": {"name": "h"}, "spec": {}})


@story
def unknown_fields(side: Side) -> None:
    path = side.at("deployments")
    for validation in ("Strict", "Warn", "Ignore", "Nonsense", ""):
        query = {"fieldValidation": validation} if validation else {}
        odd = deployment(f"web-{validation.lower() or 'none'}", nothing=1)
        odd["spec"]["template"] = {**odd["spec"]["template"], "spec": {**POD, "nodeNames": "x"}}
        side("POST", path, odd, drop=("status",), **query)
    side("POST", path, deployment("ok"), fieldValidation="Strict", quiet=True)
    side.settle(side.at("deployments", "ok"))
    for form, body in ((MERGE_PATCH, {"spec": {"nothing": 1}}), (STRATEGIC_PATCH, {"spec": {"nothing": 1}}),
                       (JSON_PATCH, [{"op": "add", "path": "/spec/nothing", "value": 1}])):  # fmt: skip
        for validation in ("Strict", "Warn", "Ignore"):
            side("PATCH", side.at("deployments", "ok"), body, form=form, fieldValidation=validation,
                 keep=("spec.nothing", "metadata.generation"))  # fmt: skip
    text = b'{"metadata": {"name": "twice"}, "data": {"a": "1", "a": "2"}}'
    for validation in ("Strict", "Warn", "Ignore"):
        side("POST", side.at("configmaps"), text, fieldValidation=validation, dryRun="All")


@story
def malformed_requests(side: Side) -> None:
    side("POST", side.at("configmaps"), configmap(), quiet=True)
    path, one = side.at("configmaps"), side.at("configmaps", "c")
    side("POST", path, b"{")
    side("POST", path, b"")
    side("POST", path, b"[]")
    side("POST", path, b'"text"')
    side("POST", path, b"null")
    side("PATCH", one, b"{", form=MERGE_PATCH)
    side("PATCH", one, b"{", form=JSON_PATCH)
    side("PATCH", one, b"{", form=STRATEGIC_PATCH)
    side("PATCH", one, b"", form=MERGE_PATCH)
    side("PATCH", one, b"", form=JSON_PATCH)
    side("PATCH", one, [], form=MERGE_PATCH)
    side("PATCH", one, {}, form=JSON_PATCH)
    side("PATCH", one, [], form=STRATEGIC_PATCH)
    side("PATCH", one, b"null", form=MERGE_PATCH)
    side("PATCH", one, [1], form=JSON_PATCH)
    side("PATCH", one, {"data": {"b": "2"}}, form="application/json")
    side("PATCH", one, {"data": {"b": "2"}}, form="text/plain")
    side("POST", path, configmap("d"), form="text/plain")
    side("POST", path, configmap("d"), dryRun="Some")
    side("PATCH", one, {"data": {"b": "2"}}, form=MERGE_PATCH, force="true")
    side("PATCH", one, {"data": {"b": "2"}}, form=MERGE_PATCH, fieldManager="x" * 129)
    side("GET", one)


@story
def methods_that_are_not_allowed(side: Side) -> None:
    side("POST", side.at("configmaps"), configmap(), quiet=True)
    side("PUT", side.at("configmaps"), configmap())
    side("PATCH", side.at("configmaps"), {}, form=MERGE_PATCH)
    side("POST", side.at("configmaps", "c"), configmap())
    side("DELETE", side.at("pods", "p", "status"))
    side("POST", side.at("pods", "p", "status"), {})
    side("GET", side.at("pods", "p", "eviction"))
    side("PATCH", side.at("pods", "p", "eviction"), {}, form=MERGE_PATCH)
    side("DELETE", side.at("deployments", "p", "scale"))


@story
def nobody_and_a_wrong_token(side: Side) -> None:
    side("GET", side.at("configmaps"), token="wrong")
    side("POST", side.at("configmaps"), configmap(), token="wrong")


@story
def create_what_is_no_job(side: Side) -> None:
    once = {**POD, "restartPolicy": "Never"}
    for spec in ({}, {"template": {"spec": POD}}, {"template": {"spec": {**POD, "restartPolicy": "Always"}}}):
        side("POST", side.at("jobs"), {"metadata": {"name": "j"}, "spec": spec})
        side("POST", side.at("cronjobs"), {"metadata": {"name": "c"}, "spec": {
            "schedule": "0 0 1 1 *", "jobTemplate": {"spec": spec}}})  # fmt: skip
    spec = {"suspend": True, "template": {"spec": once}}
    side("POST", side.at("cronjobs"), {"metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": spec}}})
    side("POST", side.at("jobs"), {"metadata": {"name": "j"}, "spec": spec}, quiet=True)
    other = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "other"}]}}}}
    side("PATCH", side.at("jobs", "j"), other, form=STRATEGIC_PATCH)
    side("PATCH", side.at("jobs", "j"), {"spec": {"activeDeadlineSeconds": 9}}, form=MERGE_PATCH,
         keep=("metadata.generation", "spec.activeDeadlineSeconds"))  # fmt: skip


@story
def change_a_claim_that_waits(side: Side) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "no"}
    side("POST", side.at("persistentvolumeclaims"), {"metadata": {"name": "c"}, "spec": claim}, quiet=True)
    for size in ("2Gi", "1Mi", "1Gi"):
        side("PATCH", side.at("persistentvolumeclaims", "c"), {"spec": {"resources": {"requests": {"storage": size}}}},
             form=MERGE_PATCH, keep=("spec.resources",))  # fmt: skip
