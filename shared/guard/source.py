"""Where the policy in force comes from: the object RemediationPolicy `akeso`, else the ConfigMap `akeso-policy`.

The ConfigMap is for clusters without our CRD. Once one of them was in force, its absence is no policy: whoever deletes
it, or empties it, must not thereby lift every limit that it had. Nothing is judged here, and nothing is written.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from shared.action.catalogue import Catalogue
from shared.errors import MalformedError
from shared.event.here import Here
from shared.guard import policy_read
from shared.guard.policy import Policy
from shared.guard.policy_read import KIND, NAME
from shared.kube.errors import Refused
from shared.kube.facts import read_configmap
from shared.state.client import PREFIX

CONFIGMAP: Final = "akeso-policy"
KEY: Final = "policy.yaml"
_EMPTY: Final = policy_read.revision("")  # of the defaults, where nobody has written any


class Found(NamedTuple):
    """Of what cannot be read there is no policy but a reason, and a revision by which it is known again."""

    origin: Literal["object", "configmap"]
    revision: str
    policy: Policy | None
    wrong: str = ""


def find(here: Here) -> Found:
    """Raise KubeError when Kubernetes does not answer, UnavailableError when Redis does not."""
    home = here.settings.kube.namespace
    actions = Catalogue.home(here.settings.actions_dir).names()  # one that does not exist is limited by nobody
    try:
        kept = here.kube.get(KIND, home, NAME)
    except Refused as error:  # the stop must be loaded all the same
        return Found("object", "unread", None, f"{KIND} {NAME} cannot be read: {error.reason}")
    if kept is not None:
        spec = kept.get("spec") or {}
        return _read("object", policy_read.spec_revision(spec), lambda: policy_read.of_spec(spec, actions))
    known = here.state.store.hash(f"{PREFIX}:policy")
    if known.get("origin") == "object":
        return Found("object", "gone", None, f"{KIND} {NAME} is gone; apply one with `spec: {{}}` for the defaults")
    data = read_configmap(here.kube, home, CONFIGMAP) or {}
    text = data.get(KEY, "")
    if _says_nothing(text) and (known.get("revision", _EMPTY) != _EMPTY or set(data) - {KEY} or text.strip()):
        return Found("configmap", "gone", None, f"{CONFIGMAP} has no {KEY}; write `{{}}` there for the defaults")
    return _read("configmap", policy_read.revision(text), lambda: policy_read.read(text, actions, home))


def _says_nothing(text: str) -> bool:
    """Whether it is empty, or all of it commented out: nobody has asked for the defaults by that."""
    try:
        return policy_read.parse(text) is None
    except MalformedError:
        return False


def _read(origin: Literal["object", "configmap"], revision: str, read: Callable[[], Policy]) -> Found:
    try:
        return Found(origin, revision, read())
    except MalformedError as error:
        return Found(origin, revision, None, str(error))
