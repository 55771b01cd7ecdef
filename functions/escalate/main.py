"""Tells a person: one ticket per incident, each reason once.

Its listening is the fast way, `tell` in `due` the sure one. It works without Redis, by the receiver's own
deduplication. It answers the broker 204 whatever the ticket system says: what was not delivered stays due.
"""

from shared import clock
from shared.channels import deliver
from shared.errors import UnavailableError
from shared.event.app import Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import EscalationData
from shared.model.base import Model
from shared.state.transitions import Cause

LEASE_MS = 30_000  # one delivery
AGAIN_MS = 60_000


def tell(event: Event, data: Model, here: Here) -> Outcome:
    cause = Cause("escalate", event.source, event.id, event.get("tenant"), event.get("cluster"))
    incident = event.get("incidentid") or getattr(data, "incident", "")
    reason = data.reason if isinstance(data, EscalationData) else ""
    try:
        asked = here.state.put(cause, telling={"incident": incident, "reason": reason, "lease": LEASE_MS})
    except UnavailableError:
        if reason:
            deliver.blindly(here, cause, incident, reason)
        return None
    if asked.get("tell") != "go":
        if reason and asked.get("tell") == "busy":
            _later(here, cause, incident, reason)
        return None
    reasons = asked["reasons"]
    try:
        reference, state = deliver.tell(here, cause, incident, reasons, asked.get("ticket", ""))
    except UnavailableError:
        for untold in reasons:
            _later(here, cause, incident, untold)
        return None
    here.state.put(cause, told={"incident": incident, "reasons": reasons, "ticket": reference, "state": state})
    return None


def _later(here: Here, cause: Cause, incident: str, reason: str) -> None:
    here.state.put(cause, untold={"incident": incident, "reason": reason, "at": clock.now_ms() + AGAIN_MS})


escalate = serve("escalate", tell)
