"""What Akeso itself has set going for a scope and how it stands: maintenance Jobs and snapshots.

Whoever waits for one asks for it here. Only what carries our mark is looked at, and never what it runs or has printed.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, cast

from shared.kube.details.tasks import LABELLED
from shared.kube.errors import NotFound
from shared.kube.mark import MADE
from shared.kube.reader import Object, Reader
from shared.kube.shape import condition, is_true, meta, ms, name, part, strings, within, word
from shared.model.details import FOR, TASK, TASKS, Run, Runs
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "PersistentVolumeClaim")
RIGHTS: Final = (("batch", "jobs", "list"), ("snapshot.storage.k8s.io", "volumesnapshots", "list"))

State = Literal["running", "complete", "failed"]

_MOST, _ROOM = 20, 6_000


def look(kube: Reader, scope: Scope, found: Object) -> Runs:  # noqa: ARG001  every detail has this shape
    of = f"{scope.kind}/{scope.name}"
    jobs = [_run("Job", one, *_job(one)) for one in _ours(kube.list("Job", scope.namespace, labels=LABELLED), of)]
    try:
        listed = kube.list("VolumeSnapshot", scope.namespace, labels=LABELLED)
    except NotFound:  # nobody has installed snapshots here
        listed = []
    snapshots = [_run("VolumeSnapshot", one, *_snapshot(one)) for one in _ours(listed, of)]
    newest = sorted([*jobs, *snapshots], key=lambda run: (-run.created_at, run.name))
    return Runs(runs=within(newest, _MOST, _ROOM))


def _ours(listed: list[Object], of: str) -> Iterator[Object]:
    for one in listed:
        notes = strings(meta(one).get("annotations"))
        if notes.get(MADE) and notes.get(FOR) == of and strings(meta(one).get("labels")).get(TASK) in TASKS:
            yield one


def _run(kind: Literal["Job", "VolumeSnapshot"], one: Object, state: State, why: str = "") -> Run:
    return Run(
        kind=kind,
        name=name(meta(one).get("name")),
        task=cast("Any", strings(meta(one).get("labels"))[TASK]),
        attempt=name(strings(meta(one).get("annotations"))[MADE]),
        created_at=ms(meta(one).get("creationTimestamp")),
        state=state,
        why=why,
    )


def _job(one: Object) -> tuple[State, str]:
    if is_true(one, "Failed"):
        return "failed", word(condition(one, "Failed").get("reason"))
    return ("complete" if is_true(one, "Complete") else "running"), ""


def _snapshot(one: Object) -> tuple[State, str]:
    status = part(one, "status")
    if status.get("readyToUse") is True:
        return "complete", ""
    # No end: a driver that has said so tries again by itself.
    return "running", ("Error" if part(status, "error") else "")
