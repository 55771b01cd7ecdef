"""Looks at the patient after the soak and lets `settle` say what came of it.

It reads the cluster and gives three facts: known, healthy, worse. Whether the alert still fires, and whether
AlertManager is heard at all, is Redis' to know; unknown is never success and never a reason to undo.
"""

from shared.action.catalogue import Catalogue
from shared.action.declare import Action
from shared.event.app import Emit, Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import OutcomeData, VerdictData, VerificationData
from shared.kube import facts as snapshot
from shared.kube.errors import KubeError
from shared.model.facts import Facts, Scope
from shared.state.transitions import Cause

PATIENCE_MS = 480_000  # AlertManager tells `resolved` up to one group_interval (5 min) after Prometheus knows
AGAIN_MS = 60_000


def verify(event: Event, data: VerificationData, here: Here) -> Outcome:
    cause = Cause("verifier", event.source, event.id, event.get("tenant"), event.get("cluster"))
    attempt = here.state.attempt(cause.tenant, cause.cluster, data.attempt)
    action = Catalogue.home(here.settings.actions_dir).load(data.action)
    facts, why = _look(attempt.get("scope", ""), action, here)
    before = Facts.model_validate_json(attempt["before"]) if attempt.get("before") else None
    healthy = facts is not None and action.healthy(facts)
    settled = here.state.settle(
        cause, "verdict", attempt=data.attempt, known=facts is not None, healthy=healthy,
        worse=facts is not None and before is not None and action.worse(before, facts), text=why,
        patience=PATIENCE_MS, again=AGAIN_MS,
    )  # fmt: skip
    verdict = settled.get("verdict", "ended")
    if verdict in ("waiting", "ended"):
        return None
    if verdict == "unknown":
        text = why or "AlertManager is not heard"
        said = OutcomeData(
            incident=data.incident, attempt=data.attempt, action=data.action, outcome="unknown", text=text
        )
        return Emit("remediation.unknown", said, incident=data.incident, action=data.action)
    judged = VerdictData.model_validate(
        {"incident": data.incident, "attempt": data.attempt, "verdict": verdict, "text": why}
    )
    return Emit(f"remediation.{verdict}", judged, incident=data.incident, action=data.action)


def _look(scope: str, action: Action, here: Here) -> tuple[Facts | None, str]:
    home = here.settings.kube.namespace
    try:
        facts = snapshot.take(here.kube, Scope.of_key(scope), None, stop_namespace=home, details=action.details)
    except KubeError as error:
        return None, f"the cluster could not be read: {error.reason}"
    return facts, "" if facts else f"{scope} is gone"


verifier = serve("verifier", verify, expires=True)
