"""What was seen of the scene before an attempt changed anything (`shared.kube.evidence` has taken it)."""

from typing import Any, Final

from shared.event.here import Here
from shared.people import find
from shared.people.no import NotThereError

_DAYS: Final = 14  # it is kept


def evidence(here: Here, attempt: str) -> dict[str, Any]:
    """Show the evidence of an attempt. Raises NotThereError, which says why there is none."""
    try:
        place = find.evidence(here, attempt)
    except NotThereError as error:
        raise NotThereError(_why(here, attempt)) from error
    text = here.state.store.read("GET", place.key("evidence"))
    fields = here.state.attempt(place.tenant, place.cluster, attempt)
    told = {name: fields.get(name, "") for name in ("action", "incident", "scope")}
    return {"tenant": place.tenant, "cluster": place.cluster, "attempt": attempt, **told, "text": text or ""}


def _why(here: Here, attempt: str) -> str:
    try:
        place = find.attempt(here, attempt)
    except NotThereError:
        return f"no evidence of {attempt}: nobody knows such an attempt, or it is older than {_DAYS} days"
    if here.state.attempt(place.tenant, place.cluster, attempt).get("state") in ("granted", "withdrawn"):
        return f"no evidence of {attempt}: it has not begun, and evidence is taken directly before"
    return f"no evidence of {attempt}: none was taken before it began, or it is older than {_DAYS} days"
