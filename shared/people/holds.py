"""What waits for a person's yes: each hold with its plan, its risk, its price, its deadline, and who may answer it."""

from typing import Any, Final

from shared import clock
from shared.event.here import Here
from shared.model.hold import Hold, who_may
from shared.people import find, look, status
from shared.people.find import Place

LISTED: Final = 200


def listing(here: Here) -> dict[str, Any]:
    """List what waits, whatever is due first before the rest, at most `LISTED`; `more` when there may be others."""
    places, more = find.scan(here, "hold", most=LISTED)
    waiting = [held for place in places if (held := waits(here, place))]
    return {"holds": sorted(waiting, key=lambda held: str(held["deadline"])), "more": more, "loss": status.loss(here)}


def waits(here: Here, place: Place) -> dict[str, Any] | None:
    """Tell the hold that waits at that incident; None when none waits, or it has been answered."""
    hold = Hold.of(here.state.store.hash(place.key("hold")))
    if hold is None or hold.answered:
        return None
    incident = here.state.store.hash(place.key("incident"))
    scope = incident.get("scope", "")
    return {
        "tenant": place.tenant,
        "cluster": place.cluster,
        "incident": place.id,
        "hold": hold.id,
        "scope": scope,
        "family": incident.get("family", ""),
        "severity": incident.get("severity", ""),
        "action": hold.action,
        "params": hold.params,
        "plan": look.shown(hold.plan) if hold.plan else None,
        "risk": hold.risk.model_dump(mode="json") | {"text": hold.risk.text()} if hold.risk else None,
        "price": hold.price.model_dump(mode="json") | {"text": hold.price.text()} if hold.price else None,
        "since": clock.iso_ms(hold.at) if hold.at else "",
        "deadline": clock.iso_ms(hold.deadline) if hold.deadline else "",
        "left_s": max(0, (hold.deadline - clock.now_ms()) // 1000),
        "needs": hold.needs,
        "given": list(hold.given),
        "missing": hold.missing,
        "author": hold.author,
        "may_approve": who_may(hold.action, scope),
    }
