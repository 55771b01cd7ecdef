"""The contract of an action: what one file in `functions/actions` declares and what it need not care about.

An action is a pure planner with a declaration. It never talks HTTP, Redis or events; steps, preconditions, marks,
deadlines and undo records are the lifecycle's (`shared.action.lifecycle`). The module holds exactly one subclass of
`Action`, whose `name` is the file's name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError
from pydantic_core import InitErrorDetails

from shared.model.base import Model
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"  # RFC 1123
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_SUBDOMAIN)]  # for a parameter


class Rule(NamedTuple):
    """One RBAC rule that the action's ServiceAccount needs; `group` is "" for the core API."""

    group: str
    resource: str  # plural, with a subresource such as `pods/eviction`
    verbs: tuple[str, ...]


class Example(NamedTuple):
    """A case that the contract suite runs: facts and parameters to the number of writes or the refusal's reason."""

    title: str
    facts: dict[str, Any]
    params: dict[str, Any]
    writes: int = 0
    refusal: str = ""


class NoParams(Model):
    """For actions without parameters."""


class Action(ABC):
    """One way to heal. All durations in seconds."""

    name: ClassVar[str]
    summary: ClassVar[str]  # one sentence, for the catalogue, the model's schema and people
    risk: ClassVar[Literal["none", "low", "medium", "high"]]
    # read: looks at the cluster and writes nothing; none: only tells, and has no business in the cluster at all
    kind: ClassVar[Literal["patch", "evict", "create", "drain", "read", "none"]]
    scopes: ClassVar[tuple[str, ...]]  # kinds of scope it can heal
    Params: ClassVar[type[Model]] = NoParams  # every field bounded
    details: ClassVar[tuple[str, ...]] = ()  # fields of `Details` that it plans or judges by
    rbac: ClassVar[tuple[Rule, ...]] = ()  # what it writes; what it reads follows from its scopes and details
    cooldown_s: ClassVar[int] = 300  # at least soak plus one minute
    soak_s: ClassVar[int] = 60
    step_s: ClassVar[int] = 25  # one step's deadline; Serving cuts nothing that ends within 30 s
    run_s: ClassVar[int] = 600  # an attempt with all its steps and waits
    downtime_s: ClassVar[int] = 0  # so long one thing that it touches does not serve
    requests: ClassVar[int] = 0  # to the API server, of the dearest attempt, but for further looks while it waits
    width: ClassVar[Literal["scope", "namespace", "node"]] = "scope"  # what nobody else may work on meanwhile
    touches_protected: ClassVar[bool] = False
    proof: ClassVar[Literal["api", "controller", "real workload"]] = "api"
    proved_by: ClassVar[str] = ""  # id of the test that shows it on real nodes
    unproved: ClassVar[str] = ""  # what no test shows on real nodes, and why
    examples: ClassVar[tuple[Example, ...]]

    @property
    def writes(self) -> bool:
        """Whether its plans may change the cluster; those of others are empty."""
        return self.kind not in ("read", "none")

    @classmethod
    def takes(cls, name: str) -> frozenset[Any]:
        """Types of that parameter."""
        annotation = cls.Params.model_fields[name].annotation
        return frozenset({annotation, *get_args(annotation)})

    @classmethod
    def asked(cls, params: Mapping[str, Any]) -> Model:
        """Read what somebody asks for. Raises ValidationError; `true` is no number, and never taken for 1."""
        for name in cls.Params.model_fields:
            if cls.takes(name) & {int, float} and isinstance(params.get(name), bool):
                wrong = InitErrorDetails(type="int_type", loc=(name,), input=params[name])
                raise ValidationError.from_exception_data(cls.Params.__name__, [wrong])
        return cls.Params.model_validate(params)

    @abstractmethod
    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        """A pure function of its arguments: no clock, no network, no randomness."""

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:  # noqa: ARG002  for those that wait
        """Whether what was begun has come to its end, for plans with a `watch`.

        Empty: it has. A text says what is still waited for; a Refusal ends the attempt as failed.
        """
        return ""

    @abstractmethod
    def healthy(self, facts: Facts) -> bool:
        """Whether the scope looks cured in facts that were taken after the soak."""

    def worse(self, before: Facts, after: Facts) -> bool:
        """Whether the change did harm: by default, fewer ready replicas than before."""
        if before.replicas is None or after.replicas is None:
            return False
        return after.replicas.ready < before.replicas.ready
