"""A claim's volume: how large, how it may grow, who has it mounted, and whether a snapshot can be made of it."""

from typing import Any, Final

from shared.kube.errors import NotFound
from shared.kube.mark import MARK, UNDO
from shared.kube.reader import Object, Reader
from shared.kube.shape import conditions, controller, dicts, marks, meta, name, part, size, strings, within, word
from shared.model.details import Amount, Claim, Mount
from shared.model.facts import OVER, Scope

KINDS: Final = ("PersistentVolumeClaim",)
RIGHTS: Final = (
    ("", "pods", "list"),
    ("storage.k8s.io", "storageclasses", "get"),
    ("snapshot.storage.k8s.io", "volumesnapshotclasses", "list"),
)

_MOUNTS, _ROOM, _CONDITIONS, _MODES, _NOTES, _NOTE = 20, 6_000, 8, 4, 8, 1024
_IDS: Final = 1 << 31
_OURS = "akeso.dev/"
_DEFAULT = "snapshot.storage.kubernetes.io/is-default-class"
_RECORDS: Final = frozenset({MARK, UNDO})  # of writes, and no wish of the claim's owner


def look(kube: Reader, scope: Scope, found: Object) -> Claim:
    spec, status = part(found, "spec"), part(found, "status")
    storage_class = name(spec.get("storageClassName"))
    known = kube.get("StorageClass", "", storage_class) if storage_class else None
    return Claim(
        requested=_amount(part(spec, "resources", "requests").get("storage")),
        capacity=_amount(part(status, "capacity").get("storage")),
        phase=word(status.get("phase")),
        storage_class=storage_class,
        expandable=part(known).get("allowVolumeExpansion") is True,
        conditions=conditions(found, _CONDITIONS),
        access_modes=_words(spec.get("accessModes"))[:_MODES],
        volume_mode=word(spec.get("volumeMode")),
        mounts=within((_mount(pod, scope.name) for pod in kube.list("Pod", scope.namespace) if _has(pod, scope.name)),
                      _MOUNTS, _ROOM),
        snapshot_class=_snapshot_class(kube, part(known).get("provisioner")),
        notes=_notes(found),
    )  # fmt: skip


def _amount(said: Any) -> Amount | None:
    value = size(said)
    return None if value is None else Amount(value=value, text=str(said))


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word(item) for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _has(pod: Object, claim: str) -> bool:
    return word(part(pod, "status").get("phase")) not in OVER and bool(_volumes(pod, claim))


def _volumes(pod: Object, claim: str) -> set[str]:
    """The pod's own names for it: by the claim's name, or as the volume that was made for this pod alone."""
    own = f"{meta(pod).get('name')}-"
    return {
        str(volume.get("name"))
        for volume in dicts(part(pod, "spec").get("volumes"))
        if part(volume, "persistentVolumeClaim").get("claimName") == claim
        or (bool(part(volume, "ephemeral")) and own + str(volume.get("name")) == claim)
    }


def _mount(pod: Object, claim: str) -> Mount:
    as_whom = {**part(pod, "spec", "securityContext"), **part(_writer(pod, claim), "securityContext")}
    return Mount(
        name=name(meta(pod).get("name")),
        uid=name(meta(pod).get("uid")),
        node=name(part(pod, "spec").get("nodeName")),
        owner=word(controller(pod).get("kind")),
        user=_id(as_whom.get("runAsUser")),
        group=_id(as_whom.get("runAsGroup")),
        fs_group=_id(as_whom.get("fsGroup")),
    )


def _writer(pod: Object, claim: str) -> Object:
    """The container whose files are on it: a proxy beside it, which may stand before it, has a user of its own."""
    volumes, containers = _volumes(pod, claim), dicts(part(pod, "spec").get("containers"))
    mounted = (
        one for one in containers if any(str(at.get("name")) in volumes for at in dicts(one.get("volumeMounts")))
    )
    return next(mounted, containers[0] if containers else {})


def _id(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _IDS else None


def _snapshot_class(kube: Reader, provisioner: Any) -> str:
    """One of the driver's, the default one where there is one."""
    if not isinstance(provisioner, str) or not provisioner:
        return ""
    try:
        classes = [one for one in kube.list("VolumeSnapshotClass") if one.get("driver") == provisioner]
    except NotFound:  # nobody has installed snapshots here
        return ""
    best = sorted((marks(one).get(_DEFAULT) != "true", name(meta(one).get("name"))) for one in classes)
    return best[0][1] if best else ""


def _notes(found: Object) -> dict[str, str]:
    notes = strings(meta(found).get("annotations")).items()
    # A declaration may be longer than a name; cut, it is one that cannot be read.
    ours = sorted(
        (name(key), text[: _NOTE + 1]) for key, text in notes if key.startswith(_OURS) and key not in _RECORDS
    )
    return dict(ours[:_NOTES])
