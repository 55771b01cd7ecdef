"""Publishes what is due, so that a lost event only delays.

An entry stays until the next transition moves it; one that cannot be published costs its neighbours nothing.
"""

from shared.channels import deliver
from shared.errors import AkesoError
from shared.event import publish
from shared.event.codec import Event
from shared.event.fanout import post_all
from shared.event.here import Here
from shared.state.transitions import Cause, Entry
from shared.telemetry import log

BATCH = 100
MOST = 20  # batches in one tick; the rest waits for the next
WAIT_S = 15.0  # a chain behind an in-memory broker answers late; what is not taken is published again
LISTENED = 3  # after so many publications in vain nobody hears them: this process tells people itself

_log = log.get("akeso.sweep")


def publish_due(here: Here, cause: Cause) -> int:
    """Claim and post all that is due, batch by batch; how many the broker took in time.

    Raises UnavailableError and EpochError when nothing can be claimed.
    """
    published, more, batches = 0, True, 0
    while more and batches < MOST:
        entries, more = here.state.claim(cause, limit=BATCH)
        batches += 1
        events = _events(entries, cause, here)
        by_id = {event.id: entry for entry, event in events}

        def delivered(ids: list[str], by_id: dict[str, Entry] = by_id) -> None:
            for entry in (by_id[name] for name in ids if by_id[name]["kind"] == "redrive"):
                done = {"kind": "redrive", "ref": entry["ref"]}
                here.state.put(_cause_of(entry, cause), delivered=done)

        published += len(post_all(here.sink, [event for _, event in events], WAIT_S, delivered))
    return published


def _events(entries: list[Entry], cause: Cause, here: Here) -> list[tuple[Entry, Event]]:
    made: list[tuple[Entry, Event]] = []
    reachable = True
    for entry in entries:
        whose = _cause_of(entry, cause)
        try:
            if entry["kind"] == "tell" and entry["pubs"] > LISTENED and reachable:
                reachable = deliver.pass_on(here, whose, entry["incident"], entry["reason"])
                if reachable:
                    continue
            made.append((entry, _event(entry, whose, here)))
        except AkesoError as error:
            _log.warning("not published", kind=entry["kind"], ref=entry["ref"], error=str(error)[:200])
    return made


def _cause_of(entry: Entry, cause: Cause) -> Cause:
    name = f"{entry['kind']}:{entry['ref']}:{entry['token']}"
    return cause._replace(id=name, tenant=entry["tenant"], cluster=entry["cluster"])


def _event(entry: Entry, cause: Cause, here: Here) -> Event:
    """The event of one entry, after the transition that some kinds need first."""
    if entry["kind"] == "start":
        here.state.finish(cause, entry["attempt"], "unused", text="nobody began it in time")
    if entry["kind"] == "hold":
        here.state.settle(cause, "expired", incident=entry["incident"], hold=entry["hold"])
    if entry["kind"] == "revert":
        return publish.undo_event(entry, here.state.attempt(cause.tenant, cause.cluster, entry["ref"]))
    return publish.event_of(entry)
