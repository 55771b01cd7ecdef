"""Whether somebody is known to enforce NetworkPolicies: an API server takes them also where nobody does.

Told by the name of the plug-in's DaemonSet. A name proves that it is there and not that it is told to enforce, so this
is for a warning and never for a promise.
"""

from typing import Final

from shared.kube.reader import Object, Reader
from shared.kube.shape import meta, name
from shared.model.details import Network
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod")
RIGHTS: Final = (("apps", "daemonsets", "list"),)

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


def look(kube: Reader, scope: Scope, found: Object) -> Network:  # noqa: ARG001  every detail has this shape
    for place in _PLACES:
        names = {name(meta(one).get("name")) for one in kube.list("DaemonSet", place)}
        known = next((_ENFORCERS[one] for one in _ENFORCERS if one in names), "")
        if known:
            return Network(enforcer=known)
    return Network()
