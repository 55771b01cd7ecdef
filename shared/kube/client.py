"""The one importer of the `kubernetes` package: plain dicts in and out, errors translated once.

It uses that package for what is hard to get right (credentials, token rotation, TLS) and not for what is expensive:
the typed API classes cost 0.8 s at import, discovery a request per group at every cold start. It must not decide
anything, and it must never repeat a write: a write without an answer is settled by looking, not by trying again.
"""

import ipaddress
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError

from shared.kube.errors import Conflict, KubeDown, KubeError, NotFound, Refused, Throttled
from shared.kube.kinds import address, addressable, collection
from shared.settings import Settings

Object = dict[str, Any]
Objects = list[Object]
Patch = Objects | Object
Query = list[tuple[str, str]]
Verb = Literal["get", "list", "patch", "create", "delete", "evict"]
_Answer = TypeVar("_Answer")

_MESSAGE = 256  # characters of the API's own words that may reach a log
_READ_TRIES = 2
_READ_PAUSE_S = 0.1
_READ_PATIENCE_S = 2  # a server that wants a longer pause gets it from the broker, which comes again much later
_CHUNK = 65_536
_PASSING: Final = frozenset({429, 500, 502, 503, 504})  # statuses that a second read may not see
_METHOD: Final = {
    "get": "GET", "list": "GET", "patch": "PATCH", "create": "POST", "delete": "DELETE", "evict": "POST",
}  # fmt: skip
_REVIEWS: Final = {"TokenReview": "authentication.k8s.io", "SubjectAccessReview": "authorization.k8s.io"}
_UID: Final = re.compile(r"[0-9A-Za-z][-0-9A-Za-z.]{0,127}")  # whatever else it were would select other events
_NO_LOG: Final = re.compile(r"previous terminated container .* not found|container .* is waiting to start")
_FORM: Final = {"json": "application/json-patch+json", "merge": "application/merge-patch+json"}


class Kube:
    """One connection pool to one API server. Safe for use by several threads. Made by `connect`."""

    def __init__(self, load: Callable[[], ApiClient], *, timeout_s: float, image: str = "") -> None:
        self._load, self.image = load, image  # the image of this installation, where it is known
        self._loading = threading.Lock()
        self._api: ApiClient | None = load()
        self._timeout_s = timeout_s

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Read the object, or None when there is none, which includes names that cannot exist. `kind` as in `KINDS`."""
        if not addressable(kind, namespace, name):
            return None
        try:
            return self._read("get", address(kind, namespace, name), [])
        except NotFound:
            return None

    def list(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 500) -> Objects:
        """At most `limit` objects that match both selectors; all namespaces only where `namespace` is empty."""
        query = [("limit", str(limit))]
        if labels:
            query.append(("labelSelector", labels))
        if fields:
            query.append(("fieldSelector", fields))
        return _items(self._read("list", _checked(collection, kind, namespace), query))[:limit]

    def count(self, kind: str, namespace: str = "") -> int:
        """How many there are, by one request for one of them; the server's word is an estimate."""
        found = self._read("list", _checked(collection, kind, namespace), [("limit", "1")])
        items, meta = found.get("items"), found.get("metadata")
        left = meta.get("remainingItemCount") if isinstance(meta, dict) else None
        return (len(items) if isinstance(items, list) else 0) + (left if isinstance(left, int) else 0)

    def events(self, namespace: str, *, uid: str, limit: int) -> Objects:
        """At most `limit` events about exactly that object, in the API's own order.

        Those about what has no namespace are kept in `default`.
        """
        if _UID.fullmatch(uid) is None:
            raise Refused("no such place in the API: events about nobody")
        query = [("fieldSelector", f"involvedObject.uid={uid}"), ("limit", str(limit))]
        return _items(self._read("list", _checked(collection, "Event", namespace or "default"), query))[:limit]

    def log(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail_lines: int, limit_bytes: int
    ) -> str:
        """What a container wrote: the first `limit_bytes` of its last `tail_lines`.

        Nothing when it has not started, or `previous` and it has not run before. NotFound: there is no such pod, or no
        node that it ran on. Text of somebody else: whoever stores or shows it has to take its secrets out.
        """
        path = _checked(address, "Pod", namespace, pod) + "/log"
        query = [("container", container), ("tailLines", str(tail_lines)), ("limitBytes", str(limit_bytes))]
        query += [("previous", "true")] if previous else []
        try:
            data = self._twice(lambda: self._exchange("get", path, query, most=limit_bytes))
        except Refused as error:
            if error.status == 400 and _NO_LOG.search(str(error)):  # noqa: PLR2004
                return ""
            raise
        return data[:limit_bytes].decode(errors="replace")

    def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        body: Patch,
        *,
        form: Literal["json", "merge"],
        dry_run: bool = False,
        field_manager: str,
        sub: Literal["", "resize"] = "",
    ) -> Object:
        """Answer the object after the patch. Conflict: a JSON patch's `test` failed, or a resourceVersion is stale.

        `sub="resize"`: of a running pod's containers the resources, and the server drops whatever else was patched.
        """
        path = _checked(address, kind, namespace, name) + (f"/{sub}" if sub else "")
        return self._send("patch", path, _options(field_manager, dry_run=dry_run), body, form=_FORM[form])

    def create(self, kind: str, namespace: str, body: Object, *, dry_run: bool = False, field_manager: str) -> Object:
        """Answer the object as created. Conflict when it exists."""
        path = _checked(collection, kind, namespace)
        return self._send("create", path, _options(field_manager, dry_run=dry_run), body)

    def delete(
        self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str = "", dry_run: bool = False
    ) -> None:
        """Delete exactly that object, with a version in exactly that one; its dependents go in the background.

        Conflict when another one has its name by now, NotFound when none has.
        """
        exactly = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": exactly}
        query = [("propagationPolicy", "Background"), *_options("", dry_run=dry_run)]
        self._send("delete", _checked(address, kind, namespace, name), query, body)

    def evict(
        self,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str,
        annotations: dict[str, str],
        dry_run: bool = False,
    ) -> None:
        """Evict exactly that pod in exactly that version. Throttled when a PodDisruptionBudget forbids it now.

        `annotations` are the request's own, for whoever judges it; they do not come to the pod.
        """
        path = _checked(address, "Pod", namespace, name) + "/eviction"
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "deleteOptions": {"preconditions": {"uid": uid, "resourceVersion": resource_version}},
        }
        self._send("evict", path, _options("", dry_run=dry_run), body)

    def review(self, kind: Literal["TokenReview", "SubjectAccessReview"], spec: Object) -> Object:
        """Ask the API server about somebody; the status of its answer. Stores nothing: tried twice, as a read."""
        group = _REVIEWS[kind]
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        status = self._read("create", f"/apis/{group}/v1/{kind.lower()}s", [], body).get("status")
        return status if isinstance(status, dict) else {}

    def close(self) -> None:
        if self._api is not None:
            self._api.rest_client.close()

    def _credentials(self) -> ApiClient:
        with self._loading:
            if self._api is None:
                self._api = self._load()
            return self._api

    def _forget(self, refused: ApiClient) -> None:
        """Read the credentials again before the next request, whoever sends it: their source may have newer ones."""
        with self._loading:
            if self._api is refused:
                self._api = None  # not closed: another thread may still be waiting for an answer on it

    def _read(self, verb: Verb, path: str, query: Query, body: Object | None = None) -> Object:
        return self._twice(lambda: self._send(verb, path, query, body))

    @staticmethod
    def _twice(ask: Callable[[], _Answer]) -> _Answer:
        for left in reversed(range(_READ_TRIES)):
            try:
                return ask()
            except (KubeDown, Throttled) as error:
                pause = _pause(error)
                if not left or pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _send(
        self,
        verb: Verb,
        path: str,
        query: Query,
        body: Patch | None = None,
        form: str = "application/json",
    ) -> Object:
        answer = _parsed(self._exchange(verb, path, query, body, form))
        if answer is None:
            raise _translated(verb, path, 200, {}, form=form, writes=body is not None, after="")
        return answer

    def _exchange(
        self,
        verb: Verb,
        path: str,
        query: Query,
        body: Patch | None = None,
        form: str = "application/json",
        most: int = 0,
    ) -> bytes:
        """Send one request; the body of a success, of which `most` bytes are read or a little more, where it is set."""
        writes = body is not None
        api = self._credentials()
        headers = {"Accept": "application/json", "Content-Type": form}
        try:
            method, url, headers, sent, _ = api.param_serialize(
                _METHOD[verb], path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            _bearer(headers)
        except (ConfigException, OSError, ValueError) as error:
            raise KubeDown(f"{verb} {path}: {_cut(error)}", reason="kube-credentials") from None
        deadline = time.monotonic() + self._timeout_s
        try:
            response = api.call_api(method, url, headers, sent, _request_timeout=self._timeout_s).response
            status, after = response.status, response.headers.get("Retry-After", "")
            good = 200 <= status < 300  # noqa: PLR2004 - HTTP's own classes
            data = _body(response, deadline, most if good else 0)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise KubeDown(f"{verb} {path}: {_cut(error)}") from error
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise KubeDown(f"{verb} {path}: {_cut(error)}", unclear=writes) from error
        if status == 401:  # noqa: PLR2004
            self._forget(api)
        if good:
            return data
        raise _translated(verb, path, status, _parsed(data) or {}, form=form, writes=writes, after=after)


def connect(settings: Settings, user_agent: str) -> Kube:
    """Make a client with the credentials that the settings name, never with those of `~/.kube` or KUBECONFIG.

    Sends nothing. Raises KubeDown (reason `kube-credentials`) when there are no usable credentials. They are read again
    once a minute in a pod, when they have run out by what they say themselves, and whenever the server refuses them.
    """
    return Kube(
        lambda: _loaded(settings.kube.kubeconfig, user_agent),
        timeout_s=settings.kube.timeout_ms / 1000,
        image=settings.image,
    )


def _loaded(kubeconfig: str, user_agent: str) -> ApiClient:
    configuration = Configuration()
    try:
        if kubeconfig:
            load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, client_configuration=configuration, persist_config=False
            )
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, YAMLError) as error:
        source = kubeconfig or "the pod's service account"
        raise KubeDown(f"credentials from {source}: {_cut(error)}", reason="kube-credentials") from error
    # The package only logs that a plugin failed, and would go on as nobody.
    if not configuration.api_key.get("BearerToken") and not configuration.cert_file:
        raise KubeDown(f"credentials from {kubeconfig}: it has none that work", reason="kube-credentials")
    configuration.retries = False  # urllib3 would repeat reads by its own count and follow redirects with our token
    if _loopback(configuration.host):
        configuration.proxy = None  # as every Kubernetes client does: a proxy cannot reach this machine's loopback
    api = ApiClient(configuration)
    api.user_agent = user_agent
    return api


def _bearer(headers: dict[str, str]) -> None:
    """Make the token fit for a header, or raise ValueError: http.client's own error would quote all of it."""
    token = headers.get("authorization", "").strip()  # files end in a newline
    if not token.isascii() or not token.isprintable():
        raise ValueError("the token holds characters that no header can carry")
    if token:
        headers["authorization"] = token


def _body(response: urllib3.HTTPResponse, deadline: float, most: int = 0) -> bytes:
    """Read the answer within the time of the whole call: a socket's own limit starts anew with every byte."""
    parts, size = [], 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if 0 < most <= size:
            response.close()  # the rest of what a node sends beyond what it was asked for
            break
        if time.monotonic() > deadline:
            response.close()
            raise TimeoutError("the answer came too slowly")
    return b"".join(parts)


def _options(field_manager: str, *, dry_run: bool) -> Query:
    query = [("fieldManager", field_manager)] if field_manager else []
    return [*query, ("dryRun", "All")] if dry_run else query


def _checked(build: Any, *parts: str) -> str:
    try:
        path: str = build(*parts)
    except (KeyError, ValueError) as error:
        raise Refused(f"no such place in the API: {_cut(error)}") from error
    return path


def _pause(error: KubeError) -> float | None:
    """Seconds after which the same read may end otherwise; None: it will not, or not soon."""
    if error.status == 401:  # noqa: PLR2004
        return 0  # the credentials are read again first
    if error.status:
        wanted = error.retry_after_s if isinstance(error, Throttled) else 0
        return max(_READ_PAUSE_S, wanted) if error.status in _PASSING and wanted <= _READ_PATIENCE_S else None
    # A timeout has used up its time; a refused or broken connection may be a server that was just replaced.
    cause = error.__cause__
    broken = isinstance(cause, urllib3.exceptions.HTTPError) and not isinstance(cause, urllib3.exceptions.TimeoutError)
    return _READ_PAUSE_S if broken else None


def _translated(
    verb: Verb, path: str, status: int, answer: Object, *, form: str, writes: bool, after: str
) -> KubeError:
    text = _cut(answer.get("message", ""))
    message = f"{verb} {path}: {status} {text}"
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    error: KubeError
    if status == 404:  # noqa: PLR2004
        error = NotFound(message)
    elif status == 409 or (status == 422 and form == _FORM["json"] and _inapplicable(text, details)):  # noqa: PLR2004
        error = Conflict(message)
    elif status == 429:  # noqa: PLR2004
        seconds = details.get("retryAfterSeconds")  # not there when the server sheds load: then only the header tells
        seconds = seconds if isinstance(seconds, int) else int(after) if after.isdecimal() else 0
        error = Throttled(message, retry_after_s=seconds)
    elif status == 401 or 300 <= status < 400:  # noqa: PLR2004 - no redirect is ever followed
        error = KubeDown(message)
    elif 400 <= status < 500 or (verb == "evict" and "more than one PodDisruptionBudget" in text):  # noqa: PLR2004
        error = Refused(message)
    else:
        error = KubeDown(message, unclear=writes)  # also a success that is no JSON
    error.status = status
    return error


def _inapplicable(text: str, details: Object) -> bool:
    """Whether a 422 says that a JSON patch does not fit the object, and not that somebody judged the result.

    The API server drops the reason of a failed `test` and says a constant sentence without causes; validation and
    admission policies give causes, webhooks say that they denied.
    """
    return not details.get("causes") and "denied" not in text


def _items(answer: Object) -> Objects:
    items = answer.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _parsed(data: bytes) -> Object | None:
    try:
        answer = json.loads(data)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…"


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
