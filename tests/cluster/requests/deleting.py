"""Rehearsals, deletions, namespaces on their way out, and refusals by admission."""

from tests.cluster.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from tests.cluster.requests.bodies import configmap, deployment, eviction, pod
from tests.cluster.requests.told import story
from tests.cluster.side import Side


@story
def rehearsals(side: Side) -> None:
    one = side.at("configmaps", "c")
    side("POST", side.at("configmaps"), configmap(), dryRun="All")
    side("GET", one)
    side("POST", side.at("configmaps"), configmap(), quiet=True)
    side("POST", side.at("configmaps"), configmap(), dryRun="All")
    side("PATCH", one, {"data": {"a": "2"}}, form=MERGE_PATCH, dryRun="All", fieldManager="me")
    side("PATCH", one, [{"op": "test", "path": "/data/a", "value": "2"}], form=JSON_PATCH, dryRun="All")
    side("PATCH", one, {"data": {"a": 2}}, form=MERGE_PATCH, dryRun="All")
    side("PATCH", one, {**configmap("c", z="1"), "apiVersion": "v1", "kind": "ConfigMap"}, form=APPLY_PATCH,
         fieldManager="me", dryRun="All")  # fmt: skip
    side("GET", one)
    side("DELETE", one, dryRun="All")
    side("GET", one)
    side("DELETE", one, {"dryRun": ["All"]})
    side("GET", one)
    side("DELETE", one, dryRun="Some")
    side("DELETE", one)
    side("GET", one)


@story
def delete_with_preconditions(side: Side) -> None:
    one = side.at("configmaps", "c")
    made = side("POST", side.at("configmaps"), configmap())["metadata"]
    uid, version = made["uid"], made["resourceVersion"]
    side("DELETE", one, {"preconditions": {"uid": "other"}})
    side("DELETE", one, {"preconditions": {"uid": uid, "resourceVersion": "1"}})
    side("DELETE", one, {"preconditions": {"uid": "other"}}, dryRun="All")
    side("DELETE", one, b"{")
    side("DELETE", one, {"preconditions": {"uid": uid, "resourceVersion": version}})
    side("DELETE", one, {"preconditions": {"uid": uid}})
    again = side("POST", side.at("configmaps"), configmap())["metadata"]
    side.note(uid_is_new=again["uid"] != uid)
    side("DELETE", one, {"nothing": 1, "dryRun": ["All"]})
    side("GET", one)
    side("DELETE", one, {"nothing": 1}, dryRun="All")
    side("GET", one)


@story
def delete_with_a_finalizer(side: Side) -> None:
    one = side.at("configmaps", "c")
    side("POST", side.at("configmaps"), {"metadata": {"name": "c", "finalizers": ["akeso.dev/test"]}})
    side("DELETE", one)
    side("GET", one)
    side("DELETE", one)
    side("PATCH", one, {"data": {"a": "2"}}, form=MERGE_PATCH)
    side("PATCH", one, {"metadata": {"finalizers": ["akeso.dev/test", "akeso.dev/more"]}}, form=MERGE_PATCH)
    side("PATCH", one, {"metadata": {"finalizers": None}}, form=MERGE_PATCH)
    side("GET", one)


@story
def delete_a_pod_that_nobody_runs(side: Side) -> None:
    side("POST", side.at("pods"), pod())
    side("DELETE", side.at("pods", "p"))
    side("GET", side.at("pods", "p"))


@story
def delete_a_pod_with_grace(side: Side) -> None:
    one = side.at("pods", "p")
    side("POST", side.at("pods"), pod(nodeName=side.no_node))
    side("DELETE", one, dryRun="All")
    side("DELETE", one)
    side("GET", one)
    side("DELETE", one)
    side("PATCH", one, {"metadata": {"annotations": {"late": "1"}}}, form=MERGE_PATCH)
    side("DELETE", one, {"gracePeriodSeconds": 0})
    side("GET", one)


@story
def a_namespace_on_its_way_out(side: Side) -> None:
    held = {"metadata": {"name": "held", "finalizers": ["akeso.dev/test"]}}
    side("POST", side.at("configmaps"), held)
    side("DELETE", f"/api/v1/namespaces/{side.namespace}", keep=("metadata.name", "status.phase", "kind"))
    side("GET", f"/api/v1/namespaces/{side.namespace}", keep=("metadata.name", "status.phase", "spec"))
    side("POST", side.at("configmaps"), configmap())
    side("POST", side.at("configmaps"), configmap(), dryRun="All")
    side("PATCH", side.at("configmaps", "held"), {"data": {"a": "1"}}, form=MERGE_PATCH, keep=("data",))
    body = {**configmap("applied"), "apiVersion": "v1", "kind": "ConfigMap"}
    side("PATCH", side.at("configmaps", "applied"), body, form=APPLY_PATCH, fieldManager="me")
    side("PATCH", side.at("configmaps", "held"), {"metadata": {"finalizers": None}}, form=MERGE_PATCH, keep=("kind",))


def _refused(side: Side, reason: str) -> None:
    side("POST", side.at("configmaps"), configmap(), quiet=True)
    side("POST", side.at("deployments"), deployment(), quiet=True)
    side("POST", side.at("pods"), pod(), quiet=True)
    side.settle(side.at("deployments", "web"))
    web, paused = side.at("deployments", "web"), {"spec": {"paused": True}}
    test = {"op": "test", "path": "/spec/paused", "value": None}
    with side.refusing(reason, "frozen by an operator"):
        side("POST", side.at("configmaps"), configmap("d"))
        side("PATCH", web, [test, {"op": "add", "path": "/spec/paused", "value": True}], form=JSON_PATCH)
        side("PATCH", web, [test, {"op": "add", "path": "/spec/paused", "value": True}], form=JSON_PATCH, dryRun="All")
        side("PATCH", web, paused, form=MERGE_PATCH)
        side("PATCH", side.at("deployments", "web", "scale"), {"spec": {"replicas": 1}}, form=MERGE_PATCH)
        side("POST", side.at("pods", "p", "eviction"), eviction())
        side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
        side("DELETE", side.at("configmaps", "c"))
        side("GET", side.at("configmaps", "c"))
        side("GET", side.at("pods", "p"), keep=("metadata.name", "metadata.deletionTimestamp"))
        # What does not fit is said before anybody is asked about it.
        side("PATCH", web, [{"op": "test", "path": "/spec/paused", "value": True}], form=JSON_PATCH)
        side("PATCH", side.at("deployments", "nothing"), paused, form=MERGE_PATCH)
        side("PATCH", web, {"spec": {"paused": "x"}}, form=MERGE_PATCH)
        side("PATCH", web, {"metadata": {"resourceVersion": "1"}, **paused}, form=MERGE_PATCH)
        side("PATCH", web, {"spec": {"replicas": -1}}, form=MERGE_PATCH)
        side("POST", side.at("configmaps"), configmap())
        side("POST", side.at("pods", "p", "eviction"), eviction("q"))
        side("POST", side.at("pods", "nothing", "eviction"), eviction("nothing"))
        side("POST", side.at("pods", "p", "eviction"), eviction(preconditions={"uid": "other"}))
        side("DELETE", side.at("configmaps", "c"), {"preconditions": {"uid": "other"}})


@story
def refused_as_invalid(side: Side) -> None:
    _refused(side, "Invalid")


@story
def refused_as_forbidden(side: Side) -> None:
    _refused(side, "Forbidden")
