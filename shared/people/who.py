"""Who asks, and whether he may: both are Kubernetes' answers, a TokenReview and a SubjectAccessReview, asked each time.

A typed name proves nothing: whoever holds the installation's shared token may look and may stop, and that is all. For
everything else the API server must know the person, and roles say who may: verbs on the resource `remediations` of the
group `akeso.dev`, which no object has, in the namespace of what is healed, with the action as the name.
Nothing of this is kept beyond one request, so that a right that was taken away is gone at once.
"""

import hmac
from dataclasses import dataclass, field
from typing import Any, Final

from shared.errors import ForbiddenError, MalformedError, UnavailableError
from shared.event.here import Here
from shared.model.hold import GROUP, RESOURCE
from shared.people.asks import LABEL, Ask
from shared.people.no import NotAllowedError

AUDIENCE: Final = "akeso"  # a token that was made out for somebody else must not work here, nor ours elsewhere
VERBS: Final = ("get", "run", "approve", "deny", "undo", "promote", "stop", "freeze", "resume")
SHARED: Final = frozenset({"get", "stop", "freeze"})  # what needs no person: looking, and keeping the machine still

_MAX_TOKEN: Final = 16_384  # characters
_MAX_NAME: Final = 200


@dataclass(frozen=True)
class Caller:
    """`user` is what TokenReview says of the person, empty for whoever holds the shared token."""

    user: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.user.get("username", ""))


def caller(here: Here, authorization: str) -> Caller:
    """Find who asks. Raises ForbiddenError for a token that nobody knows, KubeError when nobody can say."""
    shared = here.secrets.optional("api-token")
    if not shared and not here.settings.dev:
        raise UnavailableError("no api token is mounted", reason="secret-missing")
    if not shared and not authorization:
        return Caller()  # on one machine
    if shared and hmac.compare_digest(authorization.encode("utf-8", "replace"), b"Bearer " + shared):
        return Caller()
    return _person(here, authorization)


def _person(here: Here, authorization: str) -> Caller:
    token = authorization.removeprefix("Bearer ")
    plausible = token != authorization and token.isascii() and token.isprintable() and " " not in token
    if not plausible or not 0 < len(token) <= _MAX_TOKEN:
        raise ForbiddenError("no bearer token", reason="token")
    said = here.kube.review("TokenReview", {"token": token, "audiences": [AUDIENCE]})
    # A server that does not know audiences leaves them out, and has judged the token as one for itself.
    if said.get("authenticated") is not True or AUDIENCE not in (said.get("audiences") or ()):
        raise ForbiddenError("a token that Kubernetes does not know for this audience", reason="token")
    user: dict[str, Any] = said.get("user") or {}
    name = user.get("username")
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _MAX_NAME:
        raise ForbiddenError("a token without a name that can be written down", reason="token")
    return Caller(user)


def allow(here: Here, asks: Caller, verb: str, *, namespace: str = "", action: str = "") -> None:
    """Let it pass, or raise NotAllowedError with whom to ask; KubeError when nobody can say."""
    if not asks.name:
        if verb in SHARED:
            return
        raise NotAllowedError(
            f"to {verb} needs a person, and the shared token is nobody's: name the file with your own by "
            f"AKESO_TOKEN_FILE (kubectl create token NAME --audience {AUDIENCE})",
            reason="nobody",
        )
    if not may(here, asks, verb, namespace=namespace, action=action):
        what = f" for {action}" if action else ""
        where = f"in namespace {namespace}" if namespace else "in the whole cluster"
        raise NotAllowedError(f"{asks.name} may not {verb}{what}: no role gives `{verb}` on {RESOURCE}.{GROUP} {where}")


def may(here: Here, asks: Caller, verb: str, *, namespace: str = "", action: str = "") -> bool:
    """Whether a role of that person gives the verb; nobody's token gives none. Raises KubeError when nobody can say."""
    if not asks.name:
        return False
    attributes = {"group": GROUP, "resource": RESOURCE, "verb": verb, "namespace": namespace, "name": action}
    spec = {
        "user": asks.name,
        "groups": asks.user.get("groups") or [],
        "extra": asks.user.get("extra") or {},
        "uid": asks.user.get("uid") or "",
        "resourceAttributes": {key: value for key, value in attributes.items() if value},
    }
    return here.kube.review("SubjectAccessReview", spec).get("allowed") is True


def signed(asks: Caller, ask: Ask) -> str:
    """Say who asks, as it is kept: a name that Kubernetes has proven, else the typed one, labelled as such."""
    if asks.name:
        return asks.name
    if not ask.by:
        raise MalformedError("by: the shared token is nobody's, say who you are", reason="ask")
    return f"{ask.by} ({LABEL})"
