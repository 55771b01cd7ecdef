"""Compares AlertManager's own list with the open incidents: edge-triggered by webhook, level-triggered by this.

What is missing here is posted to intake as an ordinary body; what is gone there is posted as `resolved`, but only
after two comparisons in a row with Watchdog present and AlertManager up for ten minutes. A verdict never rests on it.
"""

import json
from typing import Any

import httpx

from shared import clock
from shared.alert.families import is_watchdog
from shared.alert.model import parse
from shared.errors import UnavailableError
from shared.event.here import Here
from shared.event.types import Alert
from shared.state.client import PREFIX
from shared.state.transitions import Cause

_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
MAX_BYTES = 16 << 20
BATCH = 200  # alerts in one body, far below intake's bound


def reconcile(here: Here, cause: Cause) -> tuple[int, int]:
    """How many alerts were posted as missing and as gone. Raises UnavailableError when AlertManager does not answer."""
    speaks_for = here.settings.alertmanager
    cause = cause._replace(tenant=speaks_for.tenant, cluster=speaks_for.cluster)
    there, active = _listed(speaks_for.url)
    if not any(is_watchdog(alert) for alert in there.values()):
        here.state.put(cause, gone=[], count="reconcile_without_watchdog_total")
        return 0, 0
    here_known = _open_fingerprints(here, cause)
    missing = [a for f, a in there.items() if f in active and f not in here_known and not is_watchdog(a)]
    absent = sorted(here_known.keys() - there.keys())
    gone = here.state.store.call("put", cause.request(gone=absent)).get("gone", [])
    resolved = [here_known[fingerprint] for fingerprint in gone]
    now = clock.now_ms()
    body = [_element(alert, "firing", now) for alert in missing] + [_element(a, "resolved", now) for a in resolved]
    for start in range(0, len(body), BATCH):
        _post(here, body[start : start + BATCH])
    return len(missing), len(resolved)


def _listed(url: str) -> tuple[dict[str, Alert], set[str]]:
    """All that AlertManager knows, by fingerprint, and which of it is neither silenced nor inhibited.

    A silenced alert is not posted, as AlertManager would not; nor is it gone.
    """
    try:
        with httpx.Client(timeout=_TIMEOUT, trust_env=False) as http:
            answer = http.get(f"{url.rstrip('/')}/api/v2/alerts")
        answer.raise_for_status()
        listed: list[dict[str, Any]] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(f"AlertManager: {type(error).__name__}", reason="alertmanager") from error
    if not isinstance(listed, list):
        raise UnavailableError("AlertManager answered no list", reason="alertmanager")
    # Its API speaks another dialect than its webhook; the webhook's reader bounds and cleans.
    alerts = [
        {**item, "status": "firing", "endsAt": "0001-01-01T00:00:00Z"} for item in listed if isinstance(item, dict)
    ]
    group = parse(_body(alerts), limit=MAX_BYTES, now_ms=clock.now_ms())
    active = {
        str(item.get("fingerprint"))
        for item in listed
        if isinstance(item, dict) and isinstance(item.get("status"), dict) and item["status"].get("state") == "active"
    }
    return {alert.fingerprint: alert for alert in group.alerts}, active


def _open_fingerprints(here: Here, cause: Cause) -> dict[str, Alert]:
    known: dict[str, Alert] = {}
    store = here.state.store
    for member in store.read("SMEMBERS", f"{PREFIX}:open"):
        tenant, cluster, incident = member.split("|", 2)
        if (tenant, cluster) != (cause.tenant, cause.cluster):
            continue
        base = f"{PREFIX}:{tenant}:{cluster}"
        for fingerprint in store.read("SMEMBERS", f"{base}:firing:{incident}"):
            known[fingerprint] = Alert(status="resolved", fingerprint=fingerprint, starts_at=0, ends_at=0)
    return known


def _element(alert: Alert, status: str, now: int) -> dict[str, Any]:
    starts = alert.starts_at or now
    return {
        "status": status, "fingerprint": alert.fingerprint, "labels": alert.labels or {"alertname": "reconciled"},
        "annotations": alert.annotations, "startsAt": clock.iso_ms(starts),
        "endsAt": clock.iso(now) if status == "resolved" else "0001-01-01T00:00:00Z",
    }  # fmt: skip


def _body(alerts: list[dict[str, Any]]) -> bytes:
    group = {"version": "4", "groupKey": "reconcile", "receiver": "reconcile", "truncatedAlerts": 0, "alerts": alerts}
    return json.dumps(group).encode()


def _post(here: Here, alerts: list[dict[str, Any]]) -> None:
    speaks_for = here.settings.alertmanager
    token = here.secrets.optional("webhook-token")
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token.decode()}"
    url = f"{here.settings.intake.rstrip('/')}/v1/alerts/{speaks_for.tenant}/{speaks_for.cluster}"
    try:
        with httpx.Client(timeout=_TIMEOUT, trust_env=False) as http:
            answer = http.post(url, content=_body(alerts), headers=headers)
    except httpx.HTTPError as error:
        raise UnavailableError(f"intake: {type(error).__name__}", reason="intake") from error
    if not answer.is_success:
        raise UnavailableError(f"intake answered {answer.status_code}", reason="intake")
