"""How risky a proposal is, 0 to 100, in parts that people can read; and what it costs.

Only what the proposal itself tells is counted here. The record of the action on its target and the hour of the day are
the state's to know: `admit` adds them, sums up, and lets the policy say what may pass.
"""

from typing import Final

from shared.event.types import ProposedData
from shared.model.hold import Price

_ACTION: Final = {"none": 0, "low": 10, "medium": 25, "high": 40}
# What one target of the kind carries: a node has many workloads, a claim and a StatefulSet have data.
_KIND: Final = {"Node": 20, "PersistentVolumeClaim": 15, "StatefulSet": 10, "DaemonSet": 8, "Job": 5, "Pod": 5}
_ENVIRONMENT: Final = {"dev": 0, "development": 0, "test": 0, "staging": 5, "stage": 5}
_PRODUCTION: Final = 10  # and whatever does not say that it is something else
_BLAST: Final = 20
_DOUBT: Final = 20


def parts(data: ProposedData) -> dict[str, int]:
    """Points by part: action, kind, environment, blast, confidence."""
    touches = data.plan.touches
    share = min(1.0, touches.count / touches.population) if touches.population > 0 else float(touches.count > 0)
    return {
        "action": _ACTION[data.declared.risk],
        "kind": _KIND.get(data.scope.kind, 0),
        "environment": _ENVIRONMENT.get(data.judged.environment.lower(), _PRODUCTION),
        "blast": round(_BLAST * share),
        "confidence": round(_DOUBT * (1 - data.confidence)),
    }


def price(data: ProposedData) -> Price:
    """The price tag that a person reads before a yes; `downtime_s` is an estimate, one thing after the other."""
    touches = data.plan.touches
    return Price(
        touches=touches,
        pods=touches.count if touches.unit == "pod" else 0,
        downtime_s=data.declared.downtime_s * touches.count,
        undo=data.plan.inverse() is not None,
    )
