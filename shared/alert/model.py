"""AlertManager's webhook body, format version 4, made bounded and harmless before anything else reads it.

Everything in it is hostile text: it stays data, is never a parameter and never a header. This module neither looks at
what an alert means (`shared.alert.families`) nor keeps anything.
"""

import json
import re
from typing import Any, Final, Literal, NamedTuple

from shared import clock
from shared.errors import MalformedError, TooLargeError
from shared.event.types import Alert
from shared.model.base import Model, canonical, sha256
from shared.telemetry.redact import redact

LIMIT: Final = 4 * 1024 * 1024  # bytes
MAX_PAIRS: Final = 64  # labels, and annotations, of one alert
MAX_NAME: Final = 128
MAX_LABEL: Final = 1024
MAX_ANNOTATION: Final = 2048
FUTURE_MS: Final = 10 * 60 * 1000  # an end may be so much ahead: clocks differ without anybody being wrong
_LATEST: Final = 253_402_214_400_000  # 9999-12-31: what is later has no RFC 3339 form

# Controls, line and paragraph separators, what turns the reading direction round, and half surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BLANK = frozenset("\t\n\r")
_FINGERPRINT = re.compile(r"[0-9A-Za-z_-]{1,64}")
# Kept first when an alert has more labels than the bound: these decide what is healed.
_FIRST = frozenset(
    {"alertname", "severity", "namespace", "exported_namespace", "pod", "exported_pod", "deployment", "statefulset"}
    | {"daemonset", "job_name", "persistentvolumeclaim", "pvc", "node", "exported_node", "instance"}
)


class Rejected(NamedTuple):
    """An element of `alerts[]` that is no alert: its place from 0, and a short machine-readable reason."""

    place: int
    reason: Literal["not-an-object", "status", "labels", "annotations"]


class Group(Model):
    """One webhook body. `truncated` counts the alerts that AlertManager left out (its `max_alerts`)."""

    receiver: str
    group_key: str
    truncated: int
    alerts: tuple[Alert, ...]
    rejected: tuple[Rejected, ...] = ()


class _BadAlertError(Exception):
    def __init__(self, reason: Literal["not-an-object", "status", "labels", "annotations"]) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(body: bytes, *, limit: int = LIMIT, now_ms: int | None = None) -> Group:
    """Read the group in `body`; `now_ms` (ms since the Unix epoch) is the clock's when it is not given.

    An element that is no alert is put into `rejected` and costs its neighbours nothing. Labels and annotations over
    their bounds are shortened, not refused, because a refused alert would be a lost one.
    Raises TooLargeError over `limit` bytes and MalformedError for anything that is not a version 4 body.
    """
    if len(body) > limit:
        raise TooLargeError(f"alert body of {len(body)} bytes, the limit is {limit}")
    top = _top(body)
    now = clock.now_ms() if now_ms is None else now_ms
    alerts: list[Alert] = []
    rejected: list[Rejected] = []
    for place, item in enumerate(top["alerts"]):
        try:
            alerts.append(_alert(item, now))
        except _BadAlertError as error:
            rejected.append(Rejected(place, error.reason))
    return Group(
        receiver=clean(top.get("receiver", ""), MAX_NAME),
        group_key=clean(top.get("groupKey", ""), MAX_ANNOTATION),
        truncated=top.get("truncatedAlerts", 0),
        alerts=tuple(alerts),
        rejected=tuple(rejected),
    )


def clean(text: str, limit: int) -> str:
    """At most `limit` printable characters: blanks for tabs and line ends, U+FFFD for every other control."""
    if not text.isprintable():
        text = _UNPRINTABLE.sub(lambda found: " " if found[0] in _BLANK else "\ufffd", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _top(body: bytes) -> dict[str, Any]:
    try:
        top = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError("alert body is not JSON", reason="not-json") from error
    if not isinstance(top, dict):
        raise MalformedError("alert body is not a JSON object", reason="not-an-object")
    if top.get("version") != "4":
        raise MalformedError("alert body is not of version 4", reason="version")
    wrong = [name for name in ("receiver", "groupKey") if not isinstance(top.get(name, ""), str)]
    if not isinstance(top.get("alerts"), list):
        wrong.append("alerts")
    truncated = top.get("truncatedAlerts", 0)
    if not isinstance(truncated, int) or isinstance(truncated, bool) or truncated < 0:
        wrong.append("truncatedAlerts")
    if wrong:
        raise MalformedError(f"alert body: wrong type of {', '.join(wrong)}", reason="wrong-type")
    return top


def _alert(item: Any, now: int) -> Alert:
    if not isinstance(item, dict):
        raise _BadAlertError("not-an-object")
    status = item.get("status")
    if status not in ("firing", "resolved"):
        raise _BadAlertError("status")
    raw = _texts(item.get("labels"))
    if not raw:
        raise _BadAlertError("labels")
    notes = _texts(item.get("annotations", {}))
    if notes is None:
        raise _BadAlertError("annotations")
    print_ = item.get("fingerprint")
    if not isinstance(print_, str) or not _FINGERPRINT.fullmatch(print_):
        print_ = sha256(canonical(raw).decode())[:16]
    # An unreadable time becomes now rather than 0: two firings may never be taken for the same, long resolved one. One
    # in the future stays as it is, because a firing, its repetitions and its end are known by having the same start.
    starts = min(_moment(item.get("startsAt"), now), _LATEST)
    ends = _moment(item.get("endsAt"), now) if status == "resolved" else -1
    return Alert(
        status=status,
        fingerprint=print_,
        starts_at=starts,
        ends_at=max(now, starts) if ends > now + FUTURE_MS or 0 <= ends < starts else ends,
        labels=_bounded(raw, MAX_LABEL),
        # Kept for days, shown to people, put into prompts: secrets go out of the text here.
        annotations=_bounded({name: str(redact(text)) for name, text in notes.items()}, MAX_ANNOTATION),
    )


def _texts(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        return None
    return value


def _bounded(pairs: dict[str, str], limit: int) -> dict[str, str]:
    names: list[str] = list(pairs)
    if len(names) > MAX_PAIRS:
        names = sorted(names, key=lambda name: (name not in _FIRST, name))[:MAX_PAIRS]
    bounded: dict[str, str] = {}
    for name in names:
        bounded.setdefault(clean(name, MAX_NAME), clean(pairs[name], limit))
    return bounded


def _moment(text: Any, otherwise: int) -> int:
    """RFC 3339 to ms; `otherwise` for what cannot be read and for Go's zero time."""
    try:
        moment = clock.parse_ms(text)
    except (ValueError, TypeError, OverflowError):
        return otherwise
    return moment if moment >= 0 else otherwise
