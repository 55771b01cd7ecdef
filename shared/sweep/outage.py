"""Says once per outage that Akeso is blind or lame, and once that it is over.

Only the one warm process that sweeps can know: of an outage of Redis nothing in Redis tells.
"""

from shared.channels import deliver
from shared.event.here import Here
from shared.state.transitions import Cause

BLIND = "akeso-blind"  # one ticket: its receiver keeps it apart by this correlation id
FORGETFUL = "akeso-forgetful"


class Outage:
    """The present one, if any. Raises UnavailableError when the ticket system does not answer either."""

    def __init__(self, ticket: str) -> None:
        self._ticket = ticket
        self._said = False

    def began(self, here: Here, cause: Cause, what: str) -> None:
        """Tell people, unless they were told."""
        if self._said:
            return
        deliver.blindly(here, cause, self._ticket, what[:300])
        self._said = True

    def ended(self, here: Here, what: str) -> None:
        if not self._said:
            return
        channel = deliver.channel(here)
        with here.redis_may_be_gone():  # the ticket system may be: then at the next tick
            channel.close(channel.open(deliver.over(self._ticket, what)), what)
            self._said = False
