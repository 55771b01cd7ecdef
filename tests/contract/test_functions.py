"""Each function alone, outside `akeso dev`: a real process, asked by the very line that the product itself prints."""

import http.client
import json
import os
import socket
import threading
import time
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from shared.event.codec import decode
from shared.event.sign import verify
from shared.event.types import FUNCTIONS, TYPES
from tests.contract.alone import THREADS, alone, has_curl, run

pytestmark = pytest.mark.skipif(not has_curl(), reason="curl is not installed")

# Status, and for a refusal its reason, for a next event its type.
GOOD = {
    "intake": (200, ""),
    "triage": (200, "escalation.requested"),
    "router": (200, "remediation.proposed"),
    "guard": (200, "remediation.denied"),
    "executor": (204, ""),  # a grant that Redis does not know is never begun
    "verifier": (204, ""),
    "escalate": (204, ""),
    "deadletter": (204, ""),
    "sweeper": (204, ""),
    "api": (200, ""),
}
FORGED = dict.fromkeys(FUNCTIONS, (403, "signature")) | {
    "intake": (403, "token"),
    "api": (403, "token"),
    "sweeper": (400, "unknown-type"),  # a ping carries no authority and no signature
    "deadletter": (204, ""),  # and an alarm in the log
}
MODES = {"binary": (), "structured": ("--structured",)}
BAD = {
    "garbage": ("POST", "/", {}, b"{"),
    "nothing": ("POST", "/", {}, b""),
    "batch": ("POST", "/", {"content-type": "application/cloudevents-batch+json"}, b"[]"),
    "nested": ("POST", "/", {"content-type": "application/cloudevents+json"}, b"[" * 100_000),
    "unknown type": (
        "POST",
        "/",
        {
            "ce-specversion": "1.0",
            "ce-type": "x" * 900,
            "ce-source": "/s",
            "ce-id": "i",
            "content-type": "application/json",
        },
        b"{}",
    ),
    "raw bytes in a header": (
        "POST",
        "/",
        {"ce-specversion": "1.0", "ce-id": "\xff", "ce-type": "t", "ce-source": "s"},
        b"{}",
    ),
    "ten megabytes": ("POST", "/", {}, b"x" * 10_000_000),
    "another method": ("DELETE", "/", {}, b""),
    "no such path": ("GET", "/" + "y" * 2000, {}, b""),
    "robots": ("GET", "/robots.txt", {}, b""),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    before = dict(os.environ)
    with alone(folder, os.environ["PATH"]) as one:
        os.environ.update({name: value for name, value in one.env.items() if name.startswith("AKESO_")})
        try:
            one.fresh()
            yield one
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="module", params=FUNCTIONS)
def function(request, home):
    """Name and base URL of one running function; they run one after the other."""
    with home.running(request.param) as url:
        yield request.param, url


def next_event(home, answer):
    event = decode(answer.headers, answer.body)
    verify(event, [(home.secrets / "event-hmac").read_bytes()])
    return TYPES[event.type].schema.model_validate(event.data), event.type.removeprefix("dev.akeso.").removesuffix(
        ".v1"
    )


def reason(answer):
    return json.loads(answer.body)["error"] if answer.status >= 400 else ""


class TestEachFunction:
    def test_is_tried_here(self):
        assert GOOD.keys() == FORGED.keys() == set(FUNCTIONS)

    @pytest.mark.parametrize("mode", MODES)
    def test_takes_a_good_one(self, home, function, capsys, mode):
        name, url = function
        home.fresh()
        answer = run(home.line(capsys, name, url, *MODES[mode]))
        status, said = GOOD[name]
        assert answer.status == status, answer.body
        if said:
            assert next_event(home, answer)[1] == said
        elif name == "api":
            assert answer.headers["content-type"] == "application/json"
            assert "incidents_open" in json.loads(answer.body)
        else:
            assert answer.body == b""

    @pytest.mark.parametrize("mode", MODES)
    def test_refuses_a_forged_one(self, home, function, capsys, mode):
        name, url = function
        answer = run(home.line(capsys, name, url, "--forged", *MODES[mode]))
        assert (answer.status, reason(answer)) == FORGED[name]
        assert len(answer.body) <= 512
        assert '"refused"' in home.log(name) or '"dead letter refused"' in home.log(name)

    @pytest.mark.parametrize("what", BAD)
    def test_answers_what_is_bad_shortly(self, function, what):
        name, url = function
        answer = ask(url, *BAD[what])
        if name == "deadletter" and BAD[what][0] == "POST":
            assert (answer.status, answer.body) == (204, b"")
        else:
            assert 400 <= answer.status < 500
        assert len(answer.body) <= 512
        assert b"Traceback" not in answer.body

    def test_says_that_it_lives(self, function):
        answer = ask(function[1], "GET", "/healthz")
        assert (answer.status, answer.body) == (200, b"")


class Said:
    def __init__(self, status, body):
        self.status, self.body = status, body


def ask(url, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Said(response.status, response.read())
    finally:
        connection.close()


class TestBurst:
    EVENTS = 200
    STEP_S = 4.5  # gunicorn's wait for a silent connection's first byte is 5 s

    def test_of_200_events_sees_no_step(self, home, capsys):
        """With as many silent connections before them as there are threads: what a proxy's spare ones are."""
        with home.running("guard") as url:
            request = home.line(capsys, "guard", url, "--structured")
            body = request.partition("--data-binary ")[2].strip("'").encode()
            headers = {"content-type": "application/cloudevents+json"}
            assert ask(url, "POST", "/", headers, body).status == 200
            longest = self._longest(url, headers, body)
            if longest >= self.STEP_S:  # once it may be the machine that stood still
                longest = self._longest(url, headers, body)
        assert longest < self.STEP_S

    def _longest(self, url, headers, body):
        """The longest pause between two answers of a burst; each of them is a good one."""
        spare = [socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) for _ in range(THREADS)]
        try:
            answers = self._all_at_once(lambda: ask(url, "POST", "/", headers, body).status)
        finally:
            for connection in spare:
                connection.close()
        assert [status for status, _ in answers] == [200] * self.EVENTS
        moments = [0.0, *sorted(moment for _, moment in answers)]
        longest = max(after - before for before, after in pairwise(moments))
        print(f"200 events: last answer after {moments[-1]:.2f} s, longest pause {longest:.2f} s")
        return longest

    def _all_at_once(self, send):
        """Status of each and the seconds until then."""
        together, answers = threading.Barrier(self.EVENTS + 1), []

        def one():
            together.wait(30)
            status = send()
            answers.append((status, time.monotonic() - began))

        threads = [threading.Thread(target=one) for _ in range(self.EVENTS)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        together.wait(30)
        for thread in threads:
            thread.join(60)
        return answers
