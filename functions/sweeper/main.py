"""Each minute: what is due is published, so that a lost event only delays.

It also brings stop and policy from Kubernetes, opens the guard again after Redis was lost, compares with AlertManager
and seals the audit. It decides nothing: a due entry moves by the next transition alone.
"""

from shared import clock
from shared.alert.reconcile import reconcile
from shared.audit.sealing import seal_new
from shared.channels import deliver
from shared.errors import AkesoError, EpochError, UnavailableError
from shared.event import publish
from shared.event.app import Outcome, serve
from shared.event.codec import Event
from shared.event.fanout import post_all
from shared.event.here import Here
from shared.guard.load import load
from shared.model.base import Model
from shared.state.transitions import Cause, Entry
from shared.telemetry import log

BATCH = 100
MOST = 20  # batches in one tick; the rest waits for the next
WAIT_S = 15.0  # a chain behind an in-memory broker answers late; what is not taken is published again
RECONCILE_MS = 300_000
LISTENED = 3  # after so many publications in vain nobody hears them: this process tells people itself
BLIND = "akeso-blind"

_log = log.get("akeso.sweeper")


class _Memory:
    """What this one warm process remembers: of an outage of Redis nothing else can."""

    blind = False
    reconciled_at = 0


_memory = _Memory()


def sweep(event: Event, data: Model, here: Here) -> Outcome:
    speaks_for = here.settings.alertmanager
    cause = Cause("sweeper", event.source, event.id, speaks_for.tenant, speaks_for.cluster)
    try:
        loaded = load(here, cause)
        published = _publish_due(here, cause)
    except UnavailableError as error:
        if error.reason == "redis" or isinstance(error, EpochError):
            _say_blind(here, cause, str(error))
        raise
    _say_seeing(here)
    _beside(here, cause, hydrated=loaded == "hydrated")
    if published:
        _log.info("published", entries=published)
    return None


def _publish_due(here: Here, cause: Cause) -> int:
    published, more, batches = 0, True, 0
    while more and batches < MOST:
        entries, more = here.state.claim(cause, limit=BATCH)
        batches += 1
        events: dict[str, Entry] = {}
        posts: list[Event] = []
        reachable = True
        for entry in entries:
            try:
                if entry["kind"] == "tell" and entry["pubs"] > LISTENED and reachable:
                    reachable = deliver.pass_on(here, _cause_of(entry, cause), entry["incident"], entry["reason"])
                    if reachable:
                        continue
                event = _event(entry, _cause_of(entry, cause), here)
            except AkesoError as error:  # it stays due; its neighbours go on
                _log.warning("not published", kind=entry["kind"], ref=entry["ref"], error=str(error)[:200])
                continue
            events[event.id] = entry
            posts.append(event)

        def delivered(ids: list[str], events: dict[str, Entry] = events) -> None:
            for entry in (events[name] for name in ids if events[name]["kind"] == "redrive"):
                done = {"kind": "redrive", "ref": entry["ref"]}
                here.state.put(_cause_of(entry, cause), delivered=done)

        published += len(post_all(here.sink, posts, WAIT_S, delivered))
    return published


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
        attempt = here.state.attempt(cause.tenant, cause.cluster, entry["ref"])
        return publish.undo_event(entry, attempt, "sweeper")
    return publish.event_of(entry, "sweeper")


def _beside(here: Here, cause: Cause, *, hydrated: bool) -> None:
    """What must not keep due entries waiting: each part fails for itself."""
    now = clock.now_ms()
    if here.settings.alertmanager.url and (hydrated or now - _memory.reconciled_at >= RECONCILE_MS):
        try:
            reconcile(here, cause)
            _memory.reconciled_at = now
        except AkesoError as error:
            _log.warning("not reconciled", error=str(error)[:200])
    try:
        seal_new(here, cause)
    except AkesoError as error:
        _log.warning("not sealed", error=str(error)[:200])


def _say_blind(here: Here, cause: Cause, why: str) -> None:
    if not _memory.blind:
        deliver.blindly(here, cause, BLIND, f"Akeso is blind: {why}"[:300])
        _memory.blind = True


def _say_seeing(here: Here) -> None:
    if _memory.blind:
        channel = deliver.channel(here)
        with here.redis_may_be_gone():
            channel.close(channel.open(deliver.seeing(BLIND)), "Akeso sees again")
            _memory.blind = False


sweeper = serve("sweeper", sweep, accepts="pings")
