"""What the broker could not deliver: tried once more, then told, and never trusted more than any other event."""

import json

import pytest

from tests.faults.stories import Story

pytestmark = pytest.mark.faults


class TestAFunctionThatFails:
    def test_is_tried_once_more_and_then_told(self, play, refusing):
        url, seen = refusing
        play.world.broker.point("router", url)
        story = Story(play)

        story.begin()
        play.tick_for(300, lambda: "could not be delivered" in str(story.known))

        assert len(seen) == 2
        assert len(set(seen)) == 1
        assert "incident.triaged could not be delivered to router" in str(story.known)
        assert not [entry for entry in play.due("redrive") if seen[0] in entry]

    def test_and_works_again_carries_on_from_there(self, play, refusing):
        url, seen = refusing
        play.world.broker.point("guard", url)
        story = Story(play)
        story.begin()
        play.until(lambda: seen)
        play.settle()
        play.world.broker.point("guard", None)

        play.tick_for(120, lambda: play.replicas(story.namespace) == 3)

        assert len(play.attempts(story.incident)) == 1
        assert story.known == []

    def test_whose_answer_got_lost_repeats_it(self, play):
        """A dead letter may be an event that was handled."""
        namespace, _, _ = play.healed()
        incident = play.incident(namespace)
        before = play.words(incident)

        for kind, function in (("proposed", "guard"), ("approved", "executor")):
            event = play.event(f"remediation.{kind}", incident)
            assert play.to_function(f"deadletter/{function}", event) == 204
        play.world.advance(31)
        play.tick()

        assert len(play.seen("remediation.proposed", incident)) == 2
        assert play.words(incident) == before
        assert play.spec_changes(namespace) == 1
        assert len(play.writes(namespace)) == 1


class TestADeadLetter:
    def test_without_error_attributes_is_tried_again(self, play):
        story = Story(play)
        lost = play.world.broker.drop(lambda event: event.type.endswith("incident.triaged.v1"))
        story.begin()
        event = play.event("incident.triaged", story.incident)
        assert lost.hits == 1
        assert not [name for name in event.extensions if name.startswith("knativeerror")]

        assert play.to_function("deadletter/router", event) == 204
        play.tick_for(120, lambda: play.replicas(story.namespace) == 3)

        assert story.known == []

    @pytest.mark.parametrize("forge", ["unsigned", "edited"])
    def test_that_nobody_signed_is_swallowed(self, play, forge):
        namespace, alert = play.ill()
        play.world.broker.drop(lambda event: event.type.endswith("remediation.proposed.v1"))
        play.fire(alert)
        play.until_word("opened", namespace)
        play.settle()
        incident = play.incident(namespace)
        event = play.event("remediation.proposed", incident)
        counted, alarms = play.counters().get("dead_letters", 0), play.log("deadletter").count("dead letter refused")
        forged = event.with_extensions(sig="") if forge == "unsigned" else play.with_data(event, confidence=0.5)

        assert play.to_function("deadletter/guard", forged) == 204
        play.world.advance(31)
        play.tick()

        assert play.due("redrive") == []
        assert play.counters().get("dead_letters", 0) == counted
        assert play.writes(namespace) == []
        assert play.log("deadletter").count("dead letter refused") == alarms + 1

    def test_that_is_no_event_is_swallowed(self, play):
        for body in (b"", b"{", b"[]", json.dumps({"specversion": "1.0"}).encode()):
            for content_type in ("application/json", "application/cloudevents+json"):
                answer = play.raw("deadletter/router", body, {"content-type": content_type})
                assert (answer.status_code, answer.content) == (204, b"")

    def test_makes_no_more_of_its_kind(self, play, refusing):
        """Whatever becomes of it, a second round ends with people, not with a third."""
        url, seen = refusing
        for trigger in ("triage", "router", "guard", "escalate"):
            play.world.broker.point(trigger, url)
        story = Story(play)
        story.begin()

        play.pass_(1800, step=120)

        counts = [seen.count(name) for name in set(seen)]
        assert max(counts) <= 8  # `due` publishes four times at most, each with one more try
        assert len(seen) < 60
        assert len(story.known) == 1
