"""What happened: incidents with their audit, as the transitions wrote it, and whether that record still holds."""

import contextlib
import json
from typing import Any, Final

from shared import clock
from shared.audit import chain
from shared.event.here import Here
from shared.people import find
from shared.people.find import Place
from shared.people.no import NotThereError

LISTED: Final = 200
LINES: Final = 2000  # shown; all are verified
VERDICTS: Final = frozenset({"verified", "ineffective", "harmful", "unknown"})
_TIMES = (
    "opened_at",
    "closed_at",
    "quiet_at",
    "at",
    "start_by",
    "finish_by",
    "begun_at",
    "finished_at",
    "retry_at",
    "deadline",
)
_INCIDENT = (
    "state", "scope", "family", "severity", "object", "people", "stage", "hold", "attempt", "ticket", "opened_at",
    "closed_at", "closed_how",
)  # fmt: skip
_ATTEMPT = (
    "id", "action", "mode", "of", "state", "outcome", "verdict", "text", "undone_by", "at", "begun_at", "finished_at",
)  # fmt: skip
_JSON = ("params", "plan", "body", "before", "after")  # texts that are documents


def listing(here: Here) -> dict[str, Any]:
    """List open and closed incidents, the newest first, at most `LISTED`; `more` when there are or may be others."""
    places, more = find.scan(here, "incident", most=10 * LISTED)
    known = [(place, here.state.store.hash(place.key("incident"))) for place in places]
    known.sort(key=lambda item: int(item[1].get("opened_at") or 0), reverse=True)
    listed = [_named(place) | _shown(fields, _INCIDENT) for place, fields in known[:LISTED]]
    return {"incidents": listed, "more": more or len(known) > LISTED}


def one(here: Here, place: Place) -> dict[str, Any]:
    """Tell one incident, or one person's run: its fields, attempts, audit and verdict. Raises NotThereError."""
    store = here.state.store
    fields = store.hash(place.key("incident"))
    lines = store.read("LRANGE", place.key("audit"), 0, -1)
    if not fields and not lines:
        raise NotThereError(f"no incident {place.id}")
    records = [record(line) for line in lines[-LINES:]]
    held = _held(here, place, lines)
    return {
        **_named(place),
        **_shown(fields, _INCIDENT),
        "verdict": next((r["what"] for r in reversed(records) if r.get("what") in VERDICTS), ""),
        "incidents": [] if fields else _of_run(here, place),
        "attempts": [_attempt(here, place, name) for name in store.read("LRANGE", place.key("attempts-of"), 0, 99)],
        "audit": records,
        "omitted": max(0, len(lines) - LINES),
        "links_ok": held.ok,
        "seals": held.model_dump(mode="json"),
    }


def record(line: str) -> dict[str, Any]:
    """Read one audit line as data; of a line that is none, only its text."""
    link, _, text = line.partition(" ")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return {"what": "unreadable", "text": line[:500]}
    return {"link": link, **{name: _plain(name, value) for name, value in said.items()}}


def _plain(name: str, value: Any) -> Any:
    if name in _JSON and isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    if name in _TIMES and isinstance(value, int | float | str):
        return time(value)
    return value


def time(value: float | str) -> str:
    """RFC 3339; empty for "never", which is 0."""
    try:
        moment = int(float(value))
        return clock.iso_ms(moment) if moment > 0 else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _named(place: Place) -> dict[str, str]:
    return {"tenant": place.tenant, "cluster": place.cluster, "id": place.id}


def _shown(fields: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(name, fields.get(name, "")) for name in names}


def _attempt(here: Here, place: Place, name: str) -> dict[str, Any]:
    fields = here.state.attempt(place.tenant, place.cluster, name)
    more: dict[str, Any] = {part: _plain(part, fields[part]) for part in ("params", "plan") if part in fields}
    can_undo = fields.get("state") == "finished" and "inverse" in fields and "undone_by" not in fields
    seen = here.state.store.read("EXISTS", place._replace(id=name).key("evidence"))
    return {
        **_shown(fields, _ATTEMPT),
        "id": name,
        **more,
        "evidence": f"akeso evidence {name}" if seen else "",
        "undo": f"akeso undo {name}" if can_undo else "",
    }


def _held(here: Here, place: Place, lines: list[str]) -> chain.Verdict:
    """Verify by links alone, and by the seals, too, where their public key is mounted."""
    key = here.secrets.optional("audit.pub")
    if not key:
        return chain.verify_links(lines)
    texts = here.state.store.read("LRANGE", place.key("audit") + ":seals", 0, -1)
    try:
        seals = [chain.Seal.model_validate_json(text) for text in texts]
    except ValueError:
        return chain.Verdict(ok=False, why="forged seal")
    return chain.verify_seals(lines, seals, key, chain=f"{place.tenant}|{place.cluster}|{place.id}")


def _of_run(here: Here, place: Place) -> list[str]:
    """Find the incident that triage opened for a person's run: its first line names the run as its event."""
    found = []
    for other in find.scan(here, "incident", most=LISTED)[0]:
        if (other.tenant, other.cluster) == (place.tenant, place.cluster):
            first = here.state.store.read("LRANGE", other.key("audit"), 0, 0)
            if first and record(first[0]).get("event") == place.id:
                found.append(other.id)
    return sorted(found)
