"""Every event type with its schema and its one subscriber: the table from which Triggers, docs and tests are derived.

Nothing else may list event types or routes. A type without subscriber is for the timeline and for other people's
triggers: soak, step, retry or tell carries the incident on.
"""

from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from shared.model.base import Model
from shared.model.facts import Autonomy, Facts, ObjectRef, Scope
from shared.model.hold import Price
from shared.model.plan import Plan
from shared.model.refusal import Reason
from shared.model.wish import Wish

PREFIX: Final = "dev.akeso."


class Alert(Model):
    """One element of AlertManager's `alerts[]`, bounded by intake. Hostile text: data only, never a parameter."""

    status: Literal["firing", "resolved"]
    fingerprint: str
    starts_at: int  # ms
    ends_at: int  # ms, negative while firing
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class AlertData(Model):
    alert: Alert
    ledger: str  # key of the ledger entry
    truncated: int = 0  # alerts that AlertManager left out of the group
    twin: str = ""  # ledger key of the same alert's other status
    again: int = 0  # for the how manieth time the same message is news; 0: the first


class RequestedData(Model):
    """Look at an incident again. Without `incident` it is a person's run against `target`, in family `manual`."""

    incident: str = ""
    target: ObjectRef | None = None
    wish: Wish


class TriagedData(Model):
    incident: str
    scope: Scope
    family: str
    alert: Alert | None = None
    facts: Facts
    tried: tuple[str, ...] = ()  # actions already begun for this incident, oldest first
    wish: Wish | None = None


class Judged(Model):
    """The facts that `admit` judges; at most 16 KB with the plan, refused as stale when older than two minutes."""

    taken_at: int
    autonomy: Autonomy
    gitops_owner: str = ""
    last_changed_by: str = ""
    last_changed_at: int = 0
    rolling_out: bool = False
    paused: bool = False
    replicas: int | None = None
    disruption_allowed: int | None = None
    protected: bool = False
    namespace_pods: int = 0
    environment: str = Field(default="", max_length=63)


class Declared(Model):
    """What the action's file says of it, carried along because the guard imports no action. Seconds."""

    risk: Literal["none", "low", "medium", "high"]
    cooldown_s: int = Field(ge=0, le=86_400)
    soak_s: int = Field(ge=0, le=86_400)
    until_s: int = Field(default=0, ge=0, le=604_800)
    run_s: int = Field(default=600, ge=30, le=7200)
    downtime_s: int = Field(default=0, ge=0, le=86_400)  # of one thing that is touched
    width: Literal["scope", "namespace", "node"] = "scope"


class ProposedData(Model):
    incident: str
    scope: Scope
    family: str
    mode: Literal["do", "undo"] = "do"
    of: str = ""  # undo: the attempt that is taken back
    action: str
    params: dict[str, Any] = Field(default_factory=dict)
    plan: Plan
    judged: Judged
    declared: Declared
    confidence: float = Field(ge=0, le=1)
    reasoning: str = Field(max_length=2000)
    rule: str = ""  # runbook rule that chose it, "" for a person
    proposer: str
    wish: Wish | None = None


class ApprovedData(Model):
    """`grant` is the signed token of `shared.guard.grant`; the plan is bound to it by its hash."""

    incident: str
    grant: str
    params: dict[str, Any] = Field(default_factory=dict)
    plan: Plan
    step: int = 0


class RefusedData(Model):
    """A decision against acting: which check, what limit, what was used, when it may come back (ms, 0: never)."""

    incident: str
    scope: Scope
    action: str
    check: str
    limit: float | None = None
    used: float | None = None
    retry_at: int = 0
    text: str = ""
    plan: Plan | None = None
    hold: str = ""
    policy: str = ""
    risk: int = 0
    parts: dict[str, float] = Field(default_factory=dict)  # of the risk score, in points
    price: Price | None = None
    needs: int = 1  # how many people must say yes
    deadline: int = 0  # ms; of a hold


class OutcomeData(Model):
    """How one run of an attempt ended; `unknown` is also the verdict of a soak that nobody can judge."""

    incident: str
    attempt: str
    action: str
    outcome: Literal["succeeded", "failed", "skipped", "stopped", "unused", "unknown", "progressing"]
    text: str = ""
    reason: Reason | Literal[""] = ""
    resolved_by: Literal["", "write", "mark", "uid", "fence", "look"] = ""  # how an unclear write was settled
    cursor: int = 0
    undo: str = ""  # the command that takes back what stays changed


class VerificationData(Model):
    incident: str
    attempt: str
    action: str


class VerdictData(Model):
    incident: str
    attempt: str
    verdict: Literal["verified", "ineffective", "harmful"]
    text: str = ""


class IncidentData(Model):
    incident: str
    text: str = ""


class EscalationData(Model):
    """What a person is to be told, once per incident and reason."""

    incident: str
    reason: str = Field(max_length=512)


class EventType(NamedTuple):
    schema: type[Model]
    subscriber: str = ""  # a function, "executor" meaning the one of the event's action


TYPES: Final[dict[str, EventType]] = {
    PREFIX + name + ".v1": event_type
    for name, event_type in {
        "alert.firing": EventType(AlertData, "triage"),
        "alert.resolved": EventType(AlertData, "triage"),
        "incident.triaged": EventType(TriagedData, "router"),
        "incident.suppressed": EventType(IncidentData),
        "incident.closed": EventType(IncidentData, "escalate"),
        "remediation.requested": EventType(RequestedData, "triage"),
        "remediation.proposed": EventType(ProposedData, "guard"),
        "remediation.approved": EventType(ApprovedData, "executor"),
        "remediation.continued": EventType(ApprovedData, "executor"),
        "remediation.denied": EventType(RefusedData),
        "remediation.held": EventType(RefusedData, "escalate"),
        "remediation.succeeded": EventType(OutcomeData),
        "remediation.failed": EventType(OutcomeData, "escalate"),
        "remediation.skipped": EventType(OutcomeData),
        "remediation.stopped": EventType(OutcomeData, "escalate"),
        "remediation.progressing": EventType(OutcomeData),
        "remediation.unknown": EventType(OutcomeData, "escalate"),
        "verification.due": EventType(VerificationData, "verifier"),
        "remediation.verified": EventType(VerdictData, "escalate"),
        "remediation.ineffective": EventType(VerdictData),
        "remediation.harmful": EventType(VerdictData, "escalate"),
        "escalation.requested": EventType(EscalationData, "escalate"),
        "escalation.due": EventType(EscalationData, "escalate"),
    }.items()
}

# Carries no authority and no signature: it only says "look again".
PING: Final = "dev.knative.sources.ping"

EXTENSIONS: Final = (
    "incidentid", "causationid", "correlationid", "action", "severity", "tenant", "cluster", "hop", "traceparent",
    "expirytime", "partitionkey", "redrive", "sig",
)  # fmt: skip

FUNCTIONS: Final = (
    "intake", "triage", "router", "guard", "executor", "verifier", "escalate", "deadletter", "sweeper", "api",
)  # fmt: skip
ALWAYS_WARM: Final = frozenset({"intake", "guard", "escalate", "deadletter", "sweeper", "api"})


def full(short: str) -> str:
    """`alert.firing` to `dev.akeso.alert.firing.v1`. Raises KeyError for a type that does not exist."""
    name = f"{PREFIX}{short}.v1"
    if name not in TYPES:
        raise KeyError(name)
    return name


def short(name: str) -> str:
    """The inverse of `full`."""
    return name.removeprefix(PREFIX).removesuffix(".v1")
