"""Work on data that takes its time: a Job or a snapshot that is created once, and is waited for.

What the Job runs is its owner's, declared as a CronJob for the scope, or our own. Nothing here decides whether it is to
be done, and nothing takes it back: what was backed up, compacted or deleted stays so.
"""

from typing import Any, Final

from shared.action import quota
from shared.model.details import FOR, TASK, Task
from shared.model.facts import Facts, ObjectRef
from shared.model.plan import Plan, Refusal, Touches, Write

_NAME: Final = 60  # characters of a name that a sentence carries

Object = dict[str, Any]


def hindered(facts: Facts, task: str) -> Refusal | None:
    """Why none can be begun for this scope now, whatever it would be."""
    scope, last = facts.scope, facts.details.runs.newest(task) if facts.details.runs else None
    if not scope.uid:
        return Refusal(reason="not-found", text=f"{scope.kind} {scope.name} was not there when the facts were taken")
    if last and last.state == "running":
        return Refusal(reason="nothing-to-do", text=f"{last.kind} {last.name} is at it already: wait for its end")
    return None


def plan(facts: Facts, task: str, kind: str, body: Object, *, patience_s: int) -> Plan:
    """Create it and wait for its end."""
    scope = facts.scope
    meta = {
        "labels": {TASK: task, **(body.get("metadata") or {}).get("labels", {})},
        "annotations": {FOR: f"{scope.kind}/{scope.name}", **(body.get("metadata") or {}).get("annotations", {})},
    }
    target = ObjectRef(kind=kind, namespace=scope.namespace, name=f"akeso-{task}-")
    create = Write(verb="create", target=target, after={**body, "metadata": {**(body.get("metadata") or {}), **meta}})
    mounts = facts.details.claim.mounts if facts.details.claim else ()
    return Plan(
        writes=(create, Write(verb="watch", target=scope.ref, patience_s=patience_s)),
        touches=Touches(unit="pod", count=0, population=facts.pod_count or len(mounts)),
        reversible=False,
    )


def as_declared(facts: Facts, task: str, *, patience_s: int) -> Plan | Refusal:
    """Run the CronJob that the owner has declared for it, the first by name; none says how to declare one."""
    tasks, scope = facts.details.tasks, facts.scope
    found = next((one for one in tasks.tasks if one.task == task), None) if tasks else None
    if found is None:
        text = (
            f"no {task} of {scope.kind} {scope.name[:_NAME]} is declared: give a CronJob of its namespace the label"
            f" {TASK}={task} and the annotation {FOR}={scope.kind}/NAME, and suspend it if it is for nothing else"
        )
        return Refusal(reason="undeclared", text=text)
    if found.active:
        text = f"CronJob {found.name[:_NAME]} has a Job of its own running: wait for its end"
        return Refusal(reason="nothing-to-do", text=text)
    if found.vanishes:
        text = (
            f"CronJob {found.name[:_NAME]} lets its Jobs be deleted as soon as they end (ttlSecondsAfterFinished under"
            " 120, or a history limit of 0): nobody could tell how one ended"
        )
        return Refusal(reason="unsupported", text=text)
    if refused := quota.refuses(facts, 1):
        return refused
    return plan(facts, task, "Job", _of_cronjob(found), patience_s=patience_s)


def _of_cronjob(task: Task) -> Object:
    """The Job that its owner's CronJob describes, as `kubectl create job --from` makes it: the CronJob cleans it up."""
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": task.name, "uid": task.uid, "controller": True}
    return {
        "from": {"kind": "CronJob", "name": task.name, "uid": task.uid, "path": "/spec/jobTemplate"},
        "metadata": {"annotations": {"cronjob.kubernetes.io/instantiate": "manual"}, "ownerReferences": [owner]},
    }


def arrived(facts: Facts, task: str) -> str | Refusal:
    """Whether this attempt's own has come to its end."""
    run = facts.details.runs.newest(task, facts.attempt) if facts.details.runs and facts.attempt else None
    if run is None:
        return Refusal(reason="failed", text=f"the {task} that was begun is gone: somebody has deleted it")
    if run.state == "failed":
        return Refusal(reason="failed", text=f"{run.kind} {run.name} failed ({run.why}): the log of its pod says why")
    if run.state == "running":
        return f"{run.kind} {run.name} is not done yet" + ("; its driver has reported an error" if run.why else "")
    return ""


def healthy(facts: Facts, task: str) -> bool:
    run = facts.details.runs.newest(task) if facts.details.runs else None
    return run is not None and run.state == "complete"
