"""A person's word on what waits or was done: yes, no, take it back. Each is one `settle`, audited there."""

import json
from typing import Any, cast

from shared.event import publish
from shared.event.here import Here
from shared.people import find
from shared.people.asks import HoldAsk, UndoAsk
from shared.people.no import NoError
from shared.people.now import at_once
from shared.state.transitions import Entry, Settled


def answer(here: Here, incident: str, word: str, ask: HoldAsk) -> dict[str, Any]:
    """Answer a hold with `approve` or `deny`. Raises NotThereError for the incident, NoError when none such waits."""
    place = find.incident(here, incident)
    hold = ask.hold or here.state.store.read("HGET", place.key("hold"), "id") or ""
    if not hold:
        raise NoError(f"nothing waits for an answer at {incident}")
    settled = here.state.settle(
        find.asking(here, place), word, incident=incident, hold=hold, who=ask.who, reason=ask.reason
    )
    entry = _entry(settled)
    published = at_once(here, lambda: publish.event_of(entry)) if entry else False
    return {"incident": incident, "hold": hold, "answer": word, "by": ask.who, "published": published}


def undo(here: Here, ask: UndoAsk) -> dict[str, Any]:
    """Have an attempt taken back. Raises NotThereError for the attempt, NoError where nothing can be taken back."""
    place = find.attempt(here, ask.attempt)
    settled = here.state.settle(find.asking(here, place), "undo", attempt=ask.attempt, who=ask.who, reason=ask.reason)
    entry = _entry(settled)
    if entry is None:
        raise NoError("the undo was not taken")
    stored = here.state.attempt(place.tenant, place.cluster, ask.attempt)
    published = at_once(here, lambda: publish.undo_event(entry, stored))
    return {"attempt": ask.attempt, "incident": entry["incident"], "by": ask.who, "published": published}


def _entry(settled: Settled) -> Entry | None:
    """Read the due entry that the word has put, if it puts one. Raises NoError when the answer is no."""
    if "no" in settled:
        raise NoError(settled["no"])
    return cast("Entry", json.loads(settled["entry"])) if settled.get("entry") else None
