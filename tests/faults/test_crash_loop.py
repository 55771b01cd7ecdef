"""A crash loop whose pods come back under new names is one patient: three attempts, then a person."""

import pytest

pytestmark = pytest.mark.faults

MINUTES = 45


def _alerting(play, namespace, firing, *, resolve_first):
    """What AlertManager sends now: an alert for each pod that crashes, and the end of those whose pod is gone."""
    pods = {pod["metadata"]["name"] for pod in play.cluster.all("Pod", namespace)}
    gone = [firing.pop(name) for name in list(firing) if name not in pods]
    new = {
        name: play.alert(namespace, alertname="KubePodCrashLooping", pod=name)
        for name in pods - firing.keys()
        if _crashes(play, namespace, name)
    }
    firing |= new
    sends = [(play.resolve, gone), (play.fire, list(new.values()))]
    for send, alerts in sends if resolve_first else reversed(sends):
        if alerts:
            assert send(*alerts) == 200
            play.settle()


def _crashes(play, namespace, name):
    pod = play.cluster.get("Pod", namespace, name)
    states = ((pod or {}).get("status") or {}).get("containerStatuses") or []
    return any((state["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff" for state in states)


class TestACrashLoopThatMoves:
    @pytest.mark.parametrize("resolve_first", [False, True])
    def test_gets_three_attempts_and_then_a_person(self, play, resolve_first):
        play.policy(risk_approve=101, risk_refuse=101)  # two failures on record would have the third one held
        namespace = play.namespace()
        play.deployment(namespace, minimum=0, behaviour="crash", move_after=100)
        play.until(lambda: play.cluster.all("Pod", namespace))
        firing, names = {}, set()

        for _ in range(MINUTES):
            _alerting(play, namespace, firing, resolve_first=resolve_first)
            names |= firing.keys()
            play.pass_(60)
        play.pass_(300)

        incident = play.incident(namespace)
        assert len(names) > MINUTES // 3  # it did move
        begun = {line["attempt"] for line in play.lines(incident, "begun") if line["action"] == "restart_pod"}
        assert len(begun) == 3
        assert len([write for write in play.writes(namespace) if write.endswith("/eviction")]) == 3
        assert "verified" not in play.words(incident)
        assert play.until_told(incident)
        assert len(play.tickets(incident)) == 1
        assert play.counters()["alerts_received"] == play.counters()["alerts_accounted"]

    def test_is_counted_over_closed_incidents_too(self, play):
        """Each time it ends for more than an hour and comes again as a new incident; the key's budget is the day's."""
        play.policy(risk_approve=101, risk_refuse=101)  # two failures on record would have the third one held
        namespace = play.namespace()
        play.deployment(namespace, minimum=0, behaviour="crash", move_after=100)
        incidents = set()
        for _ in range(5):
            firing = {}
            play.until(lambda: play.cluster.all("Pod", namespace))
            _alerting(play, namespace, firing, resolve_first=True)
            play.pass_(300)
            play.resolve(*firing.values())
            incidents.add(play.incident(namespace))
            play.pass_(4200, step=600)

        approved = [line for name in incidents for line in play.lines(name, "approved")]
        denied = [line["check"] for name in incidents for line in play.lines(name, "denied")]
        assert len(incidents) == 5
        assert len(approved) == 3
        assert "attempts" in denied


class TestACrashThatARestartCures:
    def test_is_restarted_once_and_verified(self, play):
        namespace = play.namespace()
        play.deployment(namespace, minimum=0, behaviour="crash-once")
        play.until(lambda: play.cluster.all("Pod", namespace))
        (pod,) = play.cluster.all("Pod", namespace)
        alert = play.alert(namespace, alertname="KubePodCrashLooping", pod=pod["metadata"]["name"])

        play.fire(alert)
        incident = play.until_word("succeeded", namespace)
        play.until(lambda: play.ready(namespace) == 1)
        play.resolve(alert)
        play.tick_for(600, lambda: "verified" in play.words(incident))

        (fresh,) = play.cluster.all("Pod", namespace)
        assert fresh["metadata"]["uid"] != pod["metadata"]["uid"]
        evictions = [write for write in play.writes(namespace) if write.endswith("/eviction")]
        assert len(evictions) == 1
        assert play.record(incident)["state"] == "closed"
        assert play.tickets(incident) == []
