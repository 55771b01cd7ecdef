"""Lets a claim's volume grow by one bounded step, where its class allows it; what has grown never shrinks again."""

from typing import Any, ClassVar, Final

from pydantic import Field

from shared.action.declare import Action, Example, Rule
from shared.kube.quantity import of_bytes
from shared.model.base import Model
from shared.model.details import Claim, Room
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Touches, Write
from shared.model.refusal import Reason

_MIB, _GIB = 1 << 20, 1 << 30
_LEAST: Final = 10  # percent; less is not worth a resize, of which some clouds allow one in six hours
_SIZE: Final = "/spec/resources/requests/storage"
_PENDING: Final = "FileSystemResizePending"
_BROKEN: Final = ("ControllerResizeError", "NodeResizeError")

_SCOPE = {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": "c-1"}
_GI = {"value": _GIB, "text": "1Gi"}
_CLAIM = {
    "requested": _GI, "capacity": _GI, "phase": "Bound", "storage_class": "fast", "expandable": True,
    "access_modes": ["ReadWriteOnce"],
}  # fmt: skip


def _facts(room: dict[str, Any] | None = None, **claim: Any) -> dict[str, Any]:
    return {"taken_at": 0, "scope": _SCOPE, "details": {"claim": {**_CLAIM, **claim}, "room": room or {}}}


class ExpandPvcParams(Model):
    percent: int = Field(default=25, ge=_LEAST, le=100)
    most_gib: int = Field(default=1024, ge=1, le=16_384)  # the volume is never made larger than that


class ExpandPvc(Action):
    name = "expand_pvc"
    summary = "Let the volume of a claim grow by one bounded step."
    risk = "medium"
    kind = "patch"
    scopes = ("PersistentVolumeClaim",)
    Params = ExpandPvcParams
    details = ("claim", "room")
    rbac = (Rule("", "persistentvolumeclaims", ("patch",)),)
    requests = 29
    cooldown_s = 900
    soak_s = 60
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_storage.py::TestAFullVolumeThatMayGrow"
        "::test_grows_by_a_step_under_its_workload_which_writes_again"
    )
    unproved = (
        "a CSI driver with its resizer, because the proxies serve no Go module of the host-path one; what grew was of a"
        " FlexVolume driver, which the kubelet asks to resize"
    )
    examples: ClassVar = (
        Example("a volume that fills up", _facts(), {}, writes=2),
        Example("as far as the limit range goes", _facts({"claim": _GIB + 300 * _MIB}), {"percent": 100}, writes=2),
        Example("its class does not let it grow", _facts(expandable=False), {}, refusal="unsupported"),
        Example("not bound yet", _facts(phase="Pending", capacity=None), {}, refusal="unsupported"),
        Example(
            "growing already", _facts(requested={"value": 2 * _GIB, "text": "2Gi"}), {}, refusal="nothing-to-do"
        ),
        Example("the quota leaves nothing", _facts({"left": {"storage": 0}}), {}, refusal="quota"),
        Example("as large as it may be", _facts(), {"most_gib": 1}, refusal="bounds"),
        Example("declared in Git", {**_facts(), "gitops_owner": "flux"}, {}, refusal="gitops"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, claim = facts.scope, facts.details.claim
        if scope.kind not in self.scopes:
            return Refusal(
                reason="unsupported", text=f"{scope.kind} {scope.name} is no claim: it has no volume to grow"
            )
        if claim is None or claim.requested is None or not scope.uid:
            return Refusal(reason="not-found", text=f"claim {scope.name} was not there when the facts were taken")
        if facts.gitops_owner:
            text = f"{facts.gitops_owner} would revert this: change the size of claim {scope.name} in Git"
            return Refusal(reason="gitops", text=text)
        if refused := _unfit(scope.name, claim) or _busy(scope.name, claim):
            return refused
        wanted = _grown(scope.name, claim, facts.details.room or Room(), params)
        if isinstance(wanted, Refusal):
            return wanted
        target = scope.ref
        grow = Write(verb="patch", target=target, path=_SIZE, before=claim.requested.text, after=of_bytes(wanted))
        return Plan(
            writes=(grow, Write(verb="watch", target=target, patience_s=540)),
            touches=Touches(unit="pod", count=0, population=len(claim.mounts)),
            reversible=False,  # no driver shrinks a volume, and the API server refuses to ask for it
        )

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:  # noqa: ARG002  every action has this shape
        claim = facts.details.claim
        if claim is None or claim.requested is None:
            return Refusal(reason="not-found", text=f"claim {facts.scope.name} is gone")
        if broken := _condition(claim, *_BROKEN):
            return Refusal(reason="failed", text=f"the driver could not let the volume grow: {broken}")
        if _has(claim) >= claim.requested.value:
            return ""
        if _condition(claim, _PENDING):
            return _restart(claim)
        return f"the volume has not grown to {claim.requested.text} yet"

    def healthy(self, facts: Facts) -> bool:
        claim = facts.details.claim
        return (
            claim is not None
            and claim.requested is not None
            and claim.phase == "Bound"
            and _has(claim) >= claim.requested.value
        )


def _unfit(name: str, claim: Claim) -> Refusal | None:
    text = ""
    if claim.phase != "Bound" or claim.capacity is None:
        text = f"claim {name} is {claim.phase or 'not bound'}: there is no volume yet that could grow"
    elif not claim.storage_class:
        text = f"claim {name} has no storage class: its volume was made by hand, and a person has to make it larger"
    elif not claim.expandable:
        text = f"storage class {claim.storage_class} does not let volumes grow (allowVolumeExpansion)"
    return Refusal(reason="unsupported", text=text) if text else None


def _busy(name: str, claim: Claim) -> Refusal | None:
    text = ""
    if _condition(claim, _PENDING):
        text = f"claim {name} is growing already: {_restart(claim)}"
    elif going := _condition(claim, "Resizing", *_BROKEN):
        text = f"claim {name} is growing already, its condition is {going}: wait for it or look at the driver"
    elif claim.requested and claim.requested.value > _has(claim):
        text = f"claim {name} is growing already, to {claim.requested.text}"
    return Refusal(reason="nothing-to-do", text=text) if text else None


def _grown(name: str, claim: Claim, room: Room, params: ExpandPvcParams) -> int | Refusal:
    """How large it is to be: the step, or as far as it may go if that is a step at all."""
    asked = claim.requested.value if claim.requested else 0
    now = max(asked, _has(claim))
    limits: list[tuple[int, Reason, str]] = [(params.most_gib * _GIB, "bounds", f"it may have {params.most_gib} GiB")]
    if room.claim is not None:
        limits.append((room.claim, "quota", "the limit range allows no larger claim"))
    if room.left.storage is not None:
        limits.append((asked + room.left.storage, "quota", "the quota for storage leaves no room"))
    most, reason, why = min(limits)
    wanted = min(now + -(-now * params.percent // 100), most)
    wanted = -(-wanted // _MIB) * _MIB if -(-wanted // _MIB) * _MIB <= most else wanted // _MIB * _MIB
    if wanted * 100 < now * (100 + _LEAST):
        return Refusal(reason=reason, text=f"claim {name} cannot grow by {_LEAST} %: {why}, it has {now // _MIB} MiB")
    return wanted


def _has(claim: Claim) -> int:
    return claim.capacity.value if claim.capacity else 0


def _condition(claim: Claim, *names: str) -> str:
    return next((one.name for one in claim.conditions if one.name in names and one.status == "True"), "")


def _restart(claim: Claim) -> str:
    pod = claim.mounts[0].name if claim.mounts else ""
    return "its file system grows when " + (f"pod {pod} is restarted" if pod else "a pod mounts it")
