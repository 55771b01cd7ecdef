"""A real alert by the real AlertManager: firing, repeated, resolved, all the way to the verdict."""

import re

import httpx
import pytest

from shared.dev.alertmanager import AlertSource, RealAlertManager, find_binary

pytestmark = pytest.mark.alertmanager


class _Only:
    """The cluster as the rules see it: one namespace of it."""

    def __init__(self, cluster, namespace):
        self._cluster, self._namespace = cluster, namespace

    def all(self, kind):
        return self._cluster.all(kind, self._namespace)


@pytest.fixture
def source(scene, tmp_path):
    """A function from a namespace to its rules, evaluated each second and sent to a real AlertManager."""
    binary = find_binary()
    if binary is None:
        pytest.skip("no AlertManager on the path")
    token = scene.world.folder / "secrets" / "webhook-token"
    with RealAlertManager(binary, tmp_path, scene.world.webhook_url, token_file=token, repeat_s=1) as manager:
        sources = []

        def start(namespace):
            only = _Only(scene.cluster, namespace)
            made = AlertSource(
                lambda: only, webhook_url=scene.world.webhook_url, via=manager, every_s=0.5, via_every_s=1
            )
            sources.append(made)
            made.start()
            return made

        start.manager = manager
        yield start
        for made in sources:
            made.stop()


class TestTheRealAlertManager:
    def test_brings_an_alert_from_firing_to_verified(self, scene, source):
        before = scene.counters()
        namespace, _ = scene.patient()
        running = source(namespace)

        incident = scene.until_word("succeeded", namespace)
        # No rule is true any more, and AlertManager says so of each.
        scene.until(lambda: scene.record(incident)["state"] == "quiet")
        scene.pass_(61)
        scene.until_word("verified", namespace)

        assert scene.record(incident)["state"] == "closed"
        assert scene.replicas(namespace) == 3
        assert len(scene.writes(namespace)) == 1
        running.stop()
        scene.until(lambda: scene.counters()["alerts_received"] == scene.counters()["alerts_accounted"])
        assert scene.counters()["alerts_received"] - before["alerts_received"] >= 3  # Watchdog, firing, resolved

    def test_is_told_nothing_twice(self, scene, source):
        """It repeats what it has sent already: one incident, one ledger entry."""
        before = scene.counters()["alerts_received"]
        namespace, _ = scene.patient("observe")
        source(namespace)
        incident = scene.until_word("denied", namespace)
        scene.until(lambda: scene.counters()["alerts_received"] >= before + 2)  # its Watchdog is a message of its own
        received = scene.counters()["alerts_received"]
        sent = _sent(source.manager)

        scene.until(lambda: _sent(source.manager) >= sent + 3)

        assert scene.counters()["alerts_received"] == received
        assert scene.words(incident).count("opened") == 1
        assert "joined" not in scene.words(incident)
        scene.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 3}})
        scene.until_word("closed", namespace)


def _sent(manager):
    """How often it has called the webhook."""
    page = httpx.get(f"{manager.url}/metrics", timeout=10, trust_env=False).text
    found = re.findall(
        r'^alertmanager_notifications_total\{[^}]*integration="webhook"[^}]*\} (\d+)', page, re.MULTILINE
    )
    return sum(map(int, found))
