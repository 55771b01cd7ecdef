"""What a rule may ask of the facts, and how it may make a parameter of them: a closed set, no expression language.

Nothing here reads an alert's text but its name: what somebody else wrote can neither become a parameter nor widen a
condition.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from pydantic import Field

from shared.event.types import TriagedData
from shared.model.base import Model
from shared.model.details import CLEANUP, STOOD_MS
from shared.model.facts import ContainerState, Facts, PodFacts, ScopeKind

_HOUR_MS: Final = 3_600_000


class PodWhen(Model):
    """Holds when one pod that is not being deleted has one container that meets all of it.

    Neither may be ready, but where it is `looping` that is asked for: between two crashes it may look well.
    """

    phase: str = ""
    min_age_s: int = Field(default=0, ge=0)
    running: bool | None = None  # the container waits for nothing
    looping: bool = False
    waiting: tuple[str, ...] = ()
    terminated: tuple[str, ...] = ()
    not_terminated: tuple[str, ...] = ()
    min_restarts: int = Field(default=0, ge=0)

    def pods(self, facts: Facts) -> tuple[PodFacts, ...]:
        """List the pods that meet it, the worst first: most restarts, then by name."""
        # Of a Job the failed pods are the matter itself; elsewhere they are leftovers that were replaced long ago.
        counted = [pod for pod in facts.pods if not pod.over or facts.scope.kind == "Job"]
        met = [(pod, hits) for pod in counted if (hits := self._hits(pod))]
        met.sort(key=lambda item: (-max(state.restarts for state in item[1]), item[0].name))
        return tuple(pod for pod, _ in met)

    def _hits(self, pod: PodFacts) -> list[ContainerState]:
        if pod.ready and not self.looping:
            return []
        if pod.deleting or pod.age_s < self.min_age_s or self.phase not in ("", pod.phase):
            return []
        return [
            state
            for state in pod.containers
            if ((state.looping and state.ready is pod.ready) if self.looping else not state.ready)
            and (self.running is None or self.running is (not state.waiting))
            and (not self.waiting or state.waiting in self.waiting)
            and (not self.terminated or state.terminated in self.terminated)
            and state.terminated not in self.not_terminated
            and state.restarts >= self.min_restarts
        ]


class NodeWhen(Model):
    """Holds for a node that was looked at. `others`: so many beside it are ready and take pods."""

    ready: bool | None = None
    cordoned: bool | None = None
    control_plane: bool | None = None
    others: int = Field(default=0, ge=0)

    def met(self, facts: Facts) -> bool:
        node = facts.details.node
        if node is None:
            return False
        itself = node.ready and not node.unschedulable
        return (
            self.ready in (None, node.ready)
            and self.cordoned in (None, node.unschedulable)
            and self.control_plane in (None, node.control_plane)
            and node.in_cluster.schedulable - itself >= self.others
        )


class ClaimWhen(Model):
    """Holds of a claim whose volume a remedy could be tried on."""

    cleanable: bool | None = None  # its owner has said what may be deleted on it
    expandable: bool | None = None  # it is bound, and its class lets it grow

    def met(self, facts: Facts) -> bool:
        claim = facts.details.claim
        if claim is None:
            return False
        grows = claim.expandable and claim.phase == "Bound"
        return self.cleanable in (None, CLEANUP in claim.notes) and self.expandable in (None, grows)


class When(Model):
    """Conditions, all of which must hold; the family or the alert name is enough for the alert itself."""

    families: tuple[str, ...] = ()
    alertnames: tuple[str, ...] = ()
    scope_kinds: tuple[ScopeKind, ...] = ()
    pod: PodWhen | None = None
    node: NodeWhen | None = None
    autoscaler: Literal["absent", "present"] | None = None
    rolling_out: bool | None = None
    paused: bool | None = None
    below_minimum: bool | None = None
    all_ready: bool | None = None
    new_version_fails: bool | None = None  # and one before it is known to have been good
    starved: bool | None = None  # a container with a limit was killed for want of memory
    maxed_out: bool | None = None  # an autoscaler that has its metrics wants more than it may have
    min_ready: int = Field(default=0, ge=0)
    min_desired: int = Field(default=0, ge=0)
    claim: ClaimWhen | None = None
    declared: Literal["", "backup", "compact", "cleanup"] = ""  # a CronJob of the owner's for that

    def met(self, triaged: TriagedData) -> bool:
        facts, replicas = triaged.facts, triaged.facts.replicas
        ready, desired = (replicas.ready, replicas.desired) if replicas else (0, 0)
        scaler = "present" if facts.autoscaler else "absent"
        return (
            self._about(triaged)
            and (not self.scope_kinds or facts.scope.kind in self.scope_kinds)
            and self.autoscaler in (None, scaler)
            and self.rolling_out in (None, facts.rolling_out)
            and self.paused in (None, facts.paused)
            and self.below_minimum in (None, _minimum(facts) > desired)
            and self.all_ready in (None, replicas is not None and ready >= desired)
            and self.new_version_fails in (None, _new_version_fails(facts))
            and self.starved in (None, _starved(facts) is not None)
            and self.maxed_out in (None, _maxed_out(facts))
            and ready >= self.min_ready
            and desired >= self.min_desired
            and (self.pod is None or bool(self.pod.pods(facts)))
            and (self.node is None or self.node.met(facts))
            and (self.claim is None or self.claim.met(facts))
            and (not self.declared or _declared(facts, self.declared))
        )

    def _about(self, triaged: TriagedData) -> bool:
        if not self.families and not self.alertnames:
            return True
        name = triaged.alert.labels.get("alertname", "") if triaged.alert else ""
        return triaged.family in self.families or name in self.alertnames


def _declared(facts: Facts, task: str) -> bool:
    tasks = facts.details.tasks
    return tasks is not None and any(one.task == task for one in tasks.tasks)


def _minimum(facts: Facts) -> int:
    return facts.bound("minimum_replicas") or 0


def _new_version_fails(facts: Facts) -> bool:
    """Its rollout is stuck, or half of its pods fail soon after it came, while an older one was good."""
    history = facts.details.revisions
    now = history.current if history else None
    if history is None or now is None or (now.health == "now" and not facts.falling):
        return False
    half = 2 * (now.replicas - now.ready + facts.falling) >= now.replicas  # one of many is not the version's fault
    new = half and 0 <= facts.taken_at - now.created_at < STOOD_MS
    return (history.rollout == "stuck" or new) and any(
        one.number < now.number and one.health in ("now", "stood") and one.template != now.template
        for one in history.revisions
    )


def _starved(facts: Facts) -> str | None:
    """The container that was killed last for want of memory, in the last hour, and has a limit."""
    seen = facts.details.containers
    killed = [one for one in seen.containers if one.limits.memory and one.oom_at] if seen else []
    last = max(killed, key=lambda one: one.oom_at, default=None)
    return last.name if last and facts.taken_at - last.oom_at < _HOUR_MS else None


def _maxed_out(facts: Facts) -> bool:
    scaler = facts.details.scaler
    return scaler is not None and scaler.metrics and scaler.able and scaler.limited == "TooManyReplicas"


def _minimum_replicas(facts: Facts, _: When) -> int | None:
    return _minimum(facts) or None


def _one_more_replica(facts: Facts, _: When) -> int | None:
    return facts.replicas.desired + 1 if facts.replicas else None


def _worst_pod(facts: Facts, when: When) -> str | None:
    return next((pod.name for pod in (when.pod or PodWhen()).pods(facts)), None)


# How a parameter is made from facts, by the word that a rule uses. None: it cannot be made, the rule does not apply.
DERIVATIONS: Final[Mapping[str, Callable[[Facts, When], Any]]] = {
    "minimum_replicas": _minimum_replicas,
    "one_more_replica": _one_more_replica,
    "worst_pod": _worst_pod,
    "starved_container": lambda facts, _: _starved(facts),
}
