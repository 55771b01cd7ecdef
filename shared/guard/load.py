"""Brings stop and policy from Kubernetes, where they live, into Redis, which only remembers them.

After Redis was lost this is also what opens the guard again: by a new epoch, with the embargo of the longest cooldown,
and with what was open before handed to people. A policy that cannot be read leaves the last good one in force.
"""

import secrets

from shared.errors import MalformedError
from shared.event.here import Here
from shared.guard import policy_read as policies
from shared.guard import stop as stops
from shared.guard.flat import flat
from shared.kube import facts as cluster
from shared.state.transitions import Cause
from shared.telemetry import log

POLICY = "akeso-policy"
_log = log.get("akeso.load")


def load(here: Here, cause: Cause, *, lifted: str = "") -> str:
    """Load all of it in one step: `kept`, `renewed` or `hydrated`. `lifted` as in `shared.guard.stop`.

    Raises UnavailableError when Kubernetes or Redis does not answer: then what is in force stays in force.
    """
    found = stops.find(here, lifted)
    result = here.state.load(
        cause,
        mode="dev" if here.settings.dev else "prod",
        fresh=secrets.token_hex(16),
        policy=_policy(here),
        stop=found.stop,
        hydrate=True,
        embargo=0 if found.first else here.settings.embargo_s * 1000,
        people_before=not found.first,
    )
    if result["state"] == "hydrated":
        _log.warning("hydrated", first_installation=found.first, epoch=result["epoch"][:8])
    if result["state"] == "hydrated" or ((found.bare or found.lacks) and result["state"] != "lost"):
        stops.mend(here, found)
    return str(result["state"])


def _policy(here: Here) -> dict[str, str | int] | None:
    try:
        data = cluster.read_configmap(here.kube, here.settings.kube.namespace, POLICY)
        text = (data or {}).get("policy.yaml", "")
        return flat(policies.read(text), policies.revision(text))
    except MalformedError as error:
        _log.error("policy refused, the last good one stays in force", error=str(error)[:300])
        return None


def set_stop(here: Here, cause: Cause, mode: str, *, scope: str = "", reason: str, by: str) -> str:
    """Stop, freeze or resume, everything or what one scoped key names. Returns what `load` says.

    In Kubernetes first, because that is where it lives. Raises UnavailableError when that cannot be written; nothing
    has changed then.
    """
    stops.put(here, mode, scope=scope, reason=reason, by=by)
    return load(here, cause, lifted=scope if mode == "run" else "")
