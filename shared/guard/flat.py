"""A policy in the words of the scripts: flat fields, globs as anchored Lua patterns, windows as ms intervals.

What the fields mean stands in the scripts that read them; nothing is decided here.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from shared import clock
from shared.guard.policy import Policy, Rule, Window
from shared.guard.windows import AHEAD_DAYS, expand
from shared.model.protected import BUILT_IN

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000


def flat(policy: Policy, revision: str, now_ms: int | None = None) -> dict[str, str | int]:
    """The fields of that policy from `now_ms` (the clock's now) on; past `windows_until` they must be made anew."""
    now = clock.now_ms() if now_ms is None else now_ms
    fields: dict[str, str | int] = {
        "revision": revision,
        "protected": json.dumps(_patterns((*BUILT_IN, *policy.protected_namespaces))),
        "protected_objects": json.dumps(_patterns(policy.protected_objects)),
        "hold": json.dumps(list(policy.hold)),
        "approval_ms": policy.approval_minutes * _MINUTE,
        "risk_approve": policy.risk_approve,
        "risk_refuse": policy.risk_refuse,
        "person_ms": policy.person_minutes * _MINUTE,
        "attempts": policy.attempts_per_day,
        "min_cooldown": policy.min_cooldown_s * 1000,
        "oscillation_ms": policy.oscillation_hours * _HOUR,
        "repeats": policy.repeats,
        "resource_changes": policy.resource_changes,
        "resource_ms": policy.resource_hours * _HOUR,
        "concurrency": policy.concurrency,
        "concurrency_action": policy.concurrency_per_action,
        "blast_ms": policy.blast_minutes * _MINUTE,
        "blast_workload": policy.blast_workload_percent,
        "blast_namespace": policy.blast_namespace_percent,
        "blast_pool": policy.blast_pool_percent,
        "blast_nodes": policy.blast_nodes_percent,
        "blast_most": policy.blast_most,
        "rate_minute": policy.rate_per_minute,
        "rate_hour": policy.rate_per_hour,
        "rate_action": policy.rate_per_action_hour,
        "rate_namespace": policy.rate_per_namespace_hour,
        "breaker_failures": policy.breaker_failures,
        "breaker_window": policy.breaker_window_minutes * _MINUTE,
        "breaker_open": policy.breaker_open_minutes * _MINUTE,
        "backoff_base": policy.backoff_base_s * 1000,
        "backoff_max": policy.backoff_max_s * 1000,
        "promote_after": policy.promote_after,
        "promote_false": policy.promote_false_percent,
        "demote_after": policy.demote_after,
        "storm_new": policy.storm_new_incidents,
        "storm_window": policy.storm_window_s * 1000,
        "storm_failing": policy.storm_failing_percent,
    }
    if policy.rules:
        fields["rules"] = json.dumps([_rule(rule) for rule in policy.rules])
    if policy.windows:
        fields["windows"] = json.dumps([_window(window, now) for window in policy.windows])
        fields["windows_until"] = str(now + AHEAD_DAYS * _DAY)
    if policy.working_hours is not None:
        fields["hours"] = json.dumps(expand(policy.working_hours, now, wide=False))
    return fields


def _rule(rule: Rule) -> dict[str, Any]:
    given = {
        "a": _some(rule.actions),
        "n": _some(rule.namespaces),
        "k": _some(rule.kinds),
        "s": _some(rule.severities),
        "autonomy": None if rule.autonomy == "auto" else rule.autonomy,
        "approvers": rule.approvers if rule.approvers > 1 else None,
        "most": rule.most_replicas,
        "least": rule.least_replicas,
        "text": rule.name,
        "on": rule.only_bounds or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _window(window: Window, now: int) -> dict[str, Any]:
    given = {
        "name": window.name,
        "kind": window.kind,
        "a": _some(window.actions),
        "n": _some(window.namespaces),
        "at": expand(window, now, wide=window.kind == "freeze"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _some(globs: Iterable[str] | None) -> list[str] | None:
    return None if globs is None else _patterns(globs)


def _patterns(globs: Iterable[str]) -> list[str]:
    return [
        "^" + re.sub(r"[^A-Za-z0-9*]", lambda match: "%" + match.group(), g).replace("*", ".*") + "$" for g in globs
    ]
