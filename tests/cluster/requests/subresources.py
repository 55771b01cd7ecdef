"""Status and scale."""

from tests.cluster.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.cluster.requests.bodies import deployment, pod
from tests.cluster.requests.told import story
from tests.cluster.side import Side


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
