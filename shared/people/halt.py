"""Stop, freeze, resume: written where they live, which is Kubernetes, and then remembered in Redis."""

from typing import Any

from shared.errors import AkesoError
from shared.event.here import Here
from shared.guard.load import set_stop
from shared.people.asks import StopAsk
from shared.people.find import asking
from shared.telemetry import log

_log = log.get("akeso.people")


def halt(here: Here, ask: StopAsk) -> dict[str, Any]:
    """Set the mode. `remembered` is false when Redis could not be told: executors read the ConfigMap themselves.

    Raises UnavailableError (reason `kube`) when the ConfigMap cannot be written; nothing has changed then.
    """
    remembered = True
    try:
        set_stop(here, asking(here), ask.mode, reason=ask.reason, by=ask.who)
    except AkesoError as error:
        if error.reason == "kube":
            raise
        _log.error("stop is set in Kubernetes and not yet remembered", mode=ask.mode, error=str(error)[:300])
        remembered = False
    return {"mode": ask.mode, "reason": ask.reason, "by": ask.who, "remembered": remembered}
