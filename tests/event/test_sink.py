import socket
import threading

import pytest

from shared.errors import UnavailableError
from shared.event.codec import decode
from shared.event.sign import verify
from shared.event.sink import Sink
from tests.event.parts import KEY, an_event


def refused(url, event=None):
    with pytest.raises(UnavailableError) as caught:
        Sink(url, KEY).post(event or an_event())
    assert caught.value.reason == "broker"
    return str(caught.value)


class TestTaken:
    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_on_any_2xx(self, receiver, status):
        receiver.status = status
        Sink(receiver.url, KEY).post(an_event())
        assert len(receiver.requests) == 1

    def test_is_the_event_in_binary_mode_with_our_signature(self, receiver):
        Sink(receiver.url, KEY).post(an_event())
        ((_, headers, body),) = receiver.requests
        got = decode(headers, body)
        verify(got, [KEY])
        assert got.with_extensions(sig="") == an_event()
        assert {name.lower() for name in headers} >= {"ce-id", "ce-sig", "content-type"}

    def test_by_many_threads_at_once(self, receiver):
        sink = Sink(receiver.url, KEY)
        names = [f"e{number}" for number in range(40)]
        threads = [threading.Thread(target=sink.post, args=(an_event(id=name),)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(decode(headers, body).id for _, headers, body in receiver.requests) == sorted(names)


class TestNotTaken:
    @pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 429, 500, 502, 503])
    def test_on_an_error(self, receiver, status):
        receiver.status = status
        assert str(status) in refused(receiver.url)
        assert len(receiver.requests) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
    def test_on_a_redirect_which_is_not_followed(self, receiver, status):
        receiver.status, receiver.headers = status, {"location": f"{receiver.url}/elsewhere"}
        assert str(status) in refused(receiver.url)
        assert [path for path, _, _ in receiver.requests] == ["/"]

    def test_when_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        assert "ConnectError" in refused(f"http://127.0.0.1:{port}")

    @pytest.mark.parametrize("url", ["", "broker", "ftp://x", "http://", "http://[", "http://x:99999999"])
    def test_when_the_address_is_none(self, url):
        refused(url)

    def test_when_it_hangs_up(self):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def hang_up():
                connection, _ = server.accept()
                connection.recv(65536)
                connection.close()

            threading.Thread(target=hang_up, daemon=True).start()
            refused(f"http://127.0.0.1:{server.getsockname()[1]}")


class TestWhatStandsInTheEnvironment:
    def test_no_proxy_is_used(self, receiver, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        Sink(receiver.url, KEY).post(an_event())
        assert len(receiver.requests) == 1
