"""Publishes a due entry at once, so that a person need not wait for the sweeper's minute.

That is only a favour: the entry stands already, and what the broker does not take now is published when it is due.
"""

from collections.abc import Callable

from shared.errors import AkesoError
from shared.event.codec import Event
from shared.event.fanout import post_all
from shared.event.here import Here
from shared.telemetry import log

WAIT_S = 3.0  # a broker that answers after the whole chain is not waited for; the post runs on

_log = log.get("akeso.people")


def at_once(here: Here, make: Callable[[], Event]) -> bool:
    """Whether the broker has taken the event by now."""
    try:
        return bool(post_all(here.sink, [make()], WAIT_S, lambda _: None))
    except AkesoError as error:
        _log.warning("not published at once", error=str(error)[:200])
        return False
