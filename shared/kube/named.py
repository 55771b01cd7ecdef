"""The object that an alert or a person names, found with no more rights than a look at a scope needs anyway."""

from typing import Final

from shared.kube.reader import Object, Reader
from shared.kube.shape import meta
from shared.model.facts import ObjectRef

SCALER: Final = "HorizontalPodAutoscaler"


def named(kube: Reader, ref: ObjectRef) -> Object | None:
    """Find it by its name, whatever its uid; None when there is none. Raises KubeError."""
    if ref.kind != SCALER:
        return kube.get(ref.kind, ref.namespace, ref.name)
    # These are listed anyway, and nobody needs a right to look at a single one.
    return next((one for one in kube.list(ref.kind, ref.namespace) if meta(one).get("name") == ref.name), None)
