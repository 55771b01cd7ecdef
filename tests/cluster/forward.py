"""A way to an API server that somebody watches over: plain HTTP on loopback, TLS behind it.

It must not change what it hands on: credentials, bodies and answers go through as they are, and none are its own.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

import urllib3

from tests.cluster.api import Api

_PASSED = ("Authorization", "Accept", "Content-Type", "User-Agent")
_TOLD = ("Content-Type", "Retry-After", "Warning")


class Asked(NamedTuple):
    method: str
    path: str  # with its query
    agent: str


class Said(NamedTuple):
    status: int  # 0: nothing, the connection is cut
    headers: dict[str, str]
    body: bytes


class Forwarder:
    """Serves while it is entered; `url` is where the API is then."""

    def __init__(self, api: Api) -> None:
        self._api = api
        tls = {"ca_certs": api.ca, "cert_reqs": "CERT_REQUIRED"} if api.ca else {}
        self._upstream = urllib3.PoolManager(maxsize=32, block=False, retries=False, **tls)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(self.command, self.path, self.headers.get("User-Agent", ""))
                said = outer._answer(asked, lambda: outer._hand_on(self, body))
                if not said.status:
                    self.close_connection = True
                    return
                self.send_response(said.status)
                self.send_header("Content-Length", str(len(said.body)))
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 - the base class's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._upstream.clear()

    def _answer(self, asked: Asked, hand_on: Callable[[], Said]) -> Said:
        """What becomes of one request; `hand_on` asks the API server."""
        raise NotImplementedError

    def _hand_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> Said:
        headers = {name: handler.headers[name] for name in _PASSED if name in handler.headers}
        url = self._api.url + handler.path
        try:
            got = self._upstream.request(handler.command, url, body=body or None, headers=headers, timeout=60)
        except urllib3.exceptions.HTTPError:  # nobody there
            return Said(0, {}, b"")
        return Said(got.status, {name: got.headers[name] for name in _TOLD if name in got.headers}, got.data)
