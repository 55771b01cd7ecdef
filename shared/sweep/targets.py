"""How many things there are that can fail, by which a share of failing ones is told from a few.

Four lists of one object each: the server says how many are left. Where they cannot be counted the last count stays.
"""

import secrets
from typing import Final

from shared.event.here import Here
from shared.state.transitions import Cause

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "Node")


def count(here: Here, cause: Cause) -> int:
    """Count them and have it remembered. Raises KubeError and UnavailableError; nothing has changed then."""
    found = sum(here.kube.count(kind) for kind in KINDS)
    here.state.load(
        cause,
        mode="dev" if here.settings.dev else "prod",
        fresh=secrets.token_hex(16),
        hydrate=False,
        targets={"count": found},
    )
    return found
