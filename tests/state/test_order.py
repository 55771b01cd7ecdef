import json
import re
from pathlib import Path

import pytest

from shared.state import client
from tests.state.checks import CHECKS, SAYS, TELLING_IS_BOUND_BY, UNDO_IS_BOUND_BY, WITH_A_TIME, spoil
from tests.state.world import FAMILY, MINUTE, SCOPE, World, sha1

NUMBERS = ("limit", "used")


def spoilt_from(world: World, incident: str, check: str) -> dict:
    """That check fails, and every later one, too."""
    asked = {}
    for later in reversed(CHECKS[CHECKS.index(check) :]):
        spoil(world, incident, later, asked)
    return asked


class TestTheOrderOfChecks:
    def test_is_the_one_of_the_scripts(self):
        text = (Path(client.__file__).parent / "lua" / "checks.lua").read_text()
        assert ("freeze", *re.findall(r"^  \{ name = '([a-z-]+)'", text, re.MULTILINE)) == CHECKS

    @pytest.mark.parametrize("check", CHECKS)
    def test_the_first_that_fails_is_named_and_consumes_nothing(self, world, check):
        world.policy(hold=("*",))
        incident = world.opened()
        asked = spoilt_from(world, incident, check)
        before = world.budget()

        answer = world.admit(incident, **asked)

        assert answer.get("check", "approval") == check
        assert answer["decision"] == ("held" if check == "approval" else "denied")
        assert world.budget() == before
        assert bool(answer.get("retry_at")) == (check in WITH_A_TIME)

    @pytest.mark.parametrize("check", CHECKS)
    def test_each_alone_refuses_and_says_limit_use_and_when_again(self, world, check):
        incident = world.opened()
        asked = {}
        spoil(world, incident, check, asked)
        answer = world.admit(incident, dry=True, **asked)
        limit, used, wait = SAYS[check]
        assert answer["check"] == check
        assert tuple(answer.get(name) for name in NUMBERS) == (limit, used)
        assert answer["retry_at"] == (world.now + wait - (wait == 1) if wait else 0)

    @pytest.mark.parametrize("check", CHECKS)
    def test_an_undo_is_bound_by_few(self, world, check):
        incident = world.opened()
        grant = world.soaking(incident)
        asked = {}
        spoil(world, incident, check, asked)
        answer = world.undo(grant, incident, **asked)
        if check in UNDO_IS_BOUND_BY:
            assert (answer["decision"], answer["check"]) == ("denied", check)
        else:
            assert answer["decision"] == "approved"

    @pytest.mark.parametrize("check", CHECKS)
    def test_what_only_tells_is_bound_by_fewer(self, world, check):
        incident = world.opened()
        asked = {"kind": "none", "action": "notify_only"}
        spoil(world, incident, check, asked)
        before = world.budget()
        answer = world.admit(incident, **asked)
        if check in TELLING_IS_BOUND_BY:
            assert (answer["decision"], answer["check"]) == ("denied", check)
        else:
            assert answer["decision"] == "approved"
        assert world.budget() == before


class TestNames:
    STRANGE = (
        "Deployment/shop/" + "a" * 253, "Deployment/shop/a.b-c.0", "alert/0f3a", "Deployment/shop/a|b|1|pod",
        "Deployment/shop/\"quoted\" 'twice'", "Deployment/shop/größe-\N{SNOWMAN}", "Deployment/shop/%d%s[a-z]*^$",
        "Deployment/shop/line\nbreak", "Deployment/shop/{akeso}:x", "|", "/",
    )  # fmt: skip

    @pytest.mark.parametrize("scope", STRANGE)
    def test_of_any_kind_have_their_own_lease_budget_and_record(self, world, scope):
        near = scope + "x"
        grant = world.begun(world.opened(scope=scope), scope=scope)
        other = world.opened(scope=scope, family="other")
        assert world.admit(other, scope=scope)["check"] == "lease"
        assert world.begun(world.opened(scope=near), scope=near)
        # Whoever wants the whole namespace sees both.
        wide = world.admit(world.opened(), width="namespace")
        assert wide["check"] == "lease"
        world.finish(grant, "failed")
        assert world.admit(other, scope=scope)["check"] == "cooldown"
        assert len(world.redis.hkeys(world.key("live"))) == 1
        assert json.loads(world.redis.hget(world.key("scope", sha1(scope)), "history"))[0]["v"] == "failed"

    @pytest.mark.parametrize("field", ["namespace", "action", "pool"])
    def test_with_a_bar_cannot_hide_what_was_spent(self, world, field):
        touches = {"unit": "pod", "count": 1, "population": 9, "pool": "", "pool_population": 0}
        asked = {"namespace": "shop|x|pod|0", "action": "scale|shop", "pool": "a|b"}
        more = {"touches": {**touches, "pool": asked[field]}} if field == "pool" else {field: asked[field]}
        answer = world.admit(world.opened(), **{"touches": touches, **more})
        assert (answer["decision"], answer["check"]) == ("denied", "scope")


class TestADryQuestion:
    @pytest.mark.parametrize("check", ["", *CHECKS])
    def test_gets_the_same_answer_and_changes_nothing(self, world, check):
        incident = world.opened()
        asked = {}
        if check:
            spoil(world, incident, check, asked)
        before = world.dump()
        dry = world.admit(incident, dry=True, **asked)
        assert world.dump() == before
        real = world.admit(incident, **asked)
        assert dry["decision"] == real["decision"]
        assert dry.get("retry_at", 0) == real.get("retry_at", 0)
        assert dry["risk"] == real["risk"]
        if check == "approval":
            assert (dry["check"], dry["limit"], dry["used"]) == ("approval", real["needs"], 0)
        else:
            assert [dry.get(name) for name in ("check", *NUMBERS)] == [real.get(name) for name in ("check", *NUMBERS)]

    @pytest.mark.parametrize("check", CHECKS)
    def test_shows_every_check_in_its_order_whatever_the_first_says(self, world, check):
        world.policy(hold=("*",))
        incident = world.opened()
        asked = spoilt_from(world, incident, check)
        seen = world.admit(incident, dry=True, **asked)["checks"]
        names = [one["check"] for one in seen]
        assert names == [name for name in CHECKS if name in names], "out of order"
        refused = [one["check"] for one in seen if not one["ok"]]
        unit = {"pod", "node"} - {asked.get("touches", {}).get("unit", "")}
        others = {"pod": {"blast-workload", "blast-namespace"}, "node": {"blast-pool", "blast-nodes"}}
        # Autonomy has one value at a time, a stop one mode, and what is disturbed one unit.
        one_of = {"autonomy", "suggest", "approval", "observe", "stop"}.union(*(others[name] for name in unit))
        assert set(CHECKS[CHECKS.index(check) :]) - set(refused) <= one_of - {check}
        assert refused[0] == check
        for one in seen:
            assert one["ok"] or (one["retry_at"] > 0) == (one["check"] in WITH_A_TIME), one

    def test_shows_what_is_left_of_every_budget_when_all_is_well(self, world):
        world.granted(world.opened())
        world.advance(MINUTE)
        other = "Deployment/shop/other"
        seen = world.admit(world.opened(scope=other), scope=other, dry=True)["checks"]
        assert all(one["ok"] and "retry_at" not in one for one in seen)
        used = {one["check"]: (one["limit"], one["used"]) for one in seen if {"limit", "used"} <= one.keys()}
        assert used == {
            "stale": (2 * MINUTE, 0), "repeats": (16, 0), "lease": (1, 0), "attempts": (3, 0), "concurrency": (100, 1),
            "concurrency-action": (100, 1), "rate-minute": (10, 0), "rate-hour": (100, 1), "rate-action": (20, 1),
            "rate-namespace": (30, 1), "breaker": (5, 0), "risk": (90, 0),
        }  # fmt: skip

    def test_may_be_about_an_incident_that_does_not_exist(self, world):
        assert world.admit("", dry=True, family=FAMILY)["decision"] == "approved"
        spoil(world, "", "attempts", {})
        assert world.admit("", dry=True, family=FAMILY)["check"] == "attempts"
        assert world.admit("", dry=True, family="other")["decision"] == "approved"
        assert world.admit("")["check"] == "incident"

    def test_is_not_kept_as_the_events_answer(self, world):
        incident = world.opened()
        cause = world.cause("guard")
        world.admit(incident, cause=cause, dry=True)
        assert "replay" not in world.admit(incident, cause=cause)


class TestAReplay:
    """The same event gets its first decision, whatever has become of the world, and moves nothing."""

    @pytest.mark.parametrize("first", ["approved", "held", "denied"])
    @pytest.mark.parametrize("since", ["nothing", "begun", "ended", "policy", "stop", "another", "later"])
    def test_returns_the_first_decision_and_changes_nothing(self, world, first, since):
        incident = world.opened()
        cause = world.cause("guard")
        asked = {"autonomy": "approve"} if first == "held" else {"taken_at": 0} if first == "denied" else {}
        answer = world.admit(incident, cause=cause, **asked)
        assert answer["decision"] == first
        match since:
            case "begun" if first == "approved":
                world.begin(answer)
            case "ended" if first == "approved":
                world.begin(answer)
                world.finish(answer, "failed")
            case "policy":
                world.policy(attempts_per_day=1, hold=("*",))
            case "stop":
                world.stop("freeze")
            case "another":
                world.admit(incident)
            case "later":
                world.advance(25 * 60 * MINUTE)
        before = world.dump()
        assert world.admit(incident, cause=cause, **asked) == {**answer, "replay": True}
        assert world.dump() == before

    def test_of_an_approval_that_was_given_admits_once(self, world):
        incident = world.opened()
        hold = world.admit(incident, autonomy="approve")["hold"]
        world.answer("approve", incident, hold)
        world.request(incident, hold=hold)
        cause = world.cause("guard")
        yes = {"autonomy": "approve", "approvers": ["ann"], "approved_hash": "hash-1", "cause": cause}
        first = world.admit(incident, **yes)
        assert first["decision"] == "approved"
        before = world.dump()
        assert world.admit(incident, **yes) == {**first, "replay": True}
        assert world.admit(incident, **{**yes, "scope": SCOPE, "plan_hash": "hash-2"}) == {**first, "replay": True}
        assert world.dump() == before
