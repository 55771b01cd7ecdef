"""Brings stop and policy from Kubernetes, where they live, into Redis, which only remembers them.

After Redis was lost this is also what opens the guard again: by a new epoch, with the embargo of the longest cooldown,
and with what was open before handed to people. A policy that cannot be read leaves the last good one in force.
"""

import secrets

from shared import clock
from shared.errors import MalformedError, UnavailableError
from shared.event.here import Here
from shared.guard import policy_read as policies
from shared.guard.flat import flat
from shared.kube import facts as cluster
from shared.kube.errors import KubeError
from shared.kube.write import put_configmap
from shared.state.client import PREFIX
from shared.state.transitions import Cause
from shared.telemetry import log

STOP = "akeso-stop"
POLICY = "akeso-policy"
_log = log.get("akeso.load")


def load(here: Here, cause: Cause) -> str:
    """Load all of it in one step: `kept`, `renewed` or `hydrated`.

    Raises UnavailableError when Kubernetes or Redis does not answer: then what is in force stays in force.
    """
    home = here.settings.kube.namespace
    stop = cluster.read_configmap(here.kube, home, STOP) or {}
    mode = cluster.stop_mode(here.kube, home)
    first, unsaid = not stop.get("hydrated-at"), not stop.get("mode")
    known = here.state.store.hash(f"{PREFIX}:stop") if first and unsaid else {}
    if known.get("mode", "run") != "run":
        # Somebody deleted the ConfigMap or put it back empty: that lifts no stop.
        stop, mode, first = dict(known), "freeze" if known["mode"] == "freeze" else "stop", False
    result = here.state.load(
        cause,
        mode="dev" if here.settings.dev else "prod",
        fresh=secrets.token_hex(16),
        policy=_policy(here),
        stop={"mode": mode, "reason": stop.get("reason", ""), "by": stop.get("by", ""),
              "since": stop.get("since", "")},
        hydrate=True,
        embargo=0 if first else here.settings.embargo_s * 1000,
        people_before=not first,
    )  # fmt: skip
    if result["state"] == "hydrated":
        _log.warning("hydrated", first_installation=first, epoch=result["epoch"][:8])
    if result["state"] == "hydrated" or ((first or unsaid) and result["state"] != "lost"):
        # The mode only where there is none: what an operator has set meanwhile is not to be taken back.
        marked = {"hydrated-at": clock.iso(clock.now_ms())} | ({"mode": mode} if unsaid else {})
        put_configmap(here.kube, home, STOP, marked, field_manager=f"akeso-{here.function}")
    return str(result["state"])


def _policy(here: Here) -> dict[str, str | int] | None:
    try:
        data = cluster.read_configmap(here.kube, here.settings.kube.namespace, POLICY)
        text = (data or {}).get("policy.yaml", "")
        return flat(policies.read(text), policies.revision(text))
    except MalformedError as error:
        _log.error("policy refused, the last good one stays in force", error=str(error)[:300])
        return None


def set_stop(here: Here, cause: Cause, mode: str, *, reason: str, by: str) -> str:
    """Stop, freeze or resume: in Kubernetes first, because that is where it lives. Returns what `load` says.

    Raises UnavailableError when the ConfigMap cannot be written; nothing has changed then.
    """
    since = clock.iso(clock.now_ms())
    try:
        put_configmap(
            here.kube, here.settings.kube.namespace, STOP,
            {"mode": mode, "reason": reason[:300], "by": by[:100], "since": f"{since}.{secrets.token_hex(4)}"},
            field_manager=f"akeso-{here.function}",
        )  # fmt: skip
    except KubeError as error:
        raise UnavailableError(f"the stop ConfigMap cannot be written: {error.reason}", reason="kube") from error
    return load(here, cause)
