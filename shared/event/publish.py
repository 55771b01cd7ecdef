"""Turns a due entry into the event that it publishes: the same one however often it is published.

The event's id comes from the entry's kind, name and token (and the hour, for the hourly look), so that the inbox of
whoever gets it gives the same answer again.
"""

import contextlib
import json
from collections.abc import Iterator

from shared import clock
from shared.errors import MalformedError
from shared.event import codec
from shared.event.codec import Event
from shared.event.make import LIFE_MS, Emit, first
from shared.event.types import (
    ApprovedData,
    Declared,
    EscalationData,
    Judged,
    ProposedData,
    RequestedData,
    VerificationData,
)
from shared.model.base import Model, sha256
from shared.model.facts import Scope
from shared.model.plan import Plan
from shared.model.wish import Wish
from shared.state.due import DUE
from shared.state.transitions import Entry

STAGE_TEXT = "stuck at {}"
SOURCE = "due"  # whoever posts it, the entry speaks: the inbox knows the api's event again in the sweeper's


def event_of(entry: Entry) -> Event:
    """The event of the entry, to be signed and posted; of a `revert` see `undo_event`.

    Raises MalformedError for an entry that cannot be read: it stays due and its neighbours go on.
    """
    with _readable(entry):
        return _event_of(entry)


@contextlib.contextmanager
def _readable(entry: Entry) -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, TypeError) as error:
        raise MalformedError(f"due entry {entry.get('kind')}: {error!r}"[:200], reason="due-entry") from error


def _event_of(entry: Entry) -> Event:
    kind = entry["kind"]
    if kind == "alert":
        # The very event that intake made; only its time to live is new.
        draft = codec.parse(entry["event"])
        return draft.with_extensions(expirytime=clock.iso(clock.now_ms() + LIFE_MS))
    if kind == "redrive":
        return codec.parse(entry["event"])  # deadletter stored it after its signature had held
    emit = Emit(
        DUE[kind].publishes, _data(entry), incident=entry.get("incident", ""),
        action=entry.get("action", "") if kind in ("attempt", "step") else "",
    )  # fmt: skip
    name = entry["ref"] if kind == "retry" and entry.get("run") else _id(entry)
    return first(
        SOURCE, emit, id=name, tenant=entry["tenant"], cluster=entry["cluster"],
        correlation=entry.get("incident", "") or entry["ref"],
    )  # fmt: skip


def _id(entry: Entry) -> str:
    return sha256("due", entry["kind"], entry["ref"], str(entry["token"]), str(entry.get("hour", "")))[:40]


def _data(entry: Entry) -> Model:
    kind, incident = entry["kind"], entry.get("incident", "")
    if kind == "incident":
        return RequestedData(incident=incident, wish=Wish(reason="look"))
    if kind == "retry":
        return _request(entry)
    if kind in ("attempt", "step"):
        return ApprovedData(
            incident=incident, grant=entry["grant"], plan=Plan.model_validate_json(entry["plan"]),
            params=json.loads(entry["params"]), step=int(entry["step"]),
        )  # fmt: skip
    if kind == "soak":
        return VerificationData(incident=incident, attempt=entry["attempt"], action=entry["action"])
    if kind == "tell":
        return EscalationData(incident=incident, reason=entry["reason"][:512])
    reasons = {
        "stage": STAGE_TEXT.format(entry.get("stage", "")),
        "start": "stuck at begin",
        "hold": "held and not answered in time",
    }
    return EscalationData(incident=incident, reason=reasons[kind])


def _request(entry: Entry) -> RequestedData:
    if entry.get("body"):  # a person's run
        asked = RequestedData.model_validate_json(entry["body"])
        return asked.model_copy(update={"wish": asked.wish.model_copy(update=_voice(entry))})
    if entry.get("hold"):  # a person's yes
        wish = Wish(
            reason="approve", action=entry["action"], params=json.loads(entry["params"]), hold=entry["hold"],
            approvers=tuple(entry["approvers"]), approved_hash=entry["approved_hash"], **_voice(entry),
        )  # fmt: skip
    elif entry.get("wish"):
        # Refused for now: the wish is kept, for as long as it is still meant.
        wish = Wish.model_validate_json(entry["wish"]).model_copy(update=_voice(entry))
    else:
        wish = Wish(reason="retry")
    return RequestedData(incident=entry.get("incident", ""), wish=wish)


def _voice(entry: Entry) -> dict[str, int]:
    """Since when and until when a person means it."""
    return {name: int(str(entry.get(name) or 0)) for name in ("asked_at", "voice_until")}


def undo_proposal(entry: Entry, attempt: dict[str, str], *, protected: bool = False) -> Emit:
    """The proposal that takes an attempt back by its stored inverse; nobody plans an undo.

    `protected`: whether its object carries the mark, where whoever publishes may look; the executor does in any case.
    """
    scope = Scope.of_key(attempt["scope"])
    now = clock.now_ms()
    data = ProposedData(
        incident=entry["incident"], scope=scope, family=attempt.get("family", ""), mode="undo", of=entry["ref"],
        action=attempt["action"], params=json.loads(attempt.get("params") or "{}"),
        plan=Plan.model_validate_json(attempt["inverse"]),
        judged=Judged(taken_at=now, autonomy="auto", protected=protected),
        declared=Declared(risk="low", cooldown_s=int(attempt.get("cooldown") or 0) // 1000, soak_s=0),
        confidence=1, reasoning=f"takes back {entry['ref']}", proposer="undo",
    )  # fmt: skip
    return Emit("remediation.proposed", data, incident=entry["incident"], action=attempt["action"])


def undo_event(entry: Entry, attempt: dict[str, str], *, protected: bool = False) -> Event:
    """The event of a `revert` entry, to be signed and posted. Raises MalformedError as `event_of`.

    `attempt` is what Redis holds of it, perhaps nothing.
    """
    with _readable(entry):
        return first(
            SOURCE, undo_proposal(entry, attempt, protected=protected), id=_id(entry), tenant=entry["tenant"],
            cluster=entry["cluster"], correlation=entry["incident"],
        )  # fmt: skip
