"""Table tests of a policy: what people expect of it, asked of the real guard, each case in a world of its own."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from shared import clock
from shared.action.catalogue import Catalogue
from shared.action.declare import Action
from shared.dev.question import LATEST_MS
from shared.dev.trial import Ended, Trial
from shared.errors import MalformedError
from shared.event.types import Declared, Judged, ProposedData
from shared.guard import judge
from shared.guard.policy import ActionName, Policy
from shared.guard.policy_read import near, parse, told
from shared.model.base import Model
from shared.model.facts import Autonomy, ObjectRef, Scope
from shared.model.plan import Plan, Touches, Write

MOST: Final = 1000
_TEXT: Final = 1 << 20  # characters of that many
_MINUTE: Final = 60_000


def _target(key: str) -> str:
    if Scope.of_key(key).kind == "unknown":
        raise ValueError(f"{key[:80]!r} is no target; say Kind/namespace/name, or Node/name")
    return key


def _moment(text: str) -> str:
    try:
        if not 0 <= clock.parse_ms(text) <= LATEST_MS:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError("must be a time like 2026-12-24T18:00:00Z") from None
    return text


class _Asked(Model):
    """What is proposed, and of what; what is left out is as harmless as can be."""

    action: ActionName
    target: Annotated[str, AfterValidator(_target), Field(max_length=400)]
    severity: str = Field(default="", max_length=32)
    environment: str = Field(default="", max_length=63)
    touches: Touches = Touches()
    namespace_pods: int = Field(default=0, ge=0, le=1_000_000)
    turn: Literal["", "up", "down"] = ""
    replicas: int | None = Field(default=None, ge=0, le=1_000_000)  # to which it turns them
    resources: bool = False

    @model_validator(mode="after")
    def _turns(self) -> Self:
        if self.replicas is not None and not self.turn:
            raise ValueError("replicas says whereto, and turn (up or down) which way: neither means much alone")
        return self


class Before(_Asked):
    """What was done before, and how it ended."""

    minutes_ago: float = Field(gt=0, le=7 * 1440)
    ended: Ended = "verified"


class Given(_Asked):
    at: Annotated[str, AfterValidator(_moment)] = "2026-06-03T12:00:00Z"  # some Wednesday noon
    autonomy: Autonomy = "auto"  # the namespace's label
    risk: int | None = Field(default=None, strict=True, ge=0, le=100)  # instead of what the proposal's parts add up to
    confidence: float = Field(default=1.0, ge=0, le=1)
    protected: bool = False  # the target's own mark
    paused: bool = False
    rolling_out: bool = False
    changed_minutes_ago: float | None = Field(default=None, ge=0, le=7 * 1440)  # by a person
    manual: bool = False  # a person runs it
    approvers: tuple[str, ...] = Field(default=(), max_length=2)
    before: tuple[Before, ...] = Field(default=(), max_length=200)


class Expect(Model):
    decision: Literal["approved", "held", "denied"]
    check: str = ""  # of a refusal; left out: any
    needs: int | None = Field(default=None, strict=True, ge=1, le=2)  # how many people must say yes

    @model_validator(mode="after")
    def _of_one_mind(self) -> "Expect":
        if self.check and self.decision != "denied":
            raise ValueError("only what is denied names a check")
        return self


class Case(Model):
    name: str = Field(min_length=1, max_length=200)
    given: Given
    expect: Expect


class Cases(Model):
    """`policy` is the policy itself, or the path of its file, from this one on."""

    policy: str | dict[str, Any] | None = None
    cases: tuple[Case, ...] = Field(min_length=1, max_length=MOST)


class Result(NamedTuple):
    case: Case
    good: bool
    found: str


def read(text: str) -> Cases:
    """Raise MalformedError (reason `cases`) with one line that names every fault and the nearest known key."""
    try:
        value = parse(text, _TEXT)
        if not isinstance(value, dict):
            raise MalformedError("must be a mapping with `cases`", reason="cases")
        return Cases.model_validate(value)
    except ValidationError as error:
        raise MalformedError("; ".join(told(error, Cases))[:1000], reason="cases") from None


def play(cases: Cases, policy: Policy, catalogue: Catalogue) -> Iterable[Result]:
    """Ask each one. Raises MalformedError for an action that does not exist or when there is no redis-server here."""
    actions = {name: catalogue.load(name) for name in catalogue.names()}
    for case in cases.cases:
        for asked in (case.given, *case.given.before):
            if asked.action not in actions:
                why = f"{case.name}: no action {asked.action!r}{near(asked.action, actions)}"
                raise MalformedError(why, reason="cases")
    with Trial() as trial:
        for case in cases.cases:
            yield _play(trial, case, policy, actions)


def _play(trial: Trial, case: Case, policy: Policy, actions: dict[str, Action]) -> Result:
    given, at = case.given, clock.parse_ms(case.given.at)
    earlier = sorted(given.before, key=lambda one: -one.minutes_ago)
    first = at - int(earlier[0].minutes_ago * _MINUTE) if earlier else at
    trial.begin(policy, max(0, first))
    for one in earlier:
        moment = max(0, at - int(one.minutes_ago * _MINUTE))
        asked = _question(one, actions[one.action], moment, {"approvers": ["ann", "bob"]})
        answer = trial.decide(asked, moment, one.ended)
        if answer["decision"] != "approved":
            why = answer.get("check") or answer["decision"]
            found = f"{one.action} {one.minutes_ago:g} minutes ago would not have been done: {why}"
            return Result(case, good=False, found=found)
    more: dict[str, Any] = {
        "autonomy": given.autonomy, "protected": given.protected, "paused": given.paused,
        "rolling_out": given.rolling_out, "manual": given.manual, "approvers": list(given.approvers),
    }  # fmt: skip
    if given.risk is not None:
        more["risk"] = {"given": given.risk}
    if given.changed_minutes_ago is not None:
        more |= {"changed_by": "somebody", "changed_at": max(1, at - int(given.changed_minutes_ago * _MINUTE))}
    answer = trial.ask(_question(given, actions[given.action], at, more, given.confidence), at)
    wanted = case.expect
    good = answer["decision"] == wanted.decision
    good = good and wanted.check in {"", answer.get("check", "")}
    good = good and wanted.needs in {None, answer.get("needs")}
    said = answer["decision"] + (f" ({answer['check']})" if answer["decision"] == "denied" else "")
    return Result(case, good=good, found=said + (f": {answer['text']}" if answer.get("text") else ""))


def _question(asked: _Asked, action: Action, at: int, more: dict[str, Any], confidence: float = 1.0) -> dict[str, Any]:
    """As the guard itself puts a proposal into `admit`'s words, with one write standing for the plan's."""
    scope = Scope.of_key(asked.target)
    target = ObjectRef(kind=scope.kind, namespace=scope.namespace, name=scope.name)
    writes = (Write(verb="patch", target=target, path="/spec/trial"),) if action.writes else ()
    data = ProposedData(
        incident="", scope=scope, family="", action=asked.action, proposer="trial", reasoning="", confidence=confidence,
        plan=Plan(writes=writes, touches=asked.touches),
        judged=Judged(taken_at=at, autonomy="auto", namespace_pods=asked.namespace_pods, environment=asked.environment),
        declared=Declared(
            risk=action.risk, cooldown_s=action.cooldown_s, soak_s=action.soak_s,
            downtime_s=action.downtime_s, width=action.width,
        ),
    )  # fmt: skip
    to = {} if asked.replicas is None else {asked.turn: asked.replicas}
    own = {
        "severity": asked.severity, "turn": asked.turn, "replicas": to, "resources": asked.resources, "family": "trial",
    }  # fmt: skip
    return judge.request(data) | own | more
