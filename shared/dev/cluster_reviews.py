"""The questions by which an API server is asked about somebody: whose a token is, and what he may do.

They are no objects: nothing is stored. Two are asked about oneself and two about others, which needs a right of its
own. Roles are no objects here either, so a review answers by what `cluster_rights` was told.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from shared.dev.cluster_errors import ApiError, bad, invalid
from shared.dev.cluster_rights import API, Asked, Rights
from shared.dev.cluster_route import left_out

Object = dict[str, Any]

# What every account may do that is known at all: ask what it may do.
_ANYBODY: Final[Object] = {
    "apiGroups": ["authorization.k8s.io"],
    "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    "verbs": ["create"],
}


def kind_of(method: str, path: str) -> str:
    """Name the review that such a request asks for; empty when it asks for none."""
    return _KINDS.get(path, "") if method == "POST" else ""


def review(rights: Rights, user: str, kind: str, data: bytes) -> Object:
    """Answer one. `user` is empty for whoever may do everything. Raises ApiError."""
    try:
        body = json.loads(data)
        spec = body.get("spec") or {}
        return {**body, "status": _STATUS[kind](rights, user, spec)}
    except (ValueError, TypeError, AttributeError) as error:
        raise bad(f"the review cannot be read: {error}") from error


def _token(rights: Rights, user: str, spec: Object) -> Object:
    group, plural = "authentication.k8s.io", "tokenreviews"
    rights.refuse(user, Asked("create", group, plural, "", ""), f"{plural}.{group}", group=group, kind=plural)
    if not spec.get("token"):
        raise ApiError(400, "BadRequest", "token is required for TokenReview in authentication")
    found, wanted = rights.bearer(spec["token"]), spec.get("audiences") or [API]
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    if not (common := [one for one in wanted if one in found.audiences]):
        said = f"token audiences {list(found.audiences)} is invalid for the target audiences {wanted}"
        return {"user": {}, "error": f"[invalid bearer token, {said}]"}
    return {
        "authenticated": True,
        "user": {"username": found.user, "groups": list(found.groups)},
        "audiences": common,
    }


def _access(rights: Rights, user: str, spec: Object) -> Object:
    group, plural = "authorization.k8s.io", "subjectaccessreviews"
    rights.refuse(user, Asked("create", group, plural, "", ""), f"{plural}.{group}", group=group, kind=plural)
    if not spec.get("user") and not spec.get("groups"):
        raise invalid("", "", [("spec.user", "FieldValueInvalid")], group=group)
    return _allowed(rights, spec.get("user", ""), spec.get("groups") or (), spec)


def _own_access(rights: Rights, user: str, spec: Object) -> Object:
    return _allowed(rights, user, (), spec) if user else {"allowed": True}


def _own_rules(rights: Rights, user: str, spec: Object) -> Object:
    if not user:
        raise left_out("kind", "the rules of whoever may do everything")
    rules = rights.rules(user, spec.get("namespace", ""))
    return {"resourceRules": [_ANYBODY, *rules], "nonResourceRules": [], "incomplete": False}


def _allowed(rights: Rights, user: str, groups: Any, spec: Object) -> Object:
    if spec.get("nonResourceAttributes"):
        raise left_out("kind", "reviews of paths that are no resources")
    attributes = spec.get("resourceAttributes") or {}
    called = "/".join(filter(None, (attributes.get("resource"), attributes.get("subresource"))))
    verb, group, where, name = (attributes.get(part, "") for part in ("verb", "group", "namespace", "name"))
    return {"allowed": rights.may(user, groups, Asked(verb, group, called, where, name))}


_STATUS: Final[dict[str, Callable[[Rights, str, Object], Object]]] = {
    "TokenReview": _token,
    "SubjectAccessReview": _access,
    "SelfSubjectAccessReview": _own_access,
    "SelfSubjectRulesReview": _own_rules,
}
_KINDS: Final = {
    f"/apis/{'authentication' if kind == 'TokenReview' else 'authorization'}.k8s.io/v1/{kind.lower()}s": kind
    for kind in _STATUS
}
