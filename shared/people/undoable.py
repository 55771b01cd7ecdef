"""What of an incident's attempts can still be taken back, and of the rest why not: by the record and by the cluster.

It only looks. Whether an undo is let through is asked of the guard when one is asked for, and the executor looks anew.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from shared.event.here import Here
from shared.kube import write as kube_write
from shared.kube.errors import KubeError
from shared.kube.made import maker, name_of
from shared.kube.plain import plain
from shared.model.base import canonical
from shared.model.hold import difference
from shared.model.plan import Plan, Write
from shared.people import timeline
from shared.people.find import Place

LISTED: Final = 50  # attempts, the newest
LOOKED: Final = 20  # objects of the cluster that are read for it
_VALUE, _DIFF = 80, 20  # characters of a value; lines of what was written
_DAYS: Final = 8  # the record of an attempt is kept


def listing(here: Here, place: Place) -> dict[str, Any]:
    """List the incident's attempts, the newest first."""
    names = here.state.store.read("LRANGE", place.key("attempts-of"), -LISTED, -1)
    look = _Look(here)
    attempts = [look.attempt(name, here.state.attempt(place.tenant, place.cluster, name)) for name in reversed(names)]
    return {"tenant": place.tenant, "cluster": place.cluster, "incident": place.id, "attempts": attempts}


class _Look:
    """One listing's look at the cluster, bounded."""

    def __init__(self, here: Here) -> None:
        self._here, self._left = here, LOOKED

    def attempt(self, name: str, fields: Mapping[str, str]) -> dict[str, Any]:
        why = _recorded(fields) or self._live(fields)
        plan = _plan(fields.get("plan", ""))
        return {
            "id": name,
            "action": fields.get("action", ""),
            "mode": fields.get("mode", ""),
            "at": timeline.time(fields.get("begun_at") or fields.get("at") or 0),
            "outcome": fields.get("outcome") or fields.get("state", ""),
            "wrote": [plain(line)[:200] for line in difference(plan)[:_DIFF]] if plan and _wrote(fields) else [],
            "undo": "" if why else f"akeso undo {name}",
            "why": why,
        }

    def _live(self, fields: Mapping[str, str]) -> str:
        """Why the cluster would not have it back; empty when it would, as far as one can see."""
        inverse = _plan(fields["inverse"])
        if inverse is None:
            return "how to take it back cannot be read"
        for write in inverse.writes:
            self._left -= 1
            if self._left < 0:
                return f"not looked at: {LOOKED} objects are the limit"
            try:
                if why := self._hindered(write):
                    return why
            except KubeError as error:
                return f"{_named(write)} cannot be read now: {plain(error)[:160]}"
        return ""

    def _hindered(self, write: Write) -> str:
        seen = kube_write.read(self._here.kube, write)
        if not seen.exists:
            return f"{_named(write)} is gone"
        if not seen.uid_ok:
            return f"{_named(write)} is another one by now, with the same name"
        if seen.deleting:
            return f"{_named(write)} is being deleted"
        if seen.holds:
            return ""
        if seen.done:
            return f"{_named(write)} is as it was before already"
        if write.verb == "copy":  # of whole templates: what stands in them is not shown
            source = write.before if isinstance(write.before, dict) else {}
            wrote = plain(f"what {source.get('kind')} {source.get('name')} has")
            return f"others changed {_named(write)}: we wrote {wrote}, there is something else now"
        return f"others changed {_named(write)}: we wrote {_value(write.before)}, there is {_value(seen.value)} now"


def _recorded(fields: Mapping[str, str]) -> str:
    """Why the record alone speaks against it."""
    if not fields:
        return f"older than {_DAYS} days: its record is gone"
    if fields.get("state") != "finished":
        return "still running" if fields.get("state") == "begun" else "not begun"
    if fields.get("mode") == "undo":
        return f"it took {fields.get('of', 'another')} back, and what takes back is not taken back"
    if "undone_by" in fields:
        return f"already undone by {fields['undone_by']}"
    if "inverse" not in fields:
        return "nothing to take back: " + (f"{fields['action']} left no undo" if _wrote(fields) else "it wrote nothing")
    return ""


def _wrote(fields: Mapping[str, str]) -> bool:
    """Whether it has, or may have, written its plan or a part of it."""
    plan = _plan(fields.get("plan", ""))
    return bool(plan and plan.writes and "begun_at" in fields) and fields.get("outcome") not in ("skipped", "unused")


def _plan(text: str) -> Plan | None:
    try:
        return Plan.model_validate_json(text)
    except ValidationError:
        return None


def _named(write: Write) -> str:
    name = write.target.model_copy(update={"name": name_of(write, maker(write, ""))}).key
    return f"{name} {write.path}" if write.path else name


def _value(value: Any) -> str:
    return "nothing" if value is None else plain(canonical(value).decode())[:_VALUE]
