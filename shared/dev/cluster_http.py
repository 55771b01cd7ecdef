"""What the emulated API makes of a request: its path, its options, its body. What it leaves out is `LEFT_OUT`.

It must not overlook anything: what a real API server would heed and this one cannot is a 501 that says so.
"""

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import yaml

from shared.dev import cluster_budget, cluster_list, cluster_scale
from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import ApiError, about, bad, invalid, no_such_path
from shared.dev.cluster_patch import APPLY, JSON, MERGE, STRATEGIC
from shared.dev.cluster_rules import SCALED
from shared.dev.cluster_store import Admit, Key, Object, Store
from shared.errors import MalformedError
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector

LEFT_OUT: Final[dict[str, str]] = {
    "discovery": "discovery, OpenAPI, version, health and metrics",
    "kind": "kinds that are not in shared.kube.kinds",
    "put": "replacing an object (PUT); patch it",
    "deletecollection": "deleting a whole collection",
    "subresource": "exec, attach, log, port-forward, proxy, resize, binding, ephemeral containers, finalize",
    "query": "query parameters that are not listed, among them resourceVersion on a get or a list",
    "fieldSelector": "field selectors",
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
_ELSEWHERE: Final = frozenset({"exec", "attach", "log", "portforward", "proxy", "resize", "binding",
                               "ephemeralcontainers", "finalize"})  # fmt: skip
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
_SENT: Final = {"application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor",
                "application/apply-patch+cbor"}  # fmt: skip
_SHOWN: Final = frozenset({"Pod", "Namespace"})  # answered as they are after a DELETE
_FORMATS: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_MANAGER_BYTES: Final = 128


class Target(NamedTuple):
    """Where a request goes. `verb` is what is done to it: get, list, watch, create, patch, delete, evict."""

    verb: str
    key: Key
    sub: str = ""


class Answer(NamedTuple):
    status: int
    body: Object
    warnings: tuple[str, ...] = ()


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
    if sub and not known and (sub, kind) != ("eviction", "Pod"):
        raise no_such_path()
    if name and KINDS[kind].namespaced != bool(namespace):
        raise no_such_path()
    return Target(_verb(method, key, sub, query), key, sub)


def _verb(method: str, key: Key, sub: str, query: Mapping[str, str]) -> str:
    kind, namespace, name = key
    homeless = KINDS[kind].namespaced and not namespace
    if sub == "eviction":
        verbs = {"POST": "evict"}
    elif sub:
        verbs = {"GET": "get", "PATCH": "patch", "PUT": "put"}
    elif name:
        verbs = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "put"}
    else:
        verbs = {"GET": "watch" if _said(query.get("watch", "")) else "list", "DELETE": "deletecollection"}
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
        if name in {"fieldSelector", "allowWatchBookmarks"} and where.verb in {"list", "watch"}:
            raise left_out("bookmarks" if name == "allowWatchBookmarks" else name, name)
        if name not in _QUERIES[where.verb]:
            raise left_out("query", f"{name} of a {where.verb}")
    wrong = []
    if query.get("dryRun", "All") != "All":
        wrong.append(("dryRun", "FieldValueNotSupported"))
    if query.get("fieldValidation", "") not in {"", "Ignore", "Warn", "Strict"}:
        wrong.append(("fieldValidation", "FieldValueNotSupported"))
    if len(query.get("fieldManager", "").encode()) > _MANAGER_BYTES:
        wrong.append(("fieldManager", "FieldValueTooLong"))
    applies = _form(headers) == APPLY
    if where.verb == "patch" and "force" in query and not applies:
        wrong.append(("force", "FieldValueForbidden"))
    if where.verb == "patch" and applies and not query.get("fieldManager"):
        wrong.append(("fieldManager", "FieldValueRequired"))
    if wrong:
        raise invalid(_OPTIONS[where.verb], "", wrong, group="meta.k8s.io")


def _types(accepted: str) -> set[str]:
    return {part.partition(";")[0].strip() for part in accepted.split(",")}


def _form(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip()


def _said(value: str) -> bool:
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


def number(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query.get(name) or 0)
    except ValueError as error:
        raise bad(f"{name} is no number") from error


class Api:
    """The verbs but for watch, which is no single answer."""

    def __init__(self, store: Store, admit: Admit) -> None:
        self._store, self._admit = store, admit

    def answer(self, where: Target, query: Mapping[str, str], headers: Mapping[str, str], data: bytes) -> Answer:
        """Do what is asked. Raises ApiError."""
        kind, namespace, _ = where.key
        if where.verb == "get":
            read = cluster_scale.read(self._store, where.key) if where.sub == "scale" else self._store.get(*where.key)
            return Answer(200, read)
        if where.verb == "list":
            found = cluster_list.page(self._store, kind, namespace, selector(query), limit=number(query, "limit"),
                                      token=query.get("continue", ""))  # fmt: skip
            return Answer(200, found)
        if where.verb == "delete":
            return Answer(200, self._delete(where.key, query, headers, data))
        manager = query.get("fieldManager") or headers.get("User-Agent", "unknown").partition("/")[0]
        dry_run, odd = "dryRun" in query, list[str]()
        if where.verb == "patch":
            return self._patch(where, query, headers, data, manager=manager, dry_run=dry_run)
        body = self._object("Eviction" if where.verb == "evict" else kind, query, headers, data, odd)
        warnings = _warnings(query, odd)
        if where.verb == "evict":
            return Answer(201, cluster_budget.evict(self._store, where.key, body, dry_run=dry_run, admit=self._admit),
                          warnings)  # fmt: skip
        made = self._store.create(kind, namespace, body, manager=manager, dry_run=dry_run, trusted=False,
                                  admit=self._admit)  # fmt: skip
        return Answer(201, made, warnings)

    def _patch(
        self, where: Target, query: Mapping[str, str], headers: Mapping[str, str], data: bytes, *, manager: str,
        dry_run: bool,
    ) -> Answer:  # fmt: skip
        kind, _, name = where.key
        form, strict, odd = _form(headers), query.get("fieldValidation") == "Strict", list[str]()
        if form not in {JSON, MERGE, STRATEGIC, APPLY}:
            if form in _SENT:
                raise left_out("body", form)
            raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type")
        if schema.root(kind) == schema.ANYTHING and (form in {STRATEGIC, APPLY} or strict):
            raise left_out("typed", kind)
        if form == APPLY:
            if where.sub:
                raise left_out("apply-sub", where.sub)
            config = _applied(kind, name, data)
            made = self._store.apply(where.key, config, manager=manager, force=_said(query.get("force", "")),
                                     dry_run=dry_run, admit=self._admit)  # fmt: skip
            return Answer(201 if made[1] else 200, made[0])
        try:
            body = schema.read(data)
        except ValueError as error:
            raise bad("error decoding patch") from error
        if where.sub == "scale":
            scaled = cluster_scale.patch(self._store, where.key, body, form=form, manager=manager, dry_run=dry_run,
                                         admit=self._admit)  # fmt: skip
            return Answer(200, scaled)
        after = self._store.patch(where.key, body, manager=manager, dry_run=dry_run, form=form, sub=where.sub,
                                  strict=strict, odd=odd, admit=self._admit)  # fmt: skip
        return Answer(200, after, _warnings(query, odd))

    def _object(
        self, kind: str, query: Mapping[str, str], headers: Mapping[str, str], data: bytes, odd: list[str]
    ) -> Object:
        """The body of a request that sends a whole object."""
        _only_json(headers)
        if schema.root(kind) == schema.ANYTHING and query.get("fieldValidation") == "Strict":
            raise left_out("typed", kind)
        api = KINDS[kind].api if kind in KINDS else "policy/v1"
        try:
            body = schema.read(data)
            body = {} if body is None else body
            if (body.get("kind") or kind, body.get("apiVersion") or api) != (kind, api):
                raise bad(f"the object cannot be handled as a {kind}")
            decoded = schema.decode(kind, body)
        except (ValueError, AttributeError) as error:
            raise bad(f"the object cannot be handled as a {kind}: {error}") from error
        odd += decoded.odd
        if odd and query.get("fieldValidation") == "Strict":
            raise bad(f"the object cannot be handled as a {kind}: strict decoding error: {', '.join(odd)}")
        found: Object = decoded.value
        return found

    def _delete(self, key: Key, query: Mapping[str, str], headers: Mapping[str, str], data: bytes) -> Object:
        if data:
            _only_json(headers)
        try:
            options = (schema.read(data) if data else {}) or {}
            options = schema.decode("DeleteOptions", options).value
            if not data:  # a body makes the server overlook the query, a dry run in it included
                options = {key: value for key, value in query.items() if key != "dryRun"}
                options |= {"dryRun": ["All"]} if "dryRun" in query else {}
            wanted, grace = options.get("preconditions") or {}, options.get("gracePeriodSeconds")
            grace = None if grace is None else int(grace)
            policy = options.get("propagationPolicy", "Background")
        except (ValueError, AttributeError) as error:
            raise bad(f"the options of the deletion cannot be read: {error}") from error
        if policy != "Background":
            raise left_out("propagation", str(policy))
        last = self._store.begin_delete(
            key, uid=wanted.get("uid", ""), version=wanted.get("resourceVersion", ""),
            grace_s=grace, dry_run="All" in (options.get("dryRun") or []), admit=self._admit,
        )  # fmt: skip
        if "deletionTimestamp" in last["metadata"] and (
            key[0] in {"Pod", "Namespace"} or last["metadata"].get("finalizers")
        ):
            return last
        details = {field: value for field, value in about(key[0], key[2]).items() if value}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": details | {"uid": last["metadata"]["uid"]}}  # fmt: skip


def _only_json(headers: Mapping[str, str]) -> None:
    form = _form(headers)
    if form in _SENT:
        raise left_out("body", form)
    if form != "application/json":
        said = f"the body of the request was in an unknown format - accepted media types include: {_FORMATS}"
        raise ApiError(415, "UnsupportedMediaType", said)


def _applied(kind: str, name: str, data: bytes) -> Object:
    """The configuration of a server-side apply, which may be YAML."""
    try:
        config = json.loads(json.dumps(yaml.safe_load(data)))
        if (config.get("kind"), config.get("apiVersion")) != (kind, KINDS[kind].api):
            raise bad("the object is of another kind than the URL, or of none")
        if config["metadata"].get("managedFields"):
            raise bad("metadata.managedFields must be nil")
        if config["metadata"].get("name") != name:
            raise bad("the name of the object does not match the name on the URL")
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise bad("error decoding YAML") from error
    try:
        decoded = schema.decode(kind, config)
    except schema.Mismatch as error:
        raise ApiError(500, "", f"failed to create typed patch object ({error})") from error
    if decoded.odd:
        raise ApiError(500, "", f"failed to create typed patch object ({name}): {decoded.odd[0]}")
    found: Object = config
    return found


def _warnings(query: Mapping[str, str], odd: list[str]) -> tuple[str, ...]:
    """Header values for what strict validation would refuse; warning is what the server does unless told."""
    said = odd if query.get("fieldValidation", "Warn") in {"", "Warn"} else []
    return tuple(f'299 - "{text.replace(chr(34), chr(92) + chr(34))}"' for text in said)
