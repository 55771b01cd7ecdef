"""Replaces the pods of a DaemonSet, as many at a time as it allows itself, until one does not come back.

What is written is the generation at which it was decided, so that whoever plans it from the same facts writes the same.
It is no part of what Git declares, so nobody puts it back.
"""

from math import ceil
from typing import Any, ClassVar

from pydantic import Field

from shared.action import quota
from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Touches, Write

_NOTES, _NOTE = "/spec/template/metadata/annotations", "akeso.dev/restarted"
_WITHIN_S = 3000

_SCOPE = {"kind": "DaemonSet", "namespace": "shop", "name": "agent", "uid": "s-1"}
_SPEC = {"generation": 1, "strategy": "RollingUpdate", "max_unavailable": "1", "annotated": True, "restarted": ""}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 1, "ready": 1}, "pod_count": 1, "spec": _SPEC}


class RestartDaemonsetParams(Model):
    """`ready_within_s`: so long a pod that was replaced may take to become ready."""

    ready_within_s: int = Field(default=180, ge=30, le=900)


class RestartDaemonset(Action):
    name = "restart_daemonset"
    summary = "Replace the pods of a DaemonSet one after the other."
    risk = "medium"
    kind = "patch"
    scopes = ("DaemonSet",)
    Params = RestartDaemonsetParams
    details = ("quota",)
    rbac = (Rule("apps", "daemonsets", ("patch",)),)
    requests = 32
    cooldown_s = 900
    soak_s = 120
    run_s = 3600
    downtime_s = 30
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_remedies.py::TestADaemonSetOfWhichAPodHangs"
        "::test_has_all_its_pods_replaced_one_after_the_other"
    )
    unproved = "that it stops at the first pod that stays away: a test would have to wait for minutes of a real clock"
    examples: ClassVar = (
        Example("a rolling restart", _FACTS, {}, writes=2),
        Example("for the second time", {**_FACTS, "spec": {**_SPEC, "restarted": "7"}}, {}, writes=2),
        Example("whose template has no annotations", {**_FACTS, "spec": {**_SPEC, "annotated": False}}, {}, writes=2),
        Example("replaced by hand", {**_FACTS, "spec": {**_SPEC, "strategy": "OnDelete"}}, {}, refusal="unsupported"),
        Example("no DaemonSet", {**_FACTS, "scope": {**_SCOPE, "kind": "Deployment"}}, {}, refusal="unsupported"),
        Example("on no node", {**_FACTS, "replicas": {"desired": 0, "ready": 0}}, {}, refusal="nothing-to-do"),
        Example("where none may be made", {**_FACTS, "details": {"quota": {"pods": -1}}}, {}, refusal="quota"),
        Example("gone", {**_FACTS, "replicas": None}, {}, refusal="not-found"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:  # noqa: ARG002  every action has this shape
        scope, replicas, spec = facts.scope, facts.replicas, facts.spec
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"{scope.kind} {scope.name} is no DaemonSet")
        if replicas is None or not scope.uid or "generation" not in spec:
            return Refusal(reason="not-found", text=f"DaemonSet {scope.name} was not there when the facts were taken")
        if spec.get("strategy") != "RollingUpdate":
            text = f"DaemonSet {scope.name} is updated by {spec.get('strategy')}: nothing would replace its pods"
            return Refusal(reason="unsupported", text=text)
        if replicas.desired == 0:
            return Refusal(reason="nothing-to-do", text=f"no node takes a pod of DaemonSet {scope.name}")
        if refused := quota.refuses(facts):
            return refused
        target = scope.ref
        said, before = str(spec["generation"]), str(spec.get("restarted") or "") or None
        write = Write(
            verb="patch", target=target, path=f"{_NOTES}/{_NOTE.replace('/', '~1')}", before=before, after=said
        )
        if not spec.get("annotated"):
            write = Write(verb="patch", target=target, path=_NOTES, before=None, after={_NOTE: said})
        return Plan(
            writes=(write, Write(verb="watch", target=target, patience_s=_WITHIN_S)),
            # As many as are away at once; the next goes when one of them is back.
            touches=Touches(unit="pod", count=_at_once(facts), population=facts.pod_count),
            takes_back=True,
        )

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:
        replicas = facts.replicas
        if replicas is None:
            return Refusal(reason="not-found", text=f"DaemonSet {facts.scope.name} has no pods any more")
        # Whoever is older than this attempt was ill before, and its turn comes.
        late = [pod for pod in facts.live if not pod.ready and params.ready_within_s <= pod.age_s < self.run_s]
        if late and replicas.observed and replicas.updated:
            text = (
                f"pod {late[0].name} was replaced and is not ready after {late[0].age_s} s: no further one is replaced"
            )
            return Refusal(reason="failed", text=text[:300])
        if replicas.renewed:
            return ""
        return f"{replicas.updated} of {replicas.desired} pods are replaced, {replicas.ready} are ready"

    def healthy(self, facts: Facts) -> bool:
        return facts.replicas is not None and facts.replicas.renewed


def _at_once(facts: Facts) -> int:
    """How many it lets be away, at least one: where it says none it has new pods first."""
    said, all_ = str(facts.spec.get("max_unavailable", "1")), facts.replicas.desired if facts.replicas else 0
    number = said.removesuffix("%")
    if not (number.isascii() and number.isdecimal()):
        return all_
    most = ceil(all_ * int(number[:9]) / 100) if said.endswith("%") else int(number[:9])
    return max(1, min(most, all_))
