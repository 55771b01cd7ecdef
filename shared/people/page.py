"""The page for Prometheus: what the transitions counted, and beside it what is open and due at this moment."""

from shared.event.here import Here
from shared.people.status import counters, gauges
from shared.telemetry import metrics


def page(here: Here) -> bytes:
    """In the text format of `metrics.CONTENT_TYPE`. Raises UnavailableError when Redis does not answer."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    now = gauges(here)
    counted = counters(here) | {"incidents_open": str(now["incidents_open"])}
    registry = CollectorRegistry(auto_describe=False)
    due = Gauge("akeso_due", "Deadlines that stand, by kind", ["kind"], registry=registry)
    for kind, number in now["due"].items():
        due.labels(kind).set(number)
    mode = Gauge("akeso_stop_mode", "1 for the mode in force", ["mode"], registry=registry)
    for name in ("run", "stop", "freeze", "unknown"):
        mode.labels(name).set(int(name == now["mode"]))
    return metrics.exposition(counted) + generate_latest(registry)
