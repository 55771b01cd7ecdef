"""The one importer of the `kubernetes` package: plain dicts in and out, errors translated once.

It uses that package for what is hard to get right (credentials, token rotation, TLS) and not for what is expensive:
the typed API classes cost 0.8 s at import, discovery a request per group at every cold start. It must not decide
anything, and it must never repeat a write: a write without an answer is settled by looking, not by trying again.
"""

import ipaddress
import json
import time
from typing import Any, Final, Literal
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
Patch = list[Object] | Object
Query = list[tuple[str, str]]
Verb = Literal["get", "list", "patch", "create", "delete", "evict"]

_MESSAGE = 256  # characters of the API's own words that may reach a log
_READ_TRIES = 2
_READ_PAUSE_S = 0.1
_PASSING: Final = frozenset({429, 500, 502, 503, 504})  # statuses that a second read may not see
_METHOD: Final = {
    "get": "GET", "list": "GET", "patch": "PATCH", "create": "POST", "delete": "DELETE", "evict": "POST",
}  # fmt: skip
_FORM: Final = {"json": "application/json-patch+json", "merge": "application/merge-patch+json"}


class Kube:
    """One connection pool to one API server. Safe for use by several threads. Made by `connect`."""

    def __init__(self, api: ApiClient, *, timeout_s: float) -> None:
        self._api = api
        self._timeout_s = timeout_s

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Read the object, or None when there is none, which includes names that cannot exist. `kind` as in `KINDS`."""
        if not addressable(kind, namespace, name):
            return None
        try:
            return self._read("get", address(kind, namespace, name), [])
        except NotFound:
            return None

    def list(self, kind: str, namespace: str = "", *, labels: str = "", limit: int = 500) -> list[Object]:
        """At most `limit` objects that match the label selector; all namespaces only where `namespace` is empty."""
        query = [("limit", str(limit))]
        if labels:
            query.append(("labelSelector", labels))
        items = self._read("list", _checked(collection, kind, namespace), query).get("items")
        return [item for item in items if isinstance(item, dict)][:limit] if isinstance(items, list) else []

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
    ) -> Object:
        """Answer the object after the patch. Conflict: a JSON patch's `test` failed, or a resourceVersion is stale."""
        path = _checked(address, kind, namespace, name)
        return self._send("patch", path, _options(field_manager, dry_run=dry_run), body, form=_FORM[form])

    def create(self, kind: str, namespace: str, body: Object, *, dry_run: bool = False, field_manager: str) -> Object:
        """Answer the object as created. Conflict when it exists."""
        path = _checked(collection, kind, namespace)
        return self._send("create", path, _options(field_manager, dry_run=dry_run), body)

    def delete(self, kind: str, namespace: str, name: str, *, uid: str) -> None:
        """Delete exactly that object. Conflict when another one has its name by now, NotFound when none has."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        self._send("delete", _checked(address, kind, namespace, name), [], body)

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

    def close(self) -> None:
        self._api.rest_client.close()

    def _read(self, verb: Verb, path: str, query: Query) -> Object:
        for left in reversed(range(_READ_TRIES)):
            try:
                return self._send(verb, path, query)
            except (KubeDown, Throttled) as error:
                if not left or not _worth_again(error):
                    raise
                time.sleep(_READ_PAUSE_S)
        raise AssertionError("unreachable")

    def _send(
        self,
        verb: Verb,
        path: str,
        query: Query,
        body: Patch | None = None,
        form: str = "application/json",
    ) -> Object:
        writes = body is not None
        headers = {"Accept": "application/json", "Content-Type": form}
        try:
            method, url, headers, sent, _ = self._api.param_serialize(
                _METHOD[verb], path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = self._api.call_api(method, url, headers, sent, _request_timeout=self._timeout_s)
            status, data = response.status, response.response.data
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
            ConfigException,
        ) as error:
            raise KubeDown(f"{verb} {path}: {_cut(error)}") from error
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise KubeDown(f"{verb} {path}: {_cut(error)}", unclear=writes) from error
        answer = _parsed(data)
        if 200 <= status < 300 and answer is not None:  # noqa: PLR2004 - HTTP's own classes
            return answer
        raise _translated(verb, path, status, answer or {}, form=form, writes=writes)


def connect(settings: Settings, user_agent: str) -> Kube:
    """Make a client with the credentials that the settings name, never with those of `~/.kube` or KUBECONFIG.

    Sends nothing. Raises KubeDown (reason `kube-credentials`) when there are no usable credentials.
    """
    configuration = Configuration()
    try:
        if settings.kube.kubeconfig:
            load_kube_config(  # type: ignore[no-untyped-call]
                settings.kube.kubeconfig, client_configuration=configuration, persist_config=False
            )
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, YAMLError) as error:
        source = settings.kube.kubeconfig or "the pod's service account"
        raise KubeDown(f"credentials from {source}: {_cut(error)}", reason="kube-credentials") from error
    configuration.retries = False  # urllib3 would repeat a POST three times and follow redirects with our token
    if _loopback(configuration.host):
        configuration.proxy = None  # as every Kubernetes client does: a proxy cannot reach this machine's loopback
    api = ApiClient(configuration)
    api.user_agent = user_agent
    return Kube(api, timeout_s=settings.kube.timeout_ms / 1000)


def _options(field_manager: str, *, dry_run: bool) -> Query:
    query = [("fieldManager", field_manager)] if field_manager else []
    return [*query, ("dryRun", "All")] if dry_run else query


def _checked(build: Any, *parts: str) -> str:
    try:
        path: str = build(*parts)
    except (KeyError, ValueError) as error:
        raise Refused(f"no such place in the API: {_cut(error)}") from error
    return path


def _worth_again(error: KubeError) -> bool:
    if error.status:
        return error.status in _PASSING
    # A timeout has used up its time; a refused or broken connection may be a server that was just replaced.
    cause = error.__cause__
    return isinstance(cause, urllib3.exceptions.HTTPError) and not isinstance(cause, urllib3.exceptions.TimeoutError)


def _translated(verb: Verb, path: str, status: int, answer: Object, *, form: str, writes: bool) -> KubeError:
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
        after = details.get("retryAfterSeconds", 0)
        error = Throttled(message, retry_after_s=after if isinstance(after, int) else 0)
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


def _parsed(data: bytes | None) -> Object | None:
    try:
        answer = json.loads(data or b"")
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
