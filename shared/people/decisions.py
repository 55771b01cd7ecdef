"""What the guard has decided of late, as it noted it: the questions that another policy can be tried on."""

import json
from typing import Any

from shared.event.here import Here
from shared.people.find import asking
from shared.state.client import PREFIX


def recorded(here: Here) -> dict[str, Any]:
    """The newest first, as many as are kept. Raises UnavailableError when Redis does not answer."""
    home = asking(here)
    lines = here.state.store.read("LRANGE", f"{PREFIX}:{home.tenant}:{home.cluster}:decisions", 0, -1)
    return {"decisions": [json.loads(line) for line in lines]}
