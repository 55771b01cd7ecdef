"""The namespaces where nothing is automatic, whatever anybody allows: the guard and the fence read this one list.

Plain names without a pattern, because the fence compares them as they are.
"""

from typing import Final

PROTECTED: Final = "akeso.dev/protected"  # as a label or an annotation of an object, whatever its value
# Akeso, what it stands on and what sees for it: a machine that repairs these saws at its own branch.
BUILT_IN: Final = (
    "akeso-system",
    "kube-system", "kube-public", "kube-node-lease",
    "knative-serving", "knative-eventing", "kourier-system",
    "monitoring",  # AlertManager and Prometheus
    "redis",
    "kube-flannel", "calico-system", "calico-apiserver", "tigera-operator", "cilium", "cilium-secrets",  # CNI
)  # fmt: skip
