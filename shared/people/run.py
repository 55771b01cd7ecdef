"""A person's run of one action: by default only what would come of it, else the very way that an alert takes."""

import json
import secrets
from typing import Any, cast

from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.decide.rules import Choice
from shared.errors import MalformedError
from shared.event import publish
from shared.event.here import Here
from shared.event.types import RequestedData, TriagedData
from shared.kube.scope import resolve
from shared.model.facts import Scope
from shared.model.plan import Refusal
from shared.model.wish import Wish
from shared.people import look
from shared.people.asks import RunAsk
from shared.people.find import asking
from shared.people.no import NoError, NotThereError
from shared.people.now import at_once
from shared.people.who import Caller, allow, may, signed
from shared.state.transitions import Entry

FAMILY = "manual"


def run(here: Here, asks: Caller, ask: RunAsk) -> dict[str, Any]:
    """Run it, or answer what a run would do.

    Raises MalformedError for an action or parameters that do not exist, NotThereError when there is no such target,
    NotAllowedError.
    """
    target = ask.target.ref()
    by = signed(asks, ask)
    about = {"namespace": target.namespace, "action": ask.action}
    allow(here, asks, "get" if ask.dry_run else "run", **about)
    wish = _wish(here, ask, by if may(here, asks, "approve", **about) else "")
    scope = resolve(here.kube, target)
    if scope is None:
        raise NotThereError(f"{ask.target.kind} {ask.target.name} is not there, or nothing that can be healed")
    if ask.dry_run:
        return _dry(here, ask, by, wish, scope)
    name = f"run-{secrets.token_hex(10)}"
    body = RequestedData(target=target, wish=wish).model_dump_json()
    who = f"{by}: {ask.reason}" if ask.reason else by
    settled = here.state.settle(asking(here), "run", run=name, who=who, body=body)
    if "entry" not in settled:
        raise NoError(settled.get("no", "the run was not taken"))
    entry = cast("Entry", json.loads(settled["entry"]))
    published = at_once(here, lambda: publish.event_of(entry))
    return {"run": name, "action": ask.action, "scope": scope.key, "by": by, "published": published}


def _wish(here: Here, ask: RunAsk, author: str) -> Wish:
    """Its author counts as one approver, so it is only written down of whoever might approve it for somebody else."""
    action = Catalogue.home(here.settings.actions_dir).load(ask.action)
    try:
        params = action.asked(ask.params)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])[:60] or 'params'}: {item['msg']}" for item in error.errors()
        )
        raise MalformedError(f"{ask.action}: {wrong}"[:300], reason="params") from error
    made = params.model_dump(mode="json")
    return Wish(reason="run", action=ask.action, params=made, author=author, approvers=(author,) if author else ())


def _dry(here: Here, ask: RunAsk, by: str, wish: Wish, scope: Scope) -> dict[str, Any]:
    cause = asking(here)
    facts = look.take(here, scope, ask.target.ref())
    if facts is None:
        raise NotThereError(f"{scope.key} is gone")
    known = look.standing(here, cause, scope, FAMILY)
    data = TriagedData(incident=known.get("id", ""), scope=facts.scope, family=FAMILY, facts=facts, wish=wish)
    choice = Choice(action=wish.action, params=wish.params, confidence=1, reasoning=f"Asked for by {by}.", by="person")
    said = {
        "dry_run": True,
        "action": ask.action,
        "params": wish.params,
        "scope": scope.key,
        "facts": look.summary(facts),
    }
    plan = look.planned(here, data, choice)
    if isinstance(plan, Refusal):
        return {**said, "decision": "refused", "refusal": plan.model_dump(mode="json")}
    answer = look.judged(here, cause, data, choice, plan)
    return {**said, "plan": look.shown(plan), **answer}
