"""Tells a webhook what fires and what has resolved, in AlertManager's groups, format and manners.

A change is told at once, what still fires is repeated, an answer 5xx or none is tried again with back-off. A resolved
alert is kept until somebody has taken it. It decides nothing about what fires.
"""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from shared import clock
from shared.dev.rules import Alert, Labels
from shared.errors import MalformedError

RECEIVER: Final = "akeso"
GROUP_BY: Final[tuple[str, ...]] = ("alertname", "namespace")
WATCHDOG: Final = "Watchdog"
_NOT_ENDED: Final = "0001-01-01T00:00:00Z"
_BACK_OFF_S: Final = 60.0
_AT_ONCE: Final = 8  # posts under way

Word = Literal["delivered", "failed", "refused"]


@dataclass
class _Group:
    labels: Labels
    firing: dict[str, Alert] = field(default_factory=dict)  # by fingerprint
    owed: list[Alert] = field(default_factory=list)  # resolved and not taken by the webhook, oldest first
    told: set[tuple[str, int]] = field(default_factory=set)  # firings that the webhook has taken
    told_at: int = 0  # ms
    next_at: int = 0  # ms, not before that after a failure
    failures: int = 0  # in a row
    busy: bool = False

    def content(self) -> tuple[list[Alert], list[Alert]]:
        """What to tell now, firing and resolved. Who fires anew is told after its resolved has been taken."""
        resolved = list({alert.fingerprint: alert for alert in reversed(self.owed)}.values())[::-1]
        waiting = {alert.fingerprint for alert in resolved}
        return [alert for alert in self.firing.values() if alert.fingerprint not in waiting], resolved

    def is_due(self, now: int, repeat_ms: float) -> bool:
        if self.busy or now < self.next_at:
            return False
        firing, resolved = self.content()
        changed = bool(resolved) or any(alert.key not in self.told for alert in firing)
        return changed or (bool(firing) and now - self.told_at >= repeat_ms)


class Webhook:
    """One receiver of groups by (alertname, namespace). Safe for use by several threads.

    `send` starts what is due and answers the threads; `counts` has the posts by how they ended: delivered (2xx), failed
    (5xx or no answer: tried again after 1, 2, 4 ... 60 s) and refused (anything else: brought back no sooner than at
    the next repetition, as AlertManager brings back a group). Seconds are of clock time, `timeout_s` is real.
    """

    def __init__(
        self, url: str, *, token_file: Path | None, repeat_s: float, heartbeat_s: float, timeout_s: float
    ) -> None:
        check_url(url)
        self.counts: dict[Word, int] = {"delivered": 0, "failed": 0, "refused": 0}
        self.external_url = ""
        self._url, self._token_file = url, token_file
        self._repeat_ms, self._heartbeat_ms = repeat_s * 1000, heartbeat_s * 1000
        self._http = httpx.Client(timeout=timeout_s, trust_env=False)
        self._lock = threading.Lock()
        self._groups: dict[tuple[tuple[str, str], ...], _Group] = {}
        self._threads: list[threading.Thread] = []

    def update(self, firing: Iterable[Alert], resolved: Iterable[Alert]) -> None:
        """Take over what fires now, all of it, and what has just resolved."""
        with self._lock:
            for group in self._groups.values():
                group.firing = {}
            for alert in firing:
                self._group(alert).firing[alert.fingerprint] = alert
            for alert in resolved:
                self._group(alert).owed.append(alert)
            self._groups = {k: g for k, g in self._groups.items() if g.firing or g.owed or g.busy}

    def send(self, now: int) -> list[threading.Thread]:
        started: list[threading.Thread] = []
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for group in self._groups.values():
                beat = group.labels.get("alertname") == WATCHDOG
                repeat = self._heartbeat_ms if beat else self._repeat_ms
                if len(self._threads) < _AT_ONCE and group.is_due(now, repeat):
                    group.busy = True
                    thread = threading.Thread(target=self._tell, args=(group, *group.content()), daemon=True)
                    thread.start()
                    started.append(thread)
                    self._threads.append(thread)
        return started

    def close(self, patience_s: float) -> None:
        """Start nothing more; wait that long for what is under way."""
        with self._lock:
            self._groups = {}
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(patience_s / len(threads))
        if not any(thread.is_alive() for thread in threads):
            self._http.close()

    def _group(self, alert: Alert) -> _Group:
        labels = {name: alert.labels[name] for name in GROUP_BY if name in alert.labels}
        return self._groups.setdefault(tuple(labels.items()), _Group(labels))

    def _tell(self, group: _Group, firing: list[Alert], resolved: list[Alert]) -> None:
        word = post(self._http, self._url, self._body(group.labels, firing, resolved), self._token_file)
        now = clock.now_ms()
        with self._lock:
            self.counts[word] += 1
            group.busy = False
            group.failures = group.failures + 1 if word == "failed" else 0
            if word == "delivered":
                group.owed = [alert for alert in group.owed if alert not in resolved]
                group.told = {alert.key for alert in firing}
                group.told_at, group.next_at = now, 0
            elif word == "failed":
                group.next_at = now + int(min(2.0 ** min(group.failures - 1, 10), _BACK_OFF_S) * 1000)
            else:
                group.next_at = now + int(self._repeat_ms)

    def _body(self, labels: Labels, firing: list[Alert], resolved: list[Alert]) -> dict[str, Any]:
        alerts = [*firing, *resolved]
        return {
            "version": "4",
            "groupKey": "{}:{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}",
            "truncatedAlerts": 0,
            "status": "firing" if firing else "resolved",
            "receiver": RECEIVER,
            "groupLabels": labels,
            "commonLabels": _common([alert.labels for alert in alerts]),
            "commonAnnotations": _common([alert.annotations for alert in alerts]),
            "externalURL": self.external_url,
            "alerts": [self._element(alert) for alert in alerts],
        }

    def _element(self, alert: Alert) -> dict[str, Any]:
        ended = alert.ends_at >= 0
        return {
            "status": "resolved" if ended else "firing",
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": clock.iso_ms(alert.starts_at),
            "endsAt": clock.iso_ms(alert.ends_at) if ended else _NOT_ENDED,
            "generatorURL": f"{self.external_url}/api/v2/alerts",
            "fingerprint": alert.fingerprint,
        }


def post(http: httpx.Client, url: str, body: Any, token_file: Path | None) -> Word:
    """Post JSON, with the bearer token that is in the file just now. A token that cannot be read is a failure."""
    headers: dict[bytes, bytes] = {b"content-type": b"application/json"}
    try:
        if token_file is not None:
            headers[b"authorization"] = b"Bearer " + token_file.read_bytes().strip()
        answer = http.post(url, content=json.dumps(body).encode(), headers=headers)
    except (httpx.HTTPError, OSError, RuntimeError):  # the last one: closed meanwhile
        return "failed"
    if answer.is_success:
        return "delivered"
    return "failed" if answer.is_server_error else "refused"


def check_url(url: str) -> None:
    """Raise MalformedError (reason `url`) unless something can be posted there."""
    try:
        parsed = httpx.URL(url)
        usable = parsed.scheme in {"http", "https"} and bool(parsed.host)
    except (httpx.InvalidURL, TypeError):
        usable = False
    if not usable:
        raise MalformedError(f"{url!r} is no URL that alerts can be posted to", reason="url")


def _common(maps: list[Labels]) -> Labels:
    return {name: value for name, value in maps[0].items() if all(other.get(name) == value for other in maps)}
