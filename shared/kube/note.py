"""A Kubernetes Event on what an attempt has changed, so that `kubectl describe` shows who did what, why, and the undo.

It tells of what has happened and stands in nobody's way: it never raises, and an Event that cannot be written costs one
log line. It must not carry a value that was written, for everybody in the namespace may read Events.
"""

from typing import TYPE_CHECKING, Final

from shared import clock
from shared.kube.errors import Conflict
from shared.kube.kinds import KINDS
from shared.kube.mark import MARK  # the fence lets executors create nothing without it
from shared.kube.plain import plain
from shared.model.base import sha256
from shared.model.facts import ObjectRef
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.kube.client import Kube

RIGHTS: Final = (("", "events", "create"),)

_HOME: Final = "default"  # where a Kubernetes Event about an object without a namespace has to be
_NAME, _MESSAGE, _WHY = 200, 1000, 400  # characters; the API server refuses messages from 1024 on
_GOOD: Final = frozenset({"succeeded", "progressing", "verified"})

_log = log.get("akeso.kube")


def note(
    kube: "Kube",
    target: ObjectRef,
    *,
    attempt: str,
    step: int,
    action: str,
    outcome: str,
    why: str,
    by: str,
    field_manager: str,
) -> None:
    """Write the Event of this step and outcome once: it has one name, and one that is there already is fine.

    `why` names the incident, too. `by` says who has asked for it: the machine, or a person by name.
    """
    try:
        name = f"{target.name[:_NAME].rstrip('-.')}.{sha256(attempt, str(step), outcome)[:16]}"
        now = clock.iso(clock.now_ms())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "annotations": {MARK: f"{attempt}/{step}"}},
            "involvedObject": {
                "apiVersion": KINDS[target.kind].api, "kind": target.kind, "namespace": target.namespace,
                "name": target.name, "uid": target.uid,
            },
            "type": "Normal" if outcome in _GOOD else "Warning",
            "reason": "Akeso" + "".join(word.capitalize() for word in action.split("_")),
            "message": _message(attempt, step, action, outcome, why, by),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "akeso"},
            "reportingComponent": "akeso",
            "reportingInstance": field_manager,
        }  # fmt: skip
        kube.create("Event", target.namespace or _HOME, body, field_manager=field_manager)
    except Conflict:
        return
    except Exception as error:  # noqa: BLE001  the write has happened: no word about it may end its attempt
        _log.warning("no Event on the target", attempt=attempt, step=step, error=str(error)[:200])


def _message(attempt: str, step: int, action: str, outcome: str, why: str, by: str) -> str:
    said = f"{action} {outcome} (step {step}), because {plain(why)[:_WHY]}; by {plain(by)[:100]}; attempt {attempt}"
    undo = f"to take it back, where that can be: akeso undo {attempt}"
    return f"{said}; what it found before: akeso evidence {attempt}; {undo}"[:_MESSAGE]
