"""Chooses a remedy for what triage saw and plans it: rules first, and telling a person where no rule fits.

It plans from the facts it was handed and never reads the cluster. Whether the plan may be carried out is the guard's
affair.
"""

from shared.action.catalogue import Catalogue
from shared.action.declare import Action
from shared.decide.rules import TELL_ONLY, Choice, choose, shipped
from shared.errors import MalformedError
from shared.event.app import Emit, Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import Declared, Judged, ProposedData, TriagedData
from shared.model.plan import Plan, Refusal


def route(event: Event, data: TriagedData, here: Here) -> Outcome:
    catalogue = Catalogue.home(here.settings.actions_dir)
    try:
        choice = choose(data, catalogue, shipped())
        plan = planned(data, choice, catalogue)
    except MalformedError as error:  # a person asked for what does not exist
        plan = Refusal(reason="bounds", text=str(error)[:300])
        choice = Choice(action=TELL_ONLY, confidence=1, reasoning="", by="person")
    if isinstance(plan, Refusal):
        why = f"{choice.action} was chosen and refuses: {plan.reason}, {plan.text}"
        choice = choice.model_copy(update={"action": TELL_ONLY, "reasoning": why[:2000], "params": {}})
        plan = Plan()
    if choice.action == TELL_ONLY and not choice.params.get("message"):
        choice = choice.model_copy(update={"params": {"message": choice.reasoning[:500]}})
    declared = catalogue.load(choice.action)
    return Emit("remediation.proposed", proposal(data, choice, plan, declared), data.incident, choice.action)


def planned(data: TriagedData, choice: Choice, catalogue: Catalogue) -> Plan | Refusal:
    action = catalogue.load(choice.action)
    return action.plan(data.facts, action.Params.model_validate(choice.params))


def proposal(data: TriagedData, choice: Choice, plan: Plan, action: Action) -> ProposedData:
    facts = data.facts
    declared = Declared(risk=action.risk, cooldown_s=action.cooldown_s, soak_s=action.soak_s, until_s=action.until_s)
    judged = Judged(
        taken_at=facts.taken_at, autonomy=facts.autonomy, gitops_owner=facts.gitops_owner,
        last_changed_by=facts.last_changed_by, last_changed_at=facts.last_changed_at, rolling_out=facts.rolling_out,
        paused=facts.paused, replicas=facts.replicas.desired if facts.replicas else None,
        disruption_allowed=facts.disruption_allowed,
    )  # fmt: skip
    return ProposedData(
        incident=data.incident, scope=facts.scope, family=data.family, action=choice.action, params=choice.params,
        plan=plan, judged=judged, declared=declared, confidence=choice.confidence, reasoning=choice.reasoning,
        rule=choice.rule, proposer=choice.by, wish=data.wish,
    )  # fmt: skip


router = serve("router", route, pure=True, expires=True)
