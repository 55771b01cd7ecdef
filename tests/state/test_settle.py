import itertools

import pytest

from tests.state.world import COOLDOWN, HOUR, MINUTE, SCOPE, SOAK, sha1

PATIENCE, AGAIN = 8 * MINUTE, MINUTE
OTHER = "Deployment/shop/other"


def lease(world):
    return world.redis.hget(world.key("scope", sha1(SCOPE)), "lease")


def expected(*, known, healthy, worse, firing, heard, manual, patient):
    """The verdict in words: harm counts when it was seen, health only when AlertManager agrees."""
    if known and worse:
        return "harmful"
    if not known or not (heard or manual):
        return "unknown"
    if manual:
        return "verified" if healthy else "ineffective"
    if healthy and not firing:
        return "verified"
    return "waiting" if healthy and patient else "ineffective"


NAMES = ("known", "healthy", "worse", "firing", "heard", "manual", "patient")
CASES = [dict(zip(NAMES, values, strict=True)) for values in itertools.product((True, False), repeat=len(NAMES))]
CASES = [case for case in CASES if not (case["manual"] and case["firing"])]


def ids(case):
    return "-".join(name for name in NAMES if case[name]) or "nothing"


def soaked(world, case):
    """An attempt at the end of its soak; the incident, the attempt."""
    if case["heard"]:
        world.heartbeat()
    if case["manual"]:
        incident = world.person_runs()["incident"]
        grant = world.soaking(incident, admit={"manual": True, "approvers": ["ann"]})
    else:
        incident = world.opened("fp")
        grant = world.soaking(incident)
        if not case["firing"]:
            assert world.resolve("fp")["result"] == "quiet"
    if not case["patient"]:
        world.advance(PATIENCE)
        if case["heard"]:
            world.heartbeat()
    return incident, grant


class TestAVerdict:
    @pytest.mark.parametrize("case", CASES, ids=ids)
    def test_follows_from_what_was_seen_and_heard(self, world, case):
        incident, grant = soaked(world, case)
        said = world.verdict(grant, known=case["known"], healthy=case["healthy"], worse=case["worse"])
        verdict = expected(**case)

        assert said["verdict"] == verdict
        quiet = not case["firing"]
        after = world.incident(incident)
        assert (after["state"] == "closed") == (verdict not in ("waiting", "harmful") and quiet)
        assert (after["soak"] == grant) == (verdict == "waiting")
        assert world.due("soak") == ({grant: AGAIN} if verdict == "waiting" else {})
        assert world.due("revert") == ({grant: 0} if verdict == "harmful" else {})
        assert (lease(world) == grant) == (verdict in ("waiting", "harmful"))
        retried = verdict == "ineffective" and case["firing"]
        assert (incident in world.due("retry")) == retried
        assert bool(world.told(incident)) == (
            verdict in ("harmful", "unknown") or (case["manual"] and verdict != "verified")
        )
        if verdict != "waiting":
            assert world.attempt(grant)["verdict"] == verdict
            assert world.counter(f"verdicts_total|action=scale_deployment|verdict={verdict}") == 1
            assert verdict in world.words(incident)

    def test_is_given_once_for_an_event(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        cause = world.cause("verifier")
        first = world.verdict(grant, healthy=False, cause=cause)
        before = world.dump()
        assert world.verdict(grant, healthy=True, cause=cause) == {**first, "replay": True}
        assert world.dump() == before

    def test_is_given_once_for_an_attempt(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.verdict(grant, healthy=False)
        assert world.verdict(grant, healthy=True)["verdict"] == "ended"
        assert world.attempt(grant)["verdict"] == "ineffective"

    def test_of_an_attempt_without_an_incident_ends_its_soak(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.redis.hset(world.key("incident", incident), "soak", "grant-other")
        assert world.verdict(grant)["verdict"] == "ended"
        assert world.due("soak") == {}

    def test_of_nothing_known_is_none(self, world):
        assert world.verdict("grant-never")["verdict"] == "ended"

    def test_waits_no_longer_than_its_patience(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        finished = world.now
        for _ in range(9):
            world.heartbeat()
            said = world.verdict(grant)
            if said["verdict"] != "waiting":
                break
            world.advance(world.due("soak")[grant])
        assert said["verdict"] == "ineffective"
        assert world.now == finished + PATIENCE

    def test_hears_nothing_ten_minutes_after_the_last_heartbeat(self, world):
        world.heartbeat()
        world.advance(10 * MINUTE - SOAK)
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        world.advance(SOAK)
        assert world.verdict(grant)["verdict"] == "unknown"


class TestVerified:
    def test_is_told_only_where_a_ticket_exists(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.put(told={"incident": incident, "reasons": [], "ticket": "T-7", "state": "open"})
        world.resolve("fp")
        world.verdict(grant)
        assert world.told(incident) == ["verified: scale_deployment", f"closed: verified at {world.now}"]


class TestIneffective:
    def test_comes_back_when_the_cooldown_is_over(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.advance(SOAK)
        world.verdict(grant, healthy=False)
        assert world.due("retry") == {incident: COOLDOWN - SOAK}

    def test_for_the_last_time_is_a_persons(self, world):
        world.policy(attempts_per_day=1)
        world.heartbeat()
        incident = world.opened("fp")
        world.verdict(world.soaking(incident), healthy=False)
        assert world.due("retry") == {}
        assert world.told(incident) == ["attempts used up: 1 in 24 hours, still firing"]

    def test_on_a_quiet_incident_closes_without_a_next_remedy(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        world.verdict(grant, healthy=False)
        assert world.incident(incident)["closed_how"] == "resolved"
        assert world.due() == {}


class TestHarmful:
    def test_hands_the_lease_to_its_undo(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.verdict(grant, worse=True)
        assert world.incident(incident)["undo"] == grant
        assert lease(world) == grant
        assert world.admit(world.opened(family="two"))["check"] in ("cooldown", "lease")
        undo = world.undo(grant, incident)
        assert undo["decision"] == "approved"
        assert lease(world) == undo["grant"]

    def test_without_an_inverse_is_a_persons(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident, inverse=False)
        world.verdict(grant, worse=True)
        assert world.due("revert") == {}
        assert lease(world) is None
        assert world.told(incident)[-1] == "harmful: nobody can say whether scale_deployment helped"

    def test_after_the_incident_closed_is_taken_back_all_the_same(self, world):
        incident = world.opened("fp")
        grant = world.begun(incident)
        world.resolve("fp")
        for _ in range(4):
            world.advance(10 * MINUTE)
            world.claim()
        assert world.incident(incident)["state"] == "closed"
        world.finish(grant, inverse="{}", inverse_hash="h")
        world.verdict(grant, worse=True)
        assert world.due("revert") == {grant: 0}
        assert world.words(incident).count("closed") == 1

    def test_is_no_reason_when_nothing_could_be_seen(self, world):
        incident = world.opened("fp")
        assert world.verdict(world.soaking(incident), known=False, worse=True)["verdict"] == "unknown"
        assert world.due("revert") == {}


class TestALateVerdict:
    def test_about_a_closed_incident_neither_closes_it_again_nor_retries(self, world):
        incident = world.opened("fp")
        grant = world.begun(incident)
        world.resolve("fp")
        for _ in range(4):
            world.advance(10 * MINUTE)
            world.claim()
        world.finish(grant)
        world.heartbeat()
        assert world.verdict(grant, healthy=False)["verdict"] == "ineffective"
        assert world.due("retry") == {}
        assert world.words(incident).count("closed") == 1
        assert world.counter("incidents_closed_total|how=resolved") == 1


class TestAHold:
    @pytest.fixture
    def incident(self, world):
        return world.opened("fp")

    @pytest.fixture
    def hold(self, world, incident):
        return world.admit(incident, autonomy="approve")["hold"]

    def test_approved_comes_back_at_once_with_who_and_what(self, world, incident, hold):
        said = world.answer("approve", incident, hold)
        assert said["done"] is True
        assert world.due("hold") == {}
        assert world.due("retry") == {incident: 0}
        entry = world.entry("retry", incident)
        assert (entry["hold"], entry["approvers"], entry["approved_hash"]) == (hold, ["ann"], "hash-1")
        assert entry["params"] == '{"replicas":3}'
        assert world.audit(incident)[-1]["who"] == "ann"
        assert world.request(incident, hold=hold)["result"] == "triage"

    def test_denied_is_told_and_over(self, world, incident, hold):
        assert world.answer("deny", incident, hold) == {"done": True}
        assert world.due("hold") == world.due("retry") == {}
        assert world.incident(incident)["hold"] == ""
        assert world.told(incident)[-1] == "denied by ann: scale_deployment is not done"

    def test_expired_is_told_and_over(self, world, incident, hold):
        world.advance(HOUR)
        assert world.state.settle(world.cause("sweeper"), "expired", incident=incident, hold=hold) == {"done": True}
        assert world.due("hold") == {}
        assert world.incident(incident)["hold"] == ""
        assert world.told(incident)[-1] == "held and not answered in time: scale_deployment"

    @pytest.mark.parametrize("first", ["approve", "deny"])
    @pytest.mark.parametrize("second", ["approve", "deny", "expired"])
    def test_is_answered_once(self, world, incident, hold, first, second):
        world.answer(first, incident, hold)
        before = {name: held for name, held in world.dump().items() if ":inbox:" not in name}
        assert "no" in world.answer(second, incident, hold)
        assert {name: held for name, held in world.dump().items() if ":inbox:" not in name} == before

    def test_is_approved_until_its_deadline(self, world, incident, hold):
        world.advance(HOUR)
        assert world.answer("approve", incident, hold)["done"]

    def test_is_not_approved_after_it(self, world, incident, hold):
        world.advance(HOUR + 1)
        assert world.answer("approve", incident, hold)["no"] == "the hold has expired"
        assert world.due("retry") == {}

    @pytest.mark.usefixtures("hold")
    def test_of_another_name_is_not_answered(self, world, incident):
        assert "no" in world.answer("approve", incident, "hold-other")
        assert "no" in world.answer("approve", "inc-never", "hold-other")
        assert world.due("hold") == {incident: HOUR}

    def test_that_was_withdrawn_is_not_answered(self, world, incident, hold):
        world.resolve("fp")
        assert "no" in world.answer("approve", incident, hold)
        assert world.due("retry") == world.due("hold") == {}

    def test_held_anew_can_be_answered_anew(self, world, incident, hold):
        world.answer("approve", incident, hold)
        world.request(incident, hold=hold)
        again = world.admit(
            incident, autonomy="approve", plan_hash="hash-2", approvers=["ann"], approved_hash="hash-1"
        )["hold"]
        assert world.answer("deny", incident, again) == {"done": True}

    def test_denied_ends_a_persons_run(self, world):
        world.policy(hold=("*",))
        incident = world.person_runs(OTHER)["incident"]
        hold = world.admit(incident, scope=OTHER, manual=True)["hold"]
        world.answer("deny", incident, hold)
        assert world.incident(incident)["closed_how"] == "denied"


class TestAPersonsUndo:
    def ask(self, world, grant):
        return world.state.settle(world.cause("api"), "undo", attempt=grant, who="ann", reason="it was fine before")

    def test_puts_revert_now(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        assert self.ask(world, grant)["done"]
        assert world.due("revert") == {grant: 0}
        assert world.incident(incident)["undo"] == grant
        assert world.audit(incident)[-1]["reason"] == "it was fine before"

    def test_brings_a_temporary_changes_end_forward(self, world):
        grant = world.soaking(world.opened("fp"), admit={"until_in": HOUR})
        assert world.due("revert") == {grant: HOUR}
        self.ask(world, grant)
        assert world.due("revert") == {grant: 0}

    def test_twice_is_refused(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        self.ask(world, grant)
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.finish(undo)
        assert self.ask(world, grant)["no"] == f"already undone by {undo}"
        assert world.due("revert") == {}

    def test_of_an_undo_is_refused(self, world):
        incident = world.opened("fp")
        undo = world.undo(world.soaking(incident), incident)["grant"]
        world.begin(undo)
        world.finish(undo, inverse="{}", inverse_hash="h")
        assert "nothing to take back" in self.ask(world, undo)["no"]

    def test_of_what_has_not_ended_is_refused(self, world):
        incident = world.opened("fp")
        assert self.ask(world, "grant-never")["no"] == "no such finished attempt"
        grant = world.begun(incident)
        assert self.ask(world, grant)["no"] == "no such finished attempt"

    def test_after_the_incident_has_closed_works(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        world.verdict(grant)
        assert self.ask(world, grant)["done"]
        undo = world.undo(grant, incident)
        assert undo["decision"] == "approved"
        assert world.begin(undo)["go"]
        world.finish(undo)
        assert world.incident(incident)["undo"] == world.incident(incident)["attempt"] == ""

    def test_does_not_close_a_quiet_incident_under_it(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        self.ask(world, grant)
        world.verdict(grant, healthy=False)
        assert world.incident(incident)["state"] == "quiet"
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.finish(undo)
        assert world.incident(incident)["closed_how"] == "undone"


class TestAPersonsRun:
    def test_is_put_now_and_audited_under_its_own_name(self, world):
        said = world.state.settle(world.cause("api"), "run", run="run-1", who="ann", body='{"b":1}')
        assert said["done"] is True
        assert world.due("retry") == {"run-1": 0}
        assert world.entry("retry", "run-1")["body"] == '{"b":1}'
        assert world.audit("run-1")[-1]["who"] == "ann"
        assert world.counter("runs_total") == 1

    def test_with_a_word_that_nobody_knows_is_no(self, world):
        assert world.state.settle(world.cause("api"), "shout") == {"no": "unknown word"}
