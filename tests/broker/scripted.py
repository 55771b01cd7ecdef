"""A subscriber that answers by script and remembers what it was sent: real HTTP, no opinion about CloudEvents."""

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx

HTTP = httpx.Client(timeout=60)  # one for all tests: making one costs more than most of them


class Run(NamedTuple):
    method: str
    headers: dict[str, str]  # lower-case names; values as latin-1, one character per byte
    body: bytes
    at: float  # monotonic seconds


def never():
    """For tests whose Triggers name addresses, not services."""

    async def resolve(service: str) -> str:
        raise AssertionError(service)

    return resolve


def eventually(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def event_headers(kind: str, **attributes: str) -> dict[str, str]:
    named = {"specversion": "1.0", "id": "1", "source": "/test", "type": kind, **attributes}
    return {"content-type": "application/json", **{f"ce-{name}": value for name, value in named.items()}}


class Subscriber:
    """`script` maps a path such as `/row/f` to its answers; the last one is repeated, no script is a 204.

    An answer: `status` (204), `body` or `size` (bytes of it), `headers`, `delay_s`, `gate` (a threading.Event that it
    waits for), and `reply`, the type of an event that it carries `as` binary, structured, incomplete (no type, no
    source), broken or batch.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script: dict[str, list[dict[str, Any]]] = {}
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except ConnectionError:  # the broker gave up, which is what some rows are about
                    self.close_connection = True

            def do_POST(self):
                subscriber._answer(self)

            do_GET = do_PUT = do_POST  # noqa: N815 - named by the base class

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

        self._server = Server((host, port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.rfile.read(int(headers.get("content-length", 0)))
        path = request.path
        with self._lock:
            self.runs[path].append(Run(request.command, headers, body, time.monotonic()))
            answers = self.script.get(path) or [{}]
            answer = answers[min(len(self.runs[path]), len(answers)) - 1]
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(answer.get("delay_s", 0))
            if "gate" in answer:
                answer["gate"].wait(60)
            given, content = _rendered(answer, headers)
        finally:
            with self._lock:
                self.at_once -= 1
        request.send_response(answer.get("status", 200 if content or "reply" in answer else 204))
        for name, value in given.items():
            request.send_header(name, value)
        if answer.get("status") not in (204, 304):
            request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _rendered(answer: dict[str, Any], consumed: dict[str, str]) -> tuple[dict[str, str], bytes]:
    headers = dict(answer.get("headers", {}))
    if "reply" not in answer:
        return headers, answer.get("body", "x" * answer.get("size", 0)).encode()
    reply_id = consumed.get("ce-id", "") + "/r"
    attributes = {"specversion": "1.0", "id": reply_id, "source": "/f", "type": answer["reply"], "own": "kept"}
    form = answer.get("as", "binary")
    if form == "binary":
        binary = {f"ce-{name}": value for name, value in attributes.items()}
        return {**headers, **binary, "content-type": "application/json"}, b'{"n": 1}'
    if form == "incomplete":
        return {**headers, "ce-specversion": "1.0", "ce-id": "1"}, b"{}"
    text = json.dumps({**attributes, "data": {"n": 1}})
    if form == "structured":
        return {**headers, "content-type": "application/cloudevents+json"}, text.encode()
    if form == "batch":
        return {**headers, "content-type": "application/cloudevents-batch+json"}, f"[{text}]".encode()
    return {**headers, "content-type": "application/cloudevents+json"}, text[:-9].encode()
