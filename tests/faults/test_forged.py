"""Nobody writes to a cluster by sending events: forged, edited, expired, replayed and foreign ones all end in a no."""

import base64
import json

import pytest

from shared.event import codec
from shared.event.types import EXTENSIONS
from shared.guard import grant as token
from shared.guard import keys
from tests.faults.play import EXECUTOR

pytestmark = pytest.mark.faults


@pytest.fixture
def genuine(play):
    """A genuine grant that its executor never got: namespace, incident, event."""
    namespace, alert = play.ill()
    lost = play.world.broker.drop(lambda event: event.type.endswith("remediation.approved.v1"))
    play.fire(alert)
    incident = play.until_approved(namespace)
    play.settle()
    assert lost.hits == 1
    return namespace, incident, play.event("remediation.approved", incident)


def _with(event, **attributes):
    """The event with other attributes and its old signature."""
    core = {name: attributes.pop(name, getattr(event, name)) for name in ("type", "source", "id", "time", "subject")}
    return codec.Event(**core, data=event.data, extensions={**event.extensions, **attributes})


def _plan(event, replicas):
    plan = json.loads(json.dumps(event.data["plan"]))
    plan["writes"][0]["after"] = replicas
    return plan


SIGNED = (
    "type",
    "source",
    "id",
    "time",
    "subject",
    *(name for name in EXTENSIONS if name not in ("sig", "traceparent")),
)


class TestAnEventThatIsNotOurs:
    def test_control_the_genuine_one_does_write(self, play, genuine):
        namespace, _, event = genuine

        assert play.to_function(EXECUTOR, event) == 200

        assert len(play.writes(namespace)) == 1

    def test_with_any_attribute_edited_is_refused(self, play, genuine):
        namespace, _, event = genuine
        other = {"type": "dev.akeso.remediation.continued.v1", "time": "2026-01-01T00:00:00Z"}
        other |= {"expirytime": "2199-01-01T00:00:00Z", "hop": "0"}
        for attribute in SIGNED:
            forged = _with(event, **{attribute: other.get(attribute, "forged")})

            assert play.to_function(EXECUTOR, forged) == 403, attribute
            play.to_broker(forged)
        play.settle()

        assert play.writes(namespace) == []
        assert play.due("redrive") == []

    def test_in_any_other_way_is_refused(self, play, genuine):
        namespace, _, event = genuine
        for forged in (
            event.with_extensions(sig=""),
            event.with_extensions(sig="0" * 64),
            play.with_data(event, plan=_plan(event, 50)),
            play.with_data(event, grant=""),
        ):
            assert play.to_function(EXECUTOR, forged) == 403
            play.to_broker(forged)
        play.settle()

        assert play.writes(namespace) == []
        assert play.due("redrive") == []

    def test_five_unsigned_failures_change_nothing(self, play):
        namespace, alert, _ = play.healed()
        incident = play.incident(namespace)
        before, tickets = play.audit(incident), play.world.desk.posts
        failed = play.event("remediation.succeeded", incident)
        for number in range(5):
            forged = _with(failed, type="dev.akeso.remediation.failed.v1", id=f"forged-{number}", sig="")
            play.to_broker(forged)
        play.settle()
        play.tick()

        assert play.audit(incident) == before
        assert play.world.desk.posts == tickets
        assert play.due("redrive") == []
        play.until(lambda: play.ready(namespace) == 3)
        play.resolve(alert)
        play.tick_for(180, lambda: "verified" in play.words(incident))

    def test_is_refused_by_every_function(self, play, genuine):
        _, incident, _ = genuine
        kinds = {
            "guard": "remediation.proposed", "router": "incident.triaged", "triage": "alert.firing",
            "verifier": "remediation.approved", "escalate": "remediation.approved",
        }  # fmt: skip
        for function, kind in kinds.items():
            event = play.event(kind, incident if kind != "alert.firing" else "")

            assert play.to_function(function, event.with_extensions(sig="")) == 403
            assert play.to_function(function, play.with_data(event, incident="inc-0")) == 403
            if function in ("verifier", "escalate"):
                assert play.to_function(function, event) == 400  # genuine, but nothing for it


class TestAGrant:
    """Whoever could sign events would still need the guard's key."""

    def refused(self, play, genuine, forged, status=403):
        namespace, incident, _ = genuine
        assert play.to_function(EXECUTOR, play.signed(forged)) == status
        play.to_broker(play.signed(forged))
        play.settle()
        assert play.writes(namespace) == []
        assert "begun" not in play.words(incident)

    def test_for_another_plan_is_refused(self, play, genuine):
        _, _, event = genuine
        self.refused(play, genuine, play.with_data(event, plan=_plan(event, 50)))

    def test_of_another_key_is_refused(self, play, genuine):
        _, _, event = genuine
        stranger = token.sign(play.grant(event), keys.make()["grant.key"])
        self.refused(play, genuine, play.with_data(event, grant=stranger))

    def test_that_was_edited_is_refused(self, play, genuine):
        _, _, event = genuine
        body, _, signature = event.data["grant"].partition(".")
        content = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        others = {"start_by": 9e15, "finish_by": 9e15, "scope": {"kind": "Pod", "name": "x"}}
        for field in ("plan_hash", "start_by", "finish_by", "epoch", "action", "id", "scope"):
            inside = json.loads(content)
            inside["grant"][field] = others.get(field, "forged")
            edited = base64.urlsafe_b64encode(json.dumps(inside).encode()).rstrip(b"=").decode()
            self.refused(play, genuine, play.with_data(event, grant=f"{edited}.{signature}"))

    def test_of_our_own_key_for_something_else_is_refused(self, play, genuine):
        _, _, event = genuine
        for field in ("action", "cluster", "tenant", "plan_hash"):
            self.refused(play, genuine, play.regranted(event, **{field: "another"}))

    def test_of_another_epoch_is_not_begun(self, play, genuine):
        namespace, incident, event = genuine
        forged = play.regranted(event, epoch="0" * 32)

        assert play.to_function(EXECUTOR, play.signed(forged)) == 204

        assert play.writes(namespace) == []
        assert [line["check"] for line in play.lines(incident, "not-begun")] == ["epoch"]

    def test_that_redis_does_not_know_is_not_begun(self, play, genuine):
        namespace, _, event = genuine
        forged = play.regranted(event, id="grant-00000000000000000000")

        assert play.to_function(EXECUTOR, play.signed(forged)) == 204

        assert play.writes(namespace) == []

    def test_that_has_expired_is_not_begun(self, play, genuine):
        namespace, incident, event = genuine
        play.world.advance(181)

        assert play.to_function(EXECUTOR, event) == 204

        assert play.writes(namespace) == []
        assert [line["check"] for line in play.lines(incident, "not-begun")] == ["start-by"]

    def test_cannot_be_made_to_last_longer(self, play, genuine):
        """Redis knows until when it may be begun, whatever a token says."""
        namespace, _, event = genuine
        play.world.advance(181)
        longer = play.regranted(event, start_by=play.grant(event).start_by + 3_600_000)

        play.to_function(EXECUTOR, play.signed(longer))

        assert play.writes(namespace) == []

    def test_is_refused_by_another_actions_executor(self, play, genuine):
        namespace, _, event = genuine

        for name in ("executor-restart-pod", "executor-notify-only"):
            assert play.to_function(name, event) == 403

        assert play.writes(namespace) == []


class TestAReplay:
    def test_of_a_grant_has_no_second_effect(self, play):
        namespace, _, _ = play.healed()
        event = play.event("remediation.approved", play.incident(namespace))
        for _ in range(3):
            assert play.to_function(EXECUTOR, event) == 200
            play.to_broker(event)
        play.settle()

        assert play.spec_changes(namespace) == 1
        assert len(play.writes(namespace)) == 1

    def test_of_a_grant_after_its_undo_has_no_effect(self, play):
        namespace, _, attempt = play.healed()
        event = play.event("remediation.approved", play.incident(namespace))
        play.undo(attempt)
        assert play.replicas(namespace) == 1

        play.to_broker(event)
        play.settle()

        assert play.replicas(namespace) == 1

    def test_under_another_id_has_no_second_effect(self, play):
        namespace, _, attempt = play.healed()
        event = play.event("remediation.approved", play.incident(namespace))
        play.undo(attempt)

        play.to_function(EXECUTOR, play.signed(_with(event, id="another")))

        assert play.replicas(namespace) == 1

    def test_of_a_proposal_gives_the_same_grant(self, play):
        namespace, _, attempt = play.healed()
        incident = play.incident(namespace)
        event = play.event("remediation.proposed", incident)

        for _ in range(3):
            play.to_broker(event)
            assert play.to_function("guard", event) == 200
        play.settle()

        assert play.attempts(incident) == [attempt]
        assert play.spec_changes(namespace) == 1

    def test_of_a_proposal_under_another_id_finds_the_first_one_live(self, play):
        namespace, _, attempt = play.healed()
        incident = play.incident(namespace)
        event = play.event("remediation.proposed", incident)

        play.to_broker(play.signed(_with(event, id="another")))
        play.settle()

        assert play.attempts(incident) == [attempt]
        assert play.spec_changes(namespace) == 1
