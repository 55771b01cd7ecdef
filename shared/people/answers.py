"""A person's word on what waits or was done: yes, no, take it back. Each is one `settle`, audited there."""

import json
from typing import Any, cast

from shared import clock
from shared.event import publish
from shared.event.here import Here
from shared.kube.facts import is_marked
from shared.model.facts import Scope
from shared.model.hold import Hold
from shared.model.wish import Wish
from shared.people import find, status, timeline, told
from shared.people.asks import HoldAsk, UndoAsk
from shared.people.find import Place
from shared.people.no import NoError, NotThereError
from shared.people.now import at_once
from shared.people.who import Caller, allow, signed
from shared.state.client import PREFIX
from shared.state.transitions import Entry, Settled

_LOOKED = 500  # of the audit's last lines, for what became of a hold


def answer(here: Here, asks: Caller, name: str, word: str, ask: HoldAsk) -> dict[str, Any]:
    """Answer a hold, as `_answer` does. What is not there after a loss of state is said to be lost."""
    try:
        return _answer(here, asks, name, word, ask)
    except (NotThereError, NoError) as error:
        if lost := status.loss(here):
            raise type(error)(f"{error}; {lost}") from error
        raise


def _answer(here: Here, asks: Caller, name: str, word: str, ask: HoldAsk) -> dict[str, Any]:
    """Answer a hold, named by itself or by its incident, with `approve` or `deny`.

    A no to a run that waits for its time takes it back.
    Raises NotThereError for the incident, NoError when none such waits, NotAllowedError.
    """
    place = find.held(here, name) if name.startswith("hold-") else find.incident(here, name)
    waits = Hold.of(here.state.store.hash(place.key("hold")))
    meant = ask.hold or (name if name.startswith("hold-") else waits.id if waits else "")
    scope = here.state.store.read("HGET", place.key("incident"), "scope") or ""
    run = _run(here, place) if word == "deny" and not meant else None
    action = waits.action if waits else run.action if run else ""
    allow(here, asks, word, namespace=Scope.of_key(scope).namespace, action=action)
    if not run and (waits is None or waits.id != meant):
        raise NoError(_became(here, place, meant))
    by = signed(asks, ask)
    settled = here.state.settle(
        find.asking(here, place), word, incident=place.id, hold=meant, who=by, reason=ask.reason
    )
    if "no" in settled:
        raise NoError(_became(here, place, meant, otherwise=settled["no"]))
    entry = _entry(settled)
    published = at_once(here, lambda: publish.event_of(entry)) if entry else False
    missing = settled.get("missing", 0)
    return {
        "incident": place.id, "hold": meant, "answer": word, "by": by, "missing": missing, "published": published,
    }  # fmt: skip


_BECAME = {
    "approve": "{who} said yes to it at {at}",
    "deny": "{who} said no to it at {at}",
    "expired": "nobody answered it in time; it ended at {at}",
}


def _became(here: Here, place: Place, hold: str, *, otherwise: str = "") -> str:
    """Tell why that hold takes no answer, from the incident's record; `otherwise` is what the transition said."""
    lines = here.state.store.read("LRANGE", place.key("audit"), -_LOOKED, -1)
    records = [timeline.record(line) for line in lines]
    if not hold:
        asked = [record for record in records if record.get("what") == "held"]
        if not asked:
            return f"nothing waits for an answer at {place.id}"
        hold = str(asked[-1].get("hold", ""))
    mine = [record for record in records if record.get("hold") == hold]
    ended = [record for record in mine if record.get("what") in _BECAME and not record.get("missing")]
    if ended:
        last = {"who": "somebody", "at": "?"} | ended[-1]
        void = [record for record in records[records.index(ended[-1]) :] if record.get("what") == "void"]
        then = f"; that is void, because {told.sentence(void[-1])}" if void and last["what"] == "approve" else ""
        return f"{hold} waits no longer: " + _BECAME[str(last["what"])].format_map(last) + then
    now = Hold.of(here.state.store.hash(place.key("hold")))
    if now and now.id == hold and now.deadline < clock.now_ms():
        return f"{hold} has expired: it could be answered until {clock.iso_ms(now.deadline)}"
    if now and now.id == hold and now.missing:
        given = " and ".join(now.given)
        return f"{hold} has the yes of {given} and needs {now.missing} more, by somebody else"
    if mine and now and now.id != hold:
        return f"{hold} was replaced by {now.id}, because the plan is another by now: look at that one"
    if mine:
        return f"{hold} waits no longer: the incident went on without it"
    return otherwise or f"no such hold at {place.id}: {hold}"


def undo(here: Here, asks: Caller, ask: UndoAsk) -> dict[str, Any]:
    """Have an attempt taken back.

    Raises NotThereError for the attempt, NoError where nothing can be taken back, NotAllowedError.
    """
    place = find.attempt(here, ask.attempt)
    stored = here.state.attempt(place.tenant, place.cluster, ask.attempt)
    namespace = Scope.of_key(stored.get("scope", "")).namespace
    allow(here, asks, "undo", namespace=namespace, action=stored.get("action", ""))
    by = signed(asks, ask)
    settled = here.state.settle(find.asking(here, place), "undo", attempt=ask.attempt, who=by, reason=ask.reason)
    if "no" in settled:
        raise NoError(settled["no"])
    entry = _entry(settled)
    if entry is None:
        raise NoError("the undo was not taken")
    scope = Scope.of_key(stored.get("scope", ""))
    published = at_once(here, lambda: publish.undo_event(entry, stored, protected=is_marked(here.kube, scope)))
    return {"attempt": ask.attempt, "incident": entry["incident"], "by": by, "published": published}


def _run(here: Here, place: Place) -> Wish | None:
    """Read what a person has asked for there and what waits for its time; None when nothing does."""
    member = f"retry|{place.tenant}|{place.cluster}|{place.id}"
    kept = json.loads(here.state.store.read("HGET", f"{PREFIX}:due:entries", member) or "{}").get("wish")
    wish = Wish.model_validate_json(kept) if kept else None
    return wish if wish and wish.reason == "run" else None


def _entry(settled: Settled) -> Entry | None:
    """Read the due entry that the word has put, if it puts one."""
    return cast("Entry", json.loads(settled["entry"])) if settled.get("entry") else None
