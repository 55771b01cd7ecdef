"""AlertManager's own list against what is open: what the webhook lost is found, what is only silenced is left alone."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.conftest import opened
from tests.faults.play import Play

pytestmark = pytest.mark.faults

WATCHDOG = {"labels": {"alertname": "Watchdog"}, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
            "fingerprint": "feedfacefeedface", "status": {"state": "active"}}  # fmt: skip


class AlertManager:
    """Answers its API from a list that the test keeps."""

    def __init__(self):
        self.alerts, self.watchdog = [], True
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps([*outer.alerts, *([WATCHDOG] if outer.watchdog else [])]).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def lists(self, alert, state="active"):
        element = alert.element()
        del element["status"]
        self.alerts.append({**element, "status": {"state": state, "silencedBy": [], "inhibitedBy": []}})


@pytest.fixture(scope="module")
def alertmanager():
    made = AlertManager()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def reconciled_world(tmp_path_factory, alertmanager):
    with opened(tmp_path_factory.mktemp("world"), env={"AKESO_ALERTMANAGER__URL": alertmanager.url}) as world:
        yield world


@pytest.fixture
def play(reconciled_world, alertmanager):
    alertmanager.alerts.clear()
    alertmanager.watchdog = True
    os.environ["AKESO_CLOCK_FILE"] = str(reconciled_world.clock_file)
    story = Play(reconciled_world)
    story.pass_(660, step=220)  # AlertManager is up for ten minutes
    yield story
    story.end()


class TestAnAlertThatTheWebhookLost:
    def test_is_found_and_healed(self, play, alertmanager):
        namespace, alert = play.ill()
        alertmanager.lists(alert)

        play.tick_for(400, lambda: play.replicas(namespace) == 3)

    def test_is_not_taken_twice_when_the_webhook_brings_it_after_all(self, play, alertmanager):
        namespace, alert = play.ill()
        alertmanager.lists(alert)
        play.tick_for(400, lambda: play.replicas(namespace) == 3)

        assert play.fire(alert) == 200
        play.settle()

        assert play.words(play.incident(namespace)).count("joined") == 0
        assert play.counters()["alerts_received"] == play.counters()["alerts_accounted"]

    @pytest.mark.parametrize("state", ["suppressed", "unprocessed"])
    def test_is_left_alone_while_somebody_has_silenced_it(self, play, alertmanager, state):
        namespace, alert = play.ill()
        alertmanager.lists(alert, state)

        play.pass_(900)

        assert play.incident(namespace) == ""
        assert play.writes(namespace) == []


class TestAnEndThatTheWebhookLost:
    def test_is_found_by_two_comparisons(self, play, alertmanager):
        namespace, alert = play.ill("observe")
        alertmanager.lists(alert)
        play.fire(alert)
        play.until_word("opened", namespace)
        play.pass_(360)
        alertmanager.alerts.clear()

        play.pass_(300)
        assert play.record(play.incident(namespace))["state"] == "open"  # once may be a gap

        play.tick_for(600, lambda: play.record(play.incident(namespace))["state"] == "closed")

    @pytest.mark.parametrize("why", ["silenced", "no watchdog", "restarted"])
    def test_is_not_made_up(self, play, alertmanager, why):
        namespace, alert = play.ill("observe")
        alertmanager.lists(alert)
        play.fire(alert)
        play.until_word("opened", namespace)
        play.pass_(360)
        alertmanager.alerts.clear()
        if why == "silenced":
            alertmanager.lists(alert, "suppressed")
        else:
            alertmanager.watchdog = why != "no watchdog"

        for _ in range(4):
            if why == "restarted":
                play.world.advance(620)  # no heartbeat for so long: it has not been up
            play.pass_(320, step=160)

        assert play.record(play.incident(namespace))["state"] == "open"
