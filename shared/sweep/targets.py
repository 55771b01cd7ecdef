"""How many things there are that can fail, by which a share of failing ones is told from a few.

Four lists of one object each: the server says how many are left. Where they cannot be counted the last count stays.
"""

from typing import Final

from shared.event.here import Here
from shared.guard.load import tell
from shared.state.transitions import Cause

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "Node")


def count(here: Here, cause: Cause) -> int:
    """Count them and have it remembered. Raises KubeError and UnavailableError; nothing has changed then."""
    found = sum(here.kube.count(kind) for kind in KINDS)
    tell(here, cause, hydrate=False, targets={"count": found})
    return found
