"""The metrics API of a cluster that has no metrics server: what the pods of a namespace take is said by the test.

The rest is real: the API server hands its autoscaler's questions on to here, and the controller does its own sums. It
must go when its story ends: an API server a part of which is dead ends no namespace.
"""

import json
import ssl
import threading
from base64 import b64encode
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from shared import clock
from shared.dev.rules import real_ms
from tests.cluster.api import Api, Object, until
from tests.cluster.rig.certs import Authority

_GROUP = "metrics.k8s.io/v1beta1"
_API = f"/apis/{_GROUP}"
_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_PODS = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}


class Metrics:
    """A context manager; on a cluster whose API server can reach this machine's loopback, which has no such API yet.

    `load`: by namespace, what all its pods together take of a CPU, in thousandths, each the same share.
    """

    def __init__(self, api: Api, folder: Path) -> None:
        self.load: dict[str, int] = {}
        self._api, self._folder = api, folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            namespace = stack.enter_context(self._api.namespace("akeso-test-metrics"))
            authority = Authority(self._folder)
            authority.server("metrics", [f"metrics.{namespace}.svc"], ["127.0.0.1"])
            server = self._serve(stack)
            self._api.ok("POST", f"/api/v1/namespaces/{namespace}/services", {
                "metadata": {"name": "metrics"}, "spec": {"type": "ExternalName", "externalName": "localhost"},
            })  # fmt: skip
            name = ".".join(reversed(_GROUP.split("/")))
            self._api.ok("POST", _SERVICES, {
                "metadata": {"name": name},
                "spec": {
                    "group": "metrics.k8s.io", "version": "v1beta1",
                    "groupPriorityMinimum": 100, "versionPriority": 100,
                    "service": {"namespace": namespace, "name": "metrics", "port": server.server_port},
                    "caBundle": b64encode((self._folder / "ca.crt").read_bytes()).decode(),
                },
            })  # fmt: skip
            stack.callback(self._api, "DELETE", f"{_SERVICES}/{name}")
            until(lambda: self._api("GET", _API).status == 200, "the API server does not ask for metrics")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self, stack: ExitStack) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = outer._answer(self.path)
                body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "code": 404}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "metrics.crt", self._folder / "metrics.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        return server

    def _answer(self, path: str) -> Object | None:
        parts = urlsplit(path)
        if parts.path == _API:
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP, "resources": [_PODS]}
        if not parts.path.startswith(f"{_API}/namespaces/") or not parts.path.endswith("/pods"):
            return None
        namespace = parts.path.removeprefix(f"{_API}/namespaces/").removesuffix("/pods")
        query = {key: values[0] for key, values in parse_qs(parts.query).items() if key == "labelSelector"}
        pods = self._api.ok("GET", f"/api/v1/namespaces/{namespace}/pods", **query)["items"]
        running = [pod for pod in pods if pod["status"]["phase"] == "Running"] if namespace in self.load else []
        return {"kind": "PodMetricsList", "apiVersion": _GROUP, "metadata": {}, "items": [{
            "metadata": {"name": pod["metadata"]["name"], "namespace": namespace},
            "timestamp": clock.iso(real_ms()), "window": "1s",
            "containers": [{"name": one["name"], "usage": {"cpu": f"{self.load[namespace] // len(running)}m"}}
                           for one in pod["spec"]["containers"]],
        } for pod in running]}  # fmt: skip
