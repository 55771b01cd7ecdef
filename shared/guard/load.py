"""Brings stop and policy from Kubernetes, where they live, into Redis, which only remembers them.

After Redis was lost this is also what opens the guard again: by a new epoch, with the embargo of the longest cooldown,
and with what was open before handed to people. A policy that cannot be read leaves the last good one in force.
"""

import secrets

from shared import clock
from shared.event.here import Here
from shared.guard import source
from shared.guard import stop as stops
from shared.guard.flat import flat
from shared.state.transitions import Cause
from shared.telemetry import log

_log = log.get("akeso.load")


def load(here: Here, cause: Cause, *, lifted: str = "") -> str:
    """Load all of it in one step: `kept`, `renewed` or `hydrated`. `lifted` as in `shared.guard.stop`.

    Raises UnavailableError when Kubernetes or Redis does not answer: then what is in force stays in force.
    """
    halted = stops.find(here, lifted)
    found = source.find(here)
    result = here.state.load(
        cause,
        mode="dev" if here.settings.dev else "prod",
        fresh=secrets.token_hex(16),
        # Anew each time, though it be the same policy: its windows are known some days ahead only.
        policy=flat(found.policy, found.revision) | {"origin": found.origin} if found.policy else None,
        stop=halted.stop,
        hydrate=True,
        embargo=0 if halted.first else here.settings.embargo_s * 1000,
        people_before=not halted.first,
    )
    if found.policy is None and result["state"] != "lost":
        _tell(here, cause, found)
    if result["state"] == "hydrated":
        _log.warning("hydrated", first_installation=halted.first, epoch=result["epoch"][:8])
    if result["state"] == "hydrated" or ((halted.bare or halted.lacks) and result["state"] != "lost"):
        stops.mend(here, halted)
    return str(result["state"])


def _tell(here: Here, cause: Cause, found: source.Found) -> None:
    """Tell people once per revision that what they wrote is not in force."""
    _log.error("policy refused, the last good one stays in force", revision=found.revision, error=found.wrong[:300])
    reason = f"policy {found.revision} is refused, the last good one stays in force: {found.wrong}"
    untold = {"incident": source.CONFIGMAP, "reason": reason[:500], "at": clock.now_ms()}
    here.state.put(cause, untold=untold, count="policy_refused_total")


def set_stop(here: Here, cause: Cause, mode: str, *, scope: str = "", reason: str, by: str) -> str:
    """Stop, freeze or resume, everything or what one scoped key names. Returns what `load` says.

    In Kubernetes first, because that is where it lives. Raises UnavailableError when that cannot be written; nothing
    has changed then.
    """
    stops.put(here, mode, scope=scope, reason=reason, by=by)
    return load(here, cause, lifted=scope if mode == "run" else "")
