"""Each minute: what is due is published, so that a lost event only delays.

It also brings stop and policy from Kubernetes, opens the guard again after Redis was lost, compares with AlertManager,
counts what there is that can fail and seals the audit. It decides nothing: a due entry moves by the next transition
alone.
"""

from collections.abc import Callable
from functools import partial

from shared import clock
from shared.alert.reconcile import reconcile
from shared.audit.sealing import seal_new
from shared.errors import AkesoError, EpochError, UnavailableError
from shared.event.app import Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.guard.load import lacking, load
from shared.kube.errors import KubeError
from shared.model.base import Model
from shared.state.transitions import Cause
from shared.sweep.due import publish_due
from shared.sweep.outage import BLIND, FORGETFUL, Outage
from shared.sweep.targets import count
from shared.sweep.temporary import remember
from shared.telemetry import log

RECONCILE_MS = 300_000

_log = log.get("akeso.sweeper")
_blind, _forgetful = Outage(BLIND), Outage(FORGETFUL)
# Of this one warm process; another one does it once more, which costs nothing.
_done_at: dict[str, int] = {}


def sweep(event: Event, data: Model, here: Here) -> Outcome:
    speaks_for = here.settings.alertmanager
    cause = Cause("sweeper", event.source, event.id, speaks_for.tenant, speaks_for.cluster)
    try:
        loaded = _load(here, cause)
        published = publish_due(here, cause)
    except UnavailableError as error:
        if error.reason == "redis" or isinstance(error, EpochError):
            _blind.began(here, cause, f"Akeso is blind: {error}")
        raise
    _blind.ended(here, "Akeso sees again: Redis answers")
    _say_what_redis_lacks(here, cause)
    if published:
        _log.info("published", entries=published)
    _beside(here, cause, hydrated=loaded == "hydrated")
    return None


def _say_what_redis_lacks(here: Here, cause: Cause) -> None:
    """`load` has stopped everything new for it. What is due goes on: people are to be told of the rest."""
    with here.redis_may_be_gone():  # or the ticket system: then at the next tick
        if lacks := lacking(here):
            _forgetful.began(here, cause, f"Akeso does nothing new: Redis may forget, it lacks {lacks}")
        else:
            _forgetful.ended(here, "Akeso acts again: Redis forgets nothing")


def _load(here: Here, cause: Cause) -> str:
    """Stop and policy. While Kubernetes does not answer what is in force stays in force, and people are told on."""
    try:
        return load(here, cause)
    except KubeError as error:
        _log.warning("not loaded", error=str(error)[:200])
        return "kept"


def _beside(here: Here, cause: Cause, *, hydrated: bool) -> None:
    """What must not keep due entries waiting: each part fails for itself."""
    parts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("not reconciled", partial(_now_and_then, "reconcile", partial(_reconcile, here, cause), hydrated=hydrated)),
        ("targets not counted", partial(count, here, cause)),
        (
            "temporary changes not looked for",
            partial(_now_and_then, "temporary", partial(remember, here, cause), hydrated=hydrated),
        ),
        ("not sealed", partial(seal_new, here, cause)),
    )
    for otherwise, part in parts:
        try:
            part()
        except AkesoError as error:
            _log.warning(otherwise, error=str(error)[:200])


def _now_and_then(name: str, part: Callable[[], object], *, hydrated: bool) -> None:
    """Every five minutes, and at once when Redis was filled again."""
    now = clock.now_ms()
    if hydrated or now - _done_at.get(name, 0) >= RECONCILE_MS:
        part()
        _done_at[name] = now


def _reconcile(here: Here, cause: Cause) -> None:
    if here.settings.alertmanager.url:
        reconcile(here, cause)


sweeper = serve("sweeper", sweep, accepts="pings")
