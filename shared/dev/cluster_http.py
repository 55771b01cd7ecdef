"""What the emulated API does for each verb: reads the body as the verb wants it, and asks the store.

Where a request goes and which options it may have is `cluster_route`'s.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

import yaml

from shared.dev import cluster_budget, cluster_delete, cluster_list, cluster_log, cluster_scale
from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import ApiError, about, bad
from shared.dev.cluster_nodes import there
from shared.dev.cluster_patch import APPLY, JSON, MERGE, STRATEGIC
from shared.dev.cluster_route import Target, left_out, number, said, selector
from shared.dev.cluster_route import about as about_of
from shared.dev.cluster_route import form as form_of
from shared.dev.cluster_store import Admit, Key, Object, Store
from shared.kube.kinds import KINDS

_SENT: Final = {"application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor",
                "application/apply-patch+cbor"}  # fmt: skip
_SHOWN: Final = frozenset({"Pod", "Namespace"})  # answered as they are after a DELETE
_FORMATS: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


class Answer(NamedTuple):
    status: int
    body: Object
    warnings: tuple[str, ...] = ()
    text: str | None = None  # instead of a body


class Api:
    """The verbs but for watch, which is no single answer."""

    def __init__(self, store: Store, admit: Admit) -> None:
        self._store, self._admit = store, admit

    def answer(self, where: Target, query: Mapping[str, str], headers: Mapping[str, str], data: bytes) -> Answer:
        """Do what is asked. Raises ApiError."""
        kind, namespace, _ = where.key
        if where.sub == "log":
            log = cluster_log.read(self._store.get(*where.key), query, there=partial(there, self._store))
            return Answer(204 if log is None else 200, {}, text=log or "")
        if where.verb == "get":
            read = cluster_scale.read(self._store, where.key) if where.sub == "scale" else self._store.get(*where.key)
            return Answer(200, read)
        if where.verb == "list":
            found = cluster_list.page(self._store, kind, namespace, selector(query), limit=number(query, "limit"),
                                      token=query.get("continue", ""), about=about_of(where, query))  # fmt: skip
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
            _only_background(body.get("deleteOptions") or {})
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
        form, strict, odd = form_of(headers), query.get("fieldValidation") == "Strict", list[str]()
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
            made = self._store.apply(where.key, config, manager=manager, force=said(query.get("force", "")),
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
        except (ValueError, AttributeError) as error:
            raise bad(f"the options of the deletion cannot be read: {error}") from error
        _only_background(options)
        last = cluster_delete.begin(
            self._store, key, uid=wanted.get("uid", ""), version=wanted.get("resourceVersion", ""),
            grace_s=grace, dry_run="All" in (options.get("dryRun") or []), admit=self._admit,
        )  # fmt: skip
        if "deletionTimestamp" in last["metadata"] and (
            key[0] in {"Pod", "Namespace"} or last["metadata"].get("finalizers")
        ):
            return last
        details = {field: value for field, value in about(key[0], key[2]).items() if value}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": details | {"uid": last["metadata"]["uid"]}}  # fmt: skip


def _only_background(options: Object) -> None:
    policy = options.get("propagationPolicy", "Background")
    if policy != "Background" or options.get("orphanDependents"):
        raise left_out("propagation", f"propagation {policy}")


def _only_json(headers: Mapping[str, str]) -> None:
    form = form_of(headers)
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
