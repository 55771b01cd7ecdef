"""A rendered installation's functions as plain Deployments and Services, for a cluster without Knative.

The pod is the product's own: account, security context, probes, resources, volumes, arguments and variables are taken
over as they stand. Added is only what Knative itself would set, taken away only what Kubernetes has no word for. It
asks no cluster and names nothing anew. A NetworkPolicy of the product lets in Knative's proxies and nobody else:
where policies are enforced, these pods need one more.
"""

from copy import deepcopy
from typing import Any

Object = dict[str, Any]

PORT = 8080  # Knative's default, which the image exposes
_KNATIVE = ("containerConcurrency", "timeoutSeconds")  # of a revision's template, unknown to a pod
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")


def pods(objects: list[Object], *, image: str, sink: str, cpu: str = "") -> list[Object]:
    """A Deployment and a Service for each function of a rendered installation, in its order.

    `sink` is the broker's address, given to those with a SinkBinding; `cpu` a limit, for measuring under one.
    """
    bound = {one["spec"]["subject"]["name"] for one in objects if one["kind"] == "SinkBinding"}
    made = []
    for one in objects:
        if one["apiVersion"] == "serving.knative.dev/v1" and one["kind"] == "Service":
            made += [deployment(one, image=image, sink=sink if one["metadata"]["name"] in bound else "", cpu=cpu),
                     service(one)]  # fmt: skip
    return made


def deployment(function: Object, *, image: str, sink: str = "", cpu: str = "") -> Object:
    """One pod of that Knative Service, always running."""
    template = deepcopy(function["spec"]["template"])
    spec = template["spec"]
    # As long as Knative gives a drained pod.
    spec["terminationGracePeriodSeconds"] = spec["timeoutSeconds"]
    for word in _KNATIVE:
        spec.pop(word, None)
    (container,) = spec["containers"]
    container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    container["ports"] = [{"name": "http", "containerPort": PORT}]
    given = {"PORT": str(PORT), "K_SERVICE": function["metadata"]["name"]} | ({"K_SINK": sink} if sink else {})
    container["env"] = [*container["env"], *({"name": name, "value": value} for name, value in given.items())]
    for probe in _PROBES:
        if probe in container:
            container[probe]["httpGet"]["port"] = PORT
    if "readinessProbe" in container:  # Knative asks every few ms; a pod's own period would round a start up to 10 s
        container["readinessProbe"].setdefault("periodSeconds", 1)
    if cpu:
        container["resources"]["limits"]["cpu"] = cpu
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _named(function),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": dict(template["metadata"]["labels"])},
            "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": spec},
        },
    }


def service(function: Object) -> Object:
    """The address by which the others know that function: its name, port 80."""
    selector = dict(function["spec"]["template"]["metadata"]["labels"])
    ports = [{"name": "http", "port": 80, "targetPort": PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _named(function),
        "spec": {"selector": selector, "ports": ports},
    }


def _named(function: Object) -> Object:
    kept = {key: value for key, value in function["metadata"].items() if key in {"name", "namespace"}}
    labels = {key: value for key, value in function["metadata"]["labels"].items() if "knative.dev/" not in key}
    return kept | {"labels": labels}
