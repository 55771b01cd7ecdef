"""Finds what a person names without saying whose it is: incidents and attempts by their id alone.

Every look is bounded, because the keyspace is not: what lies beyond the bound is reported as not found, with the way
to name it fully.
"""

import secrets
from typing import Final, NamedTuple

from shared.event.here import Here
from shared.people.no import NotThereError
from shared.state.client import PREFIX
from shared.state.transitions import Cause

OPEN: Final = f"{PREFIX}:open"
_ROUNDS, _KEYS = 100, 1000  # of SCAN, and keys in each
_HOLDS = 1000
_NONE: Final = {"attempt": "no attempt", "audit": "no incident", "evidence": "no evidence of"}


class Place(NamedTuple):
    """Whose it is, and its id: an incident's, a run's or an attempt's."""

    tenant: str
    cluster: str
    id: str

    def key(self, kind: str) -> str:
        return f"{PREFIX}:{self.tenant}:{self.cluster}:{kind}:{self.id}"


def asking(here: Here, place: Place | None = None) -> Cause:
    """Make the cause of one ask: each is new, because a person who asks twice means it twice."""
    home = here.settings.alertmanager
    tenant, cluster = (place.tenant, place.cluster) if place else (home.tenant, home.cluster)
    return Cause(here.function, f"/akeso/{here.function}", f"ask-{secrets.token_hex(10)}", tenant, cluster)


def incident(here: Here, name: str) -> Place:
    """Find where the incident or run of that id is kept. Raises NotThereError."""
    for member in here.state.store.read("SMEMBERS", OPEN):
        tenant, cluster, found = member.split("|", 2)
        if found == name:
            return Place(tenant, cluster, found)
    return _kept(here, "audit", name)


def attempt(here: Here, name: str) -> Place:
    """Find where the attempt of that id is kept. Raises NotThereError."""
    return _kept(here, "attempt", name)


def evidence(here: Here, name: str) -> Place:
    """Find where the evidence of the attempt of that id is kept. Raises NotThereError."""
    return _kept(here, "evidence", name)


def held(here: Here, name: str) -> Place:
    """Find the incident that a hold of that id waits at, or waited. Raises NotThereError."""
    places, more = scan(here, "hold", most=_HOLDS)
    for place in places:
        if here.state.store.read("HGET", place.key("hold"), "id") == name:
            return place
    raise NotThereError(f"{name} waits nowhere: it has been answered, has expired or was replaced" + (
        "; not all were looked through, name the incident" if more else ""
    ))  # fmt: skip


def _kept(here: Here, kind: str, name: str) -> Place:
    cause = asking(here)
    home = Place(cause.tenant, cause.cluster, name)
    if here.state.store.read("EXISTS", home.key(kind)):
        return home
    found, more = scan(here, kind, name, most=1)
    if found:
        return found[0]
    raise NotThereError(f"{_NONE[kind]} {name}" + (
        " among those looked through; name tenant and cluster" if more else ""
    ))  # fmt: skip


class Known(NamedTuple):
    """A key of some kind, in parts; `rest` is what follows the kind."""

    tenant: str
    cluster: str
    kind: str
    rest: str

    @property
    def key(self) -> str:
        return ":".join(part for part in (PREFIX, self.tenant, self.cluster, self.kind, self.rest) if part)


def keys(here: Here, kinds: frozenset[str], *, most: int) -> tuple[list[Known], bool]:
    """Find at most `most` keys of each of those kinds in one pass, and whether there may be more."""
    found: dict[str, dict[Known, None]] = {kind: {} for kind in kinds}
    cursor, full = "0", False
    for _ in range(_ROUNDS):
        cursor, names = here.state.store.read("SCAN", cursor, "MATCH", f"{PREFIX}:*:*:*", "COUNT", _KEYS)
        for name in names:
            _, tenant, cluster, kind, *rest = name.split(":")
            if kind in found:
                known = Known(tenant, cluster, kind, ":".join(rest))
                full = full or (len(found[kind]) >= most and known not in found[kind])
                if len(found[kind]) < most:
                    found[kind][known] = None
        if str(cursor) == "0":
            break
    return [known for kind in found.values() for known in kind], full or str(cursor) != "0"


def scan(here: Here, kind: str, name: str = "*", *, most: int) -> tuple[list[Place], bool]:
    """Find at most `most` places of that kind, and whether there may be more. `name` must hold no pattern."""
    found: dict[Place, None] = {}
    cursor = "0"
    for _ in range(_ROUNDS):
        cursor, keys = here.state.store.read("SCAN", cursor, "MATCH", f"{PREFIX}:*:*:{kind}:{name}", "COUNT", _KEYS)
        for key in keys:
            parts = key.split(":")
            if len(parts) == 5 and parts[3] == kind:  # noqa: PLR2004  deeper keys belong to these
                found[Place(parts[1], parts[2], parts[4])] = None
        if str(cursor) == "0" or len(found) >= most:
            break
    return list(found)[:most], str(cursor) != "0" or len(found) > most
