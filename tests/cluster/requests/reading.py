"""Reads: one object, lists by labels, pages."""

from typing import Any

from tests.cluster.api import JSON_PATCH, MERGE_PATCH
from tests.cluster.requests.bodies import PDB, POD, autoscaler, budget, configmap, deployment, pod, replicaset
from tests.cluster.requests.told import story
from tests.cluster.side import Side


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
        "cronjobs": {"spec": {
            "schedule": "0 0 1 1 *", "suspend": True,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": job_pod}},
        }},
        "networkpolicies": {"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"]}},
        "limitranges": {"spec": {"limits": [{"type": "Pod", "max": {"memory": "1Gi"}}]}},
        "resourcequotas": {"spec": {"hard": {"configmaps": "100"}}},
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
