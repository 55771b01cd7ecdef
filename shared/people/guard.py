"""What stands in the guard's way at this moment, with the time that is left of it: read, never judged.

It repeats no check of `admit`: it shows the records that the checks read, beside the limits of the policy. Every look
is bounded; `more` says when there may be others.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared import clock
from shared.event.here import Here
from shared.model.stop import mode_of, scoped
from shared.people import find
from shared.people.find import Known
from shared.state.client import PREFIX

MOST: Final = 500  # keys of one kind
LISTED: Final = 200  # scopes
DROPPED: Final = 20
_RATES: Final = 5_000  # grants within the widest span
_KINDS: Final = frozenset({"scope", "breaker", "rate", "live", "storm", "dropped", "targets"})
_MINUTE, _HOUR = 60_000, 3_600_000

Fields = Mapping[str, str]


def guard(here: Here) -> dict[str, Any]:
    """Tell all of it. Raises UnavailableError when Redis does not answer."""
    store, now = here.state.store, clock.now_ms()
    policy, stop, epoch = (store.hash(f"{PREFIX}:{name}") for name in ("policy", "stop", "epoch"))
    known, more = find.keys(here, _KINDS, most=MOST)
    by_place: dict[tuple[str, str], list[Known]] = defaultdict(list)
    home = here.settings.alertmanager
    by_place[home.tenant, home.cluster] = []
    for one in known:
        by_place[one.tenant, one.cluster].append(one)
    return {
        "at": clock.iso_ms(now),
        "policy": policy.get("revision", ""),
        "stop": _stop(stop),
        "embargo": _until(epoch.get("embargo_until"), now),
        "windows": _windows(policy, now),
        "windows_until": _moment(policy.get("windows_until")),
        "places": [_place(here, *place, mine, policy, stop, now) for place, mine in sorted(by_place.items())],
        "more": more,
    }


def _stop(stop: Fields) -> dict[str, Any]:
    """Tell the mode and every scoped stop."""
    scopes = []
    for name, value in sorted(scoped(stop).items()):
        scopes.append({"scope": name, "mode": mode_of(value), "reason": value.partition(":")[2].strip()})
    told = {name: stop.get(name, "") for name in ("reason", "by", "since")}
    return {
        "mode": stop.get("mode") or "unknown",
        **told,
        "lifted_at": _moment(stop.get("lifted_at")),
        "scopes": scopes,
    }


def _place(
    here: Here, tenant: str, cluster: str, known: list[Known], policy: Fields, stop: Fields, now: int
) -> dict[str, Any]:
    store = here.state.store
    keys = {kind: f"{PREFIX}:{tenant}:{cluster}:{kind}" for kind in ("rate", "live", "storm", "dropped")}
    widest = max(_HOUR, _number(policy.get("blast_ms")))
    pairs = store.read("ZRANGE", keys["rate"], f"({now - widest}", "+inf", "BYSCORE", "LIMIT", 0, _RATES, "WITHSCORES")
    grants = [(int(float(score)), member.split("|")) for member, score in _pairs(pairs)]
    live = {attempt: value.split("|", 6) for attempt, value in store.hash(keys["live"]).items()}
    held = {attempt: parts for attempt, parts in live.items() if len(parts) == 7 and _number(parts[0]) > now}  # noqa: PLR2004
    scopes = [store.hash(one.key) for one in known if one.kind == "scope"]
    breakers = [(one.rest, store.hash(one.key)) for one in known if one.kind == "breaker"]
    listed = [told for fields in scopes if (told := _scope(fields, policy, now))]
    listed.sort(key=lambda told: str(told["scope"]))
    return {
        "tenant": tenant,
        "cluster": cluster,
        "storm": _storm(store.hash(keys["storm"])),
        "leases": [
            {
                "attempt": attempt,
                "running": parts[1] == "1",
                "action": parts[2],
                "width": parts[4],
                "scope": parts[6],
                "until": _until(parts[0], now),
            }
            for attempt, parts in sorted(held.items())
        ],
        "budgets": _budgets(grants, [parts[2] for parts in held.values() if parts[1] == "1"], policy, now),
        "breakers": [_breaker(name, fields, policy, now) for name, fields in sorted(breakers, key=lambda one: one[0])],
        "scopes": listed[:LISTED],
        "scopes_omitted": max(0, len(listed) - LISTED),
        "dropped": _dropped(store.read("LRANGE", keys["dropped"], 0, 99), stop),
    }


# Budgets --------------------------------------------------------------------------------------------------------------


def _budgets(grants: list[tuple[int, list[str]]], running: list[str], policy: Fields, now: int) -> list[dict[str, Any]]:
    everything = [(at, 1) for at, _ in grants]
    touched = [(at, _number(parts[4])) for at, parts in grants if len(parts) > 4]  # noqa: PLR2004
    told = [
        _budget("rate-minute", "", everything, _MINUTE, policy.get("rate_minute"), now),
        _budget("rate-hour", "", everything, _HOUR, policy.get("rate_hour"), now),
        *_each("rate-action", 1, grants, policy.get("rate_action"), now),
        *_each("rate-namespace", 2, grants, policy.get("rate_namespace"), now),
        _budget("blast-most", "", touched, _number(policy.get("blast_ms")), policy.get("blast_most"), now),
        _standing("concurrency", "", len(running), policy.get("concurrency")),
        *(
            _standing("concurrency-action", action, used, policy.get("concurrency_action"))
            for action, used in sorted(Counter(running).items())
        ),
    ]
    return [one for one in told if one is not None]


def _each(
    name: str, part: int, grants: list[tuple[int, list[str]]], limit: str | None, now: int
) -> Iterable[dict[str, Any] | None]:
    by_name: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for at, parts in grants:
        if len(parts) > part and parts[part]:
            by_name[parts[part]].append((at, 1))
    return (_budget(name, of, spent, _HOUR, limit, now) for of, spent in sorted(by_name.items()))


def _budget(
    name: str, of: str, spent: list[tuple[int, int]], span: int, limit: str | None, now: int
) -> dict[str, Any] | None:
    """Tell what is used of a budget, and when there is room for one more; None where the policy sets no limit."""
    if limit is None:
        return None
    most = _number(limit)
    inside = sorted((at, count) for at, count in spent if at > now - span)
    used = sum(count for _, count in inside)
    room, left = 0, used
    for at, count in inside:  # the oldest leave first
        if left < most or not most:
            break
        left -= count
        room = at + span
    full = used >= most
    return {"budget": name, "of": of, "used": used, "limit": most, "room": _until(room, now) if full else None,
            "full": full}  # fmt: skip


def _standing(name: str, of: str, used: int, limit: str | None) -> dict[str, Any] | None:
    if limit is None:
        return None
    most = _number(limit)
    return {"budget": name, "of": of, "used": used, "limit": most, "room": None, "full": used >= most}


# The rest -------------------------------------------------------------------------------------------------------------


def _breaker(name: str, fields: Fields, policy: Fields, now: int) -> dict[str, Any]:
    """Tell one breaker; half-open is one that is open and past its time: it lets one probe through."""
    action, _, kind = name.partition(":")
    state = fields.get("state") or "closed"
    if state == "open" and _number(fields.get("open_until")) <= now:
        state = "half-open"
    window = _number(policy.get("breaker_window"))
    fails = [at for at in _list(fields.get("fails")) if isinstance(at, int | float) and at > now - window]
    probe = _until(fields.get("probe_until"), now)
    return {
        "action": action,
        "kind": kind,
        "state": state,
        "fails": len(fails),
        "limit": _number(policy.get("breaker_failures")),
        "open": _until(fields.get("open_until"), now) if state == "open" else None,
        "probe": fields.get("probe", "") if probe else "",
        "probe_until": probe,
    }


def _scope(fields: Fields, policy: Fields, now: int) -> dict[str, Any] | None:
    """Tell what holds one scope back, and how far its actions are trusted; None when nothing does."""
    lease = _until(fields.get("lease_until"), now) if fields.get("lease") else None
    cooldown, backoff = (_until(fields.get(name), now) for name in ("cooldown_until", "backoff_until"))
    ladder = [
        _rung(name.partition(":")[2], cap, fields, policy)
        for name, cap in sorted(fields.items())
        if name.startswith("cap:") and cap
    ]
    if not (lease or cooldown or backoff or ladder):
        return None
    return {
        "scope": fields.get("name", ""),
        "lease": fields.get("lease", "") if lease else "",
        "lease_until": lease,
        "cooldown": cooldown,
        "backoff": backoff,
        "fails": _number(fields.get("fails")),
        "ladder": ladder,
    }


def _rung(action: str, cap: str, fields: Fields, policy: Fields) -> dict[str, Any]:
    """Tell a demotion and its record; `promote` is the command once the record bears what the policy asks."""
    record = _dict(fields.get(f"record:{action}"))
    row, judged, bad = (_number(record.get(part)) for part in ("row", "n", "bad"))
    earned = row >= max(1, _number(policy.get("promote_after"))) and bad * 100 <= judged * _number(
        policy.get("promote_false")
    )
    return {
        "action": action,
        "cap": cap,
        "verified_in_a_row": row,
        "judged": judged,
        "bad": bad,
        "promote": f"akeso promote {action} {fields.get('name', '')} --reason ..." if earned else "",
    }


def _storm(fields: Fields) -> dict[str, Any] | None:
    if not fields:
        return None
    return {"why": fields.get("why", ""), **{name: _moment(fields.get(name)) for name in ("since", "calm_since")}}


def _windows(policy: Fields, now: int) -> list[dict[str, Any]]:
    """Tell each window: open until when, or when it opens next within the days that the policy was expanded for."""
    told = []
    for window in _list(policy.get("windows")):
        if not isinstance(window, dict):
            continue
        spans = [span for span in window.get("at") or () if isinstance(span, list) and len(span) == 2]  # noqa: PLR2004
        inside = next((span for span in spans if _number(span[0]) <= now < _number(span[1])), None)
        coming = next((span for span in sorted(spans) if _number(span[0]) > now), None)
        told.append({
            "name": str(window.get("name", "")),
            "kind": str(window.get("kind", "")),
            "open": inside is not None,
            "until": _until(inside[1], now) if inside else None,
            "next": _until(coming[0], now) if coming else None,
        })  # fmt: skip
    return told


def _dropped(lines: list[str], stop: Fields) -> dict[str, Any]:
    """Tell what was refused as older than the lift of a stop, the newest first."""
    lifted = _number(stop.get("lifted_at"))
    since = [one for line in lines if (one := _dict(line)) and _number(one.get("at")) >= lifted]
    return {
        "count": len(since),
        "newest": [
            {"at": _moment(one.get("at")), **{name: str(one.get(name, "")) for name in ("incident", "action", "scope")}}
            for one in since[:DROPPED]
        ],
    }


# Reading --------------------------------------------------------------------------------------------------------------


def _until(value: Any, now: int) -> dict[str, Any] | None:
    """Tell a moment that is still to come, with the seconds that are left; None when it has passed."""
    moment = _number(value)
    return {"at": _moment(moment), "left_s": -(-(moment - now) // 1000)} if moment > now else None


def _moment(value: Any) -> str:
    moment = _number(value)
    return clock.iso_ms(moment) if moment else ""


def _number(value: Any) -> int:
    try:
        return min(max(0, int(float(value or 0))), 250_000_000_000_000)  # beyond what can be shown as a moment
    except (TypeError, ValueError, OverflowError):
        return 0


def _json(text: Any) -> Any:
    try:
        return json.loads(text or "null")
    except (TypeError, ValueError, RecursionError):
        return None


def _list(text: Any) -> list[Any]:
    return found if isinstance(found := _json(text), list) else []


def _dict(text: Any) -> dict[str, Any]:
    return found if isinstance(found := _json(text), dict) else {}


def _pairs(flat: list[Any]) -> Iterable[tuple[str, str]]:
    """Members with their scores, as RESP2 gives them in one list and RESP3 in pairs."""
    if flat and isinstance(flat[0], list | tuple):
        return ((str(member), str(score)) for member, score in flat)
    return zip(map(str, flat[::2]), map(str, flat[1::2]), strict=True)
