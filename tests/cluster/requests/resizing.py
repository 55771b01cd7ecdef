"""The resources of a pod that is there: by their subresource alone, and not to what cannot be."""

from typing import Any

from tests.cluster.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.cluster.requests.bodies import pod
from tests.cluster.requests.told import story
from tests.cluster.side import Side

_KEPT = ("metadata.generation", "metadata.labels", "metadata.annotations", "spec.containers", "spec.nodeName")
_ALL = {part: {"cpu": "1", "memory": "310Mi"} for part in ("limits", "requests")}
_MEMORY = "/spec/containers/0/resources/limits/memory"


def _change(name: str = "app", **resources: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "resources": resources}]}}


@story
def resize_a_pod(side: Side) -> None:
    app = {"name": "app", "image": "x", "resources": {
        "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}}  # fmt: skip
    side(
        "POST", side.at("pods"), pod(containers=[app, {"name": "b", "image": "y"}], schedulerName="nobody"), quiet=True
    )
    one, sub = side.at("pods", "p"), side.at("pods", "p", "resize")
    side("GET", sub, keep=_KEPT)
    side("PATCH", sub, _change(limits={"memory": "256Mi"}), form=STRATEGIC_PATCH, keep=_KEPT, dryRun="All")
    side("PATCH", sub, _change(limits={"memory": "256Mi"}), form=STRATEGIC_PATCH, keep=_KEPT, fieldManager="me")
    for path, value in ((_MEMORY, "256Mi"), (_MEMORY, "1Mi"), ("/metadata/uid", "other")):
        guarded = [{"op": "test", "path": path, "value": value}, {"op": "replace", "path": _MEMORY, "value": "300Mi"}]
        side("PATCH", sub, guarded, form=JSON_PATCH, keep=_KEPT)
    for change in (
        _change(requests={"memory": "300Mi"}), _change(limits={"memory": "32Mi"}),
        _change(requests={"cpu": "200m"}, limits={"cpu": "100m"}), _change(limits={"memory": None}),
        _change(requests={"cpu": None}), _change(limits={"ephemeral-storage": "1Gi"}), _change(limits={"memory": "-1"}),
        _change("b", limits={"memory": "10Mi"}), {"spec": {"containers": [{"name": "c", "image": "z"}]}},
        {"spec": {"containers": [app | {"resources": _ALL}, {"name": "b", "resources": _ALL}]}},
    ):  # fmt: skip
        side("PATCH", sub, change, form=STRATEGIC_PATCH, keep=_KEPT)
    side("PATCH", sub, {"metadata": {"labels": {"x": "1"}, "annotations": {"y": "1"}}}, form=MERGE_PATCH, keep=_KEPT)
    side("PATCH", sub, {"spec": {"nodeName": "x"}, "status": {"phase": "Failed"}}, form=MERGE_PATCH, keep=_KEPT)
    side("PATCH", sub, {"spec": {"containers": [{"name": "app", "image": "z"}]}}, form=STRATEGIC_PATCH, keep=_KEPT)
    side("PATCH", sub, {"metadata": {"resourceVersion": "1"}}, form=MERGE_PATCH)
    side("PATCH", one, _change(limits={"memory": "400Mi"}), form=STRATEGIC_PATCH)
    side("GET", one, keep=_KEPT)
    side("PATCH", side.at("pods", "nothing", "resize"), {}, form=MERGE_PATCH)
    side("PATCH", side.at("deployments", "p", "resize"), {}, form=MERGE_PATCH)
