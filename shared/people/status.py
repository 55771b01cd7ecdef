"""How it stands, in numbers that the transitions wrote: nothing here is counted, only read."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from shared import clock
from shared.event.here import Here
from shared.model.stop import scoped
from shared.people.find import OPEN
from shared.state.client import PREFIX
from shared.state.due import DUE

COUNTED: Final = (
    "alerts_received", "alerts_accounted", "attempts", "writes", "escalations_opened", "dead_letters", "stuck",
    "would_have_done",
)  # fmt: skip
_DUE = 10_000  # entries looked at; with more the numbers by kind are too small, and then something else is wrong


def counters(here: Here) -> dict[str, str]:
    return dict(here.state.store.hash(f"{PREFIX}:counters"))


def gauges(here: Here) -> dict[str, Any]:
    """Read what is open and due now. `mode` is `unknown` until stop was loaded once."""
    store = here.state.store
    members = store.read("ZRANGE", f"{PREFIX}:due", 0, _DUE - 1)
    kinds = Counter(member.partition("|")[0] for member in members)
    return {
        "mode": store.read("HGET", f"{PREFIX}:stop", "mode") or "unknown",
        "incidents_open": store.read("SCARD", OPEN),
        "due": {kind: kinds.get(kind, 0) for kind in DUE},
    }


def loss(here: Here) -> str:
    """Tell that state was lost, as long as people may wonder where something is; empty when nothing was."""
    epoch = here.state.store.hash(f"{PREFIX}:epoch")
    if not _ours(here, epoch):
        return "the state is lost, and with it what waited: nothing is done until the sweeper has hydrated it"
    before, until = (float(epoch.get(name) or 0) for name in ("people_before", "embargo_until"))
    if before and clock.now_ms() < until:
        return f"the state was lost until {clock.iso(int(before))}: what waited before waits no longer"
    return ""


def _ours(here: Here, epoch: Mapping[str, str]) -> bool:
    server = here.state.store.read("INFO", "replication")
    ours = server.get("role") == "master" and server.get("master_replid") == epoch.get("history")
    return bool(epoch.get("value")) and ours


def status(here: Here) -> dict[str, Any]:
    """Read all of it. Raises UnavailableError when Redis does not answer: no number is better than a wrong one."""
    store = here.state.store
    epoch = store.hash(f"{PREFIX}:epoch")
    stop = store.hash(f"{PREFIX}:stop")
    counted = counters(here)
    now = gauges(here)
    return {
        "mode": now["mode"],
        "reason": stop.get("reason", ""),
        "by": stop.get("by", ""),
        "scopes": scoped(stop),
        "epoch_ok": _ours(here, epoch),
        "policy": store.read("HGET", f"{PREFIX}:policy", "revision") or "",
        "incidents_open": now["incidents_open"],
        **{name: int(counted.get(name, 0)) for name in COUNTED},
        "due": now["due"],
    }
