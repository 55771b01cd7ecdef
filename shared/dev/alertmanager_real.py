"""A real AlertManager on this machine where one is installed, and the way alerts get into it from our rules.

It groups, repeats, resolves and calls the webhook; ours only posts to it what fires, as Prometheus does. It knows real
time alone. It listens on loopback, forgets what an earlier run told, and dies with the thread that started it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import yaml

from shared import clock
from shared.dev.alertmanager_notify import GROUP_BY, RECEIVER, WATCHDOG, Word, check_url, post
from shared.dev.child import die_with_parent
from shared.dev.port import HOST, HeldPort
from shared.dev.rules import Alert, real_ms
from shared.errors import MalformedError, UnavailableError

NAMES: Final = ("alertmanager", "prometheus-alertmanager")
READY_S: Final = 60.0
STOP_S: Final = 5.0
# Prometheus' own: how long an alert lives without being sent again, and how long a resolved one is sent on.
_HOLD_MS: Final = 240_000
_SENT_ON_MS: Final = 900_000
_AGAIN_MS: Final = 1_000
_FLUSH_MS: Final = 2_000  # over AlertManager's group_interval: who fires anew sooner would wipe out its own resolved


def find_binary(binary: str | None = None) -> str | None:
    """Path of the given program, else of an AlertManager on PATH; None where there is none."""
    return next((found for name in ((binary,) if binary else NAMES) if (found := shutil.which(name))), None)


class RealAlertManager:
    """One AlertManager process with its configuration, log and data in `folder`. `url` is empty before `start`.

    `repeat_s` and `heartbeat_s` are real seconds; the heartbeat's are few, because clock time may be fast.
    """

    def __init__(
        self, binary: str, folder: Path, webhook_url: str, *, token_file: Path | None = None,
        repeat_s: float = 60.0, heartbeat_s: float = 5.0,
    ) -> None:  # fmt: skip
        check_url(webhook_url)
        self.folder = folder
        self.url = ""
        self._binary, self._webhook_url, self._token_file = binary, webhook_url, token_file
        self._repeat_s, self._heartbeat_s = repeat_s, heartbeat_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 while it does not run."""
        return self._process.pid if self._process is not None and self.alive else 0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start it and wait until it is ready; its URL.

        Raises MalformedError (reason `alertmanager-missing`) and UnavailableError (reason `alertmanager-start`).
        """
        found = find_binary(self._binary)
        if found is None:
            raise MalformedError(f"{self._binary} is no program that can be run", reason="alertmanager-missing")
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        # What an earlier run has told would keep this one silent for as long as `repeat_s`.
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        config = self.folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(self._config(), sort_keys=False))
        log = self.folder / "alertmanager.log"
        with HeldPort() as held:
            url = f"http://{HOST}:{held.number}"
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [
                        found, f"--config.file={config.resolve()}", f"--storage.path={self.folder.resolve() / 'data'}",
                        f"--web.listen-address={HOST}:{held.number}", "--cluster.listen-address=",
                    ],
                    cwd=self.folder,
                    env={"PATH": os.environ.get("PATH", "")},  # no proxies
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),  # noqa: PLW1509 - two system calls, loaded beforehand
                )  # fmt: skip
            if self._ready(url):
                self.url = url
                return url
        self._end(signal.SIGKILL)
        last = " ".join((log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1].split())
        raise UnavailableError(f"{found} did not come up: {last[:300]}", reason="alertmanager-start")

    def stop(self) -> None:
        """End it, by force after `STOP_S`. Harmless when it does not run."""
        self.url = ""
        if self.alive and not self._end(signal.SIGTERM):
            self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def _config(self) -> dict[str, Any]:
        http: dict[str, Any] = {"follow_redirects": False}
        if self._token_file is not None:
            http["authorization"] = {"type": "Bearer", "credentials_file": str(self._token_file.resolve())}
        hook = {"url": self._webhook_url, "send_resolved": True, "max_alerts": 0, "http_config": http}
        beat = {"matchers": [f'alertname="{WATCHDOG}"'], "repeat_interval": _duration(self._heartbeat_s)}
        return {
            "route": {
                "receiver": RECEIVER, "group_by": list(GROUP_BY), "group_wait": "100ms", "group_interval": "1s",
                "repeat_interval": _duration(self._repeat_s), "routes": [beat],
            },
            "receivers": [{"name": RECEIVER, "webhook_configs": [hook]}],
        }  # fmt: skip

    def _ready(self, url: str) -> bool:
        ends = time.monotonic() + READY_S
        with httpx.Client(timeout=1.0, trust_env=False) as http:
            while self.alive and time.monotonic() < ends:
                with contextlib.suppress(httpx.HTTPError):
                    if http.get(f"{url}/-/ready").is_success and self.alive:
                        return True
                time.sleep(0.03)
        return False

    def _end(self, number: signal.Signals) -> bool:
        if self._process is None or not self.alive:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return False
        return True


class Forwarder:
    """Posts to an AlertManager's API what fires and what has resolved, again and again, as Prometheus does.

    `send` posts when something has changed or `every_s` real seconds have passed, and tries again a second after a
    failure. A resolved alert is sent on for 15 minutes, and at least until it has been taken. Safe for use by
    several threads.
    """

    def __init__(self, url: Callable[[], str], *, every_s: float, timeout_s: float) -> None:
        self.counts: dict[Word, int] = {"delivered": 0, "failed": 0, "refused": 0}
        self.external_url = ""
        self._url, self._every_ms = url, int(every_s * 1000)
        self._http = httpx.Client(timeout=timeout_s, trust_env=False)
        self._lock = threading.Lock()
        self._firing: dict[str, Alert] = {}  # by fingerprint
        self._ended: dict[str, list[Alert]] = {}  # by fingerprint, oldest first
        self._taken: dict[tuple[str, int], int] = {}  # of the ended ones, since when, ms
        self._told: set[tuple[str, int]] = set()
        self._changed = False
        self._next_at = self._again_at = 0  # ms, real: the next regular post, and not before that after a failure
        self._closed = False
        self._thread: threading.Thread | None = None

    def update(self, firing: Iterable[Alert], resolved: Iterable[Alert]) -> None:
        """Take over what fires now, all of it, and what has just resolved."""
        with self._lock:
            self._firing = {alert.fingerprint: alert for alert in firing}
            for alert in resolved:
                self._ended.setdefault(alert.fingerprint, []).append(alert)
                self._changed = True
            self._changed = self._changed or any(alert.key not in self._told for alert in self._firing.values())

    def send(self, now: int) -> list[threading.Thread]:  # noqa: ARG002 - clock time is not this part's
        with self._lock:
            real = real_ms()
            busy = self._thread is not None and self._thread.is_alive()
            due = real >= self._again_at and (self._changed or real >= self._next_at)
            if self._closed or busy or not due:
                return []
            self._next_at, self._changed = real + self._every_ms, False
            self._thread = threading.Thread(target=self._tell, args=(self._content(real),), daemon=True)
            self._thread.start()
            return [self._thread]

    def close(self, patience_s: float) -> None:
        """Start nothing more; wait that long for what is under way."""
        with self._lock:
            self._closed, thread = True, self._thread
        if thread is not None:
            thread.join(patience_s)
        if thread is None or not thread.is_alive():
            self._http.close()

    def _content(self, real: int) -> list[Alert]:
        """One alert for a fingerprint: an ended one until it has been taken, then the one that fires."""
        for key, ended in self._ended.items():
            while ended and (taken := self._taken.get(ended[0].key)) is not None:
                superseded = len(ended) > 1 or key in self._firing
                if real - taken < (_FLUSH_MS if superseded else _SENT_ON_MS):
                    break
                del self._taken[ended.pop(0).key]
        self._ended = {key: ended for key, ended in self._ended.items() if ended}
        firing = [alert for key, alert in self._firing.items() if key not in self._ended]
        return [*firing, *(ended[0] for ended in self._ended.values())]

    def _tell(self, alerts: list[Alert]) -> None:
        url = self._url()
        until = clock.iso_ms(real_ms() + _HOLD_MS)
        body = [
            {
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": clock.iso_ms(alert.starts_real),
                "endsAt": clock.iso_ms(alert.ends_real) if alert.ends_at >= 0 else until,
                "generatorURL": f"{self.external_url}/api/v2/alerts",
            }
            for alert in alerts
        ]
        word = post(self._http, f"{url}/api/v2/alerts", body, None) if url else "failed"
        with self._lock:
            self.counts[word] += 1
            if word == "delivered":
                for alert in alerts:
                    if alert.ends_at >= 0:
                        self._taken.setdefault(alert.key, real_ms())
                self._told = {alert.key for alert in alerts}
            else:
                self._changed, self._again_at = True, real_ms() + _AGAIN_MS


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
