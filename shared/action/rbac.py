"""From what an action declares to the rules of its ClusterRole: what its facts need, what it writes, or nothing.

A declaration that asks for a way around the rules (everything, secrets, roles, other identities) is refused here, so
that no file in the actions folder can give itself the cluster.
"""

import re
from typing import Any, Final

from shared.action.declare import Action, Rule
from shared.errors import MalformedError
from shared.kube import details, evidence, note
from shared.kube.rights import base

_GROUP: Final = re.compile(r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RESOURCE: Final = re.compile(r"[a-z]{2,}(/[a-z]{2,})?")
_VERBS: Final = frozenset({"get", "list", "watch", "create", "update", "patch", "delete"})
_READS: Final = frozenset({"get", "list"})
# Whoever may write these can become somebody else, read keys or run code anywhere, whatever the other rules say.
_FORBIDDEN: Final = frozenset({
    "secrets", "serviceaccounts", "serviceaccounts/token", "nodes/proxy",
    "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers",
})  # fmt: skip
_FORBIDDEN_GROUPS: Final = frozenset({
    "rbac.authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io", "admissionregistration.k8s.io",
    "apiextensions.k8s.io", "apiregistration.k8s.io",
})  # fmt: skip


def rules(action: Action) -> list[dict[str, Any]]:
    """Return one Kubernetes PolicyRule per resource: what facts of its scopes and its details need, then what it says.

    Raises MalformedError (reason `rbac`) for a wildcard, an unknown verb (`escalate`, `bind`, `impersonate` are such),
    a forbidden resource or group, an action of kind `none` that asks for anything, or one of kind `read` that asks for
    more than to read.
    """
    if action.kind == "none" and action.rbac:
        raise MalformedError(f"action {action.name} only tells and must not ask for rights", reason="rbac")
    if not action.writes and not all(_READS.issuperset(rule.verbs) for rule in action.rbac):
        raise MalformedError(f"action {action.name} writes nothing and must not ask to write", reason="rbac")
    if action.kind == "none":
        return []
    for rule in action.rbac:
        _check(action.name, rule)
    read = [*base(action.scopes), *details.rights(action.details, action.scopes), *evidence.rights(action.scopes)]
    read += note.RIGHTS if action.writes else ()
    said = [(rule.group, rule.resource, verb) for rule in action.rbac for verb in rule.verbs]
    merged: dict[tuple[str, str], list[str]] = {}
    for group, resource, verb in dict.fromkeys([*read, *said]):
        merged.setdefault((group, resource), []).append(verb)
    return [{"apiGroups": [group], "resources": [res], "verbs": verbs} for (group, res), verbs in merged.items()]


def _check(name: str, rule: Rule) -> None:
    wrong = ""
    if not _GROUP.fullmatch(rule.group) or rule.group in _FORBIDDEN_GROUPS:
        wrong = f"group {rule.group!r}"
    elif not _RESOURCE.fullmatch(rule.resource) or rule.resource in _FORBIDDEN:
        wrong = f"resource {rule.resource!r}"
    elif not rule.verbs or not _VERBS.issuperset(rule.verbs):
        wrong = f"verbs {rule.verbs!r}"
    if wrong:
        raise MalformedError(f"action {name} asks for {wrong}, which no action may have", reason="rbac")
