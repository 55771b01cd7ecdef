"""Whether somebody is known to enforce NetworkPolicies: an API server takes them also where nobody does.

Told by the name of the plug-in's DaemonSet. A name proves that it is there and not that it is told to enforce, so this
is for a warning and never for a promise. With it go the labels of the pods, all of them or the pod is not listed: who
takes them off must be able to put them back.
"""

from typing import Final

from shared.kube.pods import pods_of
from shared.kube.reader import Object, Reader
from shared.kube.shape import MIRROR, marks, meta, name, part, strings, within
from shared.model.details import Network, Seat
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod")
RIGHTS: Final = (("apps", "daemonsets", "list"),)

_PODS, _ROOM = 50, 12_000
_PLACES: Final = ("kube-system", "calico-system", "cilium", "openshift-ovn-kubernetes", "ovn-kubernetes")
_ENFORCERS: Final = {
    "calico-node": "calico",  # also what GKE and AKS run where they enforce by Calico
    "canal": "calico",
    "cilium": "cilium",
    "anetd": "cilium",  # GKE, Dataplane V2
    "kube-router": "kube-router",
    "weave-net": "weave",
    "antrea-agent": "antrea",
    "ovnkube-node": "ovn",
    "azure-npm": "azure",
    "kube-network-policies": "kube-network-policies",
}


def look(kube: Reader, scope: Scope, found: Object) -> Network:
    pods = (_seat(pod) for pod in sorted(pods_of(kube, scope, found), key=lambda pod: name(meta(pod).get("name"))))
    return Network(enforcer=_enforcer(kube), pods=within(pods, _PODS, _ROOM))


def _enforcer(kube: Reader) -> str:
    for place in _PLACES:
        names = {name(meta(one).get("name")) for one in kube.list("DaemonSet", place)}
        known = next((_ENFORCERS[one] for one in _ENFORCERS if one in names), "")
        if known:
            return known
    return "unknown"


def _seat(pod: Object) -> Seat:
    return Seat(
        name=name(meta(pod).get("name")),
        uid=name(meta(pod).get("uid")),
        labels=strings(meta(pod).get("labels")),
        host=part(pod, "spec").get("hostNetwork") is True,
        mirror=MIRROR in marks(pod),
    )
