"""The source of alerts for one machine: Prometheus' rules and AlertManager's manners, over a cluster it only reads.

Where a real AlertManager runs, this one posts the alerts there and the real one does the rest. It must never write to
the cluster, and it invents nothing: an alert is resolved when its rule is no longer true. Never in a pod.
"""

import json
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import parse_qs, urlsplit

from shared import clock
from shared.dev.alertmanager_notify import RECEIVER, Webhook, Word
from shared.dev.alertmanager_real import Forwarder, RealAlertManager, find_binary
from shared.dev.rules import RULES, Alert, Evaluator, Reader, Rule, over_http
from shared.errors import AkesoError, UnavailableError

__all__ = ["AlertSource", "RealAlertManager", "find_binary", "over_http"]

_POLL_S: Final = 0.05  # real: clock time may leap or run fast
_STOP_S: Final = 1.0  # real
_HOLD_MS: Final = 240_000  # an alert that nobody evaluates any more is listed for so long, as AlertManager does
_MAX_BODY: Final = 1 << 20
_FILTERS: Final = frozenset({"active", "silenced", "inhibited", "unprocessed"})


class _Outlet(Protocol):
    """Where alerts go. `external_url` is the base URL that its messages name."""

    counts: dict[Word, int]
    external_url: str

    def update(self, firing: Iterable[Alert], resolved: Iterable[Alert]) -> None: ...
    def send(self, now: int) -> list[threading.Thread]: ...
    def close(self, patience_s: float) -> None: ...


class AlertSource:
    """Evaluates `rules` every `every_s` and tells `webhook_url`, or posts to the AlertManager `via`.

    `read` gives the cluster, or None while there is none, which resolves nothing. `token_file` is read at each post.
    `via` is a base URL, or a RealAlertManager that may be started later; it gets everything each `via_every_s`.
    `ignore` holds (namespace, name) of Deployments and pods that no rule shall see. What fires is told again after
    `repeat_s`, the Watchdog after `heartbeat_s`. All seconds are of clock time but those of `via_every_s` and
    `timeout_s`, which are real.

    With `send_resolved` False (it may be changed while running) nobody is told that an alert has resolved; a real
    AlertManager finds out by itself four minutes later. Callable from any thread. Raises MalformedError (reason `url`).
    """

    def __init__(
        self,
        read: Callable[[], Reader | None],
        *,
        webhook_url: str,
        token_file: Path | None = None,
        via: str | RealAlertManager | None = None,
        ignore: frozenset[tuple[str, str]] = frozenset(),
        rules: Iterable[Rule] = RULES,
        every_s: float = 5.0,
        repeat_s: float = 300.0,
        heartbeat_s: float = 60.0,
        via_every_s: float = 3.0,
        timeout_s: float = 30.0,
        send_resolved: bool = True,
    ) -> None:
        self.send_resolved = send_resolved
        self.url = ""
        self._read, self._every_ms = read, every_s * 1000
        self._evaluator = Evaluator(rules, ignore=ignore)
        self._out: _Outlet
        if via is None:
            self._out = Webhook(
                webhook_url, token_file=token_file, repeat_s=repeat_s, heartbeat_s=heartbeat_s, timeout_s=timeout_s
            )
        else:
            base = via
            self._out = Forwarder(
                lambda: (base if isinstance(base, str) else base.url).rstrip("/"),
                every_s=via_every_s, timeout_s=timeout_s,
            )  # fmt: skip
        self._lock = threading.Lock()
        self._listed: tuple[list[Alert], int] = [], 0  # what fires, and when that was found, ms
        self._paused = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._server: ThreadingHTTPServer | None = None

    def listen(self, port: int = 0) -> str:
        """Serve the API on that port of loopback, 0 for a free one; the base URL. Again: the same.

        Raises UnavailableError (reason `alertmanager-start`) when the port is taken.
        """
        if self._server is None:
            try:
                self._server = _Server(("127.0.0.1", port), self.alerts)
            except OSError as error:
                what = f"alerts on port {port}: {error.strerror}"
                raise UnavailableError(what, reason="alertmanager-start") from error
            self.url = self._out.external_url = f"http://127.0.0.1:{self._server.server_address[1]}"
            serve = {"poll_interval": _POLL_S}
            threading.Thread(target=self._server.serve_forever, kwargs=serve, name="alerts-api", daemon=True).start()
        return self.url

    def start(self) -> str:
        """Serve the API, evaluate and tell; the base URL. A stopped source is not started again."""
        url = self.listen()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
            self._thread.start()
        return url

    def stop(self) -> None:
        """Harmless when it does not run. What has not been told is not told any more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
        self._out.close(_STOP_S)
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def pause(self) -> None:
        """Evaluate nothing and tell nothing, the Watchdog included, until `resume`: nobody hears of alerts."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def tick(self) -> None:
        """Evaluate now, tell what is due and wait for the answers; also while paused."""
        now = clock.now_ms()
        self._evaluate(now)
        while sending := self._out.send(now):
            for thread in sending:
                thread.join()

    def counters(self) -> dict[str, int]:
        """Count posts by how they ended (`delivered`, `failed`, `refused`), and failed evaluations (`unread`)."""
        return {"unread": self._evaluator.failures} | {str(word): count for word, count in self._out.counts.items()}

    def alerts(self) -> list[dict[str, Any]]:
        """Answer what fires, as AlertManager's API version 2 lists it."""
        listed, at = self._listed
        if clock.now_ms() >= at + max(_HOLD_MS, self._every_ms * 4):
            return []
        return [
            {
                "labels": alert.labels,
                "annotations": alert.annotations,
                "fingerprint": alert.fingerprint,
                "startsAt": clock.iso_ms(alert.starts_at),
                "endsAt": clock.iso_ms(at + _HOLD_MS),
                "updatedAt": clock.iso_ms(at),
                "generatorURL": f"{self.url}/api/v2/alerts",
                "receivers": [{"name": RECEIVER}],
                "status": {"state": "active", "inhibitedBy": [], "silencedBy": []},
            }
            for alert in listed
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def _evaluate(self, now: int) -> None:
        with self._lock:
            try:
                reader = self._read()
            except (AkesoError, OSError):
                reader = None
            resolved = self._evaluator.evaluate(reader, now)
            firing = self._evaluator.firing
            self._listed = firing, now
            self._out.update(firing, resolved if self.send_resolved else [])

    def _run(self) -> None:
        due = 0.0
        while not self._ended.is_set():
            now = clock.now_ms()
            if not self._paused:
                if not due - self._every_ms <= now < due:  # also when the clock went back
                    self._evaluate(now)
                    due = now + self._every_ms
                self._out.send(now)
            self._ended.wait(_POLL_S)


class _Server(ThreadingHTTPServer):
    """The part of AlertManager's API that answers what fires; nothing can be posted, since alerts come from rules."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], alerts: Callable[[], list[dict[str, Any]]]) -> None:
        super().__init__(address, _Handler)
        self.alerts = alerts


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path in {"/-/ready", "/-/healthy"}:
            self._answer(200, "OK")
        elif url.path == "/api/v2/alerts":
            self._list(parse_qs(url.query, keep_blank_values=True))
        else:
            self._answer(404, "not found")

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if length.isascii() and length.isdigit():
            self.rfile.read(min(int(length), _MAX_BODY))  # an answer to half a request is not always heard
        self._answer(405, "alerts come from the rules alone")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Say nothing: the terminal is for the story."""

    def _list(self, query: dict[str, list[str]]) -> None:
        if unknown := query.keys() - _FILTERS:
            self._answer(501, f"{min(unknown)[:40]} is not emulated")
        elif any(value not in {"true", "false"} for values in query.values() for value in values):
            self._answer(400, "a filter is true or false")
        else:
            # Nothing is ever silenced, inhibited or unprocessed.
            self._answer(200, [] if query.get("active") == ["false"] else self.server.alerts())

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 405:  # noqa: PLR2004 - HTTP's own number
            self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(data)
