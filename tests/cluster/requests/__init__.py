"""The requests that the emulated and the real API server must answer alike, as stories of a few requests each.

A story is told to one side at a time, in an empty namespace of its own; what comes back is normalised and compared in
`test_conformance`. It must not assert anything: a story that judged the answers would be held to our own beliefs again.
"""

from tests.cluster.requests import (
    applying,
    creating,
    deleting,
    evicting,
    logs,
    patching,
    reading,
    resizing,
    reviewing,
    subresources,
    watching,
)
from tests.cluster.requests.told import STORIES

__all__ = [
    "STORIES", "applying", "creating", "deleting", "evicting", "logs", "patching", "reading", "resizing",
    "reviewing", "subresources", "watching",
]  # fmt: skip
