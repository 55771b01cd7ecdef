"""Server-side apply, and who manages what."""

from typing import Any

from tests.cluster.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from tests.cluster.requests.bodies import configmap, deployment
from tests.cluster.requests.told import story
from tests.cluster.side import Side


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
