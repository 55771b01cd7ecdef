"""The three kinds of patch."""

from typing import Any

from tests.cluster.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.cluster.requests.bodies import POD, configmap, deployment
from tests.cluster.requests.told import story
from tests.cluster.side import Side


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
