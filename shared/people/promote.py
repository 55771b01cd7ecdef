"""Lets an action be trusted one step more on one scope: the only way up the ladder, and only by a person."""

from typing import Any

from shared.action.catalogue import Catalogue
from shared.event.here import Here
from shared.kube.scope import resolve
from shared.people.asks import PromoteAsk
from shared.people.find import asking
from shared.people.no import NoError, NotThereError
from shared.people.who import Caller, allow, signed


def promote(here: Here, asks: Caller, ask: PromoteAsk) -> dict[str, Any]:
    """Raise the cap that a demotion has left. `cap` is the one in force now, empty for none.

    The record is not asked: `akeso guard` shows whether it bears what the policy would propose, and people decide.
    Raises MalformedError for an action that does not exist, NotThereError, NotAllowedError, NoError where no demotion
    holds it down.
    """
    Catalogue.home(here.settings.actions_dir).load(ask.action)
    target = ask.target.ref()
    allow(here, asks, "promote", namespace=target.namespace, action=ask.action)
    scope = resolve(here.kube, target)
    if scope is None:
        raise NotThereError(f"{ask.target.kind} {ask.target.name} is not there, or nothing that can be healed")
    by = signed(asks, ask)
    settled = here.state.settle(asking(here), "promote", scope=scope.key, action=ask.action, who=by, reason=ask.reason)
    if "no" in settled or not settled.get("done"):
        raise NoError(settled.get("no", "it was not taken"))
    return {"action": ask.action, "scope": scope.key, "cap": _cap(settled.get("cap", "")), "by": by}


def _cap(level: str) -> str:
    """Nothing is above `auto`, so that is none."""
    return "" if level == "auto" else level
