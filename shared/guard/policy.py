"""What an operator may change while the system runs, as one frozen value with bounds that no policy can leave.

The text comes from a Kubernetes object; every decision names its revision. Reading it is `policy_read`'s affair,
putting it into the words of the scripts is `flat`'s. Nothing here talks to Kubernetes or Redis.
"""

import difflib
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.guard.windows import Hours, Span
from shared.model.base import Model
from shared.model.facts import Autonomy, ScopeKind
from shared.model.protected import BUILT_IN

_EACH: Final = "Counted for each cluster of each tenant by itself."
_STARS: Final = 3  # each one more multiplies the time that a script needs for a name that almost fits


def _few_stars(glob: str) -> str:
    if glob.count("*") > _STARS:
        raise ValueError(f"at most {_STARS} *")
    return glob


def _known_kind(glob: str) -> str:
    """Refuse what could never be a target: it would protect nothing."""
    kind = glob.partition("/")[0]
    if "*" not in kind and kind not in get_args(ScopeKind):
        nearest = difflib.get_close_matches(kind, get_args(ScopeKind), n=1, cutoff=0.0)
        raise ValueError(f"no target has the kind {kind!r}, did you mean {nearest[0]}?")
    return glob


Namespace = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$", max_length=63),
    AfterValidator(_few_stars),
]
ActionName = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]{1,39})$", max_length=40)]
Severity = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.*-]{1,32}$", max_length=32), AfterValidator(_few_stars)
]
# A scope's key: kind, namespace where it has one, name.
ObjectKey = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|[A-Z][A-Za-z]*\*?)(/[a-z0-9*]([a-z0-9.*-]*[a-z0-9*])?){1,2}$", max_length=320),
    AfterValidator(_few_stars),
    AfterValidator(_known_kind),
]
Name = Annotated[str, StringConstraints(pattern=r"^[^\p{C}]{1,100}$", max_length=100)]


class Rule(Model):
    """The first that fits in all says how far the machine may go; one that only bounds replicas does so beside it."""

    name: Name  # people read it in the refusal
    actions: tuple[ActionName, ...] | None = Field(default=None, min_length=1, max_length=100)
    namespaces: tuple[Namespace, ...] | None = Field(default=None, min_length=1, max_length=100)
    kinds: tuple[ScopeKind, ...] | None = Field(default=None, min_length=1, max_length=20)
    # Of an incident those of all alerts that ever joined it, of a person's run those of what is open on its scope: the
    # strictest rule of any binds, and what has none meets every rule by severity that fits otherwise.
    severities: tuple[Severity, ...] | None = Field(default=None, min_length=1, max_length=20)
    # A cap on what the namespace's label allows, never more than it; auto caps nothing and so makes an exception.
    autonomy: Autonomy | None = None
    # Two are two different people. Of a person's run he who asked for it is one of them, where he may approve it.
    approvers: int = Field(default=1, strict=True, ge=1, le=2)
    # Up to and down to so many the machine may move replicas or an autoscaler's bounds, beside what their owner allows.
    most_replicas: int | None = Field(default=None, strict=True, ge=0, le=100_000)
    least_replicas: int | None = Field(default=None, strict=True, ge=0, le=100_000)

    @property
    def only_bounds(self) -> bool:
        """It says nothing of how far else the machine may go: that is the next one's to say."""
        return not self.model_fields_set & {"autonomy", "approvers"}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.only_bounds and not self.model_fields_set & {"most_replicas", "least_replicas"}:
            raise ValueError("says neither autonomy nor approvers nor a bound of replicas")
        if self.least_replicas and self.most_replicas is not None and self.least_replicas > self.most_replicas:
            raise ValueError("least_replicas is above most_replicas")
        return self


class Window(Span):
    """Maintenance: only inside it may what it names be done. Freeze: inside it nothing of what it names is done."""

    name: Name
    kind: Literal["maintenance", "freeze"]
    actions: tuple[ActionName, ...] | None = Field(default=None, min_length=1, max_length=100)
    namespaces: tuple[Namespace, ...] | None = Field(default=None, min_length=1, max_length=100)


class Policy(Model):
    """Each number has its unit in its name, a floor and a ceiling; numbers are strict: `true` or `"3"` is not 3."""

    # Nothing is automatic in these, beside the built-in ones: this list adds and can never take away.
    protected_namespaces: tuple[Namespace, ...] = Field(default=(), max_length=200)
    # Nor on these, as Kind/namespace/name.
    protected_objects: tuple[ObjectKey, ...] = Field(default=(), max_length=200)
    # Actions that wait for a person's yes even under autonomy auto; `*` means all.
    hold: tuple[ActionName, ...] = Field(default=(), max_length=100)
    rules: tuple[Rule, ...] = Field(default=(), max_length=100)
    # Each one is read at every decision.
    windows: tuple[Window, ...] = Field(default=(), max_length=50)
    # When people are at their desks: outside of it the risk is higher. Without it every hour is alike.
    working_hours: Hours | None = None
    # How long a hold waits for its yes; past a day it would be a yes to another world.
    approval_minutes: int = Field(default=60, strict=True, ge=1, le=1440)
    # A risk score from here on waits for a person's yes; 0 holds everything, 101 nothing.
    risk_approve: int = Field(default=60, strict=True, ge=0, le=101)
    # A risk score from here on is refused; 0 refuses everything, 101 nothing.
    risk_refuse: int = Field(default=90, strict=True, ge=0, le=101)
    # So long after a person's change the machine keeps its hands off; 0 trusts that nobody minds.
    person_minutes: int = Field(default=15, strict=True, ge=0, le=1440)
    # Per incident key in a sliding 24 h, then a person; more than ten is a loop, not a cure.
    attempts_per_day: int = Field(default=3, strict=True, ge=1, le=10)
    # Floor under every action's own cooldown; 0 leaves them as declared.
    min_cooldown_s: int = Field(default=0, strict=True, ge=0, le=86_400)
    # Up, down and up again within it is a quarrel with somebody, an autoscaler perhaps. History is kept for a day.
    oscillation_hours: int = Field(default=6, strict=True, ge=1, le=24)
    # So often the same with little effect, then a person. History holds sixteen, and where that is too little for the
    # hours, nothing more is done to the scope in them.
    repeats: int = Field(default=3, strict=True, ge=1, le=16)
    # So many changes of a scope's resources within the hours: each one restarts every pod of it.
    resource_changes: int = Field(default=4, strict=True, ge=1, le=16)
    resource_hours: int = Field(default=2, strict=True, ge=1, le=24)
    # Attempts under way at once, in each cluster of each tenant. At none nothing would ever be done: for that use stop.
    concurrency: int = Field(default=3, strict=True, ge=1, le=100, description=_EACH)
    concurrency_per_action: int = Field(default=2, strict=True, ge=1, le=100, description=_EACH)
    # What may be touched within the window, as a share of what there is; one is always allowed to be touched. Grants
    # are remembered for an hour.
    blast_minutes: int = Field(default=10, strict=True, ge=1, le=60)
    blast_workload_percent: int = Field(default=50, strict=True, ge=1, le=100)
    blast_namespace_percent: int = Field(default=30, strict=True, ge=1, le=100)
    blast_pool_percent: int = Field(default=20, strict=True, ge=1, le=100)
    blast_nodes_percent: int = Field(default=10, strict=True, ge=1, le=100)
    # Whatever the shares say: a big cluster's ten percent is a catastrophe as well.
    blast_most: int = Field(default=20, strict=True, ge=1, le=1000, description=_EACH)
    # Attempts granted in each cluster of each tenant: two clusters may have twice as many in all. The hour bounds a
    # slow runaway that the minute lets through; for none use stop.
    rate_per_minute: int = Field(default=10, strict=True, ge=1, le=100, description=_EACH)
    rate_per_hour: int = Field(default=100, strict=True, ge=1, le=1000, description=_EACH)
    rate_per_action_hour: int = Field(default=20, strict=True, ge=1, le=1000, description=_EACH)
    rate_per_namespace_hour: int = Field(default=30, strict=True, ge=1, le=1000, description=_EACH)
    # Failures of an action on a kind of target within the window open its breaker for so long.
    breaker_failures: int = Field(default=5, strict=True, ge=1, le=100)
    breaker_window_minutes: int = Field(default=60, strict=True, ge=1, le=1440)
    breaker_open_minutes: int = Field(default=30, strict=True, ge=1, le=1440)
    # After a failure on a scope the wait doubles from the base up to the most.
    backoff_base_s: int = Field(default=60, strict=True, ge=1, le=3600)
    backoff_max_s: int = Field(default=3600, strict=True, ge=1, le=86_400)
    # The ladder: promotion is proposed after so many verified in a row, with at most so many misjudged.
    promote_after: int = Field(default=5, strict=True, ge=1, le=1000)
    promote_false_percent: int = Field(default=10, strict=True, ge=0, le=100)
    # So many ineffective or harmful outcomes in a row take a step down.
    demote_after: int = Field(default=1, strict=True, ge=1, le=10)
    # More new incidents than this per cluster and window join one storm, which is for people only.
    storm_new_incidents: int = Field(default=20, strict=True, ge=2, le=1000)
    # A window under a minute misses a failure that goes from node to node.
    storm_window_s: int = Field(default=300, strict=True, ge=60, le=3600)
    # A larger share of failing targets is a storm as well; with 101 none is.
    storm_failing_percent: int = Field(default=30, strict=True, ge=1, le=101)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.risk_approve > self.risk_refuse and {"risk_approve", "risk_refuse"} <= self.model_fields_set:
            raise ValueError("risk_approve is above risk_refuse, so that nothing would ever be held for its risk")
        if self.backoff_base_s > self.backoff_max_s:
            raise ValueError("backoff_base_s is above backoff_max_s")
        for what in ("rules", "windows"):
            names = [one.name for one in getattr(self, what)]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{what}: two are named {twice!r}")
        return self


def is_protected(policy: Policy, namespace: str) -> bool:
    """Whether nothing may be automatic in that namespace. Cluster-wide objects have none (`""`)."""
    return any(fnmatchcase(namespace, pattern) for pattern in (*BUILT_IN, *policy.protected_namespaces))


def is_held(policy: Policy, action: str) -> bool:
    """Whether that action waits for a person's yes whatever the autonomy."""
    return "*" in policy.hold or action in policy.hold
