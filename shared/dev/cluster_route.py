"""Where a request to the emulated API goes, with which options. What is left out is `LEFT_OUT`, and a 501 says so.

It must not overlook anything that a real API server would heed.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import ApiError, bad, invalid, no_such_path
from shared.dev.cluster_patch import APPLY
from shared.dev.cluster_rules import SCALED
from shared.dev.cluster_store import Key
from shared.errors import MalformedError
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector

LEFT_OUT: Final[dict[str, str]] = {
    "discovery": "discovery, OpenAPI, version, health and metrics",
    "kind": "kinds that are not in shared.kube.kinds",
    "put": "replacing an object (PUT); patch it",
    "deletecollection": "deleting a whole collection",
    "subresource": "exec, attach, port-forward, proxy, binding, ephemeral containers, finalize",
    "query": "query parameters that are not listed, among them resourceVersion on a get or a list",
    "fieldSelector": "field selectors, except for lists of events by involvedObject.uid and of pods by spec.nodeName",
    "log": "following a log, its times, its streams, and a part of it by time",
    "selector": "label values compared as numbers (> and <)",
    "bookmarks": "bookmarks of a watch",
    "future": "watching from a version that is yet to come",
    "accept": "answers as tables, YAML, protobuf or CBOR",
    "body": "bodies of objects as YAML, protobuf or CBOR, except for server-side apply",
    "propagation": "deleting with Foreground or Orphan propagation",
    "apply-sub": "server-side apply to a subresource",
    "typed": "strict validation, strategic merge and server-side apply of kinds without a schema",
}

READS: Final = frozenset({"get", "list", "watch"})

_PATH: Final = re.compile(
    r"/(?:api|apis)/(?P<api>v1|[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?!/(?:status|finalize)$))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
_PLACES: Final = {(kind.api, kind.plural): name for name, kind in KINDS.items()}
_ELSEWHERE: Final = frozenset({"exec", "attach", "portforward", "proxy", "binding", "ephemeralcontainers",
                               "finalize"})  # fmt: skip
_OF_PODS: Final = frozenset({"eviction", "log", "resize"})
_LOG: Final = frozenset({"container", "previous", "tailLines", "limitBytes"})
_NO_LOG: Final = frozenset({"follow", "timestamps", "sinceSeconds", "sinceTime", "stream"})
_ABOUT: Final = {
    "Event": re.compile(r"involvedObject\.uid==?([^,=!]*)"),
    "Pod": re.compile(r"spec\.nodeName==?([^,=!]*)"),
}
_WRITES: Final = frozenset({"dryRun", "fieldManager", "fieldValidation"})
_QUERIES: Final[dict[str, frozenset[str]]] = {
    "get": frozenset(),
    "list": frozenset({"labelSelector", "limit", "continue"}),
    "watch": frozenset({"labelSelector", "watch", "timeoutSeconds", "resourceVersion"}),
    "create": _WRITES,
    "evict": _WRITES,
    "patch": _WRITES | {"force"},
    "delete": frozenset({"dryRun", "gracePeriodSeconds", "propagationPolicy"}),
}
_OPTIONS: Final = {"create": "CreateOptions", "evict": "CreateOptions", "patch": "PatchOptions",
                   "delete": "DeleteOptions"}  # fmt: skip
_MANAGER_BYTES: Final = 128


class Target(NamedTuple):
    """Where a request goes. `verb` is what is done to it: get, list, watch, create, patch, delete, evict."""

    verb: str
    key: Key
    sub: str = ""


def left_out(name: str, asked: str) -> ApiError:
    return ApiError(501, "NotImplemented", f"{asked} is not emulated: {LEFT_OUT[name]}")


def target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Find the object or the collection that is meant. Raises ApiError 404, 405, 501."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise left_out("discovery", path)
    kind = _PLACES.get((match["api"], match["plural"]), "")
    namespace, name, sub = match["namespace"] or "", match["name"] or "", match["sub"] or ""
    if not kind:
        raise left_out("kind", path)
    if sub in _ELSEWHERE:
        raise left_out("subresource", path)
    key = (kind, namespace, name)
    known = (sub == "status" and schema.has_status(kind)) or (sub == "scale" and kind in SCALED)
    if sub and not known and (kind != "Pod" or sub not in _OF_PODS):
        raise no_such_path()
    if name and KINDS[kind].namespaced != bool(namespace):
        raise no_such_path()
    return Target(_verb(method, key, sub, query), key, sub)


def _verb(method: str, key: Key, sub: str, query: Mapping[str, str]) -> str:
    kind, namespace, name = key
    homeless = KINDS[kind].namespaced and not namespace
    if sub == "eviction":
        verbs = {"POST": "evict"}
    elif sub == "log":
        verbs = {"GET": "get"}
    elif sub:
        verbs = {"GET": "get", "PATCH": "patch", "PUT": "put"}
    elif name:
        verbs = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "put"}
    else:
        verbs = {"GET": "watch" if said(query.get("watch", "")) else "list", "DELETE": "deletecollection"}
        verbs |= {} if homeless else {"POST": "create"}
    verb = verbs.get(method, "")
    if verb in {"put", "deletecollection"}:
        raise left_out(verb, f"{method} of {kind}")
    if not verb:
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return verb


def check(where: Target, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Refuse options that are wrong, or that are not emulated."""
    accepted = headers.get("Accept", "*/*")
    if ";as=" in accepted.replace(" ", "") or not {"application/json", "*/*", "application/*"} & _types(accepted):
        raise left_out("accept", f"Accept: {accepted}")
    for name in query:
        if name == "allowWatchBookmarks" and where.verb in {"list", "watch"}:
            raise left_out("bookmarks", name)
        if name == "fieldSelector" and where.verb in {"list", "watch"}:
            about(where, query)
        elif where.sub == "log" and name in _NO_LOG:
            raise left_out("log", name)
        elif name not in (_LOG if where.sub == "log" else _QUERIES[where.verb]):
            raise left_out("query", f"{name} of a {where.verb}")
    wrong = []
    if query.get("dryRun", "All") != "All":
        wrong.append(("dryRun", "FieldValueNotSupported"))
    if query.get("fieldValidation", "") not in {"", "Ignore", "Warn", "Strict"}:
        wrong.append(("fieldValidation", "FieldValueNotSupported"))
    if len(query.get("fieldManager", "").encode()) > _MANAGER_BYTES:
        wrong.append(("fieldManager", "FieldValueTooLong"))
    applies = form(headers) == APPLY
    if where.verb == "patch" and "force" in query and not applies:
        wrong.append(("force", "FieldValueForbidden"))
    if where.verb == "patch" and applies and not query.get("fieldManager"):
        wrong.append(("fieldManager", "FieldValueRequired"))
    if wrong:
        raise invalid(_OPTIONS[where.verb], "", wrong, group="meta.k8s.io")


def _types(accepted: str) -> set[str]:
    return {part.partition(";")[0].strip() for part in accepted.split(",")}


def form(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip()


def said(value: str) -> bool:
    """Whether a flag of the query is set: anything but these, for an API server."""
    return value.lower() not in {"", "false", "0"}


def selector(query: Mapping[str, str]) -> Selector:
    text = query.get("labelSelector", "")
    if {"<", ">"} & set(text):
        raise left_out("selector", text)
    try:
        return Selector.parse(text)
    except MalformedError as error:
        raise bad(str(error)) from error


def about(where: Target, query: Mapping[str, str]) -> str | None:
    """The uid whose events, or the node whose pods are asked for; None for all. There is no other field selector."""
    text = query.get("fieldSelector", "")
    match = _ABOUT[where.key[0]].fullmatch(text) if where.verb == "list" and where.key[0] in _ABOUT else None
    if text and match is None:
        raise left_out("fieldSelector", f"fieldSelector={text}")
    return match[1] if match else None


def number(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query.get(name) or 0)
    except ValueError as error:
        raise bad(f"{name} is no number") from error
