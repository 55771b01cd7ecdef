"""What holds the machine back now, from the records that the checks read, with the time that is left."""

import json

import pytest

from shared import clock

MINUTE, HOUR = 60_000, 3_600_000
HERE = "{akeso}:default:default:"


class Records:
    """Writes into Redis what the transitions keep there."""

    def __init__(self, store):
        self._store = store
        self.now = clock.now_ms()

    def hash(self, key, **fields):
        flat = [part for name, value in fields.items() for part in (name.replace("__", ":"), str(value))]
        self._store.read("HSET", key, *flat)

    def policy(self, **fields):
        self.hash("{akeso}:policy", **fields)

    def scope(self, number, **fields):
        self.hash(f"{HERE}scope:{number:040x}", **fields)

    def grant(self, attempt, age, action="scale_deployment", namespace="shop", count=1):
        member = f"{attempt}|{action}|{namespace}|pod|{count}|"
        self._store.read("ZADD", HERE + "rate", self.now - age, member)

    def push(self, key, *records):
        self._store.read(
            "RPUSH", key, *(record if isinstance(record, str) else json.dumps(record) for record in records)
        )


@pytest.fixture
def kept(world):
    return Records(world.here.state.store)


@pytest.fixture
def seen(world):
    return lambda: world.ok("GET", "v1/guard")


@pytest.fixture
def place(seen):
    def place():
        (one,) = [one for one in seen()["places"] if one["tenant"] == "default"]
        return one

    return place


def budget(place, name, of=""):
    (one,) = [one for one in place["budgets"] if (one["budget"], one["of"]) == (name, of)]
    return one


class TestStops:
    def test_the_mode_and_every_scoped_stop(self, kept, seen):
        kept.hash("{akeso}:stop", **{
            "mode": "run", "namespace.shop": "stop: bad deploy", "action.restart_pod": "freeze", "tenant.acme": "maybe",
            "other": "stop",
        })  # fmt: skip
        assert seen()["stop"]["scopes"] == [
            {"scope": "action.restart_pod", "mode": "freeze", "reason": ""},
            {"scope": "namespace.shop", "mode": "stop", "reason": "bad deploy"},
            {"scope": "tenant.acme", "mode": "freeze", "reason": ""},
        ]

    def test_an_embargo_with_its_time(self, kept, seen):
        kept.hash("{akeso}:epoch", embargo_until=kept.now + 5 * MINUTE)
        assert 290 <= seen()["embargo"]["left_s"] <= 300
        kept.hash("{akeso}:epoch", embargo_until=kept.now - 1)
        assert seen()["embargo"] is None

    def test_what_was_dropped_since_the_lift(self, kept, place):
        kept.hash("{akeso}:stop", lifted_at=kept.now - HOUR)
        dropped = [
            {"at": kept.now - age, "incident": f"inc-{age}", "action": "a", "scope": "s"} for age in (1, 2, 2 * HOUR)
        ]
        kept.push(HERE + "dropped", *dropped, "{", "[]")
        assert place()["dropped"]["count"] == 2
        assert [one["incident"] for one in place()["dropped"]["newest"]] == ["inc-1", "inc-2"]

    def test_a_storm(self, kept, place):
        assert place()["storm"] is None
        kept.hash(HERE + "storm", since=kept.now, why="21 new incidents in 5 minutes")
        assert place()["storm"] == {
            "why": "21 new incidents in 5 minutes", "since": clock.iso_ms(kept.now), "calm_since": "",
        }  # fmt: skip


class TestBudgets:
    def test_used_against_the_limit_in_each_span(self, kept, place):
        kept.policy(rate_minute=2, rate_hour=100, rate_action=20, rate_namespace=30)
        kept.grant("g1", 30_000)
        kept.grant("g2", 10 * MINUTE, action="restart_pod", namespace="web")
        kept.grant("g3", 2 * HOUR)
        said = place()
        assert budget(said, "rate-minute") == {
            "budget": "rate-minute", "of": "", "used": 1, "limit": 2, "room": None, "full": False,
        }  # fmt: skip
        assert budget(said, "rate-hour")["used"] == 2
        assert [budget(said, "rate-action", of)["used"] for of in ("restart_pod", "scale_deployment")] == [1, 1]
        assert [budget(said, "rate-namespace", of)["limit"] for of in ("shop", "web")] == [30, 30]

    @pytest.mark.parametrize(("limit", "leaves"), [(3, 50_000), (2, 40_000), (1, 10_000)])
    def test_one_that_is_used_up_says_when_there_is_room(self, kept, place, limit, leaves):
        kept.policy(rate_minute=limit)
        for number, age in enumerate((50_000, 40_000, 10_000)):
            kept.grant(f"g{number}", age)
        said = budget(place(), "rate-minute")
        assert said["full"] is True
        assert said["room"]["at"] == clock.iso_ms(kept.now - leaves + MINUTE)

    @pytest.mark.parametrize("used", [0, 1])
    def test_one_of_zero_never_has_room(self, kept, place, used):
        kept.policy(rate_minute=0)
        for number in range(used):
            kept.grant(f"g{number}", 10)
        assert budget(place(), "rate-minute") | {"used": 0} == {
            "budget": "rate-minute", "of": "", "used": 0, "limit": 0, "room": None, "full": True,
        }  # fmt: skip

    def test_what_was_touched_counts_by_things(self, kept, place):
        kept.policy(blast_ms=2 * HOUR, blast_most=20)
        kept.grant("g1", 90 * MINUTE, count=12)
        kept.grant("g2", 30 * MINUTE, count=8)
        said = budget(place(), "blast-most")
        assert (said["used"], said["room"]["at"]) == (20, clock.iso_ms(kept.now - 90 * MINUTE + 2 * HOUR))

    def test_what_runs_now_and_not_what_ended(self, kept, place):
        kept.policy(concurrency=1, concurrency_action=2)
        kept.hash(HERE + "live", g1=f"{kept.now + MINUTE}|1|restart_pod|shop|scope||Deployment/shop/web",
                  g2=f"{kept.now - 1}|1|restart_pod|shop|scope||Deployment/shop/old", g3="odd",
                  g4=f"{kept.now + MINUTE}|0|restart_pod|shop|scope||Deployment/shop/soaks")  # fmt: skip
        said = place()
        assert [(one["attempt"], one["running"], one["scope"]) for one in said["leases"]] == [
            ("g1", True, "Deployment/shop/web"), ("g4", False, "Deployment/shop/soaks"),
        ]  # fmt: skip
        assert budget(said, "concurrency")["full"] is True
        assert budget(said, "concurrency-action", "restart_pod")["used"] == 1

    @pytest.mark.parametrize("field", ["concurrency", "blast_most", "rate_action", "rate_namespace"])
    def test_a_limit_that_the_policy_does_not_set_is_not_shown(self, world, kept, place, field):
        world.here.state.store.read("DEL", "{akeso}:policy")
        kept.grant("g1", 10)
        names = {one["budget"].replace("-", "_") for one in place()["budgets"]}
        assert field not in names


class TestBreakers:
    def test_closed_open_and_half_open_with_their_time(self, kept, place):
        kept.policy(breaker_failures=5, breaker_window=HOUR)
        fails = json.dumps([kept.now - 2 * HOUR, kept.now - 10, kept.now - 5])
        kept.hash(HERE + "breaker:a:Deployment", state="closed", fails=fails)
        kept.hash(HERE + "breaker:b:Node", state="open", open_until=kept.now + 10 * MINUTE, fails="[]")
        kept.hash(
            HERE + "breaker:c:Pod", state="open", open_until=kept.now - 1, probe="g9", probe_until=kept.now + MINUTE
        )
        kept.hash(HERE + "breaker:d:Pod", state="open", open_until=kept.now - 1, probe="g8", probe_until=kept.now - 1)
        closed, opened, probing, dead = place()["breakers"]
        assert (closed["state"], closed["fails"], closed["limit"], closed["open"]) == ("closed", 2, 5, None)
        assert (opened["action"], opened["kind"], opened["state"]) == ("b", "Node", "open")
        assert 590 <= opened["open"]["left_s"] <= 600
        assert (probing["state"], probing["probe"], probing["open"]) == ("half-open", "g9", None)
        assert (dead["state"], dead["probe"], dead["probe_until"]) == ("half-open", "", None)


class TestScopes:
    def test_leases_cooldowns_and_back_offs_that_have_time_left(self, kept, place):
        soon, past = kept.now + MINUTE, kept.now - 1
        kept.scope(1, name="Deployment/shop/a", lease="g1", lease_until=soon, cooldown_until=past, fails=0)
        kept.scope(2, name="Deployment/shop/b", cooldown_until=soon, backoff_until=soon, fails=3)
        kept.scope(3, name="Deployment/shop/c", lease="g2", lease_until=past, cooldown_until=past, backoff_until=past)
        before = clock.now_ms()
        one, other = place()["scopes"]
        after = clock.now_ms()
        assert (one["scope"], one["lease"], one["cooldown"], one["backoff"]) == ("Deployment/shop/a", "g1", None, None)
        assert (other["lease"], other["fails"]) == ("", 3)
        assert (soon - after) / 1000 <= other["backoff"]["left_s"] <= (soon - before) / 1000 + 1

    @pytest.mark.parametrize(
        ("record", "earned"),
        [({"row": 5, "n": 20, "bad": 2}, True), ({"row": 4, "n": 20, "bad": 0}, False),
         ({"row": 5, "n": 20, "bad": 3}, False), ({}, False), ("{", False), ({"row": "many"}, False)],
        ids=range(6),
    )  # fmt: skip
    def test_a_demotion_and_whether_it_has_earned_its_way_back(self, kept, place, record, earned):
        kept.policy(promote_after=5, promote_false=10)
        text = record if isinstance(record, str) else json.dumps(record)
        kept.scope(1, name="Deployment/shop/a", cap__restart_pod="approve", record__restart_pod=text)
        ((rung,),) = [one["ladder"] for one in place()["scopes"]]
        assert (rung["action"], rung["cap"]) == ("restart_pod", "approve")
        assert rung["promote"] == ("akeso promote restart_pod Deployment/shop/a --reason ..." if earned else "")

    def test_is_bounded(self, kept, seen):
        for number in range(700):
            kept.scope(number, name=f"Deployment/shop/{number}", cooldown_until=kept.now + HOUR)
        said = seen()
        (one,) = said["places"]
        assert (len(one["scopes"]), one["scopes_omitted"], said["more"]) == (200, 300, True)


class TestWindows:
    def test_open_and_coming_ones(self, kept, seen):
        now = kept.now
        kept.policy(windows_until=now + HOUR, windows=json.dumps([
            {"name": "night", "kind": "maintenance",
             "at": [[now - HOUR, now + HOUR], [now + 9 * HOUR, now + 11 * HOUR]]},
            {"name": "sale", "kind": "freeze", "at": [[now + 2 * HOUR, now + 3 * HOUR]]},
            {"name": "over", "kind": "freeze", "at": [[now - 3 * HOUR, now - 2 * HOUR], "odd", [1]]},
            "odd",
        ]))  # fmt: skip
        night, sale, over = seen()["windows"]
        assert (night["open"], sale["open"], over["open"], over["next"]) == (True, False, False, None)
        assert 3_590 <= night["until"]["left_s"] <= 3_600
        assert 7_190 <= sale["next"]["left_s"] <= 7_200


class TestReading:
    def test_moves_nothing(self, world, kept, seen):
        kept.grant("g1", 10)
        kept.scope(1, name="x", cooldown_until=kept.now + HOUR)
        before = world.keys()
        seen()
        assert world.keys() == before

    def test_other_tenants_are_shown_apart(self, kept, seen):
        kept.hash("{akeso}:acme:east:breaker:a:Pod", state="open", open_until=kept.now + HOUR)
        assert [(one["tenant"], len(one["breakers"])) for one in seen()["places"]] == [("acme", 1), ("default", 0)]

    @pytest.mark.parametrize("text", ["", "{", "x", "-1", "1e999", "nan", "9" * 400, "[" * 5_000])
    def test_records_that_cannot_be_read_are_no_fault(self, kept, seen, text):
        kept.policy(windows=text, rate_minute=text, breaker_window=text, promote_after=text, blast_ms=text)
        kept.hash(HERE + "breaker:a:Pod", state=text or "x", open_until=text, fails=text, probe_until=text)
        kept.scope(1, name="a", lease="g", lease_until=text, cap__a="approve", record__a=text)
        kept.hash("{akeso}:stop", lifted_at=text)
        kept.grant("g1", 10, count=text)
        assert len(seen()["places"]) == 1
