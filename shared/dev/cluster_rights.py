"""Who may do what in the emulated cluster: bearers of accounts, judged by RBAC rules as the real authorizer does.

Only accounts that a test makes are judged; the cluster's own token may do everything. What an account may do is asked
by the same two reviews as on a real cluster. Roles and bindings are no objects here: whoever installs them says what
they come to.
"""

import json
import secrets
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from shared.dev.cluster_errors import ApiError, about, resource
from shared.dev.cluster_route import Target
from shared.kube.kinds import KINDS

Object = dict[str, Any]

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/"
# What every account may do that is known at all: ask what it may do.
_ANYBODY: Final[Object] = {
    "apiGroups": ["authorization.k8s.io"],
    "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    "verbs": ["create"],
}


class Granted(NamedTuple):
    """One PolicyRule, in one namespace or, where that is empty, in all."""

    namespace: str
    rule: Object


class Asked(NamedTuple):
    verb: str
    group: str
    resource: str  # with its subresource
    namespace: str
    name: str


class Rights:
    def __init__(self) -> None:
        self._users: dict[str, str] = {}  # by bearer
        self._granted: dict[str, tuple[Granted, ...]] = {}

    def account(self, namespace: str, name: str, granted: Iterable[Granted] = ()) -> str:
        """Make a ServiceAccount that may do exactly that; its bearer. Once more: from now on it may do that instead."""
        user = f"system:serviceaccount:{namespace}:{name}"
        self._granted[user] = tuple(granted)
        bearer = next((known for known, whose in self._users.items() if whose == user), secrets.token_urlsafe(16))
        self._users[bearer] = user
        return bearer

    def user(self, bearer: str) -> str:
        """Whose bearer that is; empty for the cluster's own and for unknown ones."""
        return self._users.get(bearer, "")

    def check(self, user: str, where: Target) -> None:
        """Raise the 403 of a real API server unless that account, or whoever has no name, may send such a request."""
        kind, namespace, name = where.key
        called = "/".join(filter(None, (KINDS[kind].plural, where.sub)))
        around = name if kind == "Namespace" else namespace  # a request about a namespace counts as one in it
        asked = Asked("create" if where.verb == "evict" else where.verb, KINDS[kind].group, called, around, name)
        if not user or self._may(user, asked):
            return
        what = resource(kind) + (f' "{name}"' if name else "")
        place = f'in the namespace "{around}"' if around else "at the cluster scope"
        raise ApiError(
            403, "Forbidden",
            f'{what} is forbidden: User "{user}" cannot {asked.verb} resource "{called}" '
            f'in API group "{asked.group}" {place}',
            **about(kind, name),
        )  # fmt: skip

    def review(self, user: str, path: str, data: bytes) -> Object | None:
        """Answer an account's SelfSubjectAccessReview or SelfSubjectRulesReview; None when it is neither."""
        if not user or not path.startswith(_REVIEWS):
            return None
        body = json.loads(data)
        spec, what = body.get("spec") or {}, path.removeprefix(_REVIEWS)
        if what == "selfsubjectrulesreviews":
            rules = [one.rule for one in self._granted[user] if one.namespace in {"", spec.get("namespace")}]
            status = {"resourceRules": [_ANYBODY, *rules], "nonResourceRules": [], "incomplete": False}
            return {**body, "status": status}
        if what == "selfsubjectaccessreviews":
            attributes = spec.get("resourceAttributes") or {}
            called = "/".join(filter(None, (attributes.get("resource"), attributes.get("subresource"))))
            verb, group, where, name = (attributes.get(part, "") for part in ("verb", "group", "namespace", "name"))
            asked = Asked(verb, group, called, where, name)
            return {**body, "status": {"allowed": self._may(user, asked)}}
        return None

    def _may(self, user: str, asked: Asked) -> bool:
        return any(
            one.namespace in {"", asked.namespace}
            and asked.verb in one.rule["verbs"]
            and asked.group in one.rule["apiGroups"]
            and asked.resource in one.rule["resources"]
            and (not one.rule.get("resourceNames") or asked.name in one.rule["resourceNames"])
            for one in self._granted[user]
        )
