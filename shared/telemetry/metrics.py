"""From the one Redis hash that the transitions count in to what Prometheus reads.

Pods come and go, so nothing is counted in a process. A field is `name|label=value|label=value` and its value an
integer; a counter's name may end in `_total`. A counter kept both with labels and without is shown with them: the bare
one is their sum, which `status` reads. An observation of a histogram moves two fields: `name_bucket|...|le=<the
smallest bound it fits, or +Inf>` by one and `name_sum|...` by its milliseconds; what is cumulative is made so here.
Redis is not read here, only its answer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX: Final = "akeso_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SKIPPED: Final = "metrics_skipped"
SECONDS: Final = ("0.1", "0.5", "1", "5", "15", "60", "300", "900", "3600")  # bounds of every histogram


class Family(NamedTuple):
    kind: Literal["counter", "gauge", "histogram"]
    help: str


FAMILIES: Final[dict[str, Family]] = {
    "alerts_accounted": Family("counter", "Alerts whose end is known, by how: opened, joined, closed, told and so on"),
    "alerts_received": Family("counter", "Distinct alerts taken into the ledger"),
    "approvals_void": Family("counter", "Approvals that came to nothing, by the check that refused"),
    "attempt_seconds": Family("histogram", "From the start of an attempt to its end, by action"),
    "attempts": Family("counter", "Attempts begun, by action and mode"),
    "audit_alarms": Family("counter", "Audit chains that did not hold when they were to be sealed"),
    "begin_refused": Family("counter", "Granted attempts that were not begun, by check"),
    "breaker_closed": Family("counter", "Breakers closed by a verified probe, by action"),
    "breaker_half_open": Family("counter", "Probes let through by half-open breakers, by action"),
    "breaker_opened": Family("counter", "Breakers opened, by action"),
    "dead_letters": Family("counter", "Dead letters received, by function"),
    "decisions": Family("counter", "Decisions of the guard, by decision and action or check"),
    "demotions": Family("counter", "Steps down the ladder of autonomy, by action"),
    "due_published": Family("counter", "Deadlines that the sweeper acted on, by kind"),
    "escalations_opened": Family("counter", "Tickets opened"),
    "expired": Family("counter", "Events that came too late, by function"),
    "heal_seconds": Family("histogram", "From the opening of an incident to its verified verdict"),
    "holds": Family("counter", "Holds answered by a person or by time, by answer"),
    "hydrations": Family("counter", "Times that Redis was empty or another one and was filled from Kubernetes"),
    "incidents_closed": Family("counter", "Incidents closed, by how"),
    "incidents_open": Family("gauge", "Incidents open now"),
    "incidents_opened": Family("counter", "Incidents opened, by family"),
    "loops": Family("counter", "Events stopped because they had come round too often"),
    "outcomes": Family("counter", "Ends of attempts, by action and outcome"),
    "policy_refused": Family("counter", "Policies that could not be read, the last good one staying in force"),
    "promotions": Family("counter", "Steps up the ladder of autonomy, made by people, by action"),
    "promotions_proposed": Family("counter", "Records good enough for a step up, by action"),
    "reconcile_without_watchdog": Family("counter", "Comparisons with AlertManager left out for want of its Watchdog"),
    "redrives": Family("counter", "Dead letters sent on their way once more"),
    "runs": Family("counter", "Manual runs asked for by people"),
    "signatures_refused": Family("counter", "Events refused because of their signature, by function"),
    _SKIPPED: Family("gauge", "Fields of the counters' hash that no family knows or that cannot be read"),
    "stop_changes": Family("counter", "Changes of the emergency stop, by mode"),
    "storms": Family("counter", "Storms begun"),
    "storms_over": Family("counter", "Storms that ended by themselves"),
    "stuck": Family("counter", "Entries that nothing moved in time, by where they stood"),
    "suppressed": Family("counter", "Alerts that autonomy off kept from being looked at"),
    "tell": Family("counter", "Reasons found to tell a person"),
    "told": Family("counter", "Reasons that a person was told"),
    "verdicts": Family("counter", "Verdicts after the soak, by action and verdict"),
    "would_have_done": Family("counter", "Proposals that only autonomy observe kept from being done"),
    "writes": Family("counter", "Writes to Kubernetes"),
}

_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,39}")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_UNFIT: Final = re.compile(r"[|\x00-\x1f\x7f\ud800-\udfff]")  # in a label's value

_Labels = tuple[tuple[str, str], ...]


class _Point(NamedTuple):
    """What a field says: the family, `bucket` or `sum` of a histogram, the labels without `le`, and the bound."""

    family: str
    part: str
    labels: _Labels
    bound: str


def _labels(parts: Iterable[str]) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    for part in parts:
        label, equals, value = part.partition("=")
        if not equals or not _LABEL.fullmatch(label) or label in labels or _UNFIT.search(value):
            return None
        labels[label] = value
    return labels


def _point(name: str, value: str) -> _Point | None:
    name, *parts = name.split("|")
    name = name.removeprefix(PREFIX)
    labels = _labels(parts)
    if labels is None or not _INTEGER.fullmatch(value):
        return None
    family, part, bound = name, "", ""
    if name not in FAMILIES:
        family, _, part = name.rpartition("_")  # bucket, sum or total
    known = FAMILIES.get(family)
    if known is None or family == _SKIPPED or (known.kind != "gauge" and value.startswith("-")):
        return None
    if known.kind == "histogram":
        bound = labels.pop("le", "")
        if part not in ("bucket", "sum") or bound not in ((*SECONDS, "+Inf") if part == "bucket" else ("",)):
            return None
    elif part not in (("", "total") if known.kind == "counter" else ("",)):
        return None
    elif part == "total":
        part = ""
    return _Point(family, part, tuple(sorted(labels.items())), bound)


class _Collector:
    """A custom collector of prometheus_client over one answer of HGETALL."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._values: dict[_Point, int] = {}
        skipped = 0
        for name, value in fields.items():
            point = _point(name, value)
            if point is None:
                skipped += 1
            else:
                # two spellings of one series are added up: Prometheus refuses a page that has one twice
                self._values[point] = self._values.get(point, 0) + int(value)
        for family in {
            point.family for point in self._values if point.labels and FAMILIES[point.family].kind == "counter"
        }:
            self._values.pop(_Point(family, "", (), ""), None)
        self._values[_Point(_SKIPPED, "", (), "")] = skipped

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import Metric

        for name in sorted({point.family for point in self._values}):
            kind, text = FAMILIES[name]
            metric = Metric(PREFIX + name, text, kind)
            mine = {point: value for point, value in self._values.items() if point.family == name}
            if kind == "histogram":
                self._histogram(metric, mine)
            else:
                for point, value in sorted(mine.items()):
                    metric.add_sample(metric.name + ("_total" if kind == "counter" else ""), dict(point.labels), value)
            yield metric

    @staticmethod
    def _histogram(metric: "Metric", points: Mapping[_Point, int]) -> None:
        for labels in sorted({point.labels for point in points}):
            count = 0
            for bound in (*SECONDS, "+Inf"):
                count += points.get(_Point(metric.name.removeprefix(PREFIX), "bucket", labels, bound), 0)
                metric.add_sample(metric.name + "_bucket", {**dict(labels), "le": bound}, count)
            milliseconds = points.get(_Point(metric.name.removeprefix(PREFIX), "sum", labels, ""), 0)
            metric.add_sample(metric.name + "_sum", dict(labels), milliseconds / 1000)
            metric.add_sample(metric.name + "_count", dict(labels), count)


def exposition(fields: Mapping[str, str]) -> bytes:
    """Write the page for Prometheus in its text format (`CONTENT_TYPE`), families sorted by name.

    A field that cannot be read or that no family knows costs nothing but one in `akeso_metrics_skipped`.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(fields))
    return generate_latest(registry)
