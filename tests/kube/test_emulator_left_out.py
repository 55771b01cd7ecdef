"""What the emulator leaves out is said by 501, each on the list, and nothing that is asked for is overlooked."""

from typing import NamedTuple

import pytest

from shared.dev import cluster_schema
from shared.dev.cluster_route import LEFT_OUT

WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
EVENTS = "/api/v1/namespaces/shop/events"
PODS = "/api/v1/namespaces/shop/pods"
JSON, MERGE, APPLY = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"


class Asked(NamedTuple):
    method: str
    path: str
    body: object = None
    form: str = JSON
    accept: str = JSON


ASKED = {
    "discovery": [Asked("GET", path) for path in (
        "/version", "/apis", "/api", "/openapi/v3", "/healthz", "/apis/apps/v1")],
    "kind": [Asked("GET", "/api/v1/secrets"), Asked("GET", "/apis/apps/v1beta1/namespaces/shop/deployments/web"),
             Asked("POST", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses", {})],
    "put": [Asked("PUT", WEB, {}), Asked("PUT", WEB + "/status", {}), Asked("PUT", WEB + "/scale", {})],
    "deletecollection": [Asked("DELETE", PODS), Asked("DELETE", "/apis/apps/v1/namespaces/shop/deployments")],
    "subresource": [Asked("GET", f"{PODS}/p/{sub}") for sub in ("exec", "attach", "portforward", "proxy")]
                   + [Asked("POST", f"{PODS}/p/binding", {}),
                      Asked("PATCH", f"{PODS}/p/ephemeralcontainers", {}, MERGE),
                      Asked("PUT", "/api/v1/namespaces/shop/finalize", {})],
    "query": [Asked("GET", WEB + "?resourceVersion=0"), Asked("GET", PODS + "?resourceVersion=0"),
              Asked("GET", PODS + "?pretty=true"), Asked("PATCH", WEB + "?x=y", {}, MERGE),
              Asked("GET", PODS + "/p/log?x=y"), Asked("GET", PODS + "?sendInitialEvents=true&watch=true"),
              Asked("GET", WEB + "?watch=true")],
    "fieldSelector": [Asked("GET", PODS + "?fieldSelector=spec.nodeName%21%3Dx"),
                      Asked("GET", PODS + "?fieldSelector=spec.nodeName%3Dx%2Cstatus.phase%3DRunning"),
                      Asked("GET", "/api/v1/nodes?fieldSelector=spec.nodeName%3Dx"),
                      Asked("GET", PODS + "?watch=true&fieldSelector=spec.nodeName%3Dx"),
                      Asked("GET", PODS + "?watch=true&fieldSelector=metadata.name%3Dx"),
                      Asked("GET", PODS + "?fieldSelector=involvedObject.uid%3Dx"),
                      Asked("GET", EVENTS + "?watch=true&fieldSelector=involvedObject.uid%3Dx"),
                      Asked("GET", EVENTS + "?fieldSelector=involvedObject.uid%21%3Dx"),
                      Asked("GET", EVENTS + "?fieldSelector=involvedObject.uid%3Dx%2Creason%3Dy")],
    "log": [Asked("GET", f"{PODS}/p/log?{more}") for more in (
        "follow=true", "timestamps=true", "sinceSeconds=1", "sinceTime=x", "stream=Stdout")],
    "selector": [Asked("GET", PODS + "?labelSelector=a%3E1"), Asked("GET", PODS + "?watch=1&labelSelector=a%3C1")],
    "bookmarks": [Asked("GET", PODS + "?watch=true&allowWatchBookmarks=true")],
    "future": [Asked("GET", PODS + "?watch=true&resourceVersion=999999")],
    "accept": [Asked("GET", PODS, accept=accept) for accept in (
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/yaml",
        "application/vnd.kubernetes.protobuf")],
    "body": [Asked("POST", PODS, {}, "application/yaml"),
             Asked("POST", PODS, {}, "application/vnd.kubernetes.protobuf"),
             Asked("PATCH", WEB + "?fieldManager=m", {}, "application/apply-patch+cbor"),
             Asked("DELETE", WEB, {}, "application/yaml")],
    "propagation": [Asked("DELETE", WEB + "?propagationPolicy=Foreground"),
                    Asked("DELETE", WEB, {"propagationPolicy": "Orphan"}),
                    Asked("DELETE", WEB, {"orphanDependents": True}),
                    Asked("POST", PODS + "/p/eviction", {
                        "metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "Foreground"}})],
    "apply-sub": [Asked("PATCH", WEB + "/status?fieldManager=m", {}, APPLY)],
}  # fmt: skip


@pytest.fixture
def ask(call):
    return lambda asked: call(asked.method, asked.path, asked.body, form=asked.form, accept=asked.accept)


@pytest.mark.parametrize(("name", "asked"), [(name, one) for name, every in ASKED.items() for one in every])
def test_what_is_left_out_is_a_501_that_says_so_and_changes_nothing(cluster, ask, name, asked):
    before = cluster.store.version

    status, body = ask(asked)

    assert (status, body["kind"], body["reason"]) == (501, "Status", "NotImplemented")
    assert LEFT_OUT[name] in body["message"]
    assert cluster.store.version == before


@pytest.mark.parametrize(
    ("form", "query"),
    [("application/strategic-merge-patch+json", ""), (APPLY, "?fieldManager=m"), (MERGE, "?fieldValidation=Strict")],
)
def test_a_kind_whose_fields_nobody_has_distilled_is_served_but_for_what_needs_them(
    cluster, ask, monkeypatch, form, query
):
    monkeypatch.setattr(cluster_schema, "root", lambda _: cluster_schema.ANYTHING)

    assert ask(Asked("PATCH", WEB, {"spec": {"anything": "goes"}}, MERGE))[0] == 200
    status, body = ask(Asked("PATCH", WEB + query, {}, form))

    assert status == 501
    assert LEFT_OUT["typed"] in body["message"]


def test_each_entry_of_the_list_is_asked_for():
    assert set(ASKED) | {"typed"} == set(LEFT_OUT)
