"""Whether a namespace lets pods be made: what an action takes away there must be able to come back."""

from shared.model.facts import Facts
from shared.model.plan import Refusal


def refuses(facts: Facts, more: int = 0) -> Refusal | None:
    """Why it would not let `more` pods run beside those that do; with none, why it would not replace one of them."""
    left = facts.details.quota.pods if facts.details.quota else None
    if left is None or left >= more:
        return None
    where = f"a ResourceQuota of namespace {facts.scope.namespace}"
    if more and left > 0:
        return Refusal(reason="quota", text=f"{where} lets {left} more pods be made, and {more} are needed")
    text = f"{where} lets no pod be made" + ("" if more else ": what goes would not come back")
    return Refusal(reason="quota", text=text)
