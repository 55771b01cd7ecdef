"""A way to an API server that sees every request and can fail some: plain HTTP on loopback, TLS behind it.

It must not change what passes: credentials, bodies and answers go through as they are.
"""

import http.server
import json
import threading
from typing import Any, NamedTuple

import urllib3

_TOLD = ("Content-Type", "Retry-After", "Warning")
_PASSED = ("Authorization", "Accept", "Content-Type", "User-Agent")


class Seen(NamedTuple):
    method: str
    path: str
    status: int  # what the client was told; 0: nothing
    agent: str


class Fault(NamedTuple):
    """What the next request of that method is answered (status 0: nothing); `applied`: the server does it anyhow.

    `after` so many that pass.
    """

    method: str
    status: int
    headers: dict[str, str] = {}  # noqa: RUF012 - a tuple's default is shared, but nobody changes it
    body: Any = None
    applied: bool = False
    after: int = 0


class Proxy:
    def __init__(self, server: str, ca: str | None = None) -> None:
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        tls = {"ca_certs": ca, "cert_reqs": "CERT_REQUIRED"} if ca else {}
        upstream = urllib3.PoolManager(maxsize=8, block=False, retries=False, **tls)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def answer(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fault = next((one for one in outer.faults if one.method == self.command), None)
                if fault:
                    outer.faults.remove(fault)
                if fault and fault.after:
                    outer.faults.append(fault._replace(after=fault.after - 1))
                    fault = None
                if fault is None or fault.applied:
                    headers = {name: self.headers[name] for name in _PASSED if name in self.headers}
                    got = upstream.request(
                        self.command, server + self.path, body=data or None, headers=headers, timeout=30
                    )
                    status, body = got.status, got.data
                    told = {name: got.headers[name] for name in _TOLD if name in got.headers}
                if fault:
                    status, told = fault.status, {"Content-Type": "application/json", **fault.headers}
                    body = fault.body if isinstance(fault.body, bytes) else json.dumps(fault.body or {}).encode()
                outer.seen.append(Seen(self.command, self.path, status, self.headers.get("User-Agent", "")))
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in told.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 - the base class's names

            def log_message(self, *args: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
