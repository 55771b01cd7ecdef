"""Stop lives in Kubernetes: patched by hand or set by the api, it keeps everything from being written, and is final."""

import pytest

pytestmark = pytest.mark.faults


@pytest.fixture
def approved(play):
    """A grant whose executor is still starting: namespace, alert, incident."""
    namespace, alert = play.ill()
    play.freeze_executor()
    play.fire(alert)
    incident = play.until_approved(namespace)
    return namespace, alert, incident


def by_configmap(play):
    play.stop("stop", told=False)


def by_configmap_seen_by_the_sweeper(play):
    play.world.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"mode": "stop"}})
    play.world.tick()


def by_api(play):
    answer = play.api("POST", "v1/stop", {"mode": "stop", "reason": "it is doing harm"})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def part(play):
    """Hold a part by its key, as an operator would, and let it go at the end."""
    keys = []

    def part(key, value="stop: a test"):
        keys.append(key)
        play.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {key: value}})

    yield part
    play.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": dict.fromkeys(keys)})
    play.tick()


PARTS = ("namespace.{}", "action.scale_deployment", "tenant.default", "cluster.default.dev")


class TestAStopOfAPart:
    @pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
    @pytest.mark.parametrize("key", PARTS)
    def test_keeps_its_grants_from_being_used_and_gives_back_what_they_cost(self, play, approved, part, key, seen):
        namespace, _, incident = approved
        (attempt,) = play.attempts(incident)
        assert any(attempt in member for member in budget(play))
        part(key.format(namespace))
        if seen:
            play.world.tick()

        play.thaw()

        assert play.writes(namespace) == []
        assert "unused" in play.words(incident)
        assert "not begun" in str(play.until_told(incident)["content"])
        assert not any(attempt in member for member in budget(play))

    @pytest.mark.parametrize("key", PARTS)
    def test_between_begin_and_write_ends_the_attempt_and_names_the_part(self, play, part, key):
        namespace, alert = play.ill()
        play.order("after-begin", "pause 60")
        play.fire(alert)
        play.until_at("after-begin")

        part(key.format(namespace))
        play.go_on("after-begin")
        play.settle()

        incident = play.incident(namespace)
        assert play.writes(namespace) == []
        assert "stopped" in play.words(incident)
        play.until_told(incident)
        assert f"stop is set for {key.format(namespace).replace('.', ' ', 1)}" in play.reasons(incident)

    def test_elsewhere_ends_nothing(self, play, part):
        namespace, alert = play.ill()
        play.order("after-begin", "pause 60")
        play.fire(alert)
        play.until_at("after-begin")

        for key in ("namespace.elsewhere", "action.restart_pod", "tenant.other", "cluster.default.other"):
            part(key, "freeze")
        play.go_on("after-begin")
        play.settle()

        assert "succeeded" in play.words(play.incident(namespace))

    @pytest.mark.parametrize("key", PARTS)
    def test_refuses_what_comes_after_it_by_its_name(self, play, part, key):
        namespace, alert = play.ill()
        part(key.format(namespace))
        play.tick()
        play.fire(alert)
        incident = play.until_word("denied", namespace)

        assert [line["check"] for line in play.lines(incident, "denied")] == ["stop"]
        play.until_told(incident)
        assert key.format(namespace) in play.reasons(incident)
        assert play.writes(namespace) == []


def budget(play):
    """What is on the accounts of rates and of attempts now."""
    keys = ["{akeso}:default:dev:rate", *play.redis.scan_iter("{akeso}:default:dev:attempts:*", count=1000)]
    return [member for key in keys for member in play.redis.zrange(key, 0, -1)]


class TestAStopBeforeTheColdStart:
    @pytest.mark.parametrize("stop", [by_configmap, by_configmap_seen_by_the_sweeper, by_api])
    def test_keeps_the_grant_from_being_used(self, play, approved, stop):
        namespace, _, incident = approved
        stop(play)

        play.thaw()

        assert play.writes(namespace) == []
        assert "unused" in play.words(incident)
        assert "begun" not in play.words(incident)
        assert "stop" in str(play.until_told(incident)["content"])

    def test_is_not_made_up_for_after_the_resume(self, play, approved):
        namespace, _, incident = approved
        event = play.event("remediation.approved", incident)
        play.stop("stop", told=False)
        play.thaw()
        play.stop("run")

        play.pass_(600)
        play.to_broker(event)
        play.settle()

        assert play.writes(namespace) == []
        assert play.words(incident).count("approved") == 1

    def test_ends_the_grant_even_if_it_is_lifted_again_before(self, play, approved):
        namespace, _, incident = approved
        for mode in ("stop", "run"):
            play.world.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"mode": mode}})
            play.world.tick()

        play.thaw()

        assert play.writes(namespace) == []
        assert [line["check"] for line in play.lines(incident, "not-begun")] == ["epoch"]
        assert "unused" in play.words(incident)


class TestAStopBetweenBeginAndWrite:
    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_stops_the_attempt_and_says_so(self, play, mode):
        namespace, alert = play.ill()
        play.order("after-begin", "pause 60")
        play.fire(alert)
        play.until_at("after-begin")

        play.stop(mode, told=False)
        play.go_on("after-begin")
        play.settle()

        incident = play.incident(namespace)
        assert play.writes(namespace) == []
        assert "stopped" in play.words(incident)
        assert mode in play.reasons(play.until_told(incident)["correlation_id"])

    def test_is_never_continued_after_the_resume(self, play):
        namespace, alert = play.ill()
        play.order("after-begin", "pause 60")
        play.fire(alert)
        play.until_at("after-begin")
        play.stop("stop", told=False)
        play.go_on("after-begin")
        play.settle()

        play.stop("run")
        play.pass_(1200)

        assert play.writes(namespace) == []


class TestWhileStopped:
    def test_a_new_incident_becomes_a_ticket(self, play):
        play.stop("stop")
        namespace, alert = play.ill()

        play.fire(alert)
        incident = play.until_word("denied", namespace)

        assert [line["check"] for line in play.lines(incident, "denied")] == ["stop"]
        assert "stop" in str(play.until_told(incident)["content"])
        assert play.writes(namespace) == []

    def test_a_configmap_that_is_gone_stops_too(self, play):
        namespace, alert = play.ill()
        play.order("after-begin", "pause 60")
        play.fire(alert)
        play.until_at("after-begin")
        found = play.cluster.get("ConfigMap", "akeso-system", "akeso-stop")
        play.cluster.delete("ConfigMap", "akeso-system", "akeso-stop")

        play.go_on("after-begin")
        play.settle()
        play.cluster.configmap("akeso-system", "akeso-stop", found["data"])

        assert play.writes(namespace) == []
        assert "stopped" in play.words(play.incident(namespace))
