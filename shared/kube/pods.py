"""The pods of a scope, by its own selector: one page, and no page at all where a selector would select everything."""

from shared.errors import MalformedError
from shared.kube.reader import Object, Reader
from shared.kube.selector import Selector
from shared.kube.shape import part
from shared.model.facts import Scope

LISTED = 500


def pods_of(kube: Reader, scope: Scope, found: Object) -> list[Object]:
    """The pod itself, or at most `LISTED` that the workload selects; none for a node or a claim."""
    if scope.kind == "Pod":
        return [found]
    try:
        selector = Selector.of(part(found, "spec").get("selector"))
    except (MalformedError, AttributeError, TypeError):  # no workload has such a selector
        return []
    # An empty selector would select the whole namespace; no workload has one.
    if scope.kind == "PersistentVolumeClaim" or not scope.namespace or not selector.text:
        return []
    return kube.list("Pod", scope.namespace, labels=selector.text, limit=LISTED)
