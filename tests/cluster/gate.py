"""The door between the product and a real API server: it counts what passes, and slams where a story wants that."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

from shared.dev.cluster import Request
from shared.kube.kinds import KINDS
from tests.cluster.api import Api
from tests.cluster.forward import Asked, Forwarder, Said

_PATH = re.compile(r"/(?:api|apis)/(?:v1|[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/.))?/(?P<plural>[^/]+)"
                   r"(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?")  # fmt: skip
_KINDS = {kind.plural: name for name, kind in KINDS.items()}


class Fault(NamedTuple):
    """What one request is answered; `kind`, `verb` and `namespace` empty, `dry_run` None: whichever comes next.

    `applied`: the server does it anyhow. Status 0: there is no answer. Without a `body` it is a plain Status.
    """

    kind: str = ""
    verb: str = ""
    dry_run: bool | None = None
    status: int = 500
    headers: dict[str, str] = {}  # noqa: RUF012 - a tuple's default is shared, but nobody changes it
    body: Any = None
    applied: bool = False
    namespace: str = ""

    def meets(self, kind: str, request: Request) -> bool:
        return (
            self.kind in {"", kind}
            and self.verb in {"", request.verb}
            and self.dry_run in {None, request.dry_run}
            and _there(self.namespace, request)
        )

    def said(self) -> Said:
        plain = {"kind": "Status", "code": self.status, "message": "a fault was asked for"}
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body or plain).encode()
        return Said(self.status, {"Content-Type": "application/json", **self.headers}, body)


class Hook(NamedTuple):
    """What somebody else does around one request that is no dry run; `after`: and its answer is lost.

    With `namespace` around one there alone: what an earlier story has left to be looked at is looked at as well.
    """

    kind: str
    verb: str
    what: Callable[[], object]
    after: bool
    namespace: str = ""

    def meets(self, kind: str, request: Request) -> bool:
        there = _there(self.namespace, request)
        return (self.kind, self.verb) == (kind, request.verb) and there and not request.dry_run


def _there(namespace: str, request: Request) -> bool:
    return not namespace or f"/namespaces/{namespace}/" in request.path


_Wish = TypeVar("_Wish", Fault, Hook)


class Gate(Forwarder):
    """A context manager. Its words are the emulated cluster's, so that a story is told the same on both.

    `requests` are in the order in which they were answered, with what the API server said or the fault.
    """

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self.requests: list[Request] = []
        self.paths: list[str] = []  # of the same, with their queries
        self._faults: list[Fault] = []
        self._hooks: list[Hook] = []
        self._lock = threading.Lock()

    def fault(self, *, times: int = 1, **what: Any) -> None:
        """Answer the next matching requests so, see Fault."""
        with self._lock:
            self._faults += [Fault(**what)] * times

    @property
    def unmet_faults(self) -> int:
        """Number of faults that no request has met yet."""
        return len(self._faults)

    def before(self, kind: str, verb: str, what: Callable[[], object], *, namespace: str = "", times: int = 1) -> None:
        """Do `what` when the next such requests have come, and only then hand them on."""
        with self._lock:
            self._hooks += [Hook(kind, verb, what, after=False, namespace=namespace)] * times

    def after(self, kind: str, verb: str, what: Callable[[], object]) -> None:
        """Hand the next such request on, do `what`, and lose the answer."""
        with self._lock:
            self._hooks.append(Hook(kind, verb, what, after=True))

    def _answer(self, asked: Asked, hand_on: Callable[[], Said]) -> Said:
        kind, request = _meant(asked)
        with self._lock:
            fault = _taken(self._faults, kind, request)
            hook = _taken(self._hooks, kind, request)
        if hook is not None and not hook.after:
            hook.what()
        if fault is None:
            said = hand_on()
        else:
            if fault.applied:
                hand_on()
            said = fault.said()
        self.requests.append(request._replace(status=said.status))
        self.paths.append(asked.path)
        if hook is not None and hook.after:
            hook.what()
            return said._replace(status=0)
        return said


def _taken(wishes: list[_Wish], kind: str, request: Request) -> _Wish | None:
    """The first one that is meant for this request, used up."""
    found = next((wish for wish in wishes if wish.meets(kind, request)), None)
    if found is not None:
        wishes.remove(found)
    return found


def _meant(asked: Asked) -> tuple[str, Request]:
    """Kind and request, not answered yet, as the emulated cluster names them."""
    parts = urlsplit(asked.path)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    kind, verb = _kind_and_verb(asked.method, parts.path)
    dry_run = query.get("dryRun") == "All"
    return kind, Request(verb, parts.path, 0, dry_run, asked.agent, query.get("fieldManager", ""))


def _kind_and_verb(method: str, path: str) -> tuple[str, str]:
    match = _PATH.fullmatch(path)
    if match is None:
        return "", method.lower()
    kind, name, sub = _KINDS.get(match["plural"], ""), match["name"], match["sub"]
    if sub == "eviction":
        return kind, "evict"
    named = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}
    all_of = {"GET": "list", "POST": "create"}
    return kind, (named if name else all_of).get(method, method.lower())
