"""The stop as it is kept: in Kubernetes, where people set it, and in Redis, which remembers it.

A ConfigMap that somebody has deleted or put back empty lifts nothing, neither the mode nor a scoped key: what Redis
remembers stays in force and is written there again. It must never change a key that nobody asked to change.
"""

import secrets
from typing import Final, NamedTuple

from shared import clock
from shared.errors import UnavailableError
from shared.event.here import Here
from shared.kube import facts as cluster
from shared.kube.errors import KubeError
from shared.kube.write import put_configmap
from shared.model.stop import halt, not_known, plain, scoped, unknown
from shared.state.client import PREFIX

STOP: Final = cluster.STOP_CONFIGMAP
_VALUE: Final = 420  # characters of a scoped key's value that are remembered: mode, reason and name fit in


class Found(NamedTuple):
    """What is in force, for `state.load`, and what the ConfigMap lacks of it."""

    stop: dict[str, object]
    lacks: dict[str, str]
    bare: bool  # nothing was hydrated since the ConfigMap is there
    first: bool  # nor ever before


def find(here: Here, lifted: str = "") -> Found:
    """Read it. `lifted`: the scoped key that a person takes away just now, which is not to be remembered any more.

    Raises KubeError and UnavailableError: then what is in force stays in force.
    """
    data = cluster.read_configmap(here.kube, here.settings.kube.namespace, STOP)
    kept, there = data or {}, scoped(data or {})
    bare, unsaid = not kept.get("hydrated-at"), not kept.get("mode")
    known = here.state.store.hash(f"{PREFIX}:stop") if bare else {}
    wrong = unknown(kept)
    mode: str = halt(None if data is None else {key: value for key, value in kept.items() if key not in wrong}).mode
    remembered = {key: value for key, value in scoped(known).items() if key not in there and key != lifted}
    lacks = dict(remembered)
    if unsaid:  # the mode only where there is none: what an operator has set meanwhile is not to be taken back
        if known.get("mode", "run") != "run":
            kept, mode = dict(known), "freeze" if known["mode"] == "freeze" else "stop"
        lacks |= {key: kept[key] for key in ("reason", "by", "since") if key in kept} | {"mode": mode}
    scopes = {key: plain(value)[:_VALUE] for key, value in (remembered | there).items()}
    stop: dict[str, object] = {
        "mode": "freeze" if wrong else mode,
        "reason": "; ".join(part for part in (not_known(wrong) if wrong else "", kept.get("reason", "")) if part),
        "by": kept.get("by", ""),
        "since": kept.get("since", ""),
        "scopes": scopes,
    }
    return Found(stop, lacks, bare, first=bare and not known)


def mend(here: Here, found: Found) -> None:
    """Note in the ConfigMap that it was hydrated, and what it lacks. Raises KubeError."""
    noted = {"hydrated-at": clock.iso(clock.now_ms()), **found.lacks}
    put_configmap(here.kube, here.settings.kube.namespace, STOP, noted, field_manager=f"akeso-{here.function}")


def put(here: Here, mode: str, *, scope: str, reason: str, by: str) -> None:
    """Set the mode or one scoped key, or take that key away; all in one patch, which touches no other key.

    `since` is another one each time, so that even what is set and lifted unseen ends the grants from before.
    Raises UnavailableError when the ConfigMap cannot be written; nothing has changed then.
    """
    since = f"{clock.iso(clock.now_ms())}.{secrets.token_hex(4)}"
    said: dict[str, str | None]
    if scope:
        said = {scope: None if mode == "run" else f"{mode}: {reason[:300]}, by {by[:100]}", "since": since}
    else:
        said = {"mode": mode, "reason": reason[:300], "by": by[:100], "since": since}
    try:
        put_configmap(here.kube, here.settings.kube.namespace, STOP, said, field_manager=f"akeso-{here.function}")
    except KubeError as error:
        raise UnavailableError(f"the stop ConfigMap cannot be written: {error.reason}", reason="kube") from error
