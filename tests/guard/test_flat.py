import json
from fnmatch import fnmatchcase

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import clock
from shared.guard.flat import flat
from shared.guard.policy import Policy
from shared.guard.policy_read import read
from shared.guard.windows import AHEAD_DAYS

NOW = clock.parse_ms("2026-11-26T12:00:00Z")
DAY = 86_400_000
RULES = """
rules:
- {name: never in payments, namespaces: [pay-*], autonomy: "off"}
- {name: nodes by two, actions: [drain_node], kinds: [Node], severities: [crit*], autonomy: approve, approvers: 2}
- {name: few, namespaces: [lab], most_replicas: 4, least_replicas: 0}
- {name: free, autonomy: auto}
"""
WINDOWS = """
windows:
- {name: nights, kind: maintenance, actions: [drain_node], from: 22:00, to: 06:00}
- {name: mondays, kind: freeze, namespaces: ["*"], days: [mon]}
- {name: past, kind: maintenance, start: 2026-01-01, end: 2026-01-02}
"""


def made(text: str = "", now: int = NOW) -> dict[str, str | int]:
    return flat(read(text), "r1", now)


class TestTheFields:
    def test_are_promised_with_their_defaults(self):
        fields = made()

        assert {name: value for name, value in fields.items() if name != "protected"} == {
            "revision": "r1", "protected_objects": "[]", "hold": "[]", "approval_ms": 3_600_000, "attempts": 3,
            "rate_minute": 10, "rate_hour": 100, "rate_action": 20, "rate_namespace": 30, "min_cooldown": 0,
            "storm_new": 20, "storm_window": 300_000, "storm_failing": 30, "person_ms": 900_000,
            "oscillation_ms": 21_600_000, "repeats": 3, "resource_changes": 4, "resource_ms": 7_200_000,
            "concurrency": 3, "concurrency_action": 2, "blast_ms": 600_000, "blast_workload": 50,
            "blast_namespace": 30, "blast_pool": 20, "blast_nodes": 10, "blast_most": 20, "breaker_failures": 5,
            "breaker_window": 3_600_000, "breaker_open": 1_800_000, "backoff_base": 60_000, "backoff_max": 3_600_000,
            "risk_approve": 60, "risk_refuse": 90, "promote_after": 5, "promote_false": 10, "demote_after": 1,
        }  # fmt: skip
        assert "^kube%-system$" in json.loads(str(fields["protected"]))

    @pytest.mark.parametrize("name", sorted(Policy.model_fields))
    def test_leave_nothing_out_that_a_policy_says(self, name):
        other = {
            "protected_namespaces": "[a]", "protected_objects": "[Node/a]", "hold": "['*']",
            "rules": "[{name: r, autonomy: auto}]", "windows": "[{name: w, kind: freeze, days: [mon]}]",
            "working_hours": "{days: [mon]}", "storm_window_s": "61", "backoff_max_s": "61",
        }.get(name, "7")  # fmt: skip
        fields = made(f"{name}: {other}")

        assert fields != made()

    def test_without_rules_windows_and_hours_say_nothing_of_them(self):
        assert not {"rules", "windows", "windows_until", "hours"} & set(made())


class TestRules:
    def test_are_patterns_and_a_cap(self):
        assert json.loads(str(made(RULES)["rules"])) == [
            {"n": ["^pay%-.*$"], "autonomy": "off", "text": "never in payments"},
            {
                "a": ["^drain%_node$"], "k": ["^Node$"], "s": ["^crit.*$"], "autonomy": "approve", "approvers": 2,
                "text": "nodes by two",
            },
            {"n": ["^lab$"], "most": 4, "least": 0, "text": "few", "on": True},
            {"text": "free"},
        ]  # fmt: skip


class TestWindows:
    def test_are_intervals_and_how_far_they_reach(self):
        fields = made(WINDOWS)
        nights, mondays, past = json.loads(str(fields["windows"]))

        assert (nights["name"], nights["kind"], nights["a"], "n" in nights) == (
            "nights", "maintenance", ["^drain%_node$"], False,
        )  # fmt: skip
        assert len(nights["at"]) == AHEAD_DAYS
        assert mondays["at"] == [[clock.parse_ms("2026-11-30T00:00:00Z"), clock.parse_ms("2026-12-01T00:00:00Z")]]
        assert fields["windows_until"] == str(NOW + AHEAD_DAYS * DAY)
        assert past["at"] == []  # still there: outside of it nothing is done

    def test_a_freeze_lasts_through_an_hour_that_occurs_twice_and_a_permission_does_not(self):
        hour = "from: 02:00, to: 02:30, timezone: Europe/Berlin"
        text = f"windows: [{{name: a, kind: freeze, {hour}}}, {{name: b, kind: maintenance, {hour}}}]"
        freeze, maintenance = json.loads(str(made(text, clock.parse_ms("2026-10-24T23:00:00Z"))["windows"]))

        assert [end - start for start, end in (freeze["at"][0], maintenance["at"][0])] == [90 * 60_000, 30 * 60_000]

    def test_move_on_with_the_time_while_the_policy_stays(self):
        early, late = made(WINDOWS), made(WINDOWS, NOW + DAY)

        assert early["revision"] == late["revision"]
        assert int(late["windows_until"]) - int(early["windows_until"]) == DAY
        assert late["windows"] != early["windows"]

    def test_without_a_time_begin_with_the_clocks_now(self, sim):
        sim.jump(NOW)

        assert flat(read(WINDOWS), "r1") == made(WINDOWS)

    def test_working_hours_are_intervals_as_well(self):
        hours = json.loads(str(made("working_hours: {days: [fri], from: 09:00, to: 17:00}")["hours"]))

        assert hours[0] == [clock.parse_ms("2026-11-27T09:00:00Z"), clock.parse_ms("2026-11-27T17:00:00Z")]


class TestPatterns:
    """A glob means in Lua what it means to the person who wrote it."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.from_regex(r"[a-z0-9*]([a-z0-9.*-]{0,9}[a-z0-9*])?", fullmatch=True), st.text("ab-.09/", max_size=12))
    def test_fit_the_same_names(self, redis_server, glob, name):
        if glob.count("*") > 3:
            return
        key = f"Node/{glob}"
        (pattern,) = json.loads(str(made(f"protected_objects: ['{key}']")["protected_objects"]))
        with redis.Redis.from_url(redis_server.url) as connection:
            for tried in (f"Node/{name}", key.replace("*", name), key):
                fits = connection.eval("return string.match(ARGV[1], ARGV[2]) and 1 or 0", 0, tried, pattern)
                assert bool(fits) == fnmatchcase(tried, key), (tried, pattern)
