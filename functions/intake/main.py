"""AlertManager's peer: takes one body, and says 2xx only when the broker has every alert of it.

Anything else is a 503, because AlertManager drops a group for good on a 4xx. One bad alert never costs its
neighbours. Tenant and cluster come from the URL, never from a label.
"""

import hmac
import re

from shared import clock
from shared.alert import families
from shared.alert.model import LIMIT, Group, parse
from shared.errors import ForbiddenError, UnavailableError
from shared.event import codec, make
from shared.event.app import Call, WebAnswer, serve_web
from shared.event.fanout import post_all
from shared.event.here import Here
from shared.event.make import Emit
from shared.event.types import Alert, AlertData
from shared.model.base import sha256
from shared.state.transitions import Cause

LEASE_MS = 60_000
WAIT_S = 8.0  # AlertManager's webhook waits longer; open posts run on

_PATH = re.compile(r"v1/alerts/([a-z0-9-]{1,40})/([a-z0-9-]{1,40})")


def receive(call: Call, here: Here) -> WebAnswer:
    place = _PATH.fullmatch(call.path)
    if call.method != "POST" or place is None:
        return WebAnswer(404)
    _check_token(call, here)
    group = parse(call.body, limit=LIMIT, now_ms=clock.now_ms())
    tenant, cluster = place.groups()
    cause = Cause("intake", "webhook", sha256(group.group_key, str(clock.now_ms())), tenant, cluster)
    alerts = {_ledger(alert, cause): alert for alert in group.alerts}
    # One that has resolved is no heartbeat: when Prometheus dies, everything resolves.
    watchdogs = {key for key, alert in alerts.items() if families.is_watchdog(alert) and alert.status == "firing"}
    events = {key: _event(key, alert, group, cause) for key, alert in alerts.items()}
    marks = here.state.take(
        cause,
        alerts=[{"ledger": key, "watchdog": key in watchdogs, "event": codec.dump(e)} for key, e in events.items()],
        taken=[],
        lease=LEASE_MS,
    )
    anew = {key: _event(key, alerts[key], group, cause, n) for key, (_, n) in zip(alerts, marks, strict=True) if n}
    if anew:
        drafts = [{"ledger": key, "event": codec.dump(event)} for key, event in anew.items()]
        here.state.take(cause, alerts=[], taken=[], lease=LEASE_MS, drafts=drafts)
        events |= anew
    _tell_of_gaps(group, cause, here)
    due = [events[key] for key, (mark, _) in zip(alerts, marks, strict=True) if mark == "post"]
    ledger_of = {event.id: key for key, event in events.items()}

    def on_taken(ids: list[str]) -> None:
        here.state.take(cause, alerts=[], taken=[ledger_of[name] for name in ids], lease=LEASE_MS)

    taken = post_all(here.sink, due, WAIT_S, on_taken)
    if len(taken) < len(due) or any(mark == "busy" for mark, _ in marks):
        raise UnavailableError(f"{len(due) - len(taken)} alerts are not taken yet", reason="not-taken")
    return WebAnswer(200)


def _check_token(call: Call, here: Here) -> None:
    token = here.secrets.optional("webhook-token")
    if token is None and here.settings.dev:
        return
    if token is None:
        raise UnavailableError("no webhook token is mounted", reason="secret-missing")
    given = call.headers.get("authorization", "").encode("utf-8", "replace")
    if not hmac.compare_digest(given, b"Bearer " + token):
        raise ForbiddenError("wrong webhook token", reason="token")


def _ledger(alert: Alert, cause: Cause, status: str = "") -> str:
    named = (cause.tenant, cause.cluster, alert.fingerprint, str(alert.starts_at), status or alert.status)
    return sha256(*named)[:32]


def _event(key: str, alert: Alert, group: Group, cause: Cause, again: int = 0) -> codec.Event:
    twin = _ledger(alert, cause, "resolved" if alert.status == "firing" else "firing")
    data = AlertData(alert=alert, ledger=key, truncated=group.truncated, twin=twin, again=again)
    emit = Emit(f"alert.{alert.status}", data, severity=alert.labels.get("severity", ""))
    # The same message anew is another event, or every inbox on its way would take it for a repetition.
    name = sha256(key, str(again))[:32] if again else key
    return make.first("intake", emit, id=name, tenant=cause.tenant, cluster=cause.cluster)


def _tell_of_gaps(group: Group, cause: Cause, here: Here) -> None:
    """What AlertManager left out, or sent in a form that nobody can read, is a person's to know."""
    name = f"group-{sha256(group.group_key)[:16]}"
    gaps = []
    if group.truncated:
        gaps.append(f"AlertManager left {group.truncated} alerts out of a group (receiver {group.receiver[:80]})")
    if group.rejected:
        kinds = sorted({rejected.reason for rejected in group.rejected})
        gaps.append(f"{len(group.rejected)} alerts of a group cannot be read: {', '.join(kinds)}")
    for gap in gaps:
        here.state.put(cause, untold={"incident": name, "reason": gap, "at": clock.now_ms()})


intake = serve_web("intake", receive, limit=LIMIT)
