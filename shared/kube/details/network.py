"""Whether somebody is known to enforce NetworkPolicies: an API server takes them also where nobody does.

Told by the name of the plug-in's DaemonSet. A name proves that it is there and not that it is told to enforce, so this
is for a warning and never for a promise. Policies add up, so those are named that would let traffic through to a pod
with no other label than the quarantine's. With it go the labels of the pods, all of them or the pod is not listed: who
takes them off must be able to put them back.
"""

from typing import Final

from shared.errors import MalformedError
from shared.kube.pods import pods_of
from shared.kube.reader import Object, Reader
from shared.kube.selector import Selector
from shared.kube.shape import MIRROR, marks, meta, name, part, strings, within
from shared.model.details import QUARANTINE, Network, Seat
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod")
RIGHTS: Final = (("apps", "daemonsets", "list"), ("networking.k8s.io", "networkpolicies", "list"))

_PODS, _ROOM = 50, 12_000
_POLICIES: Final = 10
_ALONE: Final = {QUARANTINE: "a-uid"}  # all labels of a pod in quarantine
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
    open_by = sorted(name(meta(one).get("name")) for one in kube.list("NetworkPolicy", scope.namespace) if _opens(one))
    return Network(enforcer=_enforcer(kube), open_by=tuple(open_by[:_POLICIES]), pods=within(pods, _PODS, _ROOM))


def _enforcer(kube: Reader) -> str:
    for place in _PLACES:
        names = {name(meta(one).get("name")) for one in kube.list("DaemonSet", place)}
        known = next((_ENFORCERS[one] for one in _ENFORCERS if one in names), "")
        if known:
            return known
    return "unknown"


def _opens(policy: Object) -> bool:
    """Whether it lets anything through to or from a pod in quarantine. What nobody can read does."""
    spec = part(policy, "spec")
    types = spec.get("policyTypes") or ["Ingress", "Egress"]
    try:
        if not any(spec.get(way) for way in ("ingress", "egress") if way.capitalize() in types):
            return False
        return Selector.of(spec.get("podSelector")).matches(_ALONE)
    except (MalformedError, AttributeError, TypeError):
        return True


def _seat(pod: Object) -> Seat:
    return Seat(
        name=name(meta(pod).get("name")),
        uid=name(meta(pod).get("uid")),
        labels=strings(meta(pod).get("labels")),
        host=part(pod, "spec").get("hostNetwork") is True,
        mirror=MIRROR in marks(pod),
    )
