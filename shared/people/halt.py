"""Stop, freeze, resume: written where they live, which is Kubernetes, and then remembered in Redis."""

from difflib import get_close_matches
from typing import Any, Final, NamedTuple, cast

from shared.action.catalogue import Catalogue
from shared.errors import AkesoError, MalformedError, UnavailableError
from shared.event.here import Here
from shared.guard import stop as stops
from shared.guard.load import set_stop
from shared.kube.errors import KubeError
from shared.kube.facts import STOP_CONFIGMAP, read_configmap
from shared.model.stop import halt as judge
from shared.model.stop import mode_of, scoped
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
    Raises NotAllowedError; to make a stop of a freeze is to let something go, and needs who may resume.
    """
    allow(here, asks, _VERB[ask.mode], namespace=ask.namespace, action=ask.action)
    scope = ask.scope(here.settings.alertmanager.tenant)
    before = _standing(here)
    was = mode_of(before.scopes[scope]) if scope in before.scopes else "run" if scope else before.mode
    if ask.mode == "stop" and was == "freeze":
        allow(here, asks, "resume", namespace=ask.namespace, action=ask.action)
    names = Catalogue.home(here.settings.actions_dir).names()
    if ask.action and ask.mode != "run" and ask.action not in names:
        near = get_close_matches(ask.action, names, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise MalformedError(f"no action {ask.action!r}{hint}", reason="stop-scope")
    by = signed(asks, ask)
    reason, said = ask.reason, {"mode": ask.mode, "scope": scope, "reason": ask.reason, "by": by}
    said |= {"lifted": before.said(scope) if ask.mode == "run" else "", "warning": _warning(here, ask, was)}
    if not scope and ask.mode != "run" and was != "run" and before.by not in {"", by}:
        reason = f"{reason}; before: {before.reason}, by {before.by}"  # whoever lifts it, lifts both
    try:
        set_stop(here, asking(here), ask.mode, scope=scope, reason=reason, by=by)
        now = here.state.store.hash(f"{PREFIX}:stop")
        everything = "" if now.get("mode") == "run" else f"{now.get('mode')}: {now.get('reason', '')}"
        return {**said, "remembered": True, "scopes": scoped(now), "everything": everything}
    except AkesoError as error:
        if error.reason == "kube":
            raise
        _log.error("stop is set in Kubernetes, not yet remembered", mode=ask.mode, scope=scope, error=str(error)[:300])
        return {**said, "remembered": False, "scopes": {}, "everything": ""}


class _Standing(NamedTuple):
    """What is in force before it is changed."""

    mode: str
    reason: str
    by: str
    scopes: dict[str, str]

    def said(self, scope: str) -> str:
        """Tell what a resume of that lifts; empty where nothing is held."""
        if scope:
            return self.scopes.get(scope, "")
        return "" if self.mode == "run" else f"{self.mode}: {self.reason}, by {self.by}"


def _standing(here: Here) -> _Standing:
    """Read it where it lives; what only Redis remembers counts as well, where Redis answers."""
    try:
        try:
            found = dict(stops.find(here).stop)
        except KubeError:
            raise
        except UnavailableError:
            data = read_configmap(here.kube, here.settings.kube.namespace, STOP_CONFIGMAP)
            found = {**(data or {}), "mode": judge(data).mode, "scopes": scoped(data or {})}
    except KubeError as error:
        raise UnavailableError(f"the stop ConfigMap cannot be read: {error.reason}", reason="kube") from error
    mode, reason, by = (str(found.get(name, "")) for name in ("mode", "reason", "by"))
    return _Standing(mode, reason, by, cast("dict[str, str]", found["scopes"]))


def _warning(here: Here, ask: StopAsk, was: str) -> str:
    """Say what somebody may not have meant. It is done all the same: a stop may be there before its namespace."""
    if ask.mode == "run":
        return "nothing was stopped there" if was == "run" else ""
    try:
        missing = ask.namespace and here.kube.get("Namespace", "", ask.namespace) is None
    except KubeError:
        return ""
    return f"there is no namespace {ask.namespace} yet" if missing else ""
