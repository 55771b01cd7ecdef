import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shared.channels import Ticket, find
from shared.channels.webhook import MAX_ANSWER, Webhook
from shared.errors import MalformedError, UnavailableError
from shared.secrets import Secrets
from shared.settings import Settings, Tickets

TICKET = Ticket(incident="i-1", title="web is down", severity="critical", reasons=("password=hunter2",))
URL = "http://tickets.example/hook"


class Receiver:
    """Remembers what came and gives the prepared answer."""

    def __init__(self, answer=None) -> None:
        self.requests: list[httpx.Request] = []
        self.answer = answer or httpx.Response(200, json={"reference": "T-1"})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        # as from a socket: not read yet
        stream = httpx.ByteStream(self.answer.content) if self.answer.is_stream_consumed else self.answer.stream
        return httpx.Response(self.answer.status_code, headers=self.answer.headers, stream=stream)

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(request.content) for request in self.requests]


def webhook(receiver: Receiver, folder: Path) -> Webhook:
    return Webhook(URL, Secrets(folder), transport=httpx.MockTransport(receiver))


def failed(call) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        call()
    assert caught.value.__cause__ is None
    return caught.value


class TestPosts:
    def test_open_carries_the_whole_ticket_and_returns_the_reference(self, tmp_path):
        receiver = Receiver()
        assert webhook(receiver, tmp_path).open(TICKET) == "T-1"

        (request,) = receiver.requests
        assert (request.method, str(request.url), request.headers["content-type"]) == ("POST", URL, "application/json")
        assert receiver.bodies == [
            {
                "action": "open", "correlation_id": "i-1", "incident": "i-1", "title": "web is down", "tenant": "",
                "cluster": "", "severity": "critical", "scope": "", "reasons": ["password=[redacted]"], "waiting": [],
                "timeline": [], "commands": [],
            },
        ]  # fmt: skip

    def test_update_names_the_reference(self, tmp_path):
        receiver = Receiver(httpx.Response(204))
        webhook(receiver, tmp_path).update("T-1", TICKET)

        assert {**receiver.bodies[0], "reasons": []}.items() >= {
            "action": "update",
            "reference": "T-1",
            "correlation_id": "i-1",
        }.items()

    def test_close_says_why_without_secrets(self, tmp_path):
        receiver = Receiver(httpx.Response(202, text="whatever"))
        webhook(receiver, tmp_path).close("T-1", "healed, token=hunter2")

        assert receiver.bodies == [{"action": "close", "reference": "T-1", "text": "healed, token=[redacted]"}]


class TestToken:
    def test_is_sent_as_bearer_and_read_anew_each_time(self, tmp_path):
        receiver = Receiver()
        channel = webhook(receiver, tmp_path)
        channel.open(TICKET)
        (tmp_path / "ticket-token").write_bytes(b"one\n")
        channel.open(TICKET)
        (tmp_path / "ticket-token").unlink()
        (tmp_path / "ticket-token").write_bytes(b"two")
        channel.open(TICKET)

        assert [r.headers.get("authorization") for r in receiver.requests] == [None, "Bearer one", "Bearer two"]

    def test_one_that_no_header_can_hold_is_not_quoted(self, tmp_path):
        (tmp_path / "ticket-token").write_bytes(b"hunter2\r\nx: y")
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
            url = f"http://127.0.0.1:{server.server_port}/"
            error = failed(lambda: Webhook(url, Secrets(tmp_path), direct=True).open(TICKET))

        assert "hunter2" not in repr(error)
        assert error.__suppress_context__


class TestFailures:
    @pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 409, 429, 500, 503])
    def test_any_other_status_is_unavailable(self, tmp_path, status):
        answer = httpx.Response(status, json={"reference": "T-1"}, headers={"location": "http://elsewhere.example/"})
        receiver = Receiver(answer)

        assert failed(lambda: webhook(receiver, tmp_path).open(TICKET)).reason == "ticket"
        assert len(receiver.requests) == 1

    @pytest.mark.parametrize("status", [404, 410])
    def test_a_ticket_that_is_gone_is_told_apart(self, tmp_path, status):
        channel = webhook(Receiver(httpx.Response(status)), tmp_path)

        assert failed(lambda: channel.update("T-1", TICKET)).reason == "ticket-gone"
        assert failed(lambda: channel.close("T-1", "x")).reason == "ticket-gone"

    @pytest.mark.parametrize(
        "body",
        ["", "ok", "[]", "{}", '"T-1"', '{"reference": 1}', '{"reference": ""}', '{"reference": "a b"}',
        '{"reference": "ü"}',
         '{"reference": "' + "x" * 129 + '"}', '{"reference": null}', "[" * 50_000, "\xff"],
    )  # fmt: skip
    def test_an_answer_without_a_reference_opened_nothing(self, tmp_path, body):
        receiver = Receiver(httpx.Response(200, content=body.encode("latin-1")))

        assert failed(lambda: webhook(receiver, tmp_path).open(TICKET)).reason == "ticket"

    def test_an_endless_answer_is_not_read_to_its_end(self, tmp_path):
        read = 0

        def endless():
            nonlocal read
            while True:
                read += 1024
                yield b"x" * 1024

        assert "bound" in str(
            failed(lambda: webhook(Receiver(httpx.Response(200, content=endless())), tmp_path).open(TICKET))
        )
        assert read <= MAX_ANSWER + 16 * 1024

    @pytest.mark.parametrize(
        "error", [httpx.ConnectError("hunter2"), httpx.ReadTimeout("hunter2"), httpx.RemoteProtocolError("hunter2")]
    )
    def test_a_receiver_that_is_gone_is_unavailable_by_name_alone(self, tmp_path, error):
        said = str(failed(lambda: webhook(Receiver(error), tmp_path).open(TICKET)))

        assert type(error).__name__ in said
        assert "hunter2" not in said

    def test_a_closed_port_is_unavailable(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        failed(lambda: Webhook(f"http://127.0.0.1:{port}/", Secrets(tmp_path), direct=True).open(TICKET))

    def test_a_receiver_that_drips_is_given_up(self, tmp_path):
        stopped = threading.Event()

        class Dripping(BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_response(200)
                self.end_headers()
                while not stopped.wait(0.02):
                    try:
                        self.wfile.write(b" ")
                    except OSError:
                        return

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            channel = Webhook(
                f"http://127.0.0.1:{server.server_port}/", Secrets(tmp_path), timeout_ms=3000, direct=True
            )
            try:
                assert "too slow" in str(failed(lambda: channel.open(TICKET)))
            finally:
                stopped.set()
                server.shutdown()
                thread.join()


class TestMake:
    @pytest.mark.parametrize("url", ["", "tickets", "ftp://x/", "http://", "/x", "http://[", "javascript:alert(1)"])
    def test_without_a_usable_url_it_is_refused(self, tmp_path, url):
        with pytest.raises(MalformedError) as caught:
            find("webhook")(Settings(tickets=Tickets(url=url)), Secrets(tmp_path))
        assert caught.value.reason == "settings"

    def test_takes_the_url_of_the_settings(self, tmp_path):
        assert isinstance(find("webhook")(Settings(tickets=Tickets(url=URL)), Secrets(tmp_path)), Webhook)


def test_looking_for_channels_imports_none():
    code = (
        "import sys, shared.channels as c; c.names();"
        "print([m for m in ('httpx', 'shared.channels.webhook') if m in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
