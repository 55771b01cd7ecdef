"""What the guard is asked, made in one place: guard asks it to act, api asks the same thing only to know the answer.

It decides nothing: a proposal is put into the words of `admit`, and every judgement is `admit`'s.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from shared.event.types import Declared, Judged, ProposedData, TriagedData
from shared.guard import risk
from shared.guard.command import run_command
from shared.model.plan import Plan

if TYPE_CHECKING:  # the guard must import neither actions nor rules
    from shared.action.declare import Action
    from shared.decide.rules import Choice

START_MS: Final = 180_000  # a cold start with its queue fits in
RUN_MS: Final = 600_000  # of an action that says nothing else
_ENVIRONMENTS: Final = ("environment", "app.kubernetes.io/environment", "env")
KIND: Final = {True: "write", False: "none"}  # an empty plan can do no harm; nothing else is let past the checks


def proposal(data: TriagedData, choice: "Choice", plan: Plan, action: "Action") -> ProposedData:
    """Propose that choice, with the facts and the declaration by which it is to be judged."""
    facts = data.facts
    return ProposedData(
        incident=data.incident,
        scope=facts.scope,
        family=data.family,
        action=choice.action,
        params=choice.params,
        plan=plan,
        judged=Judged(
            taken_at=facts.taken_at,
            autonomy=facts.autonomy,
            gitops_owner=facts.gitops_owner,
            last_changed_by=facts.last_changed_by,
            last_changed_at=facts.last_changed_at,
            rolling_out=facts.rolling_out,
            paused=facts.paused,
            replicas=facts.replicas.desired if facts.replicas else None,
            disruption_allowed=facts.disruption_allowed,
            protected=facts.protected,
            namespace_pods=facts.namespace_pods,
            environment=_environment(facts.namespace_labels),
        ),
        declared=Declared(
            risk=action.risk,
            cooldown_s=action.cooldown_s,
            soak_s=action.soak_s,
            until_s=plan.until_s,
            run_s=action.run_s,
            downtime_s=action.downtime_s,
            width=action.width,
        ),
        confidence=choice.confidence,
        reasoning=choice.reasoning,
        rule=choice.rule,
        proposer=choice.by,
        wish=data.wish,
    )


def _environment(labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in _ENVIRONMENTS if labels.get(name)), "")


def request(data: ProposedData, *, expires: int = 0, dry: bool = False) -> dict[str, Any]:
    """Put the proposal into `admit`'s arguments. `expires` in ms, 0 for never; `dry` asks without moving anything."""
    wish = data.wish
    asked: dict[str, Any] = {
        "incident": data.incident,
        "scope": data.scope.key,
        "namespace": data.scope.namespace,
        "action": data.action,
        "kind": KIND[bool(data.plan.writes)],
        "mode": data.mode,
        "of": data.of,
        "plan_hash": data.plan.hash,
        "plan": data.plan.model_dump_json(),
        "params": json.dumps(data.params),
        "expires": expires,
        "taken_at": data.judged.taken_at,
        "autonomy": data.judged.autonomy,
        "paused": data.judged.paused,
        "rolling_out": data.judged.rolling_out,
        "changed_by": data.judged.last_changed_by,
        "changed_at": data.judged.last_changed_at,
        "protected": data.judged.protected,
        "touches": data.plan.touches.model_dump(mode="json"),
        "namespace_pods": data.judged.namespace_pods,
        "width": data.declared.width,
        "turn": data.plan.turn,
        "replicas": data.plan.replicas,
        "resources": data.plan.resizes,
        "risk": risk.parts(data),
        "price": risk.price(data).model_dump_json(),
        "manual": bool(wish and wish.reason == "run"),
        "author": wish.author if wish else "",
        "approvers": list(wish.approvers) if wish else [],
        "approved_hash": wish.approved_hash if wish else "",
        "wish": wish.model_dump_json() if wish else None,
        "asked_at": wish.asked_at if wish else 0,
        "voice_until": wish.voice_until if wish else 0,
        "rule": data.rule,
        "proposer": data.proposer,
        "reasoning": data.reasoning[:500],
        "command": run_command(data.action, data.scope, data.params),
        "start_in": START_MS,
        "run_in": data.declared.run_s * 1000,
        "cooldown": data.declared.cooldown_s * 1000,
        "soak": data.declared.soak_s * 1000,
        "until_in": data.declared.until_s * 1000,
    }
    if dry:
        asked |= {"dry": True, "family": data.family}  # for an incident that does not exist yet
    return asked
