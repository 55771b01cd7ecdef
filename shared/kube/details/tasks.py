"""The maintenance that a workload's owner has declared for it: a CronJob that says what it does and for whom.

Only what carries our label is looked at, and only its schedule's state: never what it runs.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

from shared.kube.reader import Object, Reader
from shared.kube.shape import dicts, meta, ms, name, part, strings, within
from shared.model.details import FOR, TASK, TASKS, Task, Tasks
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "PersistentVolumeClaim")
RIGHTS: Final = (("batch", "cronjobs", "list"),)

LABELLED: Final = f"{TASK} in ({','.join(TASKS)})"
_MOST, _ROOM = 20, 4_000
_SEEN_S: Final = 120  # an end is looked for once a minute, and a sweep may be late


def look(kube: Reader, scope: Scope, found: Object) -> Tasks:  # noqa: ARG001  every detail has this shape
    listed = kube.list("CronJob", scope.namespace, labels=LABELLED)
    return Tasks(tasks=within(_declared(listed, f"{scope.kind}/{scope.name}"), _MOST, _ROOM))


def _declared(listed: list[Object], of: str) -> Iterator[Task]:
    for one in sorted(listed, key=lambda one: name(meta(one).get("name"))):
        task = strings(meta(one).get("labels")).get(TASK)
        if task in TASKS and strings(meta(one).get("annotations")).get(FOR) == of:
            yield Task(
                name=name(meta(one).get("name")),
                uid=name(meta(one).get("uid")),
                task=cast("Any", task),
                suspended=part(one, "spec").get("suspend") is True,
                active=len(dicts(part(one, "status").get("active"))),
                vanishes=_vanishes(part(one, "spec")),
                last_success_at=ms(part(one, "status").get("lastSuccessfulTime")),
            )


def _vanishes(spec: Object) -> bool:
    kept = part(spec, "jobTemplate", "spec").get("ttlSecondsAfterFinished")
    soon = type(kept) is int and kept < _SEEN_S
    return soon or 0 in (spec.get("successfulJobsHistoryLimit"), spec.get("failedJobsHistoryLimit"))
