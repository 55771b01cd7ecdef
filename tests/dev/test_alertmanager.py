"""The alert source against a webhook that may be ill, with clock time that stands still until a test moves it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shared import clock
from shared.alert.model import parse
from shared.dev.alertmanager import AlertSource, RealAlertManager, find_binary
from shared.dev.rules import RULES, Finding, Rule, fingerprint, real_ms
from shared.errors import MalformedError, UnavailableError

REAL = find_binary()
ROOT = Path(__file__).parents[2]
THINGS = Rule(
    "Thing", lambda reader: [Finding(dict(labels), "text") for labels in reader.all("thing")], "It is a thing."
)
WATCHDOG = RULES[0]


class Receiver:
    """A webhook. It answers `status`, or the next of `statuses`, and keeps what came."""

    def __init__(self):
        self.status = 200
        self.statuses: list[int] = []
        self.got: list[tuple[int, dict, dict]] = []  # answer, headers, body
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                data = self.rfile.read(int(self.headers["content-length"]))
                outer.gate.wait(10)
                status = outer.statuses.pop(0) if outer.statuses else outer.status
                outer.got.append((status, dict(self.headers), json.loads(data)))
                parse(data)  # intake could read it
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/alerts/default/dev"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, name="Thing", *, status=200):
        return [body for code, _, body in list(self.got) if body["groupLabels"]["alertname"] == name and code == status]

    def told(self, name="Thing"):
        """Status and number of each alert that was taken, post by post."""
        return [[(a["status"], a["labels"].get("n")) for a in body["alerts"]] for body in self.bodies(name)]


class Things:
    """A cluster of things that are true."""

    def __init__(self):
        self.now: list[dict[str, str]] = []

    def all(self, kind):
        assert kind in {"thing", "Deployment", "Pod"}
        return list(self.now)

    def set(self, *numbers, namespace="shop"):
        self.now = [{"namespace": namespace, "n": str(number)} for number in numbers]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def things():
    return Things()


@pytest.fixture
def pass_s(tmp_path, monkeypatch):
    """Let clock time stand still, and pass by that many seconds when called."""
    file = tmp_path / "clock.json"
    monkeypatch.setenv("AKESO_CLOCK_FILE", str(file))
    clock.simulate(file, speed=0)
    return lambda seconds: clock.simulate(file, advance_ms=int(seconds * 1000))


@pytest.fixture
def make(receiver, things, pass_s):
    made = []

    def _make(*rules, **more):
        source = AlertSource(lambda: things, webhook_url=receiver.url, rules=rules or [THINGS], **more)
        made.append(source)
        return source

    yield _make
    for source in made:
        source.stop()


def until(holds, *, patience_s=20.0):
    ends = time.monotonic() + patience_s
    while not (found := holds()):
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.02)
    return found


def ask(url, *, data=None):
    method = "GET" if data is None else "POST"
    answer = httpx.request(method, url, content=data, timeout=5, trust_env=False)
    return answer.status_code, answer.json()


class TestChanges:
    def test_are_told_at_once_firing_then_resolved(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        pass_s(5)
        things.set()
        source.tick()

        firing, resolved = receiver.bodies()
        (first,), (last,) = firing["alerts"], resolved["alerts"]
        assert (firing["status"], resolved["status"]) == ("firing", "resolved")
        assert first["endsAt"] == "0001-01-01T00:00:00Z"
        assert clock.parse_ms(last["endsAt"]) - clock.parse_ms(last["startsAt"]) == 5_000
        assert (first["startsAt"], first["fingerprint"]) == (last["startsAt"], last["fingerprint"])

    def test_come_in_the_form_of_version_4(self, make, receiver, things):
        source = make()
        source.listen()
        things.set(1)
        source.tick()

        (body,) = receiver.bodies()
        labels = {"alertname": "Thing", "namespace": "shop", "n": "1"}
        notes = {"summary": "It is a thing.", "description": "text"}
        assert body == {
            "version": "4", "groupKey": '{}:{alertname="Thing", namespace="shop"}', "truncatedAlerts": 0,
            "status": "firing", "receiver": "akeso", "externalURL": source.url,
            "groupLabels": {"alertname": "Thing", "namespace": "shop"}, "commonLabels": labels,
            "commonAnnotations": notes,
            "alerts": [{
                "status": "firing", "labels": labels, "annotations": notes, "startsAt": clock.iso_ms(clock.now_ms()),
                "endsAt": "0001-01-01T00:00:00Z", "fingerprint": fingerprint(labels),
                "generatorURL": f"{source.url}/api/v2/alerts",
            }],
        }  # fmt: skip

    def test_of_one_group_come_together_and_groups_apart(self, make, receiver, things):
        source = make()
        things.now = [{"namespace": "shop", "n": "1"}, {"namespace": "shop", "n": "2"}, {"namespace": "bank", "n": "3"}]
        source.tick()

        by_namespace = {body["groupLabels"]["namespace"]: body for body in receiver.bodies()}
        assert len(receiver.got) == 2
        assert {alert["labels"]["n"] for alert in by_namespace["shop"]["alerts"]} == {"1", "2"}
        assert by_namespace["shop"]["commonLabels"] == {"alertname": "Thing", "namespace": "shop"}
        assert len(by_namespace["bank"]["alerts"]) == 1

    def test_one_resolved_of_two_is_told_beside_the_one_that_fires(self, make, receiver, things):
        source = make()
        things.set(1, 2)
        source.tick()
        things.set(2)
        source.tick()

        assert receiver.told()[1:] == [[("firing", "2"), ("resolved", "1")]]
        assert receiver.bodies()[1]["status"] == "firing"

    def test_nothing_is_told_when_nothing_changes(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        for _ in range(3):
            source.tick()
            pass_s(20)

        assert len(receiver.got) == 1

    def test_resolved_is_not_told_where_it_is_switched_off(self, make, receiver, things, pass_s):
        source = make(send_resolved=False)
        things.set(1)
        source.tick()
        things.set()
        source.tick()
        pass_s(600)
        source.tick()

        assert receiver.told() == [[("firing", "1")]]
        assert source.alerts() == []

    def test_who_fires_anew_is_told_with_the_new_start(self, make, receiver, things, pass_s):
        source = make()
        for numbers in ([1], [], [1]):
            things.set(*numbers)
            source.tick()
            pass_s(1)

        assert receiver.told() == [[("firing", "1")], [("resolved", "1")], [("firing", "1")]]
        first, _, third = (body["alerts"][0]["startsAt"] for body in receiver.bodies())
        assert clock.parse_ms(third) - clock.parse_ms(first) == 2_000


class TestRepetition:
    def test_of_what_fires_comes_after_five_minutes(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        pass_s(299)
        source.tick()
        assert len(receiver.got) == 1
        pass_s(1)
        source.tick()
        assert receiver.told() == [[("firing", "1")]] * 2
        assert receiver.bodies()[0] == receiver.bodies()[1]

    def test_of_the_watchdog_comes_each_minute(self, make, receiver, pass_s):
        source = make(WATCHDOG)
        for _ in range(4):
            source.tick()
            pass_s(30)

        assert len(receiver.bodies("Watchdog")) == 2
        assert receiver.bodies("Watchdog")[0]["groupLabels"] == {"alertname": "Watchdog"}

    def test_of_what_has_resolved_never_comes(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        things.set()
        source.tick()
        pass_s(3600)
        source.tick()
        assert len(receiver.got) == 2


class TestIllWebhook:
    def test_is_tried_again_after_503_with_back_off(self, make, receiver, things, pass_s):
        source = make()
        receiver.statuses = [503, 500]
        things.set(1)
        source.tick()
        source.tick()
        assert len(receiver.got) == 1  # not before a second has passed
        pass_s(1)
        source.tick()
        pass_s(1)
        source.tick()
        assert len(receiver.got) == 2  # and then two
        pass_s(1)
        source.tick()

        assert [status for status, _, _ in receiver.got] == [503, 500, 200]
        assert source.counters() == {"delivered": 1, "failed": 2, "refused": 0, "unread": 0}

    def test_loses_no_resolved(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        receiver.status = 503
        things.set()
        for _ in range(20):
            source.tick()
            pass_s(600)
        receiver.status = 200
        source.tick()

        assert receiver.told() == [[("firing", "1")], [("resolved", "1")]]
        assert source.counters()["failed"] == 20

    def test_hears_resolved_even_when_it_never_took_the_firing(self, make, receiver, things, pass_s):
        source = make()
        receiver.status = 503
        things.set(1)
        source.tick()
        things.set()
        receiver.status = 200
        pass_s(60)
        source.tick()

        assert receiver.told() == [[("resolved", "1")]]

    def test_hears_of_each_episode_in_order(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        receiver.status = 503
        for numbers in ([], [1], [], [1]):
            things.set(*numbers)
            pass_s(61)
            source.tick()
        receiver.status = 200
        pass_s(61)
        source.tick()

        assert receiver.told() == [[("firing", "1")], [("resolved", "1")], [("resolved", "1")], [("firing", "1")]]
        starts = [body["alerts"][0]["startsAt"] for body in receiver.bodies()]
        assert starts[0] == starts[1] < starts[2] < starts[3]

    def test_that_is_gone_is_tried_again(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        url = receiver.url
        source._out._url = "http://127.0.0.1:1/none"  # nobody listens there
        source.tick()
        assert source.counters()["failed"] == 1
        source._out._url = url
        pass_s(1)
        source.tick()
        assert receiver.told() == [[("firing", "1")]]

    def test_that_refuses_is_not_pressed_but_is_counted(self, make, receiver, things, pass_s):
        source = make()
        receiver.statuses = [400]
        things.set(1)
        for _ in range(10):
            source.tick()
            pass_s(20)

        assert [status for status, _, _ in receiver.got] == [400]
        assert source.counters() == {"delivered": 0, "failed": 0, "refused": 1, "unread": 0}

    def test_that_refuses_a_resolved_has_it_brought_back_with_the_group(self, make, receiver, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        receiver.statuses = [401]
        things.set()
        source.tick()
        pass_s(300)
        source.tick()

        assert [status for status, _, _ in receiver.got] == [200, 401, 200]
        assert receiver.told()[-1] == [("resolved", "1")]

    def test_that_is_slow_for_one_group_holds_up_no_other(self, make, receiver, things, pass_s):
        source = make(every_s=1)
        receiver.gate.clear()
        things.set(1)
        source.start()
        until(source.alerts)
        things.set(1, namespace="bank")
        pass_s(2)
        until(lambda: source.alerts()[0]["labels"]["namespace"] == "bank")
        until(lambda: sum(t.is_alive() for t in source._out._threads) == 2)
        receiver.gate.set()
        until(lambda: len(receiver.bodies()) == 3)
        assert sorted(told[0] for told in receiver.told()) == [("firing", "1"), ("firing", "1"), ("resolved", "1")]

    @pytest.mark.parametrize("url", ["", "nowhere", "ftp://host/x", "http://", "http://[::1", "/v1/alerts"])
    def test_with_no_address_is_refused_at_once(self, url):
        with pytest.raises(MalformedError) as caught:
            AlertSource(lambda: None, webhook_url=url)
        assert caught.value.reason == "url"


class TestToken:
    def test_is_sent_as_it_is_in_the_file_just_now(self, make, receiver, things, tmp_path):
        file = tmp_path / "token"
        file.write_text("first\n")
        source = make(token_file=file)
        things.set(1)
        source.tick()
        file.write_text("second")
        things.set()
        source.tick()

        assert [headers["authorization"] for _, headers, _ in receiver.got] == ["Bearer first", "Bearer second"]

    def test_that_is_missing_is_waited_for(self, make, receiver, things, pass_s, tmp_path):
        source = make(token_file=tmp_path / "token")
        things.set(1)
        source.tick()
        assert (len(receiver.got), source.counters()["failed"]) == (0, 1)
        (tmp_path / "token").write_text("t")
        pass_s(1)
        source.tick()
        assert len(receiver.got) == 1

    def test_is_absent_where_there_is_none(self, make, receiver, things):
        things.set(1)
        make().tick()
        assert "authorization" not in receiver.got[0][1]


class TestUnreadableCluster:
    def test_resolves_nothing_and_the_watchdog_goes_on(self, receiver, things, pass_s):
        answers: list[object] = [things, None, UnavailableError()]

        def read():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        source = AlertSource(read, webhook_url=receiver.url, rules=[WATCHDOG, RULES[1]])
        things.now = [{"metadata": {"namespace": "a", "name": "b", "annotations": {"akeso.dev/minimum-replicas": "1"}}}]
        for _ in range(3):
            source.tick()
            pass_s(60)
        source.stop()

        assert len(receiver.bodies("Watchdog")) == 3
        assert [body["status"] for body in receiver.bodies("KubeDeploymentBelowMinimum")] == ["firing"]
        assert source.counters()["unread"] == 2


class TestApi:
    def test_lists_what_fires(self, make, things, pass_s):
        source = make(THINGS, WATCHDOG)
        things.set(1)
        source.tick()
        at = clock.now_ms()
        pass_s(30)
        source.tick()
        status, listed = ask(f"{source.listen()}/api/v2/alerts?active=true&inhibited=false")

        assert status == 200
        thing = next(alert for alert in listed if alert["labels"]["alertname"] == "Thing")
        assert thing == {
            "labels": {"alertname": "Thing", "namespace": "shop", "n": "1"},
            "annotations": {"summary": "It is a thing.", "description": "text"},
            "fingerprint": fingerprint({"alertname": "Thing", "namespace": "shop", "n": "1"}),
            "startsAt": clock.iso_ms(at), "updatedAt": clock.iso_ms(at + 30_000), "endsAt": clock.iso_ms(at + 270_000),
            "generatorURL": f"{source.url}/api/v2/alerts", "receivers": [{"name": "akeso"}],
            "status": {"state": "active", "inhibitedBy": [], "silencedBy": []},
        }  # fmt: skip
        assert len(listed) == 2

    def test_lists_no_more_what_has_resolved(self, make, things):
        source = make()
        things.set(1, 2)
        source.tick()
        things.set(2)
        source.tick()
        _, listed = ask(f"{source.listen()}/api/v2/alerts")
        assert [alert["labels"]["n"] for alert in listed] == ["2"]

    def test_lists_no_more_what_nobody_has_evaluated_for_minutes(self, make, things, pass_s):
        source = make()
        things.set(1)
        source.tick()
        pass_s(239)
        assert len(source.alerts()) == 1
        pass_s(1)
        assert source.alerts() == []

    def test_answers_before_it_is_started(self, make):
        source = make()
        url = source.listen()
        assert source.listen() == url
        assert ask(f"{url}/-/ready") == (200, "OK")
        assert ask(f"{url}/api/v2/alerts") == (200, [])
        assert source.start() == url

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/api/v2/alerts?active=false", 200), ("/api/v2/alerts?active=maybe", 400),
            ("/api/v2/alerts?filter=a%3Db", 501), ("/api/v1/alerts", 404), ("/", 404),
        ],
    )  # fmt: skip
    def test_says_what_it_cannot_do(self, make, things, path, status):
        source = make()
        things.set(1)
        source.tick()
        got, body = ask(source.listen() + path)
        assert got == status
        assert body == [] if status == 200 else isinstance(body, str)

    @pytest.mark.parametrize("data", [b"[]", b"x" * 100_000, b""])
    def test_takes_no_alert_from_outside(self, make, data):
        source = make()
        assert ask(f"{source.listen()}/api/v2/alerts", data=data)[0] == 405
        assert source.alerts() == []

    def test_a_port_that_is_taken_is_told(self, make):
        taken = make().listen()
        with pytest.raises(UnavailableError) as caught:
            make().listen(int(taken.rpartition(":")[2]))
        assert caught.value.reason == "alertmanager-start"


class TestRunning:
    def test_follows_clock_time_by_itself(self, make, receiver, things, pass_s):
        source = make(THINGS, WATCHDOG)
        source.start()
        until(lambda: receiver.bodies("Watchdog"))
        things.set(1)
        pass_s(5)
        until(lambda: receiver.told() == [[("firing", "1")]])
        things.set()
        pass_s(5)
        until(lambda: receiver.told() == [[("firing", "1")], [("resolved", "1")]])
        pass_s(60)
        until(lambda: len(receiver.bodies("Watchdog")) == 2)

    def test_goes_on_when_the_clock_was_put_back(self, make, receiver, things, pass_s):
        source = make()
        source.start()
        until(lambda: source._listed[1])
        things.set(1)
        pass_s(-3600)
        until(lambda: receiver.told() == [[("firing", "1")]])

    def test_a_paused_source_is_silent_until_it_goes_on(self, make, receiver, things, pass_s):
        source = make(THINGS, WATCHDOG)
        source.start()
        until(lambda: source.counters()["delivered"] == 1)  # only then it has noted when that was
        source.pause()
        time.sleep(0.15)  # what was under way when it came
        things.set(1)
        pass_s(3600)
        time.sleep(0.15)  # several rounds
        assert len(receiver.got) == 1
        assert source.alerts() == []
        source.resume()
        until(lambda: len(receiver.bodies("Watchdog")) == 2 and receiver.told())

    def test_stop_ends_every_thread_and_may_be_repeated(self, receiver, things):
        before = set(threading.enumerate())
        source = AlertSource(lambda: things, webhook_url=receiver.url)
        url = source.start()
        until(lambda: receiver.got)
        source.stop()
        source.stop()
        until(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith("alerts")])
        with pytest.raises(httpx.ConnectError):
            ask(f"{url}/-/ready")

    def test_stop_does_not_wait_for_a_webhook_that_hangs(self, receiver, things, make):
        source = make()
        receiver.gate.clear()
        things.set(1)
        source.start()
        until(lambda: source._out._threads)
        source.stop()
        assert receiver.got == []


class TestPosting:
    """To an AlertManager, played by the receiver."""

    @pytest.fixture
    def manager(self, monkeypatch):
        posts: list[list[dict]] = []
        status = {"now": 200}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                assert self.path == "/api/v2/alerts"
                self.send_response(status["now"])
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        now = {"ms": 10**12}
        monkeypatch.setattr("shared.dev.alertmanager_real.real_ms", lambda: now["ms"])
        monkeypatch.setattr("shared.dev.rules.real_ms", lambda: now["ms"])
        self.url, self.posts, self.status, self.now = f"http://127.0.0.1:{server.server_address[1]}", posts, status, now
        yield self
        server.shutdown()
        server.server_close()

    def test_says_real_time_where_ours_is_simulated(self, make, things, pass_s, manager):
        pass_s(10**6)
        source = make(via=manager.url)
        things.set(1)
        source.tick()
        manager.now["ms"] += 1000
        things.set()
        source.tick()

        (firing,), (resolved,) = manager.posts
        assert firing["labels"] == {"alertname": "Thing", "namespace": "shop", "n": "1"}
        assert clock.parse_ms(firing["startsAt"]) == clock.parse_ms(resolved["startsAt"]) == 10**12
        assert clock.parse_ms(firing["endsAt"]) == 10**12 + 240_000
        assert clock.parse_ms(resolved["endsAt"]) == 10**12 + 1000

    def test_is_repeated_every_few_real_seconds(self, make, things, manager):
        source = make(via=manager.url)
        things.set(1)
        for _ in range(7):
            source.tick()
            manager.now["ms"] += 1000
        assert len(manager.posts) == 3

    def test_resolved_is_sent_on_for_a_quarter_of_an_hour(self, make, things, manager):
        source = make(via=manager.url)
        things.set(1)
        source.tick()
        things.set()
        for _ in range(17):
            source.tick()
            manager.now["ms"] += 60_000
        assert [len(post) for post in manager.posts[1:]] == [1] * 15 + [0] * 2

    def test_resolved_waits_as_long_as_it_takes(self, make, things, manager):
        source = make(via=manager.url)
        things.set(1)
        source.tick()
        manager.status["now"] = 503
        things.set()
        for _ in range(5):
            source.tick()
            manager.now["ms"] += 3_600_000
        manager.status["now"] = 200
        source.tick()
        assert len(manager.posts) == 7
        assert clock.parse_ms(manager.posts[-1][0]["endsAt"]) == 10**12
        assert source.counters() == {"delivered": 2, "failed": 5, "refused": 0, "unread": 0}

    def test_who_fires_anew_does_not_wipe_out_its_own_resolved(self, make, things, pass_s, manager):
        source = make(via=manager.url)
        for numbers in ([1], [], [1]):
            things.set(*numbers)
            pass_s(0.1)
            manager.now["ms"] += 100
            source.tick()
        ended = manager.posts[-1][0]
        assert clock.parse_ms(ended["endsAt"]) == 10**12 + 200
        manager.now["ms"] += 2000
        source.tick()
        assert clock.parse_ms(manager.posts[-1][0]["startsAt"]) == 10**12 + 300

    def test_waits_for_an_alertmanager_that_is_not_started_yet(self, make, things, manager, receiver, tmp_path):
        source = make(via=RealAlertManager("none", tmp_path, receiver.url))
        things.set(1)
        source.tick()
        assert source.counters()["failed"] == 1
        assert manager.posts == receiver.got == []


class TestFinding:
    def test_of_a_binary_that_is_not_there(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_binary() is None
        assert find_binary("alertmanager") is None

    @pytest.mark.parametrize("name", ["alertmanager", "prometheus-alertmanager"])
    def test_knows_both_names(self, monkeypatch, tmp_path, name):
        (tmp_path / name).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_binary() == str(tmp_path / name)

    def test_a_start_without_it_is_refused(self, tmp_path, receiver):
        with pytest.raises(MalformedError) as caught:
            RealAlertManager("no-such-alertmanager", tmp_path, receiver.url).start()
        assert caught.value.reason == "alertmanager-missing"

    def test_a_program_that_is_something_else_is_told_in_one_line(self, tmp_path, receiver):
        program = tmp_path / "alertmanager"
        program.write_text("#!/bin/sh\necho first; echo I cannot >&2; exit 1\n")
        program.chmod(0o755)
        with pytest.raises(UnavailableError) as caught:
            RealAlertManager(str(program), tmp_path / "am", receiver.url).start()
        assert caught.value.reason == "alertmanager-start"
        assert str(caught.value).endswith("did not come up: I cannot")


@pytest.mark.alertmanager
@pytest.mark.skipif(REAL is None, reason="neither alertmanager nor prometheus-alertmanager is on PATH")
class TestRealAlertManager:
    @pytest.fixture
    def manager(self, tmp_path, receiver):
        (tmp_path / "token").write_text("secret\n")
        with RealAlertManager(
            str(REAL), tmp_path / "am", receiver.url, token_file=tmp_path / "token", heartbeat_s=1.0
        ) as running:
            yield running

    def test_tells_firing_and_resolved_of_our_alerts(self, manager, make, receiver, things, pass_s):
        pass_s(10**6)  # the real one knows nothing of that
        source = make(THINGS, WATCHDOG, via=manager, via_every_s=0.5)
        things.set(1, 2)
        began = real_ms()
        source.start()
        both = [("firing", "1"), ("firing", "2")]
        until(lambda: both in [sorted(told) for told in receiver.told()])
        things.set(2)
        pass_s(5)
        until(lambda: ("resolved", "1") in receiver.told()[-1])

        first = next(body for body in receiver.bodies() if len(body["alerts"]) == len(both))
        assert sorted(receiver.told()[-1]) == [("firing", "2"), ("resolved", "1")]
        assert first["groupLabels"] == {"alertname": "Thing", "namespace": "shop"}
        assert {alert["fingerprint"] for alert in first["alerts"]} == {
            fingerprint({"alertname": "Thing", "namespace": "shop", "n": n}) for n in "12"
        }
        assert all(headers["Authorization"] == "Bearer secret" for _, headers, _ in receiver.got)
        assert all(0 <= clock.parse_ms(a["startsAt"]) - began < 60_000 for a in first["alerts"])

    def test_lists_the_same_alerts_as_ours(self, manager, make, things):
        source = make(via=manager)
        things.set(1, 2)
        source.tick()
        status, listed = ask(f"{manager.url}/api/v2/alerts?active=true&inhibited=false")
        assert status == 200
        assert {a["fingerprint"] for a in listed} == {a["fingerprint"] for a in source.alerts()}
        assert set(listed[0]) == set(source.alerts()[0])
        assert {a["status"]["state"] for a in listed} == {"active"}

    def test_repeats_the_watchdog(self, manager, make, receiver):
        make(WATCHDOG, via=manager).tick()
        until(lambda: len(receiver.bodies("Watchdog")) >= 2)

    def test_an_earlier_run_keeps_no_later_one_silent(self, manager, make, receiver, things):
        things.set(1)
        make(via=manager).tick()
        until(lambda: len(receiver.bodies()) == 1)
        manager.stop()
        manager.start()
        make(via=manager).tick()
        until(lambda: len(receiver.bodies()) == 2)

    def test_stop_leaves_no_process(self, manager):
        pid = manager.pid
        assert pid > 0
        manager.stop()
        manager.stop()
        assert (manager.pid, manager.url) == (0, "")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
    def test_dies_with_a_parent_that_is_killed(self, tmp_path, receiver):
        code = (
            "import sys, time; from pathlib import Path; from shared.dev.alertmanager import RealAlertManager as R\n"
            "m = R(sys.argv[1], Path(sys.argv[2]), sys.argv[3]); m.start(); print(m.pid, flush=True); time.sleep(60)"
        )
        arguments = [sys.executable, "-c", code, str(REAL), str(tmp_path / "am"), receiver.url]
        with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert _lives(pid)
            parent.send_signal(signal.SIGKILL)
        try:
            until(lambda: not _lives(pid))
        finally:
            if _lives(pid):
                os.kill(pid, signal.SIGKILL)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
