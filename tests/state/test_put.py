import pytest

from tests.state.world import HOUR, MINUTE, SECOND

LEASE = 30 * SECOND


class TestAnAnswer:
    def test_first_stored_wins(self, world):
        cause = world.cause("router")
        assert world.put(cause=cause, answer="first") == {"answer": "first"}
        assert world.put(cause=cause, answer="second") == {"answer": "first", "replay": True}
        assert world.state.inbox(cause) == "first"

    def test_is_of_one_function_source_and_event(self, world):
        cause = world.cause("router")
        world.put(cause=cause, answer="first")
        for other in (cause._replace(fn="guard"), cause._replace(source="/x"), cause._replace(id="other")):
            assert world.state.inbox(other) is None
            assert world.put(cause=other, answer="own") == {"answer": "own"}

    def test_stands_beside_the_result_of_the_transition(self, world):
        cause = world.cause("triage")
        first = world.fire("fp", cause=cause, ledger="l")
        world.put(cause=cause, answer="said")
        assert world.fire("fp", cause=cause, ledger="l") == {**first, "replay": True}
        assert world.state.inbox(cause) == "said"

    def test_may_be_empty(self, world):
        cause = world.cause("router")
        assert world.put(cause=cause, answer="") == {"answer": ""}
        assert world.state.inbox(cause) == ""


class TestAStage:
    def test_moves_to_the_next_function_with_its_own_time(self, world):
        incident = world.opened()
        world.advance(MINUTE)
        world.put("triage", answer="a", incident=incident, stage="router")
        assert world.due("stage") == {incident: 3 * MINUTE}
        assert world.entry("stage", incident)["stage"] == "router"

    def test_does_not_move_for_a_repetition(self, world):
        incident = world.opened()
        cause = world.cause("triage")
        world.put(cause=cause, answer="a", incident=incident, stage="router")
        world.advance(MINUTE)
        world.put(cause=cause, answer="a", incident=incident, stage="guard")
        assert world.due("stage") == {incident: 2 * MINUTE}

    def test_that_was_left_does_not_come_back(self, world):
        incident = world.opened()
        world.admit(incident)
        world.put("router", answer="late", incident=incident, stage="guard")
        assert world.due("stage") == {}

    def test_ends_with_an_empty_name(self, world):
        incident = world.opened()
        world.put("router", answer="a", incident=incident, stage="")
        assert world.due("stage") == {}
        assert world.request(incident)["result"] == "triage"


class TestSuppressed:
    def test_is_counted_and_audited_once_and_makes_no_ticket(self, world):
        incident = world.opened()
        cause = world.cause("triage-off")
        for _ in range(2):
            world.put(cause=cause, answer="", incident=incident, suppressed="autonomy is off")
        assert world.counter("suppressed_total") == 1
        assert world.words(incident).count("suppressed") == 1
        assert world.told(incident) == []


class TestTelling:
    def ask(self, world, incident, reason="", cause=None):
        telling = {"incident": incident, "reason": reason, "lease": LEASE}
        return world.put(cause=cause or world.cause("escalate"), telling=telling)

    @pytest.fixture
    def incident(self, world):
        incident = world.opened()
        world.admit(incident, namespace="kube-system")
        return incident

    def test_gives_one_deliverer_all_that_waits(self, world, incident):
        (waiting,) = world.told(incident)
        said = self.ask(world, incident, "another")
        assert said["tell"] == "go"
        assert sorted(said["reasons"]) == sorted([waiting, "another"])
        assert said["ticket"] == ""
        assert self.ask(world, incident) == {"tell": "busy", "ticket": ""}

    def test_is_free_again_when_the_deliverer_died(self, world, incident):
        self.ask(world, incident)
        world.advance(LEASE - 1)
        assert self.ask(world, incident)["tell"] == "busy"
        world.advance(1)
        assert self.ask(world, incident)["tell"] == "go"

    def test_keeps_in_due_what_is_being_delivered(self, world, incident):
        self.ask(world, incident, "another")
        assert "another" in world.told(incident)
        assert max(world.due("tell").values()) == LEASE

    def test_ends_with_the_delivery_and_says_the_ticket_from_then_on(self, world, incident):
        cause = world.cause("escalate")
        reasons = self.ask(world, incident, "another", cause)["reasons"]
        world.put(cause=cause, told={"incident": incident, "reasons": reasons, "ticket": "T-1", "state": "open"})
        assert world.due("tell") == {}
        assert world.incident(incident)["ticket"] == "T-1"
        assert self.ask(world, incident, "another") == {"tell": "told", "ticket": "T-1"}
        assert self.ask(world, incident, "more") == {"tell": "go", "reasons": ["more"], "ticket": "T-1"}
        assert world.counter("told") == 2
        assert world.counter("escalations_opened") == 1
        assert world.words(incident).count("told") == 2

    def test_ends_without_it_and_comes_again(self, world, incident):
        (waiting,) = world.told(incident)
        cause = world.cause("escalate")
        self.ask(world, incident, "another", cause)
        for reason in (waiting, "another"):
            world.put(cause=cause, untold={"incident": incident, "reason": reason, "at": world.now + MINUTE})
        assert sorted(world.told(incident)) == sorted([waiting, "another"])
        assert self.ask(world, incident)["tell"] == "go"

    def test_is_not_ended_by_who_does_not_deliver(self, world, incident):
        self.ask(world, incident)
        world.put(untold={"incident": incident, "reason": "yet another", "at": world.now})
        assert self.ask(world, incident)["tell"] == "busy"
        world.put(told={"incident": incident, "reasons": ["yet another"], "ticket": "T-1", "state": "open"})
        assert self.ask(world, incident)["tell"] == "busy"

    def test_of_what_is_known_ends_its_entry(self, world, incident):
        (waiting,) = world.told(incident)
        world.redis.sadd(world.key("told", incident), waiting)
        world.redis.expire(world.key("told", incident), 60)
        self.ask(world, incident, waiting)
        assert world.due("tell") == {}

    def test_of_nothing_is_nothing(self, world):
        assert self.ask(world, "inc-never") == {"tell": "told", "ticket": ""}

    def test_without_an_incident_keeps_its_ticket_too(self, world):
        assert self.ask(world, "akeso", "blind")["tell"] == "go"
        world.put(told={"incident": "akeso", "reasons": ["blind"], "ticket": "T-9", "state": "open"})
        assert self.ask(world, "akeso", "blind again")["ticket"] == "T-9"
        assert world.incident("akeso") == {}
        assert world.counter("escalations_opened") == 1

    def test_once_per_reason(self, world, incident):
        world.deliver(incident)
        world.put(untold={"incident": incident, "reason": "not done: scale_deployment refused by protected", "at": 0})
        assert world.told(incident) == []

    def test_accounts_for_an_alert_that_never_met_an_incident(self, world):
        world.take("l")
        world.put(told={"incident": "alert-l", "reasons": ["stuck at intake"], "ticket": "T-1", "state": "open"})
        assert world.counter("alerts_accounted_total|how=told") == 1
        assert world.due("alert") == {}


class TestADeadLetter:
    def test_is_posted_again_after_its_delay_until_it_is_delivered(self, world):
        world.put(redrive={"ref": "r", "event": "the event", "delay": 30 * SECOND, "incident": "inc-1"})
        assert world.due("redrive") == {"r": 30 * SECOND}
        assert world.counter("redrives") == 1
        world.advance(30 * SECOND)
        (entry,) = world.claim()
        assert (entry["kind"], entry["event"], entry["pubs"]) == ("redrive", "the event", 1)
        world.put("sweeper", delivered={"kind": "redrive", "ref": "r"})
        assert world.due("redrive") == {}

    def test_is_counted_by_the_name_that_is_given(self, world):
        world.put("deadletter", count="dead_letters")
        assert world.counter("dead_letters") == 1


class TestWhatAlertManagerDoesNotKnow:
    def gone(self, world, *fingerprints):
        request = world.cause("sweeper").request(gone=list(fingerprints))
        return world.state.store.call("put", request).get("gone", [])

    def heard(self, world, *, minutes=11):
        for _ in range(minutes):
            world.heartbeat()
            world.advance(MINUTE)
        world.heartbeat()

    def test_is_gone_after_two_comparisons_in_a_row(self, world):
        self.heard(world)
        assert self.gone(world, "a", "b") == []
        assert self.gone(world, "a", "c") == ["a"]
        assert self.gone(world, "b", "c") == ["c"]

    def test_is_not_believed_while_alertmanager_is_young(self, world):
        world.heartbeat()
        world.advance(10 * MINUTE - 1)
        world.heartbeat()
        assert [self.gone(world, "a"), self.gone(world, "a")] == [[], []]
        world.advance(1)
        assert [self.gone(world, "a"), self.gone(world, "a")] == [[], ["a"]]

    def test_is_not_believed_while_alertmanager_is_silent(self, world):
        self.heard(world)
        self.gone(world, "a")
        world.advance(10 * MINUTE)
        assert self.gone(world, "a") == []

    def test_begins_anew_after_a_comparison_that_was_left_out(self, world):
        self.heard(world)
        self.gone(world, "a")
        self.gone(world)
        assert self.gone(world, "a") == []


class TestASeal:
    def test_is_kept_and_ends_the_need_of_one(self, world):
        incident = world.opened()
        lines = len(world.audit(incident))
        world.put("sweeper", sealed={"incident": incident, "seal": "S", "count": lines})
        assert world.redis.lrange(world.key("audit", incident, "seals"), 0, -1) == ["S"]
        assert world.redis.smembers("{akeso}:audit:unsealed") == set()

    def test_over_an_older_state_leaves_the_rest_to_be_sealed(self, world):
        incident = world.opened()
        lines = len(world.audit(incident))
        world.fire("two")
        world.put("sweeper", sealed={"incident": incident, "seal": "S", "count": lines})
        assert world.redis.smembers("{akeso}:audit:unsealed") == {f"acme|prod|{incident}"}


def test_an_open_incident_keeps_its_hour(world):
    incident = world.opened()
    world.put("triage", answer="a", incident=incident, stage="router")
    assert world.due("incident") == {incident: HOUR}
