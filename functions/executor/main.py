"""Runs the one action that `AKESO_ACTION` names, for whoever holds the guard's grant for it.

One Knative Service per action, which differ only by that variable and their ServiceAccount. What happens between
`begin` and `finish` stands in `shared.action.lifecycle`.
"""

from shared.action.catalogue import Catalogue
from shared.action.lifecycle import Attempt, check
from shared.errors import UnavailableError
from shared.event.app import Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import ApprovedData
from shared.guard import grant as token
from shared.state.transitions import Cause


def execute(event: Event, data: ApprovedData, here: Here) -> Outcome:
    name = here.settings.action
    if not name:
        raise UnavailableError("AKESO_ACTION is not set", reason="no-action")
    grant = token.verify(data.grant, token.trusted(here.secrets))
    cause = Cause("executor", event.source, event.id, event.get("tenant"), event.get("cluster"))
    check(data, grant, cause, name)
    action = Catalogue.home(here.settings.actions_dir).load(name)
    return Attempt(here, cause, action, grant, data).go()


executor = serve("executor", execute)
