"""`akeso guard`: what holds the machine back now, and for how long."""

from collections.abc import Iterable
from typing import Any

from shared.cli import _ask, _out


def command(*, as_json: _out.Json = False) -> None:
    """Show stops, windows, budgets, breakers, leases, cooldowns and trust, with the time that is left."""
    said = _ask.get("v1/guard")
    if as_json:
        _out.show_json(said)
        return
    stop = said["stop"]
    why = ", ".join(part for part in (stop["reason"], stop["by"]) if part)
    _out.facts(
        [
            ("mode", stop["mode"] + (f" ({why})" if stop["mode"] != "run" and why else "")),
            ("policy", said["policy"]),
            ("embargo", _left(said["embargo"])),
            *((f"{one['mode']} of", f"{one['scope']} {one['reason']}".strip()) for one in stop["scopes"]),
            *((one["kind"], f"{one['name']}: {_window(one)}") for one in said["windows"]),
        ]
    )
    for place in said["places"]:
        _out.say("", f"{place['tenant']}/{place['cluster']}")
        _place(place)
    if said["more"]:
        _out.say("", "there may be more")


def _place(place: dict[str, Any]) -> None:
    storm, dropped = place["storm"], place["dropped"]
    lifted = [f"{one['action']} at {one['scope']} ({one['incident']})" for one in dropped["newest"]]
    _out.facts(
        [
            ("storm", f"since {storm['since']}: {storm['why']}" if storm else ""),
            ("dropped", f"{dropped['count']} from before the stop was lifted: {', '.join(lifted)}" if lifted else ""),
        ]
    )
    _rows(
        ("BUDGET", "OF", "USED", "ROOM"),
        ((one["budget"], one["of"], f"{one['used']} of {one['limit']}", _room(one)) for one in place["budgets"]),
    )
    _rows(
        ("BREAKER", "KIND", "STATE", "FAILURES", "LEFT", "PROBE"),
        (
            (
                one["action"], one["kind"], one["state"], f"{one['fails']} of {one['limit']}", _left(one["open"]),
                f"{one['probe']} {_left(one['probe_until'])}".strip(),
            )
            for one in place["breakers"]
        ),
    )  # fmt: skip
    _rows(
        ("LEASE OF", "SCOPE", "WIDTH", "NOW", "ATTEMPT", "LEFT"),
        (
            (
                one["action"], one["scope"], one["width"], "runs" if one["running"] else "is looked at after it",
                one["attempt"], _left(one["until"]),
            )
            for one in place["leases"]
        ),
    )  # fmt: skip
    _rows(
        ("SCOPE", "COOLDOWN", "BACK-OFF"),
        (
            (one["scope"], _left(one["cooldown"]), _left(one["backoff"]))
            for one in place["scopes"]
            if one["cooldown"] or one["backoff"]
        ),
    )
    rungs = [(one["scope"], rung) for one in place["scopes"] for rung in one["ladder"]]
    _rows(
        ("DEMOTED", "SCOPE", "TO", "VERIFIED SINCE", "BAD"),
        (
            (rung["action"], scope, rung["cap"], rung["verified_in_a_row"], f"{rung['bad']} of {rung['judged']}")
            for scope, rung in rungs
        ),
    )
    _out.say(*(f"has earned it: {rung['promote']}" for _, rung in rungs if rung["promote"]))


def _rows(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    if made := list(rows):
        _out.table(head, made)


def _room(budget: dict[str, Any]) -> str:
    if not budget["full"]:
        return "now"
    return f"in {_left(budget['room'])}" if budget["room"] else "when one ends" if budget["limit"] else "never"


def _window(window: dict[str, Any]) -> str:
    if window["open"]:
        return f"open for {_left(window['until'])}"
    return f"opens in {_left(window['next'])}" if window["next"] else "does not open in the days to come"


def _left(moment: dict[str, Any] | None) -> str:
    return _out.span(moment["left_s"]) if moment else ""
