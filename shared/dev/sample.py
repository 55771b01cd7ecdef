"""The sample workload of `akeso dev`: one Deployment that the machine may heal, one that it must not touch."""

from shared.dev.cluster import Cluster

HEALED = ("shop", "checkout")
PROTECTED = ("kube-system", "coredns")
# Also below their minimum, but silent until somebody sends their alert: see `examples`.
ON_DEMAND = (("shop", "cart"), ("shop", "search"), ("finance", "billing"))
_NAMESPACES = {"shop": "auto", "finance": "approve", "kube-system": ""}


def seed(cluster: Cluster) -> None:
    """Make namespaces with their autonomy, and Deployments that run fewer replicas than their owners declared."""
    for name, autonomy in _NAMESPACES.items():
        cluster.namespace(name, {"akeso.dev/autonomy": autonomy} if autonomy else {})
    for namespace, name in (HEALED, PROTECTED, *ON_DEMAND):
        cluster.deployment(namespace, name, 1, annotations={"akeso.dev/minimum-replicas": "3"})
