"""An empty or older Redis never fails open: nothing is written before stop, limits and a new epoch are back."""

import shutil

import pytest

from shared import clock
from tests.faults.play import EXECUTOR

pytestmark = pytest.mark.faults

EMBARGO_S = 900
FEW = 4  # ill ones; five of so few Deployments would be a storm


def flushed(play):
    play.redis.flushall()


def emptied(play):
    play.world.redis.kill()
    play.world.redis.restart(keep=False)


def restarted(play):
    play.world.redis.kill()
    play.world.redis.restart()


LOSSES = [flushed, emptied, restarted]


@pytest.fixture
def older(play):
    """Keeps what Redis has on its disk now, and gives a way to put it back later."""
    folder, kept = play.world.redis.folder, play.world.folder / "older"

    def copy(there, here):
        for data in there.glob("appendonly*"):
            (shutil.copytree if data.is_dir() else shutil.copy2)(data, here / data.name)

    def keep():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        copy(folder, kept)

    def put_back():
        play.world.redis.kill()
        for data in folder.glob("appendonly*"):
            shutil.rmtree(data) if data.is_dir() else data.unlink()
        copy(kept, folder)
        play.world.redis.restart()

    keep.put_back = put_back
    return keep


class TestBeforeStateIsBack:
    @pytest.mark.parametrize("lose", LOSSES)
    def test_a_grant_is_not_begun_and_the_broker_is_told_to_come_again(self, play, lose):
        namespace, alert = play.ill()
        play.world.broker.drop(lambda event: event.type.endswith("remediation.approved.v1"))
        play.fire(alert)
        event = play.event("remediation.approved", play.until_approved(namespace))

        lose(play)

        assert play.to_function(EXECUTOR, event) in (204, 503)
        assert play.writes(namespace) == []

    @pytest.mark.parametrize("lose", LOSSES)
    def test_intake_takes_nothing(self, play, lose):
        _, alert = play.ill()

        lose(play)

        assert play.fire(alert) == 503


class TestUnderLoadWithStopSet:
    @pytest.mark.parametrize("lose", LOSSES)
    def test_nothing_is_written_and_nothing_is_lost(self, play, lose):
        play.stop("stop")
        ill = [play.ill() for _ in range(FEW)]
        unsent = [alert for _, alert in ill]
        for alert in unsent[:3]:
            assert play.fire(alert) == 200

        lose(play)
        left = [alert for alert in unsent if play.fire(alert) != 200]
        assert left
        play.tick()  # the sweeper brings stop, policy and a new epoch
        play.heartbeat()
        assert [play.fire(alert) for alert in unsent] == [200] * FEW
        play.settle()
        play.pass_(240)

        assert [play.writes(namespace) for namespace, _ in ill] == [[]] * FEW
        assert play.redis.hget("{akeso}:stop", "mode") == "stop"
        assert play.counters()["alerts_received"] == play.counters()["alerts_accounted"]
        for namespace, _ in ill:
            assert play.until_told(play.incident(namespace))

        play.stop("run")
        play.pass_(EMBARGO_S + 300, step=300)
        assert [play.writes(namespace) for namespace, _ in ill] == [[]] * FEW


class TestAnAlertOnItsWay:
    def test_is_accounted_for_with_its_resend(self, play):
        """The broker has it, Redis has forgotten it, AlertManager sends it again."""
        _, alert = play.ill()
        play.world.broker.drop(lambda event: event.type.endswith("alert.firing.v1"))
        play.fire(alert)
        play.settle()
        event = play.decoded(play.seen("alert.firing")[-1])
        flushed(play)
        play.tick()
        play.heartbeat()

        play.to_broker(event)
        play.settle()
        assert play.fire(alert) == 200
        play.settle()

        assert play.counters()["alerts_received"] == play.counters()["alerts_accounted"] == 2
        assert play.due("alert") == []


class TestAGrantThatWasUsed:
    @pytest.mark.parametrize("lose", LOSSES)
    def test_stays_used_when_state_is_lost(self, play, lose):
        namespace, _, _ = play.healed()
        event = play.event("remediation.approved", play.incident(namespace))
        lose(play)
        for replicas in (3, 1):  # as we left it, and after somebody took it back by hand
            play.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": replicas}})
            play.to_function(EXECUTOR, event)
            play.tick()
            play.to_function(EXECUTOR, event)
            play.to_broker(event)
            play.settle()

            assert play.replicas(namespace) == replicas
        assert len(play.writes(namespace)) == 1

    def test_is_written_down_anew(self, play):
        namespace, _, attempt = play.healed()
        incident = play.incident(namespace)
        event = play.event("remediation.approved", incident)
        flushed(play)
        play.tick()

        play.to_broker(event)
        play.settle()

        assert play.attempt(attempt)["outcome"] == "succeeded"
        assert play.words(incident)[:2] == ["recovered", "succeeded"]

    def test_stays_used_when_an_older_state_is_put_back(self, play, older):
        namespace, alert = play.ill()
        play.freeze_executor()
        play.fire(alert)
        incident = play.until_approved(namespace)
        older()  # in which the grant is not used yet
        play.thaw()
        assert play.replicas(namespace) == 3
        event = play.event("remediation.approved", incident)
        # as if it had never been: even the mark is gone
        clean = {"metadata": {"annotations": {"akeso.dev/attempt": None}}, "spec": {"replicas": 1}}
        play.cluster.edit("Deployment", namespace, "web", clean)

        older.put_back()
        play.to_function(EXECUTOR, event)
        play.tick()
        assert play.attempt(play.attempts(incident)[0])["state"] == "granted"
        play.to_function(EXECUTOR, event)
        play.to_broker(event)
        play.settle()

        assert play.replicas(namespace) == 1
        assert len(play.writes(namespace)) == 1

    def test_that_was_begun_is_looked_at_and_not_written_again(self, play):
        namespace, alert = play.ill()
        play.order("after-write", "kill")
        play.fire(alert)
        play.until_at("after-write")
        play.lose_everything_in_flight()
        event = play.event("remediation.approved", play.incident(namespace))
        restarted(play)
        play.world.advance(31)
        play.tick()

        assert play.to_function(EXECUTOR, event) == 200

        incident = play.incident(namespace)
        assert [line["resolved_by"] for line in play.lines(incident, "succeeded")] == ["mark"]
        assert len(play.writes(namespace)) == 1


class TestAfterwards:
    def test_what_was_open_before_is_for_people_only(self, play):
        play.stop("stop")
        namespace, alert = play.ill()
        play.fire(alert)
        play.settle()
        flushed(play)
        play.stop("run")
        play.heartbeat()

        assert play.fire(alert) == 200
        play.settle()
        play.pass_(EMBARGO_S + 600, step=300)

        incident = play.incident(namespace)
        assert play.record(incident)["people"]
        assert "state was lost" in str(play.until_told(incident)["content"])
        assert play.writes(namespace) == []

    @pytest.mark.parametrize("lose", LOSSES)
    def test_nothing_is_written_for_the_longest_cooldown_and_then_it_is(self, play, lose):
        lose(play)
        play.tick()
        play.heartbeat()
        play.world.advance(2)
        began = clock.now_ms()
        namespace, alert = play.ill()
        play.fire(alert)
        incident = play.until_word("denied", namespace)
        assert [line["check"] for line in play.lines(incident, "denied")] == ["embargo"]

        while clock.now_ms() < began + (EMBARGO_S - 70) * 1000:
            play.pass_(60)
            assert play.writes(namespace) == []

        play.tick_for(300, lambda: play.replicas(namespace) == 3)

    def test_the_policy_is_in_force_again(self, play):
        play.policy(hold=["scale_deployment"])
        flushed(play)
        play.tick()
        play.heartbeat()
        play.world.advance(EMBARGO_S + 1)
        namespace, alert = play.ill()

        play.fire(alert)

        play.until_word("held", namespace)
        assert play.writes(namespace) == []

    def test_a_policy_that_cannot_be_read_keeps_everything_closed(self, play):
        play.cluster.edit("ConfigMap", "akeso-system", "akeso-policy", {"data": {"policy.yaml": "attempts: many"}})
        flushed(play)
        assert play.tick() == 503
        _, alert = play.ill()
        assert play.fire(alert) == 503

        play.policy()
        assert play.tick() == 204
        assert play.fire(alert) == 200

    def test_the_stop_that_was_set_meanwhile_is_not_taken_back(self, play):
        """Hydration marks the ConfigMap; between its reading and its marking an operator may be at it."""
        flushed(play)
        store, real = play.cluster.store, play.cluster.store.patch

        def patch(key, body, **more):
            if key[2] == "akeso-stop" and "hydrated-at" in str(body):
                del store.patch
                play.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"mode": "stop"}})
            return real(key, body, **more)

        store.patch = patch
        assert play.tick() == 204

        assert play.cluster.get("ConfigMap", "akeso-system", "akeso-stop")["data"]["mode"] == "stop"

    def test_an_unmarked_configmap_is_marked_at_the_next_tick(self, play):
        """Else the next loss would look like a first installation, which has no embargo."""
        play.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"hydrated-at": None}})

        play.tick()

        data = play.cluster.get("ConfigMap", "akeso-system", "akeso-stop")["data"]
        assert data["hydrated-at"]
        assert data["mode"] == "run"
