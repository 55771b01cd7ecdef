"""Brings stop and policy from Kubernetes, where they live, into Redis, which only remembers them.

After Redis was lost this is also what opens the guard again: by a new epoch, with the embargo of the longest cooldown,
and with what was open before handed to people. A policy that cannot be read leaves the last good one in force.
"""

import secrets
from typing import Any, Final

from shared import clock
from shared.event.here import Here
from shared.guard import source
from shared.guard import stop as stops
from shared.guard.flat import flat
from shared.state.client import PREFIX
from shared.state.transitions import Cause
from shared.telemetry import log

LOST: Final = "akeso-state"  # the ticket about what Redis has lost
_log = log.get("akeso.load")


def load(here: Here, cause: Cause, *, lifted: str = "") -> str:
    """Load all of it in one step: `kept`, `renewed` or `hydrated`. `lifted` as in `shared.guard.stop`.

    Raises UnavailableError when Kubernetes or Redis does not answer: then what is in force stays in force.
    """
    halted = stops.find(here, lifted)
    found = source.find(here)
    result = tell(
        here,
        cause,
        # Anew each time, though it be the same policy: its windows are known some days ahead only.
        policy=flat(found.policy, found.revision) | {"origin": found.origin} if found.policy else None,
        stop=_at_least(halted.stop, lacking(here)),
        hydrate=True,
        embargo=0 if halted.first else here.settings.embargo_s * 1000,
        people_before=not halted.first,
    )
    if found.policy is None and result["state"] != "lost":
        _tell(here, cause, found)
    if result["state"] == "hydrated":
        _log.warning("hydrated", first_installation=halted.first, epoch=result["epoch"][:8])
        if not halted.first:
            _tell_of_loss(here, cause)
    if result["state"] == "hydrated" or ((halted.bare or halted.lacks) and result["state"] != "lost"):
        stops.mend(here, halted)
    return str(result["state"])


def tell(here: Here, cause: Cause, **more: object) -> dict[str, Any]:
    """Call `load` with what it always needs. Raises UnavailableError."""
    mode = "dev" if here.settings.dev else "prod"
    return here.state.load(cause, mode=mode, fresh=secrets.token_hex(16), **more)


def lacking(here: Here) -> str:
    """What Redis lacks to forget nothing; on one machine nobody asks. Raises UnavailableError."""
    return "" if here.settings.dev else here.state.store.durable()


def _at_least(stop: dict[str, object], lacks: str) -> dict[str, object]:
    """While Redis may forget limits and leases nothing new begins, whatever the ConfigMap says; it is left as it is."""
    if not lacks or stop["mode"] != "run":
        return stop
    return stop | {"mode": "stop", "reason": f"Redis lacks {lacks}", "by": "akeso"}


def _tell_of_loss(here: Here, cause: Cause) -> None:
    """Tell people once per loss; the time keeps one apart from the next."""
    epoch = here.state.store.hash(f"{PREFIX}:epoch")
    until = clock.iso(int(float(epoch.get("embargo_until", 0))))
    reason = (
        f"state was lost at {clock.iso(clock.now_ms())}: what was open is for people, nothing is done before {until}"
    )
    here.state.put(cause, untold={"incident": LOST, "reason": reason, "at": clock.now_ms()})


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
