"""Takes in what the broker could not deliver, and answers 204 whatever happens: a failure here would multiply.

A dead letter may be an event that was handled, and may lack every error attribute. It is posted once more by `due`
(the inbox repeats the answer, guard signs its own grant again); the second time a person is told.
"""

from shared import clock
from shared.channels import deliver
from shared.errors import UnavailableError
from shared.event import codec
from shared.event.app import Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import short
from shared.model.base import Model, sha256
from shared.state.transitions import Cause

AGAIN_MS = 30_000


def bury(event: Event, data: Model, here: Here) -> Outcome:
    cause = Cause("deadletter", event.source, event.id, event.get("tenant"), event.get("cluster"))
    function = event.get("deadfor") or "unknown"
    incident = event.get("incidentid") or f"dead-{event.id[:40]}"
    reason = f"dead letter: {short(event.type)} could not be delivered to {function}"
    try:
        here.state.put(cause, count="dead_letters")
        if event.get("redrive"):
            here.state.put(cause, untold={"incident": incident, "reason": reason, "at": clock.now_ms()})
        else:
            again = _bare(event).with_extensions(redrive="1", sig="")  # signed again when it is posted
            ref = sha256(event.source, event.id, function)[:32]
            redrive = {"ref": ref, "event": codec.dump(again), "delay": AGAIN_MS, "incident": incident}
            here.state.put(cause, redrive=redrive)
    except UnavailableError:
        deliver.blindly(here, cause, incident, reason)
    return None


def _bare(event: Event) -> Event:
    """Without what brokers added on the way here."""
    added = [name for name in event.extensions if name.startswith("knative") or name == "deadfor"]
    return event.with_extensions(**dict.fromkeys(added, ""))


deadletter = serve("deadletter", bury, accepts="dead letters")
