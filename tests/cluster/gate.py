"""The door between the product and a real API server: it counts what passes, and slams where a story wants that.

It hands on bytes as they are, the caller's credentials included, and must never add any of its own.
"""

import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import urllib3

from shared.kube.kinds import KINDS
from tests.cluster.api import Api

_PATH = re.compile(r"/(?:api|apis)/(?:v1|[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/.))?/(?P<plural>[^/]+)"
                   r"(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?")  # fmt: skip
_KINDS = {kind.plural: name for name, kind in KINDS.items()}
_PASSED_ON = {"authorization", "accept", "content-type", "user-agent"}


class Request(NamedTuple):
    verb: str
    path: str
    status: int  # 0: left hanging
    dry_run: bool
    user_agent: str
    field_manager: str


class Fault(NamedTuple):
    """What happens to one request. `kind` and `verb` empty: any."""

    kind: str
    verb: str
    status: int | None = 500  # None: it is left hanging
    applied: bool = False


class Hook(NamedTuple):
    """What somebody else does around one request that is no dry run; `after`: and its answer is lost."""

    kind: str
    verb: str
    what: Callable[[], object]
    after: bool


class Gate:
    """Serves on loopback while it is entered; `url` is where the API is then."""

    def __init__(self, api: Api) -> None:
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._hooks: list[Hook] = []
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._upstream = urllib3.PoolManager(maxsize=32, retries=False, **({"ca_certs": api.ca} if api.ca else {}))
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                gate._pass(self, api.url)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def fault(
        self, *, kind: str = "", verb: str = "", status: int | None = 500, times: int = 1, applied: bool = False
    ) -> None:
        """Answer the next matching requests with `status`, None for never; `applied`: after they were handed on."""
        with self._lock:
            self._faults += [Fault(kind, verb, status, applied)] * times

    def before(self, kind: str, verb: str, what: Callable[[], object], *, times: int = 1) -> None:
        """Do `what` when the next such requests have come, and only then hand them on."""
        with self._lock:
            self._hooks += [Hook(kind, verb, what, after=False)] * times

    def after(self, kind: str, verb: str, what: Callable[[], object]) -> None:
        """Hand the next such request on, do `what`, and lose the answer."""
        with self._lock:
            self._hooks.append(Hook(kind, verb, what, after=True))

    @property
    def unmet_faults(self) -> int:
        return len(self._faults)

    def _pass(self, handler: BaseHTTPRequestHandler, upstream: str) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        kind, verb = _meant(handler.command, parts.path)
        dry_run = query.get("dryRun") == "All"
        fault, hook = self._taken(kind, verb, dry_run=dry_run)
        if hook is not None and not hook.after:
            hook.what()
        status, data, form = 0, b"", "application/json"
        if fault is None or fault.applied:
            headers = {k: v for k, v in handler.headers.items() if k.lower() in _PASSED_ON}
            with suppress(urllib3.exceptions.HTTPError):  # nobody there: nothing is answered
                answer = self._upstream.request(
                    handler.command, upstream + handler.path, body=body, headers=headers, timeout=60
                )
                status, data, form = answer.status, answer.data, answer.headers.get("content-type", form)
        if fault is not None:
            status = fault.status or 0
            data = json.dumps({"kind": "Status", "code": status, "message": "a fault was asked for"}).encode()
        agent, manager = handler.headers.get("user-agent", ""), query.get("fieldManager", "")
        self.requests.append(Request(verb, parts.path, status, dry_run, agent, manager))
        if hook is not None and hook.after:
            hook.what()
            status = 0
        if not status:
            if fault is not None:
                self._ended.wait(60)
            handler.close_connection = True
            return
        handler.send_response(status)
        handler.send_header("content-type", form)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _taken(self, kind: str, verb: str, *, dry_run: bool) -> tuple[Fault | None, Hook | None]:
        """The fault and the hook that are meant for this request, used up."""
        with self._lock:
            fault = next((f for f in self._faults if f.kind in {"", kind} and f.verb in {"", verb}), None)
            if fault is not None:
                self._faults.remove(fault)
            hook = next((h for h in self._hooks if (h.kind, h.verb) == (kind, verb) and not dry_run), None)
            if hook is not None:
                self._hooks.remove(hook)
            return fault, hook


def _meant(method: str, path: str) -> tuple[str, str]:
    """Kind and verb of a request, as the emulated cluster names them."""
    match = _PATH.fullmatch(path)
    if match is None:
        return "", method.lower()
    kind, name, sub = _KINDS.get(match["plural"], ""), match["name"], match["sub"]
    if sub == "eviction":
        return kind, "evict"
    named = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}
    return kind, named.get(method, method.lower()) if name else {"GET": "list", "POST": "create"}.get(method, method)
