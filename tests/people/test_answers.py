"""A person's yes, no and take-it-back: one transition each, published at once, done by the chain itself."""

import json

import pytest

BY = {"reason": "looks right", "by": "ada"}


def attempts(world, incident):
    return world.ok("GET", f"v1/incidents/{incident}")["attempts"]


@pytest.fixture
def held(world):
    world.autonomy("approve")
    return world.heal()


class TestYes:
    def test_the_plan_runs_that_was_held(self, world, held):
        assert world.replicas() == 1
        said = world.ok("POST", f"v1/holds/{held}/approve", BY)
        assert said["published"] is True
        (event,) = world.sink.events
        assert [emit.type for emit in world.drive(event)][-1] == "remediation.succeeded"
        assert world.replicas() == 3

    def test_the_audit_names_the_typed_name_and_the_reason(self, world, held):
        world.ok("POST", f"v1/holds/{held}/approve", BY)
        line = next(r for r in world.ok("GET", f"v1/incidents/{held}")["audit"] if r["what"] == "approve")
        assert (line["who"], line["reason"]) == ("ada", "looks right")

    def test_a_second_yes_is_told_no(self, world, held):
        world.ok("POST", f"v1/holds/{held}/approve", BY)
        world.drive(world.sink.events[0])
        status, said = world.ask("POST", f"v1/holds/{held}/approve", BY)
        assert (status, said["error"]) == (409, "no")
        assert world.replicas() == 3

    def test_a_hold_that_is_not_the_waiting_one_is_told_no(self, world, held):
        status, said = world.ask("POST", f"v1/holds/{held}/approve", {**BY, "hold": "hold-0123456789abcdef"})
        assert (status, said["text"]) == (409, f"no such hold at {held}: hold-0123456789abcdef")

    def test_what_the_broker_does_not_take_stays_due(self, world, held):
        world.sink.status = 503
        said = world.ok("POST", f"v1/holds/{held}/approve", BY)
        assert said["published"] is False
        assert world.ok("GET", "v1/status")["due"]["retry"] == 1

    def test_a_broker_that_is_not_there_costs_only_the_haste(self, world, held):
        world.sink.stop()
        assert world.ok("POST", f"v1/holds/{held}/approve", BY)["published"] is False


class TestNo:
    def test_nothing_runs_and_a_person_is_told(self, world, held):
        said = world.ok("POST", f"v1/holds/{held}/deny", BY)
        assert said["published"] is False
        assert world.sink.events == []
        assert world.ok("GET", f"v1/incidents/{held}")["hold"] == ""
        assert world.ok("GET", "v1/status")["due"]["tell"] >= 1

    def test_it_cannot_be_turned_into_a_yes(self, world, held):
        world.ok("POST", f"v1/holds/{held}/deny", BY)
        status, _ = world.ask("POST", f"v1/holds/{held}/approve", BY)
        assert status == 409


class TestNothingToAnswer:
    def test_an_unknown_incident_is_not_there(self, world):
        status, said = world.ask("POST", "v1/holds/inc-0000000000000000/approve", BY)
        assert (status, said["error"]) == (404, "not-found")

    def test_an_incident_that_waits_for_nobody(self, world):
        incident = world.heal()
        status, said = world.ask("POST", f"v1/holds/{incident}/approve", BY)
        assert (status, said["error"]) == (409, "no")


class TestUndo:
    def test_it_restores_what_was_there(self, world):
        incident = world.heal()
        attempt = attempts(world, incident)[0]["id"]
        assert world.replicas() == 3
        said = world.ok("POST", "v1/undo", {"attempt": attempt, **BY})
        assert said["incident"] == incident
        assert [emit.type for emit in world.drive(world.sink.events[0])] == [
            "remediation.approved", "remediation.succeeded",
        ]  # fmt: skip
        assert world.replicas() == 1
        assert attempts(world, incident)[0]["undone_by"]

    def test_it_is_taken_once(self, world):
        attempt = attempts(world, world.heal())[0]["id"]
        world.ok("POST", "v1/undo", {"attempt": attempt, **BY})
        world.drive(world.sink.events[0])
        status, said = world.ask("POST", "v1/undo", {"attempt": attempt, **BY})
        assert (status, said["text"][:17]) == (409, "already undone by")

    def test_it_is_allowed_while_stopped(self, world):
        attempt = attempts(world, world.heal())[0]["id"]
        world.ok("POST", "v1/stop", {"mode": "stop", **BY})
        world.ok("POST", "v1/undo", {"attempt": attempt, **BY})
        world.drive(world.sink.events[0])
        assert world.replicas() == 1

    def test_an_unknown_attempt_is_not_there(self, world):
        status, said = world.ask("POST", "v1/undo", {"attempt": "grant-" + "0" * 20, **BY})
        assert (status, said["error"]) == (404, "not-found")

    def test_the_answer_holds_no_grant(self, world):
        incident = world.heal()
        shown = json.dumps(world.ok("GET", f"v1/incidents/{incident}"))
        stored = world.here.state.attempt("default", "default", attempts(world, incident)[0]["id"])
        assert stored["grant"]
        assert stored["grant"] not in shown
