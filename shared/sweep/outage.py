"""Says once per outage that Akeso is blind, and once that it sees again.

Only the one warm process that sweeps can know: of an outage of Redis nothing in Redis tells.
"""

from shared.channels import deliver
from shared.errors import EpochError, UnavailableError
from shared.event.here import Here
from shared.state.transitions import Cause

BLIND = "akeso-blind"  # one ticket: its receiver keeps it apart by this correlation id


class Outage:
    """The present one, if any. Raises UnavailableError when the ticket system does not answer either."""

    def __init__(self) -> None:
        self._said = False

    def began(self, here: Here, cause: Cause, error: UnavailableError) -> None:
        """Tell people, unless they were told, when it is Redis that is gone."""
        if self._said or not (error.reason == "redis" or isinstance(error, EpochError)):
            return
        deliver.blindly(here, cause, BLIND, f"Akeso is blind: {error}"[:300])
        self._said = True

    def ended(self, here: Here) -> None:
        if not self._said:
            return
        channel = deliver.channel(here)
        with here.redis_may_be_gone():  # the ticket system may be: then at the next tick
            channel.close(channel.open(deliver.seeing(BLIND)), "Akeso sees again")
            self._said = False
