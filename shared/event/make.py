"""Makes the next event from the one that is worked on: ids that a re-run repeats, context that travels along."""

from dataclasses import dataclass

from shared import clock
from shared.event.codec import Event, ascii_only
from shared.event.types import full
from shared.model.base import Model, sha256

LIFE_MS = 15 * 60_000  # an event older than this is not acted on; its `due` entry is
MAX_HOP = 12


@dataclass(frozen=True)
class Emit:
    """What a function wants said next: a short type, its data, and the attributes that change."""

    type: str
    data: Model
    incident: str = ""
    action: str = ""
    severity: str = ""


Outcome = Emit | None


def reply(function: str, consumed: Event, emit: Emit) -> Event:
    """The event that answers `consumed`: its id depends on function, consumed event and type alone."""
    kept = {
        name: consumed.get(name)
        for name in ("correlationid", "severity", "tenant", "cluster", "traceparent", "expirytime", "incidentid")
        if consumed.get(name)
    }
    event = Event(
        type=full(emit.type),
        source=f"/akeso/{function}",
        id=sha256(function, consumed.source, consumed.id, emit.type)[:40],
        time=consumed.time or clock.iso(clock.now_ms()),
        subject=ascii_only(emit.incident or consumed.subject),
        data=emit.data.model_dump(mode="json"),
        extensions={**kept, "causationid": ascii_only(consumed.id), "hop": str(consumed.hop + 1)},
    )
    incident = ascii_only(emit.incident) or consumed.get("incidentid")
    return event.with_extensions(
        incidentid=incident,
        partitionkey=incident,
        correlationid=consumed.get("correlationid") or ascii_only(consumed.id),
        action=ascii_only(emit.action),
        severity=ascii_only(emit.severity, 32) or consumed.get("severity"),
    )


def first(function: str, emit: Emit, *, id: str, tenant: str, cluster: str, correlation: str = "") -> Event:  # noqa: A002
    """An event that answers none: from intake, sweeper or api. The caller's `id` makes a repetition recognisable."""
    at = clock.now_ms()
    event = Event(
        type=full(emit.type),
        source=f"/akeso/{function}",
        id=ascii_only(id),
        time=clock.iso(at),
        subject=ascii_only(emit.incident),
        data=emit.data.model_dump(mode="json"),
        extensions={"tenant": tenant, "cluster": cluster, "hop": "0", "expirytime": clock.iso(at + LIFE_MS)},
    )
    incident = ascii_only(emit.incident)
    return event.with_extensions(
        incidentid=incident,
        partitionkey=incident,
        correlationid=ascii_only(correlation) or incident or event.id,
        action=ascii_only(emit.action),
        severity=ascii_only(emit.severity, 32),
    )
