"""Chooses a remedy for what triage saw and plans it: rules first, and telling a person where no rule fits.

It plans from the facts it was handed and never reads the cluster. Whether the plan may be carried out is the guard's
affair.
"""

from shared.action.catalogue import Catalogue
from shared.decide.rules import TELL_ONLY, Choice, choose, shipped
from shared.errors import MalformedError
from shared.event.app import Emit, Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import TriagedData
from shared.guard import judge
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
    return Emit("remediation.proposed", judge.proposal(data, choice, plan, declared), data.incident, choice.action)


def planned(data: TriagedData, choice: Choice, catalogue: Catalogue) -> Plan | Refusal:
    action = catalogue.load(choice.action)
    return action.plan(data.facts, action.Params.model_validate(choice.params))


router = serve("router", route, pure=True, expires=True)
