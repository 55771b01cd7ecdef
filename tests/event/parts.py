"""What the tests of the adapter share: keys, one sound event, and a broker that listens."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared.event.codec import Event

KEY = b"k" * 32
OLD_KEY = b"o" * 32


def an_event(**changes):
    """An event as intake makes it; every attribute that Akeso sets is there."""
    extensions = {
        "incidentid": "inc-1", "causationid": "cause-1", "correlationid": "corr-1", "action": "act", "severity": "page",
        "tenant": "default", "cluster": "dev", "hop": "3", "traceparent": "00-1-2-00", "redrive": "1",
        "expirytime": "2999-01-01T00:00:00Z", "partitionkey": "inc-1",
    }  # fmt: skip
    made = {
        "type": "dev.akeso.escalation.requested.v1", "source": "/akeso/test", "id": "id-1",
        "time": "2026-03-04T05:06:07Z", "subject": "inc-1",
        "data": {"incident": "inc-1", "reason": "ä \u2028 reason"}, "extensions": extensions,
    }  # fmt: skip
    return Event(**made | changes)


class Receiver:
    """A broker that keeps what it is sent; `status`, `headers` and `gate` say how it answers."""

    def __init__(self):
        self.requests = []
        self.status = 202
        self.headers = {}
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                outer.gate.wait(20)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers), b""))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self):
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
