"""Each minute: seals over every new audit line, and the sealed lines into the append-only file, if one is set."""

from pathlib import Path

from shared import clock
from shared.audit import chain, export
from shared.errors import MalformedError
from shared.event.here import Here
from shared.state.client import PREFIX
from shared.state.transitions import Cause
from shared.telemetry import log

_log = log.get("akeso.audit")


def seal_new(here: Here, cause: Cause) -> int:
    """How many chains got a seal. A chain that does not hold is never sealed: it is an alarm and a ticket."""
    key = here.secrets.required("audit.key")
    sealed = 0
    for member in sorted(here.state.store.read("SMEMBERS", f"{PREFIX}:audit:unsealed")):
        tenant, cluster, incident = member.split("|", 2)
        whose = cause._replace(tenant=tenant, cluster=cluster)
        name = f"{PREFIX}:{tenant}:{cluster}:audit:{incident}"
        last = here.state.store.read("LRANGE", f"{name}:seals", -1, -1)
        previous = chain.Seal.model_validate_json(last[0]) if last else None
        start = previous.count if previous else 0
        lines = here.state.store.read("LRANGE", name, start, -1)
        if not lines:
            continue
        try:
            seal = chain.seal(lines, previous, key, clock.now_ms(), chain=member)
        except MalformedError as error:
            _log.error("audit does not hold", error=str(error))
            told = {"incident": incident, "reason": f"audit alarm: {error}"[:300], "at": clock.now_ms()}
            here.state.put(whose, untold=told, count="audit_alarms_total")
            continue
        if here.settings.audit_file:
            export.append(Path(here.settings.audit_file), tenant, cluster, incident, lines)
        here.state.put(whose, sealed={"incident": incident, "seal": seal.model_dump_json(), "count": seal.count})
        sealed += 1
    return sealed
