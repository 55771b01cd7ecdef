"""Who is who and may do what in the emulated cluster: bearers, judged by RBAC rules as the real authorizer does.

Only accounts and persons that somebody makes here are judged; the cluster's own token may do everything. What they may
do is asked by the same reviews as on a real cluster (`cluster_reviews`). Roles and bindings are no objects here:
whoever installs them says what they come to.
"""

import secrets
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from shared.dev.cluster_errors import ApiError, about, resource
from shared.dev.cluster_route import Target
from shared.kube.kinds import KINDS

Object = dict[str, Any]

API: Final = "https://kubernetes.default.svc"  # the audience of tokens for the API server itself
_EVERYBODY: Final = "system:authenticated"


class Granted(NamedTuple):
    """One PolicyRule, in one namespace or, where that is empty, in all."""

    namespace: str
    rule: Object


class Bearer(NamedTuple):
    """Whose a token is, and for whom it was made out."""

    user: str
    groups: tuple[str, ...]
    audiences: tuple[str, ...]


class Asked(NamedTuple):
    verb: str
    group: str
    resource: str  # with its subresource
    namespace: str
    name: str


class Rights:
    def __init__(self) -> None:
        self._bearers: dict[str, Bearer] = {}
        self._granted: dict[str, tuple[Granted, ...]] = {}

    def account(self, namespace: str, name: str, granted: Iterable[Granted] = ()) -> str:
        """Make a ServiceAccount that may do exactly that; its bearer. Once more: from now on it may do that instead."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", _EVERYBODY)
        return self._made(Bearer(f"system:serviceaccount:{namespace}:{name}", groups, (API,)), granted)

    def person(
        self, name: str, granted: Iterable[Granted] = (), *, groups: Iterable[str] = (), audience: str = API
    ) -> str:
        """Make somebody who may do exactly that; a bearer for that audience. Once more as `account`."""
        return self._made(Bearer(name, (*groups, _EVERYBODY), (audience,)), granted)

    def group(self, name: str, granted: Iterable[Granted]) -> None:
        """Let all who are in that group do that."""
        self._granted[name] = tuple(granted)

    def _made(self, made: Bearer, granted: Iterable[Granted]) -> str:
        self._granted[made.user] = tuple(granted)
        token = next((known for known, whose in self._bearers.items() if whose == made), secrets.token_urlsafe(16))
        self._bearers[token] = made
        return token

    def bearer(self, token: str) -> Bearer | None:
        """Whose token that is; None for the cluster's own and for unknown ones."""
        return self._bearers.get(token)

    def rules(self, user: str, namespace: str) -> list[Object]:
        return [one.rule for one in self._granted[user] if one.namespace in {"", namespace}]

    def check(self, user: str, where: Target) -> None:
        """Raise the 403 of a real API server unless that account, or whoever has no name, may send such a request."""
        kind, namespace, name = where.key
        called = "/".join(filter(None, (KINDS[kind].plural, where.sub)))
        around = name if kind == "Namespace" else namespace  # a request about a namespace counts as one in it
        asked = Asked("create" if where.verb == "evict" else where.verb, KINDS[kind].group, called, around, name)
        self.refuse(user, asked, resource(kind), **about(kind, name))

    def refuse(self, user: str, asked: Asked, what: str, **details: str) -> None:
        """Raise that 403 unless whoever asks may do it."""
        if not user or self.may(user, (), asked):
            return
        named = f' "{asked.name}"' if asked.name else ""
        place = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        raise ApiError(
            403, "Forbidden",
            f'{what}{named} is forbidden: User "{user}" cannot {asked.verb} resource "{asked.resource}" '
            f'in API group "{asked.group}" {place}',
            **details,
        )  # fmt: skip

    def may(self, user: str, groups: Iterable[str], asked: Asked) -> bool:
        return any(
            one.namespace in {"", asked.namespace}
            and _among(asked.verb, one.rule["verbs"])
            and _among(asked.group, one.rule["apiGroups"])
            and _among(asked.resource, one.rule["resources"])
            and (not one.rule.get("resourceNames") or asked.name in one.rule["resourceNames"])
            for subject in (user, *groups)
            for one in self._granted.get(subject, ())
        )


def _among(asked: str, granted: Collection[str]) -> bool:
    return asked in granted or "*" in granted
