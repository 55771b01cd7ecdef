"""The history of a Deployment, as its ReplicaSets keep it, and what can be known of which of them was ever good.

`kubectl rollout undo` takes the ReplicaSet with the highest revision below the present one, good or not: Kubernetes
does not keep whether a revision worked. The Deployment's condition Progressing says NewReplicaSetAvailable, but of the
present rollout alone, and the next one overwrites it. The annotation `desired-replicas` is set on every ReplicaSet as
soon as it is made, so it proves nothing. What does tell:

- its pods are ready now. While a rollout is stuck, a rolling update keeps the last good ones: `now`;
- it was the current one for longer than `progressDeadlineSeconds`, until the next one was made: a rollout that had
  failed would have been called stuck by then, and most people do not leave it so: `stood`. It is what a person would
  go by, and no proof. Not known for one that came back by a rollback (annotation
  `revision-history`), because its creation is not when it came back, and so neither for the one before that;
- the current one is good (`now`) when its rollout is complete and all its pods are ready.

Everything else is `unknown`, and nobody should go back to it by himself.
"""

from typing import Final, Literal

from shared.kube.reader import Object, Reader
from shared.kube.selector import Selector
from shared.kube.shape import (
    TEMPLATE_HASH,
    condition,
    controller,
    decimal,
    marks,
    meta,
    ms,
    name,
    number,
    part,
    strings,
    within,
)
from shared.model.base import canonical, sha256
from shared.model.details import Revision, Revisions
from shared.model.facts import Scope

KINDS: Final = ("Deployment",)
RIGHTS: Final = (("apps", "replicasets", "list"),)

Rollout = Literal["complete", "stuck", "progressing", "unknown"]

_MOST, _ROOM = 20, 6_000
_DEADLINE_S = 600  # where progressDeadlineSeconds is not said, which an API server never leaves out
_NUMBER = "deployment.kubernetes.io/revision"
_BEFORE = "deployment.kubernetes.io/revision-history"


def look(kube: Reader, scope: Scope, found: Object) -> Revisions:
    uid, wanted = meta(found).get("uid"), fingerprint(part(found, "spec", "template"))
    listed = kube.list("ReplicaSet", scope.namespace, labels=_selector(found))
    own = sorted((one for one in listed if uid and controller(one).get("uid") == uid), key=_order, reverse=True)
    prints = [fingerprint(part(one, "spec", "template")) for one in own]
    # The controller takes the oldest one that has the template, and so does this.
    current = min(
        (at for at, print_ in enumerate(prints) if print_ == wanted), key=lambda at: _age(own[at]), default=-1
    )
    rollout = _rollout(found)
    deadline = number(part(found, "spec").get("progressDeadlineSeconds")) or _DEADLINE_S
    revisions, after = [], None
    for at, one in enumerate(own):
        revisions.append(_revision(one, after, prints[at], current=at == current, rollout=rollout, deadline=deadline))
        after = one
    return Revisions(revisions=within(revisions, _MOST, _ROOM), rollout=rollout)


def fingerprint(template: Object) -> str:
    """Tell templates apart and show nothing of them: without the label that the controller adds to each."""
    head = part(template, "metadata")
    labels = {key: text for key, text in part(head, "labels").items() if key != TEMPLATE_HASH}
    try:
        return sha256(canonical({**template, "metadata": {**head, "labels": labels}}).decode())
    except ValueError:  # no number that JSON knows
        return ""


def _selector(found: Object) -> str:
    try:
        return Selector.of(part(found, "spec").get("selector")).text
    except (ValueError, AttributeError, TypeError):
        return ""


def _order(one: Object) -> tuple[int, int]:
    return decimal(marks(one).get(_NUMBER)), _age(one)


def _age(one: Object) -> int:
    return ms(meta(one).get("creationTimestamp"))


def _rollout(found: Object) -> Rollout:
    status = part(found, "status")
    if number(status.get("observedGeneration")) < number(meta(found).get("generation")):
        return "progressing"
    reason = condition(found, "Progressing").get("reason")
    if reason == "ProgressDeadlineExceeded":
        return "stuck"
    if reason == "NewReplicaSetAvailable":
        # It stays where a write of somebody else makes the controller lose its note of the new version.
        updated = number(status.get("updatedReplicas"))
        whole = updated >= number(part(found, "spec").get("replicas", 1)) and updated == number(status.get("replicas"))
        return "complete" if whole else "progressing"
    return "progressing" if reason else "unknown"


def _revision(
    one: Object, after: Object | None, template: str, *, current: bool, rollout: Rollout, deadline: int
) -> Revision:
    status = part(one, "status")
    replicas, ready = number(status.get("replicas")), number(status.get("readyReplicas"))
    stood = _stood(one, after)
    full = 0 < replicas <= ready
    health: Literal["now", "stood", "unknown"]
    if current:
        health = "now" if full and rollout == "complete" else "unknown"
    else:
        health = "now" if full else "stood" if stood is not None and stood > deadline else "unknown"
    return Revision(
        name=name(meta(one).get("name")), uid=name(meta(one).get("uid")), number=_order(one)[0], current=current,
        replicas=replicas, ready=ready, created_at=_age(one), stood_s=stood, health=health, template=template,
    )  # fmt: skip


def _stood(one: Object, after: Object | None) -> int | None:
    """Seconds between its making and that of the next one; None where one of the two came back by a rollback."""
    if after is None or not _age(one) or not _age(after):
        return None
    if any(_BEFORE in strings(meta(it).get("annotations")) for it in (one, after)):
        return None
    return max(0, (_age(after) - _age(one)) // 1000)
