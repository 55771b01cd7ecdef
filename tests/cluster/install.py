"""An installation beside others: what `akeso render` makes for plain Kubernetes, under another home and other names.

What it applies are the product's own manifests. Only the names are changed: the namespace, and a suffix for everything
that belongs to the whole cluster. It must not change what they say. It runs no function and needs no Redis.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from shared.action import render
from shared.action.catalogue import Catalogue
from tests.cluster.api import Api, Object

ARGUMENTS = {"image": "akeso.test/akeso:1", "alertmanager": "http://alertmanager.monitoring:9093", "redis_secret": "r"}


class Installation(NamedTuple):
    """What was applied, and under which names."""

    home: str  # the namespace in the place of `akeso-system`
    objects: list[Object]

    def named(self, name: str) -> str:
        """What an object of the whole cluster is called here: `akeso-facts` has another name than in the manifest."""
        return f"{name}-{self.home}"


@contextmanager
def installed(api: Api, home: str, catalogue: Catalogue | None = None) -> Iterator[Installation]:
    """Apply the base installation in the namespace `home`, which it makes, and take all of it away at the end."""
    there = Installation(home, renamed(core("base", catalogue), home))
    keep_watching(api)
    with ExitStack() as made:
        for one in there.objects:
            api.apply(path(one), one)
            if of_the_cluster(one):
                made.callback(api, "DELETE", path(one), {"propagationPolicy": "Background"})
        yield there


def keep_watching(api: Api) -> None:
    """Leave an admission policy in the cluster that reads ConfigMaps as parameters and matches nothing.

    Without the last such policy an API server stops watching ConfigMaps and, until it is started again, judges by what
    it saw last (kubernetes/kubernetes#130887). Taking an installation away would blind the next one, and whatever else
    has such policies in that cluster. So this stays.
    """
    name = "akeso-test-keeps-watching"
    match = {"resourceRules": [{"apiGroups": ["akeso.test"], "apiVersions": ["*"], "resources": ["none"],
                                "operations": ["CREATE"]}]}  # fmt: skip
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    policy = head | {"kind": "ValidatingAdmissionPolicy", "spec": {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "matchConstraints": match,
        "validations": [{"expression": "true"}],
    }}  # fmt: skip
    binding = head | {"kind": "ValidatingAdmissionPolicyBinding", "spec": {
        "policyName": name, "validationActions": ["Deny"],
        "paramRef": {"name": name, "namespace": "default", "parameterNotFoundAction": "Allow"},
    }}  # fmt: skip
    for one in (policy, binding):
        api.apply(path(one), one)


def core(overlay: str, catalogue: Catalogue | None = None) -> list[Object]:
    """Everything of an overlay that a Kubernetes without Knative knows, in the order in which it is to be applied."""
    objects = render.render(overlay, catalogue=catalogue or Catalogue.home(), **ARGUMENTS)
    return [one for one in objects if not of_knative(one)]


def of_knative(one: Object) -> bool:
    return "knative.dev/" in one["apiVersion"]


def renamed(objects: list[Object], home: str) -> list[Object]:
    """The same objects for another home, beside every other installation in the cluster."""
    return [_renamed(_moved(one, home), f"-{home}") for one in objects]


def _moved(value: Any, home: str) -> Any:
    if isinstance(value, dict):
        return {key: _moved(item, home) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, home) for item in value]
    return value.replace(render.NAMESPACE, home) if isinstance(value, str) else value


def _renamed(one: Object, suffix: str) -> Object:
    if of_the_cluster(one) and one["kind"] not in {"Namespace", "CustomResourceDefinition"}:
        one["metadata"]["name"] += suffix
    if one.get("roleRef", {}).get("kind") == "ClusterRole":
        one["roleRef"]["name"] += suffix
    if one["kind"] == "ValidatingAdmissionPolicyBinding":
        one["spec"]["policyName"] += suffix
    return one


def of_the_cluster(one: Object) -> bool:
    """Whether it is in no namespace."""
    return "namespace" not in one["metadata"]


def path(one: Object) -> str:
    """Where that object is in the API."""
    api, kind, meta = one["apiVersion"], one["kind"].lower(), one["metadata"]
    plural = kind.removesuffix("y") + "ies" if kind.endswith("y") else kind + "s"
    where = "" if of_the_cluster(one) else f"/namespaces/{meta['namespace']}"
    return f"{'/api' if api == 'v1' else '/apis'}/{api}{where}/{plural}/{meta['name']}"
