"""Tells a person: one ticket per incident, each reason once.

Its listening is the fast way, `tell` in `due` the sure one. It works without Redis, by the receiver's own
deduplication. It answers the broker 204 whatever the ticket system says: what was not delivered stays due.
"""

from shared.channels import deliver
from shared.event.app import Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import EscalationData
from shared.model.base import Model
from shared.state.transitions import Cause


def tell(event: Event, data: Model, here: Here) -> Outcome:
    cause = Cause("escalate", event.source, event.id, event.get("tenant"), event.get("cluster"))
    incident = event.get("incidentid") or getattr(data, "incident", "")
    deliver.pass_on(here, cause, incident, data.reason if isinstance(data, EscalationData) else "")
    return None


escalate = serve("escalate", tell)
