"""The requests that the emulated and the real API server must answer alike, as stories of a few requests each.

A story is told to one side at a time, in an empty namespace of its own; what comes back is normalised and compared in
`test_conformance`. It must not assert anything: a story that judged the answers would be held to our own beliefs again.
"""

from collections.abc import Callable
from typing import Any, Final

from tests.cluster.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.cluster.side import Side

Story = Callable[[Side], None]
STORIES: Final[dict[str, Story]] = {}
# kubectl's and other people's pods: nobody schedules them, so they stay as they were made.
POD: Final = {"schedulerName": "nobody", "containers": [{"name": "app", "image": "registry.example/app:1"}]}
PDB: Final = "poddisruptionbudgets"


def story(told: Story) -> Story:
    STORIES[told.__name__] = told
    return told


def configmap(name: str = "c", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data or {"a": "1"}}


def pod(name: str = "p", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {"app": "p"}}, "spec": {**POD, **spec}}


def deployment(name: str = "web", replicas: int = 0, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": POD}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"metadata": {"name": name, "labels": {"team": "a"}}, "spec": spec}


def replicaset(name: str = "rs", replicas: int = 2) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "p"}}, "spec": POD}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "p"}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def budget(name: str = "b", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "p"}}, **spec}}


def autoscaler(name: str = "h") -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3}}


def eviction(name: str = "p", **options: Any) -> dict[str, Any]:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return {**body, "deleteOptions": options} if options else body


# Reading -------------------------------------------------------------------------------------------------------------


@story
def get_and_not_found(side: Side) -> None:
    side("POST", side.at("configmaps"), configmap())
    side("GET", side.at("configmaps", "c"))
    side("GET", side.at("configmaps", "nothing"))
    side("GET", side.at("deployments", "nothing"))
    side("PATCH", side.at("deployments", "nothing"), {"spec": {"replicas": 1}}, form=MERGE_PATCH)
    side("PATCH", side.at("deployments", "nothing"), [], form=JSON_PATCH)
    side("DELETE", side.at("configmaps", "nothing"))
    side("GET", "/api/v1/nodes/there-is-no-such-node")
    side("GET", f"/api/v1/namespaces/{side.namespace}")
    side("GET", "/api/v1/namespaces/there-is-no-such-namespace")
    side("POST", "/api/v1/namespaces/there-is-no-such-namespace/configmaps", configmap())
    side("GET", "/api/v1/namespaces/there-is-no-such-namespace/configmaps")
    side("GET", "/api/v1/namespaces/there-is-no-such-namespace/configmaps/c")


@story
def each_kind_is_made_and_read(side: Side) -> None:
    stateful = deployment("s") | {"spec": {**deployment("s")["spec"], "serviceName": "s"}}
    daemon = deployment("d")
    daemon["spec"].pop("replicas")
    daemon["spec"]["template"]["spec"] = {**POD, "nodeSelector": {"there-is": "no-such-node"}}
    job_pod = {"metadata": {}, "spec": {**POD, "restartPolicy": "Never"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "no"}
    involved = {"involvedObject": {"kind": "Pod", "namespace": side.namespace, "name": "p"}, "reason": "Tried"}
    bodies = {
        "configmaps": configmap("x"), "pods": pod("x"), "persistentvolumeclaims": {"spec": claim}, "events": involved,
        "deployments": deployment("x"), "replicasets": replicaset("x", 0), "statefulsets": stateful,
        "daemonsets": daemon, "jobs": {"spec": {"suspend": True, "template": job_pod}},
        PDB: budget("x", minAvailable=1), "horizontalpodautoscalers": autoscaler("x"),
    }  # fmt: skip
    for plural, bare in bodies.items():
        body = {**bare, "metadata": {"labels": {"l": "1"}, **bare.get("metadata", {}), "name": "x"}}
        side("POST", side.at(plural), body, drop=("status", "spec.selector", "spec.template.metadata"))
        side("GET", side.at(plural, "x"), keep=("apiVersion", "kind", "metadata.name", "metadata.labels.l"))


@story
def list_by_labels(side: Side) -> None:
    for name, labels in {"a": {"t": "x"}, "b": {"t": "y", "u": "1"}, "c": {"u": "2"}, "d": {"t": "z", "v": ""}}.items():
        side("POST", side.at("configmaps"), {"metadata": {"name": name, "labels": labels}}, quiet=True)
    for selector in ("t=x", "t==x", "t!=x", "t in (x,y)", "t in (x, y)", "t notin (x,y)", "t", "!t", "t,u", "t!=x,u",
                     "u in (1),t", "v=", "v in ()", "v in (,1)", "t=nothing", "", " t = x ", "t=x,t=y", "akeso.dev/a=b",
                     "!t,u=2", "in", "A_b.c"):  # fmt: skip
        side.named("GET", side.at("configmaps"), labelSelector=selector)
    for selector in ("t=x=y", "t in x", "t in (x", "=x", "!t=x", "t x", ",", "t=x,", "t=a b", "-t", "t=-x", "t=/",
                     "a/b/c", "t=" + "x" * 64, "t" * 64, "!", "t in", "é=x"):  # fmt: skip
        side.named("GET", side.at("configmaps"), labelSelector=selector)


@story
def list_in_pages(side: Side) -> None:
    for name in ("a", "b", "c", "d", "e"):
        side("POST", side.at("persistentvolumeclaims"), _claim(name), quiet=True)
    path = side.at("persistentvolumeclaims")
    first = side.named("GET", path, limit="2")
    second = side.named("GET", path, limit="2", **{"continue": first["metadata"]["continue"]})
    side.named("GET", path, limit="2", **{"continue": second["metadata"]["continue"]})
    side.named("GET", path, limit="5")
    side.named("GET", path, limit="0")
    side.named("GET", path, limit="2", labelSelector="x=b")
    side.named("GET", path, limit="2", **{"continue": "nonsense"})
    side.named("GET", path, limit="x")
    side.named("GET", path, limit="-1")


@story
def a_page_is_of_the_time_of_the_first(side: Side) -> None:
    for name in ("a", "b", "c"):
        side("POST", side.at("persistentvolumeclaims"), _claim(name), quiet=True)
    path = side.at("persistentvolumeclaims")
    first = side.named("GET", path, limit="1")
    side("POST", path, _claim("bb"), quiet=True)
    side.named("GET", path, limit="10", **{"continue": first["metadata"]["continue"]})
    side.named("GET", path)


def _claim(name: str) -> dict[str, Any]:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "no"}
    return {"metadata": {"name": name, "labels": {"x": name}}, "spec": claim}


# Creating ------------------------------------------------------------------------------------------------------------


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


# What is wrong with the request itself -------------------------------------------------------------------------------


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


# Patching ------------------------------------------------------------------------------------------------------------


@story
def json_patch(side: Side) -> None:
    one = side.at("configmaps", "c")
    side("POST", side.at("configmaps"), configmap("c", a="1", b="2"), quiet=True)
    for patch in (
        [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "3"}],
        [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "4"}],
        [{"op": "test", "path": "/data/x", "value": None}, {"op": "add", "path": "/data/x", "value": "5"}],
        [{"op": "test", "path": "/data/x", "value": None}],
        [{"op": "test", "path": "/data/nothing", "value": "1"}],
        [{"op": "test", "path": "/nothing/at/all", "value": None}],
        [{"op": "test", "path": "/metadata/annotations", "value": None}],
        [{"op": "add", "path": "/metadata/annotations/a", "value": "1"}],
        [{"op": "add", "path": "/metadata/annotations", "value": {}}],
        [{"op": "add", "path": "/metadata/annotations", "value": {}},
         {"op": "add", "path": "/metadata/annotations/akeso.dev~1attempt", "value": "g/1"}],
        [{"op": "replace", "path": "/data/nothing", "value": "1"}],
        [{"op": "remove", "path": "/data/nothing"}],
        [{"op": "remove", "path": "/data/nothing"}],
        [{"op": "replace", "path": "/nothing/deep", "value": "1"}],
        [{"op": "remove", "path": "/data/b"}],
        [{"op": "copy", "from": "/data/a", "path": "/data/copy"}],
        [{"op": "move", "from": "/data/copy", "path": "/data/moved"}],
        [{"op": "move", "from": "/data/nothing", "path": "/data/moved"}],
        [{"op": "copy", "from": "/data/nothing", "path": "/data/moved"}],
        [{"op": "copy", "path": "/data/moved"}],
        [{"op": "nonsense", "path": "/data/a", "value": "1"}],
        [{"path": "/data/a", "value": "1"}],
        [{"op": "add", "path": "data/a", "value": "1"}],
        [{"op": "add", "value": "1"}],
        [{"op": "add", "path": "/data/novalue"}],
        [{"op": "add", "path": "", "value": {"metadata": {"name": "c"}}}],
        [{"op": "remove", "path": ""}],
        [{"op": "add", "path": "/data/a", "value": 1}],
        [{"op": "replace", "path": "/data", "value": None}],
        [],
    ):  # fmt: skip
        side("PATCH", one, patch, form=JSON_PATCH, fieldManager="me")
    side("PATCH", one, [{"op": "remove", "path": "/metadata"}], form=JSON_PATCH)


@story
def json_patch_of_lists(side: Side) -> None:
    one = side.at("pods", "p")
    tolerations = [{"key": key, "operator": "Exists"} for key in "ab"]
    side("POST", side.at("deployments"), deployment("web", template={
        "metadata": {"labels": {"app": "web"}}, "spec": {**POD, "tolerations": tolerations}}), quiet=True)  # fmt: skip
    side.settle(side.at("deployments", "web"))
    one, where = side.at("deployments", "web"), "/spec/template/spec/tolerations"
    new = {"key": "n", "operator": "Exists"}
    keep = ("spec.template.spec.tolerations", "spec.template.spec.containers", "metadata.generation")
    for operation in (
        {"op": "add", "path": f"{where}/-", "value": new},
        {"op": "add", "path": f"{where}/0", "value": {**new, "key": "zero"}},
        {"op": "add", "path": f"{where}/4", "value": {**new, "key": "end"}},
        {"op": "add", "path": f"{where}/9", "value": new},
        {"op": "add", "path": f"{where}/-1", "value": new},
        {"op": "add", "path": f"{where}/x", "value": new},
        {"op": "replace", "path": f"{where}/1", "value": new},
        {"op": "replace", "path": f"{where}/9", "value": new},
        {"op": "replace", "path": f"{where}/-", "value": new},
        {"op": "remove", "path": f"{where}/0"},
        {"op": "remove", "path": f"{where}/9"},
        {"op": "remove", "path": f"{where}/-1"},
        {"op": "test", "path": f"{where}/0/key", "value": "n"},
        {"op": "test", "path": f"{where}/0", "value": {"operator": "Exists", "key": "n"}},
        {"op": "test", "path": f"{where}/-", "value": None},
        {"op": "test", "path": f"{where}/9", "value": None},
        {"op": "move", "from": f"{where}/0", "path": f"{where}/1"},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "second", "image": "i:1"}},
    ):  # fmt: skip
        side("PATCH", one, [operation], form=JSON_PATCH, keep=keep)


@story
def json_patch_of_a_field_that_has_a_default(side: Side) -> None:
    side("POST", side.at("deployments"), deployment(replicas=0), quiet=True)
    one, keep = side.at("deployments", "web"), ("spec.replicas", "spec.paused", "metadata.generation")
    side.settle(one)
    for patch in (
        [{"op": "test", "path": "/spec/replicas", "value": 0}, {"op": "replace", "path": "/spec/replicas", "value": 0}],
        [{"op": "test", "path": "/spec/replicas", "value": "0"}],
        [{"op": "test", "path": "/spec/replicas", "value": 0.0}],
        [{"op": "test", "path": "/spec/paused", "value": None}, {"op": "add", "path": "/spec/paused", "value": True}],
        [{"op": "test", "path": "/spec/paused", "value": False}],
        [{"op": "remove", "path": "/spec/paused"}],
        [{"op": "test", "path": "/spec/paused", "value": False}],
        [{"op": "add", "path": "/spec/paused", "value": False}],
        [{"op": "replace", "path": "/spec/replicas", "value": -1}],
        [{"op": "replace", "path": "/spec/replicas", "value": "3"}],
        [{"op": "replace", "path": "/spec/replicas", "value": 1.5}],
        [{"op": "replace", "path": "/spec/replicas", "value": True}],
        [{"op": "replace", "path": "/spec/replicas", "value": None}],
        [{"op": "remove", "path": "/spec/template"}],
        [{"op": "replace", "path": "/spec/selector/matchLabels/app", "value": "other"}],
        [{"op": "replace", "path": "/metadata/labels/team", "value": "not a label!"}],
        [{"op": "remove", "path": "/spec/replicas"}],
    ):
        side("PATCH", one, patch, form=JSON_PATCH, keep=keep)


@story
def json_patch_with_identity(side: Side) -> None:
    one = side.at("configmaps", "c")
    made = side("POST", side.at("configmaps"), configmap())["metadata"]
    change = {"op": "replace", "path": "/data/a", "value": "2"}
    for field, value in (("uid", "other"), ("uid", made["uid"]), ("resourceVersion", "1"),
                         ("resourceVersion", made["resourceVersion"])):  # fmt: skip
        test = {"op": "test", "path": f"/metadata/{field}", "value": value}
        side("PATCH", one, [test, {**change, "value": f"{field} {len(value)}"}], form=JSON_PATCH, drop=("data",))
    for field, value in (("uid", "other"), ("resourceVersion", "1"), ("name", "d"), ("namespace", "other")):
        side("PATCH", one, [{"op": "replace", "path": f"/metadata/{field}", "value": value}], form=JSON_PATCH)
    for field in ("uid", "resourceVersion", "name", "namespace", "creationTimestamp"):
        side("PATCH", one, [{"op": "remove", "path": f"/metadata/{field}"}], form=JSON_PATCH)
    for field, value in (("kind", "Pod"), ("apiVersion", "v2")):
        side("PATCH", one, [{"op": "replace", "path": f"/{field}", "value": value}], form=JSON_PATCH)


@story
def merge_patch(side: Side) -> None:
    one = side.at("configmaps", "c")
    made = side("POST", side.at("configmaps"), configmap("c", a="1", b="2"))["metadata"]
    for patch in (
        {"data": {"a": None, "c": "3"}},
        {"data": {"a": None}},
        {"data": {"c": "3"}},
        {},
        {"metadata": {"annotations": {"x": "1"}}},
        {"metadata": {"annotations": {"x": None}}},
        {"metadata": {"annotations": {}}},
        {"metadata": {"resourceVersion": "1"}, "data": {"d": "stale"}},
        {"metadata": {"resourceVersion": ""}, "data": {"d": "empty"}},
        {"metadata": {"resourceVersion": None}, "data": {"d": "null"}},
        {"metadata": {"resourceVersion": "x"}, "data": {"d": "no number"}},
        {"metadata": {"uid": "other"}, "data": {"d": "other uid"}},
        {"metadata": {"uid": made["uid"]}, "data": {"d": "my uid"}},
        {"metadata": {"name": "d"}},
        {"metadata": {"namespace": "other"}},
        {"metadata": {"generation": 9}},
        {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}},
        {"metadata": {"deletionTimestamp": "2001-01-01T00:00:00Z"}},
        {"metadata": {"managedFields": []}, "data": {"e": "no managers"}},
        {"metadata": {"managedFields": None}},
        {"data": {"a": 1}},
        {"data": []},
        {"data": None},
        {"metadata": None},
        {"nothing": 1},
    ):
        side("PATCH", one, patch, form=MERGE_PATCH, fieldManager="me")
    now = side("GET", one)["metadata"]["resourceVersion"]
    side("PATCH", one, {"metadata": {"resourceVersion": now}, "data": {"f": "1"}}, form=MERGE_PATCH)
    side("PATCH", one, {"metadata": {"resourceVersion": now}, "data": {"f": "2"}}, form=MERGE_PATCH)


@story
def merge_patch_of_a_spec(side: Side) -> None:
    side("POST", side.at("deployments"), deployment(), quiet=True)
    one, keep = side.at("deployments", "web"), ("spec.replicas", "spec.paused", "metadata.generation", "status.x")
    side.settle(one)
    template = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "i:2"}]}}}}
    for patch in ({"spec": {"replicas": 0}}, {"metadata": {"labels": {"team": "b"}}}, {"spec": {"paused": True}},
                  {"spec": {"replicas": None}}, {"spec": {"paused": None}}, {"status": {"readyReplicas": 7}},
                  {"spec": {"replicas": -1}}, {"spec": {"replicas": "x"}}):  # fmt: skip
        side("PATCH", one, patch, form=MERGE_PATCH, keep=keep)
        if patch.get("spec", {}).get("replicas", 0) is None:
            side("PATCH", one, {"spec": {"replicas": 0}}, form=MERGE_PATCH, keep=keep)
    side("PATCH", one, template, form=MERGE_PATCH, keep=("spec.template.spec.containers", "metadata.generation"))


@story
def strategic_merge_patch(side: Side) -> None:
    containers = [{"name": name, "image": f"{name}:1", "env": [{"name": "A", "value": "1"}]} for name in ("a", "b")]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {**POD, "containers": containers}}
    side("POST", side.at("deployments"), deployment(template=template), quiet=True)
    one = side.at("deployments", "web")
    side.settle(one)
    keep = ("spec.template", "spec.strategy", "metadata.generation", "metadata.labels", "metadata.finalizers",
            "metadata.annotations.x", "metadata.ownerReferences")  # fmt: skip

    def patch(body: Any) -> None:
        side("PATCH", one, body, form=STRATEGIC_PATCH, keep=keep)

    def pod_spec(**spec: Any) -> None:
        patch({"spec": {"template": {"spec": spec}}})

    pod_spec(containers=[{"name": "a", "image": "a:2"}])
    pod_spec(containers=[{"name": "a", "image": "a:2"}])
    pod_spec(containers=[{"name": "c", "image": "c:1", "ports": [{"containerPort": 80}]}])
    pod_spec(containers=[{"name": "c", "ports": [{"containerPort": 81, "name": "x"}]}])
    pod_spec(containers=[{"name": "a", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}]}])
    pod_spec(containers=[{"name": "a", "env": [{"name": "A", "$patch": "delete"}]}])
    pod_spec(containers=[{"name": "a", "env": None}])
    pod_spec(containers=[{"name": "c", "$patch": "delete"}])
    pod_spec(containers=[{"name": "nothing", "$patch": "delete"}])
    pod_spec(containers=[{"image": "x"}])
    pod_spec(containers=[{"name": "a", "command": ["x", "y"]}])
    pod_spec(containers=[{"name": "a", "command": ["z"]}])
    pod_spec(**{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b"}]})
    pod_spec(**{"$retainKeys": ["containers", "schedulerName"]})
    pod_spec(containers=[{"$patch": "replace"}, {"name": "only", "image": "o:1"}])
    pod_spec(tolerations=[{"key": "a", "operator": "Exists"}])
    pod_spec(tolerations=[{"key": "b", "operator": "Exists"}])
    pod_spec(nodeSelector={"a": "b", "c": "d"})
    pod_spec(nodeSelector={"$patch": "replace", "e": "f"})
    pod_spec(nodeSelector=None)
    pod_spec(volumes=[{"name": "v", "emptyDir": {}}])
    pod_spec(volumes=[{"name": "v", "hostPath": {"path": "/x"}, "emptyDir": None}])
    pod_spec(volumes=[{"name": "v", "$patch": "delete"}])
    patch({"metadata": {"labels": {"team": None, "x": "1"}, "annotations": {"x": "y"}}})
    patch({"metadata": {"finalizers": ["akeso.dev/a"]}})
    patch({"metadata": {"finalizers": ["akeso.dev/b"]}})
    patch({"metadata": {"$deleteFromPrimitiveList/finalizers": ["akeso.dev/a", "akeso.dev/b"]}})
    patch({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})
    patch({"metadata": {"resourceVersion": "1"}, "spec": {"paused": True}})
    patch({"metadata": {"uid": "other"}, "spec": {"paused": True}})
    patch({"spec": {"$patch": "nonsense"}})
    patch({"spec": "x"})
    patch({})


# Dry run -------------------------------------------------------------------------------------------------------------


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


# Deleting ------------------------------------------------------------------------------------------------------------


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
    side("POST", side.at("pods"), pod(nodeName="there-is-no-such-node"))
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


# Refused by admission ------------------------------------------------------------------------------------------------


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


# Subresources --------------------------------------------------------------------------------------------------------


@story
def status_subresource(side: Side) -> None:
    one, sub = side.at("pods", "p"), side.at("pods", "p", "status")
    side("POST", side.at("pods"), pod())
    ready = {"type": "Ready", "status": "True"}
    side("GET", sub)
    side("PATCH", sub, {"status": {"phase": "Running", "conditions": [ready]}}, form=MERGE_PATCH, fieldManager="let")
    side("PATCH", sub, {"status": {"conditions": [{"type": "akeso.dev/x", "status": "False"}]}}, form=STRATEGIC_PATCH)
    side("PATCH", sub, [{"op": "replace", "path": "/status/phase", "value": "Failed"}], form=JSON_PATCH, dryRun="All")
    side("PATCH", sub, {"spec": {"priority": 7}, "metadata": {"labels": {"x": "1"}}}, form=MERGE_PATCH)
    side("PATCH", sub, {"metadata": {"annotations": {"x": "1"}}}, form=MERGE_PATCH)
    side("PATCH", sub, {"metadata": {"resourceVersion": "1"}, "status": {"message": "x"}}, form=MERGE_PATCH)
    side("PATCH", one, {"status": {"phase": "Failed"}}, form=MERGE_PATCH)
    side("GET", one)
    side("GET", side.at("pods", "nothing", "status"))
    side("GET", side.at("configmaps", "nothing", "status"))


@story
def status_of_a_deployment(side: Side) -> None:
    one = side.at("deployments", "web")
    side("POST", side.at("deployments"), deployment(), quiet=True)
    side.settle(one)
    keep = ("metadata.generation", "spec.replicas", "status.collisionCount", "metadata.labels")
    side(
        "PATCH",
        one + "/status",
        {"status": {"collisionCount": 7}, "spec": {"replicas": 9}},
        form=MERGE_PATCH,
        keep=keep,
    )
    side("PATCH", one + "/status", {"metadata": {"labels": {"x": "1"}}}, form=MERGE_PATCH, keep=keep)
    side("PATCH", one, {"status": {"collisionCount": 9}, "spec": {"replicas": 0}}, form=MERGE_PATCH,
         keep=("metadata.generation", "metadata.labels"))  # fmt: skip


@story
def scale_subresource(side: Side) -> None:
    one = side.at("deployments", "web")
    side("POST", side.at("deployments"), deployment(paused=True), quiet=True)
    side.settle(one)
    keep = ("kind", "apiVersion", "metadata.name", "spec", "status.selector")
    scale = one + "/scale"
    side("GET", scale, keep=keep)
    side("PATCH", scale, {"spec": {"replicas": 1}}, form=MERGE_PATCH, keep=keep, fieldManager="me")
    side.settle(one)
    side("GET", one, keep=("spec.replicas", "metadata.generation"))
    side("PATCH", scale, {"spec": {"replicas": 1}}, form=MERGE_PATCH, keep=keep)
    side("PATCH", scale, [{"op": "test", "path": "/spec/replicas", "value": 9}], form=JSON_PATCH)
    side(
        "PATCH",
        scale,
        [{"op": "replace", "path": "/spec/replicas", "value": 0}],
        form=JSON_PATCH,
        dryRun="All",
        keep=keep,
    )
    side("PATCH", scale, {"spec": {"replicas": -1}}, form=MERGE_PATCH)
    side("PATCH", scale, {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 0}}, form=MERGE_PATCH)
    side("PATCH", scale, {"metadata": {"uid": "other"}, "spec": {"replicas": 0}}, form=MERGE_PATCH)
    side("PATCH", scale, {"metadata": {"annotations": {"akeso.dev/attempt": "x"}}, "spec": {"replicas": 0}},
         form=MERGE_PATCH, keep=keep)  # fmt: skip
    side("GET", one, keep=("spec.replicas", "metadata.generation", "metadata.annotations.akeso\\.dev/attempt"))
    side("GET", side.at("deployments", "nothing", "scale"))
    side("GET", side.at("daemonsets", "nothing", "scale"))
    side("PATCH", side.at("statefulsets", "nothing", "scale"), {"spec": {"replicas": 0}}, form=MERGE_PATCH)


# Eviction ------------------------------------------------------------------------------------------------------------


def _ready_pods(side: Side, *names: str, running: bool = True) -> dict[str, Any]:
    """Pods of one ReplicaSet that count as healthy although nothing runs them; the metadata of the first."""
    for name in names:
        side("POST", side.at("pods"), pod(name, nodeName="there-is-no-such-node"), quiet=True)
        if running:
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            side("PATCH", side.at("pods", name, "status"), {"status": status}, form=MERGE_PATCH, quiet=True)
    owner = side("POST", side.at("replicasets"), replicaset(replicas=len(names)), quiet=True)
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": owner["metadata"]["uid"]}
    reference |= {"controller": True, "blockOwnerDeletion": True}
    for name in names:
        side(
            "PATCH", side.at("pods", name), {"metadata": {"ownerReferences": [reference]}}, form=MERGE_PATCH, quiet=True
        )
    return side("GET", side.at("pods", names[0]), quiet=True)["metadata"]


@story
def evict_without_a_budget(side: Side) -> None:
    side("POST", side.at("pods"), pod(nodeName="there-is-no-such-node"), quiet=True)
    one = side.at("pods", "p", "eviction")
    made = side("GET", side.at("pods", "p"))["metadata"]
    side("POST", one, eviction(preconditions={"uid": "other"}))
    side("POST", one, eviction(preconditions={"uid": made["uid"], "resourceVersion": "1"}))
    side("POST", one, eviction("q"))
    side("POST", one, {"apiVersion": "policy/v1", "kind": "Eviction"})
    side("POST", one, {"metadata": {"name": "p"}}, dryRun="All")
    side("POST", one, {**eviction(), "kind": "Pod"})
    side("POST", one, {**eviction(), "nothing": 1}, fieldValidation="Strict")
    side(
        "POST",
        one,
        {**eviction(), "metadata": {"name": "p", "annotations": {"akeso.dev/attempt": "g/1"}}},
        dryRun="All",
    )
    side("POST", one, eviction(dryRun=["All"]))
    side("POST", one, eviction(), dryRun="All")
    side("GET", side.at("pods", "p"), keep=("metadata.deletionTimestamp",))
    side("GET", side.at("pods", "p"))
    side("POST", one, eviction(preconditions={"uid": made["uid"], "resourceVersion": made["resourceVersion"]}))
    side("GET", side.at("pods", "p"))
    side("POST", one, eviction())
    side("POST", one, eviction(preconditions={"uid": "other"}))
    side("POST", side.at("pods", "nothing", "eviction"), eviction("nothing"))
    side("POST", side.at("deployments", "p", "eviction"), eviction())


@story
def evict_a_pending_pod(side: Side) -> None:
    side("POST", side.at("pods"), pod(), quiet=True)
    side("POST", side.at(PDB), budget(minAvailable=1), quiet=True)
    side.budget("b")
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
    side("POST", side.at("pods", "p", "eviction"), eviction())
    side("GET", side.at("pods", "p"))


@story
def evict_a_finished_pod(side: Side) -> None:
    for name, phase in (("p", "Succeeded"), ("q", "Failed"), ("r", "Running")):
        side("POST", side.at("pods"), pod(name, nodeName="there-is-no-such-node"), quiet=True)
        side("PATCH", side.at("pods", name, "status"), {"status": {"phase": phase}}, form=MERGE_PATCH, quiet=True)
    side("POST", side.at(PDB), budget(minAvailable=2), quiet=True)
    side.budget("b")
    for name in ("p", "q", "r"):
        side("POST", side.at("pods", name, "eviction"), eviction(name))
        side("GET", side.at("pods", name), keep=("metadata.deletionTimestamp", "status.phase"))


@story
def evict_under_a_budget(side: Side) -> None:
    made = _ready_pods(side, "p", "q", "r")
    side("POST", side.at(PDB), budget(minAvailable=2), quiet=True)
    side.budget("b")
    allowed = ("status.disruptionsAllowed",)
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
    side("GET", side.at(PDB, "b"), keep=allowed)
    side("POST", side.at("pods", "p", "eviction"), eviction(preconditions={"uid": made["uid"]}))
    side("GET", side.at("pods", "p"), keep=("metadata.deletionTimestamp",))
    side("GET", side.at(PDB, "b"), keep=allowed)
    side("POST", side.at("pods", "q", "eviction"), eviction("q"))
    side("POST", side.at("pods", "q", "eviction"), eviction("q"), dryRun="All")
    side("POST", side.at("pods", "q", "eviction"), eviction("q", preconditions={"uid": "other"}))
    side("GET", side.at("pods", "q"), keep=("metadata.deletionTimestamp",))
    side("POST", side.at("pods", "p", "eviction"), eviction())


@story
def an_eviction_that_conflicts_has_used_up_the_budget(side: Side) -> None:
    made = _ready_pods(side, "p", "q", "r")
    side("POST", side.at(PDB), budget(minAvailable=2), quiet=True)
    side.budget("b")
    wrong = eviction(preconditions={"uid": made["uid"], "resourceVersion": "1"})
    side("POST", side.at("pods", "p", "eviction"), wrong, dryRun="All")
    side("POST", side.at("pods", "p", "eviction"), wrong)
    side("GET", side.at(PDB, "b"), keep=("status.disruptionsAllowed",))
    side("POST", side.at("pods", "p", "eviction"), eviction())
    side("POST", side.at("pods", "q", "eviction"), eviction("q"))
    side("GET", side.at("pods", "p"), keep=("metadata.deletionTimestamp",))


@story
def evict_under_budgets_of_other_shapes(side: Side) -> None:
    _ready_pods(side, "p", "q", "r", "s", "t")
    for number, spec in enumerate(({"maxUnavailable": 1}, {"maxUnavailable": 0}, {"maxUnavailable": "30%"},
                                   {"minAvailable": "50%"}, {"minAvailable": "100%"}, {"minAvailable": 9},
                                   {"minAvailable": 0}, {"maxUnavailable": "100%"}, {})):  # fmt: skip
        name = f"b{number}"
        side("POST", side.at(PDB), budget(name, **spec), drop=("status",))
        side.budget(name)
        side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
        side("DELETE", side.at(PDB, name), quiet=True)
    side("POST", side.at(PDB), {"metadata": {"name": "all"}, "spec": {"selector": {}, "minAvailable": 5}}, quiet=True)
    side.budget("all")
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")


@story
def evict_a_sick_pod(side: Side) -> None:
    _ready_pods(side, "p", "q")
    sick = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    side("PATCH", side.at("pods", "p", "status"), sick, form=MERGE_PATCH, quiet=True)
    for name, spec in (("met", {"minAvailable": 1}), ("unmet", {"minAvailable": 2}), ("none", {"maxUnavailable": 0}),
                       ("always", {"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
                       ("zero", {"minAvailable": 0})):  # fmt: skip
        side("POST", side.at(PDB), budget(name, **spec), quiet=True)
        side.budget(name)
        side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")
        side("POST", side.at("pods", "q", "eviction"), eviction("q"), dryRun="All")
        side("DELETE", side.at(PDB, name), quiet=True)


@story
def evict_under_two_budgets(side: Side) -> None:
    _ready_pods(side, "p", "q")
    for name in ("b1", "b2"):
        side("POST", side.at(PDB), budget(name, minAvailable=0), quiet=True)
        side.budget(name)
    side("POST", side.at("pods", "p", "eviction"), eviction())
    side("POST", side.at("pods", "p", "eviction"), eviction(), dryRun="All")


# Server-side apply ---------------------------------------------------------------------------------------------------


def _applied(name: str = "c", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@story
def apply(side: Side) -> None:
    one = side.at("configmaps", "c")

    def send(manager: str, body: Any, **query: str) -> None:
        side("PATCH", one, body, form=APPLY_PATCH, **({"fieldManager": manager} if manager else {}), **query)

    send("one", _applied(a="1", b="2"))
    send("one", _applied(a="1", b="2"))
    send("one", _applied(a="1", b="3"))
    send("two", _applied(b="4", c="5"))
    send("two", _applied(b="4", c="5"), force="true")
    send("two", _applied(b="4", c="5"), force="true")
    send("one", _applied(a="1", b="3"))
    send("one", _applied(b="4"))
    send("two", _applied(c="5"))
    send("two", _applied())
    send("one", _applied(b="4", z="1"), dryRun="All")
    send("one", {**_applied(), "nothing": 1}, fieldValidation="Strict")
    send("one", {**_applied(), "nothing": 1})
    send("", _applied())
    send("one", {"metadata": {"name": "c"}})
    send("one", {**_applied(), "metadata": {"name": "d"}})
    send("one", {**_applied(), "metadata": {"name": "c", "resourceVersion": "1"}})
    send("one", {**_applied(), "metadata": {"name": "c", "uid": "other"}})
    send("one", {**_applied(), "metadata": {"name": "c", "managedFields": [{"manager": "x"}]}})
    send("one", b"{")
    send("one", b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: 'yaml'}\n")
    send("one", _applied(), force="x")
    side("GET", one)


@story
def apply_and_other_writers(side: Side) -> None:
    one = side.at("configmaps", "c")
    side("POST", side.at("configmaps"), configmap("c", a="1", b="2"), fieldManager="maker")
    side("PATCH", one, _applied(a="1"), form=APPLY_PATCH, fieldManager="one")
    side("PATCH", one, _applied(a="2"), form=APPLY_PATCH, fieldManager="one")
    side("PATCH", one, _applied(a="2"), form=APPLY_PATCH, fieldManager="one", force="true")
    side("PATCH", one, {"data": {"a": "3"}}, form=MERGE_PATCH, fieldManager="editor")
    side("PATCH", one, _applied(a="4"), form=APPLY_PATCH, fieldManager="one")
    side("PATCH", one, {"data": {"a": None}}, form=MERGE_PATCH, fieldManager="editor")
    side("PATCH", one, _applied(a="4"), form=APPLY_PATCH, fieldManager="one")
    side("PATCH", one, _applied(), form=APPLY_PATCH, fieldManager="one")
    side("PATCH", one, _applied(a="4"), form=APPLY_PATCH, fieldManager="editor")
    side("PATCH", one, {"data": {"a": "5"}}, form=MERGE_PATCH, fieldManager="editor")


@story
def apply_a_deployment(side: Side) -> None:
    one, head = side.at("deployments", "web"), {"apiVersion": "apps/v1", "kind": "Deployment"}
    keep = ("metadata.generation", "metadata.labels", "metadata.managedFields", "spec.replicas", "spec.template")

    def send(manager: str, body: Any, **query: str) -> None:
        side.settle(one)
        side("PATCH", one, {**head, **body}, form=APPLY_PATCH, fieldManager=manager, keep=keep, **query)

    def containers(*found: dict[str, Any]) -> dict[str, Any]:
        return {"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": list(found)}}}}

    side("PATCH", one, {**head, **deployment()}, form=APPLY_PATCH, fieldManager="owner", keep=keep)
    send("owner", deployment())
    send("scaler", {"metadata": {"name": "web"}, "spec": {"replicas": 1}})
    send("scaler", {"metadata": {"name": "web"}, "spec": {"replicas": 0}})
    without = deployment()
    without["spec"].pop("replicas")
    send("owner", without)
    send("side", containers({"name": "side", "image": "s:1", "ports": [{"containerPort": 80}]}))
    send("side", containers({"name": "app", "image": "s:1"}))
    send("side", containers({"name": "app", "env": [{"name": "A", "value": "1"}]}))
    send("side", containers())
    send("labeler", {"metadata": {"name": "web", "labels": {"x": "1"}, "finalizers": ["akeso.dev/a"]}})
    send("labeler", {"metadata": {"name": "web"}})
    send("odd", containers({"image": "s:1"}))
    send("odd", containers({"name": "app"}, {"name": "app"}))
    send("odd", {"metadata": {"name": "web"}, "spec": {"replicas": "x"}})
    send("odd", {"metadata": {"name": "web"}, "spec": {"replicas": -1}}, force="true")


@story
def managers(side: Side) -> None:
    one = side.at("deployments", "web")
    side("POST", side.at("deployments"), deployment(), fieldManager="maker", keep=("metadata.managedFields",))
    side.settle(one)
    keep = ("metadata.managedFields",)
    side("PATCH", one, {"spec": {"paused": True}}, form=MERGE_PATCH, fieldManager="a", keep=keep)
    side("PATCH", one, {"spec": {"paused": True}}, form=MERGE_PATCH, fieldManager="b", keep=keep)
    side("PATCH", one, {"spec": {"paused": False}}, form=MERGE_PATCH, fieldManager="b", keep=keep)
    side("PATCH", one, {"spec": {"replicas": 0}}, form=MERGE_PATCH, fieldManager="c", keep=keep)
    side("PATCH", one, [{"op": "add", "path": "/metadata/labels/d", "value": "1"}], form=JSON_PATCH,
         fieldManager="d", keep=keep)  # fmt: skip
    side("PATCH", one, {"metadata": {"labels": {"team": None}}}, form=MERGE_PATCH, fieldManager="e", keep=keep)
    side("PATCH", one, {"metadata": {"labels": {"x": "y"}}}, form=MERGE_PATCH, keep=keep)
    side("PATCH", one + "/status", {"status": {"collisionCount": 1}}, form=MERGE_PATCH, fieldManager="f", keep=keep)
    side("PATCH", one + "/scale", {"spec": {"replicas": 1}}, form=MERGE_PATCH, fieldManager="g", keep=("kind",))
    side("GET", one, keep=keep)


# Watching ------------------------------------------------------------------------------------------------------------


@story
def watch(side: Side) -> None:
    path = side.at("configmaps")
    start = side("GET", path, quiet=True, labelSelector="w")["metadata"]["resourceVersion"]
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)
    side("POST", path, {"metadata": {"name": "other"}}, quiet=True)
    side("PATCH", path + "/c", {"data": {"a": "1"}}, form=MERGE_PATCH, quiet=True)
    side("PATCH", path + "/c", {"data": {"a": "1"}}, form=MERGE_PATCH, quiet=True)
    side("PATCH", path + "/other", {"metadata": {"labels": {"w": "2"}}}, form=MERGE_PATCH, quiet=True)
    side("PATCH", path + "/c", {"metadata": {"labels": {"w": None}}}, form=MERGE_PATCH, quiet=True)
    side("DELETE", path + "/other", quiet=True)
    side.watch(path, 5, resourceVersion=start, labelSelector="w")
    side.watch(path, 1, resourceVersion=start, labelSelector="nothing", timeoutSeconds="1")
    side.watch(path, 1, resourceVersion="x", timeoutSeconds="1")
    side.watch(path, 1, resourceVersion="1", timeoutSeconds="1", labelSelector="w")
    side.watch(path, 1, timeoutSeconds="x")
    side.watch(path, 1, resourceVersion=start, labelSelector="w=", timeoutSeconds="1")


@story
def watch_what_is_there_and_what_comes(side: Side) -> None:
    path = side.at("configmaps")
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)

    def later() -> None:
        side("DELETE", path + "/c", quiet=True)

    side.watch(path, 2, labelSelector="w", meanwhile=later)
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)
    side.watch(path, 2, labelSelector="w", meanwhile=later, resourceVersion="0")
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)
    side.watch(path, 2, labelSelector="w", meanwhile=later, watch="1")
