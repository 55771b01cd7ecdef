"""Stop, freeze, resume: written where they live, which is Kubernetes, and then remembered in Redis."""

from difflib import get_close_matches
from typing import Any, Final

from shared.action.catalogue import Catalogue
from shared.errors import AkesoError, MalformedError
from shared.event.here import Here
from shared.guard.load import set_stop
from shared.model.stop import scoped
from shared.people.asks import StopAsk
from shared.people.find import asking
from shared.people.who import Caller, allow, signed
from shared.state.client import PREFIX
from shared.telemetry import log

_log = log.get("akeso.people")


_VERB: Final = {"stop": "stop", "freeze": "freeze", "run": "resume"}


def halt(here: Here, asks: Caller, ask: StopAsk) -> dict[str, Any]:
    """Set the mode, of everything or of a part.

    `remembered` is false when Redis could not be told: executors read the ConfigMap themselves.
    Raises UnavailableError (reason `kube`) when the ConfigMap cannot be written; nothing has changed then. Raises
    MalformedError for what names no part, and for an action that does not exist: what holds nothing would only calm.
    Raises NotAllowedError.
    """
    allow(here, asks, _VERB[ask.mode], namespace=ask.namespace, action=ask.action)
    scope = ask.scope(here.settings.alertmanager.tenant)
    names = Catalogue.home(here.settings.actions_dir).names()
    if ask.action and ask.mode != "run" and ask.action not in names:
        near = get_close_matches(ask.action, names, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise MalformedError(f"no action {ask.action!r}{hint}", reason="stop-scope")
    by = signed(asks, ask)
    said = {"mode": ask.mode, "scope": scope, "reason": ask.reason, "by": by}
    try:
        set_stop(here, asking(here), ask.mode, scope=scope, reason=ask.reason, by=by)
        return {**said, "remembered": True, "scopes": scoped(here.state.store.hash(f"{PREFIX}:stop"))}
    except AkesoError as error:
        if error.reason == "kube":
            raise
        _log.error("stop is set in Kubernetes, not yet remembered", mode=ask.mode, scope=scope, error=str(error)[:300])
        return {**said, "remembered": False, "scopes": {}}
