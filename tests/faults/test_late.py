"""A run that was paused past its time wakes up and goes on: the API server, not our patience, keeps it from writing."""

import pytest

pytestmark = pytest.mark.faults

PAUSE_S = 120  # far more than the story takes: it ends by `go_on`


@pytest.fixture
def paused(play):
    """An executor that sleeps directly before its write: namespace, alert, incident."""
    namespace, alert = play.ill()
    play.order("before-write", f"pause {PAUSE_S}")
    play.fire(alert)
    play.until_at("before-write")
    return namespace, alert, play.incident(namespace)


def _part(found, path):
    for name in path.split("."):
        found = found[name]
    return found


class TestALateRun:
    def test_writes_nothing_when_a_second_one_has_written(self, play, paused):
        namespace, _, incident = paused
        play.world.advance(91)
        play.world.tick()
        play.until(lambda: "succeeded" in play.words(incident))
        written = play.cluster.get("Deployment", namespace, "web")

        play.go_on("before-write")
        play.settle()  # the first one has woken up, looked, and answered

        for part in ("spec", "metadata.managedFields", "metadata.annotations"):
            assert _part(play.cluster.get("Deployment", namespace, "web"), part) == _part(written, part)
        assert len(play.writes(namespace)) == 1
        assert play.spec_changes(namespace) == 1
        assert play.words(incident).count("succeeded") == 1

    @pytest.mark.parametrize("why", ["finish-by", "stop"])
    def test_writes_nothing_when_it_has_been_fenced_off(self, play, paused, why):
        namespace, _, incident = paused
        if why == "stop":
            play.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"mode": "stop"}})
            play.world.tick()
            play.world.advance(91)
        else:
            play.world.advance(790)
        play.world.tick()
        play.until(lambda: "stopped" in play.words(incident))
        play.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"mode": "run"}})
        play.world.tick()

        play.go_on("before-write")
        play.settle()

        assert play.replicas(namespace) == 1
        assert len(play.writes(namespace)) == 1  # the fence, an annotation, which is a Deployment's new generation
        assert play.spec_changes(namespace) == 1
        assert [end["resolved_by"] for end in play.lines(incident, "stopped")] == ["fence"]
        assert "stopped" in play.reasons(play.until_told(incident)["correlation_id"])
